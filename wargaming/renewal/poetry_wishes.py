"""What a Poetry project asks for, wherever it may say so, and whether that admits a version. Pure.

Source: Poetry's "Dependency specification" (caret, tilde, wildcard and exact requirements, unions) and PEP 508.
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
_SIMPLE = re.compile(r"(\s*(?:\^|~=?|===?|>=)?\s*)v?(\d[A-Za-z0-9.!+_-]*)(\s*)")
_PART = re.compile(r"(\^|~(?!=))\s*(.+)")


@dataclass(frozen=True, slots=True)
class Wish:
    """One requirement: the project's normalised name, the constraint as written, where it stands, and which grammar it is in."""

    name: str
    constraint: str
    path: Path
    standard: bool


def wishes(document: Mapping[str, Any]) -> list[Wish]:
    """Every requirement of a pyproject.toml that Poetry reads. Raises CannotRenew for one from anywhere but the index."""
    found = list(_standard(document))
    poetry = table(table(document.get("tool")).get("poetry"))
    base: Path = ("tool", "poetry")
    found += _tables(poetry.get("dependencies"), (*base, "dependencies"))
    found += _tables(poetry.get("dev-dependencies"), (*base, "dev-dependencies"))
    for group, content in table(poetry.get("group")).items():
        found += _tables(table(content).get("dependencies"), (*base, "group", group, "dependencies"))
    return found


def admits(wish: Wish, version: Version) -> bool:
    """Whether a wish allows a version. Raises CannotRenew for a constraint that is not understood."""
    return any(one.contains(version, prereleases=True) for one in _specifiers(wish.constraint))


def moved(wish: Wish, version: str) -> str:
    """The constraint with its one version replaced, its operator kept. Raises CannotRenew for one with more to it."""
    if wish.standard:
        requirement = Requirement(wish.constraint)
        pins = [one for one in requirement.specifier if one.operator == "==" and not one.version.endswith("*")]
        if len(requirement.specifier) != 1 or not pins:
            raise CannotRenew(
                f"pyproject.toml asks for {limits.shown(wish.constraint)}, which does not admit {version}"
            )
        head, _, tail = wish.constraint.partition(pins[0].version)
        return head + version + tail
    simple = _SIMPLE.fullmatch(wish.constraint)
    if simple is None or "*" in wish.constraint:
        raise CannotRenew(
            f"pyproject.toml asks for {wish.name} {limits.shown(wish.constraint)}, which does not admit {version}"
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
            yield Wish(canonicalize_name(requirement.name), written, (*path, number), standard=True)


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
            yield Wish(canonicalize_name(name), one, place, standard=False)


def _specifiers(constraint: str) -> list[SpecifierSet]:
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
