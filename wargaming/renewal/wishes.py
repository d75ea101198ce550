"""What a Python project asks for in its pyproject.toml (Poetry) or Pipfile, and whether that admits a version. Pure.

Sources: Poetry's "Dependency specification" (caret, tilde, wildcard and exact requirements, unions), PEP 508, Pipenv's "Pipfile &
Pipfile.lock".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from immune.formats import limits
from immune.formats.documents import items, table
from immune.renewal import CannotRenew
from wargaming.renewal.toml_text import Path

_PLACES = frozenset({"git", "url", "path", "file", "source", "develop"})
# What a table of a Pipfile may say of a package besides its version, without leading anywhere else: PEP 508's markers.
_PIPFILE_KEYS = frozenset(
    {"version", "extras", "markers", "index", "os_name", "sys_platform", "platform_machine", "platform_release"}
    | {"platform_python_implementation", "platform_system", "platform_version", "python_version", "python_full_version"}
    | {"implementation_name", "implementation_version"}
)
# What a Pipfile says beside its packages.
PIPFILE_TABLES = frozenset({"source", "requires", "pipenv", "scripts"})
_SIMPLE = re.compile(r"(\s*(?:\^|~=?|===?|>=)?\s*)v?(\d[A-Za-z0-9.!+_-]*)(\s*)")
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
_PART = re.compile(r"(\^|~(?!=))\s*(.+)")


@dataclass(frozen=True, slots=True)
class Wish:
    """One requirement: the project's normalised name, the constraint as written, where it stands, and whether it is PEP 508's."""

    name: str
    constraint: str
    file: str
    path: Path
    standard: bool = False


def of_pyproject(document: Mapping[str, Any]) -> list[Wish]:
    """Every requirement of a pyproject.toml that Poetry reads. Raises CannotRenew for one from anywhere but the index."""
    found = list(_standard(document))
    poetry = table(table(document.get("tool")).get("poetry"))
    base: Path = ("tool", "poetry")
    found += _tables(poetry.get("dependencies"), (*base, "dependencies"))
    found += _tables(poetry.get("dev-dependencies"), (*base, "dev-dependencies"))
    for group, content in table(poetry.get("group")).items():
        found += _tables(table(content).get("dependencies"), (*base, "group", group, "dependencies"))
    return found


def of_pipfile(document: Mapping[str, Any]) -> list[Wish]:
    """Every requirement of a Pipfile. Raises CannotRenew for one from anywhere but the index."""
    found = []
    for category, packages in document.items():
        if category in PIPFILE_TABLES:
            continue
        for name, written in table(packages).items():
            place: Path = (category, name)
            if isinstance(written, dict):
                if elsewhere := sorted(written.keys() - _PIPFILE_KEYS):
                    raise CannotRenew(
                        f"Pipfile sets {limits.shown(elsewhere[0])} for {limits.shown(name)}, with which it is not worked on"
                    )
                written, place = written.get("version", "*"), (*place, "version")  # noqa: PLW2901
            if not isinstance(written, str) or not _NAME.fullmatch(name):
                raise CannotRenew(f"Pipfile asks for {limits.shown(name)} in a way that is not understood")
            wish = Wish(canonicalize_name(name), written, "Pipfile", place)
            specifiers(written)
            found.append(wish)
    return found


def admits(wish: Wish, version: Version) -> bool:
    """Whether a wish allows a version. Raises CannotRenew for a constraint that is not understood."""
    return any(one.contains(version, prereleases=True) for one in specifiers(wish.constraint))


def moved(wish: Wish, version: str) -> str:
    """The constraint with its one version replaced, its operator kept. Raises CannotRenew for one with more to it."""
    if wish.standard:
        requirement = Requirement(wish.constraint)
        pins = [one for one in requirement.specifier if one.operator == "==" and not one.version.endswith("*")]
        if len(requirement.specifier) != 1 or not pins:
            raise CannotRenew(f"{wish.file} asks for {limits.shown(wish.constraint)}, which does not admit {version}")
        head, _, tail = wish.constraint.partition(pins[0].version)
        return head + version + tail
    simple = _SIMPLE.fullmatch(wish.constraint)
    if simple is None or "*" in wish.constraint:
        raise CannotRenew(
            f"{wish.file} asks for {wish.name} {limits.shown(wish.constraint)}, which does not admit {version}"
        )
    return simple[1] + version + simple[3]


def _standard(document: Mapping[str, Any]) -> Iterator[Wish]:
    project = table(document.get("project"))
    lists: list[tuple[Path, Any]] = [(("project", "dependencies"), project.get("dependencies"))]
    for key in ("optional-dependencies",):
        lists += [(("project", key, name), value) for name, value in table(project.get(key)).items()]
    groups = table(document.get("dependency-groups"))
    lists += [(("dependency-groups", name), value) for name, value in groups.items()]
    for path, value in lists:
        for number, written in enumerate(items(value)):
            if not isinstance(written, str):
                continue
            try:
                requirement = Requirement(written)
            except (InvalidRequirement, RecursionError) as error:
                raise CannotRenew(
                    f"pyproject.toml asks for {limits.shown(written)}, which is no requirement"
                ) from error
            if requirement.url is not None:
                raise CannotRenew(f"pyproject.toml takes {limits.shown(written)} from an address")
            yield Wish(canonicalize_name(requirement.name), written, "pyproject.toml", (*path, number), standard=True)


def _tables(value: Any, path: Path) -> Iterator[Wish]:
    for name, written in table(value).items():
        if name.lower() == "python":
            continue
        several = isinstance(written, list)
        for number, one in enumerate(written if several else [written]):
            place: Path = (*path, name, number) if several else (*path, name)
            if isinstance(one, dict):
                if elsewhere := sorted(_PLACES & one.keys()):
                    raise CannotRenew(f"pyproject.toml takes {limits.shown(name)} from a {elsewhere[0]} of its own")
                # What only enriches a requirement of [project] says no version.
                if not isinstance(one.get("version"), str):
                    continue
                one, place = one["version"], (*place, "version")  # noqa: PLW2901
            if not isinstance(one, str):
                raise CannotRenew(f"pyproject.toml asks for {limits.shown(name)} in a way that is not understood")
            yield Wish(canonicalize_name(name), one, "pyproject.toml", place)


def specifiers(constraint: str) -> list[SpecifierSet]:
    """The alternatives of a constraint, as PEP 440 has them."""
    try:
        requirement = Requirement(constraint) if re.match(r"\s*[A-Za-z]", constraint) else None
        if requirement is not None:
            return [requirement.specifier]
        return [_alternative(one.strip()) for one in constraint.split("||" if "||" in constraint else "|")]
    except (InvalidRequirement, InvalidSpecifier, InvalidVersion, RecursionError) as error:
        raise CannotRenew(f"the constraint {limits.shown(constraint)} is not understood") from error


def _alternative(text: str) -> SpecifierSet:
    parts = [part for part in re.split(r"\s*,\s*|\s+(?=[\^~<>=!])", text) if part]
    return SpecifierSet(",".join(bound for part in parts for bound in _bounds(part)))


def _bounds(part: str) -> list[str]:
    if part in ("*", "x", "X"):
        return []
    if ranged := _PART.fullmatch(part):
        low = Version(ranged[2])
        release = low.release
        if ranged[1] == "^":
            counted = next((place for place, number in enumerate(release) if number), len(release) - 1)
        else:
            counted = min(1, len(release) - 1)
        high = [*release[:counted], release[counted] + 1]
        return [f">={low}", f"<{'.'.join(map(str, high))}"]
    if re.match(r"v?\d", part):
        plain = part.removeprefix("v")
        return [f"=={plain}"]
    return [re.sub(r"^=(?!=)", "==", part)]
