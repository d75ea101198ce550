"""pyproject.toml: what a Python project asks for (PEP 621, PEP 735 groups, Poetry's own tables). Pure.

Sources: PEP 621 and 508, PEP 735, Poetry's "The pyproject.toml file". These are wishes, not a resolution: only an
exact pin gives a version. Build requirements (PEP 518) are listed with the group ``build-system``.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from typing import Any

from packaging.requirements import Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

from immune.formats import limits
from immune.formats.documents import items, load_toml, table, text_of
from immune.formats.requirements_txt import pinned
from immune.formats.rows import Rows
from immune.inventory import Inventory, Origin, Reader, Scope, Unreadable

FORMAT = "pyproject.toml"
_RUNTIME_GROUPS = frozenset({"main"})
_QUOTED = re.compile(r"""\"((?:[^\"\\]|\\.)*)\"|'([^']*)'""")
_KEY = re.compile(r"""[ \t]*[\"']?([A-Za-z0-9._-]+)[\"']?[ \t]*=""")
_EXACT = re.compile(r"v?\d[A-Za-z0-9.!+_-]*")


def parse(text: str, *, path: str, read: Reader) -> Inventory:
    """The dependencies a pyproject.toml names. Raises Unreadable when it is not TOML.

    A file without a project (tool settings only) is an empty inventory: it asks for nothing. Dependencies declared
    dynamic are a note: another file names them.
    """
    document = load_toml(path, text)
    rows = Rows(format=FORMAT, path=path, ecosystem="PyPI")
    places = _Lines(text)
    project = table(document.get("project"))
    _standard(rows, project, places)
    for group, wishes in table(document.get("dependency-groups")).items():
        _list(rows, wishes, places, scope=Scope.DEV, group=group)
    uv = table(table(document.get("tool")).get("uv"))
    _list(rows, uv.get("dev-dependencies"), places, scope=Scope.DEV, group="dev")
    _sources(rows, table(uv.get("sources")))
    poetry = table(table(document.get("tool")).get("poetry"))
    _poetry(rows, poetry, places)
    _list(rows, table(document.get("build-system")).get("requires"), places, scope=Scope.DEV, group="build-system")
    return rows.inventory()


def asked_beside(path: str, read: Reader) -> dict[Scope, list[str]] | None:
    """Normalised names the pyproject.toml beside a lock file asks for, strongest scope first; None when there is
    none."""
    place = posixpath.join(posixpath.dirname(path), "pyproject.toml")
    try:
        found = parse(read(place), path=place, read=read)
    except Unreadable:
        return None  # the lock stands without it; only "direct" stays unknown
    asked: dict[Scope, list[str]] = {Scope.RUNTIME: [], Scope.OPTIONAL: [], Scope.DEV: []}
    for one in found.dependencies:
        if one.groups != ("build-system",):
            asked.setdefault(one.scope, []).append(one.name)
    return asked


class _Lines:
    """Lines of requirement texts and of keys: the first place each stands. Made in one pass over the text."""

    def __init__(self, text: str) -> None:
        self._quoted: dict[str, int] = {}
        self._keys: dict[str, int] = {}
        for number, line in enumerate(text.split("\n"), 1):
            for found in _QUOTED.finditer(line[: limits.MAX_STRING]):
                wish = found[2] if found[1] is None else found[1].replace('\\"', '"').replace("\\\\", "\\")
                self._quoted.setdefault(wish, number)
            if key := _KEY.match(line):
                self._keys.setdefault(key[1], number)

    def of(self, wanted: str) -> int | None:
        return self._quoted.get(wanted)

    def key(self, name: str) -> int | None:
        return self._keys.get(name)


def _standard(rows: Rows, project: Mapping[str, Any], places: _Lines) -> None:
    for field in items(project.get("dynamic")):
        if field in {"dependencies", "optional-dependencies"}:
            rows.note(None, "dynamic", f"{field} are named elsewhere")
    _list(rows, project.get("dependencies"), places, scope=Scope.RUNTIME, group="")
    for extra, wishes in table(project.get("optional-dependencies")).items():
        _list(rows, wishes, places, scope=Scope.OPTIONAL, group=extra)


def _list(rows: Rows, wishes: Any, places: _Lines, *, scope: Scope, group: str) -> None:
    if wishes is None:
        return
    if not isinstance(wishes, list):
        rows.refuse(None, f"dependencies of {limits.shown(group or 'the project')} are no list")
        return
    for wish in wishes:
        if isinstance(wish, dict) and set(wish) == {"include-group"}:
            continue  # PEP 735: the other group is read under its own name
        if not isinstance(wish, str) or len(wish) > limits.MAX_REQUIREMENT:
            rows.refuse(None, f"not a requirement: {limits.shown(repr(wish))}")
            continue
        _requirement(rows, wish, places.of(wish), scope=scope, group=group)


def _requirement(rows: Rows, wish: str, line: int | None, *, scope: Scope, group: str) -> None:
    try:
        parsed = Requirement(wish)
    except (ValueError, RecursionError):
        rows.refuse(line, f"not a requirement: {limits.shown(wish)!r}")
        return
    version, reason = pinned(parsed.specifier)
    origin = Origin.REGISTRY
    if parsed.url is not None:
        origin = Origin.GIT if re.match(r"(git|hg|svn|bzr)\+", parsed.url) else Origin.URL
        origin = Origin.PATH if parsed.url.startswith("file:") else origin
        version, reason = None, "comes from an address, not from the package index"
    rows.add(
        canonicalize_name(parsed.name),
        version,
        line=line,
        reason=reason,
        raw_name=parsed.name,
        requirement=wish,
        origin=origin,
        scope=scope,
        direct=True,
        groups=(group,) if group else (),
        extras=tuple(sorted(parsed.extras)),
        marker=str(parsed.marker) if parsed.marker else "",
    )


def _sources(rows: Rows, sources: Mapping[str, Any]) -> None:
    for name, source in sources.items():
        rows.note(None, "index", f"{name} comes from {', '.join(sorted(table(source))) or 'elsewhere'}")


# --- Poetry ---------------------------------------------------------------------------------------------------


def _poetry(rows: Rows, poetry: Mapping[str, Any], places: _Lines) -> None:
    for source in items(poetry.get("source")):
        rows.note(None, "index", text_of(table(source).get("url")) or text_of(table(source).get("name")))
    _poetry_table(rows, poetry.get("dependencies"), places, group="main")
    _poetry_table(rows, poetry.get("dev-dependencies"), places, group="dev")
    for group, content in table(poetry.get("group")).items():
        _poetry_table(rows, table(content).get("dependencies"), places, group=group)


def _poetry_table(rows: Rows, wishes: Any, places: _Lines, *, group: str) -> None:
    if wishes is None:
        return
    if not isinstance(wishes, dict):
        rows.refuse(None, f"Poetry's dependencies of group {limits.shown(group)} are no table")
        return
    for name, wish in wishes.items():
        if name.lower() == "python":
            continue
        for one in wish if isinstance(wish, list) else [wish]:
            _poetry_wish(rows, name, one, places.key(name), group=group)


def _poetry_wish(rows: Rows, name: str, wish: Any, line: int | None, *, group: str) -> None:
    entry = {"version": wish} if isinstance(wish, str) else table(wish)
    if not entry:
        rows.refuse(line, f"{limits.shown(name)}: not a requirement: {limits.shown(repr(wish))}")
        return
    origin = next((kind for key, kind in _POETRY_ORIGINS.items() if key in entry), Origin.REGISTRY)
    wanted = text_of(entry.get("version"))
    version, reason = _poetry_version(wanted)
    if origin is not Origin.REGISTRY:
        version, reason = None, f"comes from {origin.value}, not from the package index"
    optional = entry.get("optional") is True
    runtime = Scope.OPTIONAL if optional else Scope.RUNTIME
    rows.add(
        canonicalize_name(name),
        version,
        line=line,
        reason=reason,
        raw_name=name,
        requirement=wanted,
        origin=origin,
        scope=runtime if group in _RUNTIME_GROUPS else Scope.DEV,
        direct=True,
        groups=(group,),
        extras=tuple(sorted(one for one in items(entry.get("extras")) if isinstance(one, str))),
        marker=text_of(entry.get("markers")),
    )


_POETRY_ORIGINS = {"git": Origin.GIT, "url": Origin.URL, "path": Origin.PATH, "file": Origin.PATH}


def _poetry_version(wanted: str) -> tuple[str | None, str]:
    """Poetry's constraint: a bare version is exact, ``^`` and the rest are ranges."""
    plain = wanted.strip()
    if _EXACT.fullmatch(plain) and not plain.endswith("*"):
        return plain, ""
    try:
        return pinned(SpecifierSet(plain)) if plain.startswith("=") else (None, f"not pinned: {limits.shown(plain)}")
    except InvalidSpecifier:
        return None, f"not pinned: {limits.shown(plain)}"
