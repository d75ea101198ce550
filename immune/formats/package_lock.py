"""package-lock.json and npm-shrinkwrap.json, lockfile versions 1, 2 and 3: the tree npm resolved. Pure.

Source: "package-lock.json" in npm's documentation and Arborist. Versions 2 and 3 give places (``packages``); version
1 is a nested tree that is turned into the same places. Who brings a package in follows Node's way of looking a name
up: in its own ``node_modules``, then in those above.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from immune.formats import limits
from immune.formats.documents import Places, load_json, table, text_of
from immune.formats.graph import standings
from immune.formats.npm_spec import REASONS, resolved_origin, wish
from immune.formats.package_json import SCOPES, asked_beside
from immune.formats.rows import Rows
from immune.inventory import Inventory, Origin, Reader, Scope, Unreadable

FORMAT = "package-lock.json"
_MODULES = "node_modules/"


@dataclass(slots=True)
class _Package:
    """One place of the tree."""

    place: str
    line: int | None
    raw_name: str
    name: Any
    version: Any
    origin: Origin
    entry: Mapping[str, Any]
    wishes: list[str] = field(default_factory=list)


def parse(text: str, *, path: str, read: Reader) -> Inventory:
    """Every installed place, links aside. Raises Unreadable when it is no lock file of a known version."""
    document = load_json(path, text)
    if not isinstance(document, dict):
        raise Unreadable(path, "not a JSON object: not a package-lock.json")
    version = document.get("lockfileVersion", 1)
    if isinstance(version, bool) or version not in (1, 2, 3):
        raise Unreadable(path, f"lockfileVersion {limits.shown(repr(version))} is not known")
    if not {"lockfileVersion", "packages", "dependencies"} & set(document):
        raise Unreadable(path, "neither lockfileVersion nor packages: not a package-lock.json")
    rows = Rows(format=FORMAT, path=path, ecosystem="npm")
    if isinstance(document.get("packages"), dict):
        _places(rows, document["packages"], Places(text))
    elif "packages" in document:
        raise Unreadable(path, "packages is no table")
    else:
        _nested(rows, document.get("dependencies", {}), Places(text), asked_beside(path, read))
    return rows.inventory()


# --- versions 2 and 3 -----------------------------------------------------------------------------------------


def _places(rows: Rows, packages: Mapping[str, Any], places: Places) -> None:
    links: dict[str, str] = {}
    tree: dict[str, _Package] = {}
    own: dict[str, Mapping[str, Any]] = {}
    for place, value in packages.items():
        line = places.after(f'"{place}"', ":{")
        if not isinstance(value, dict):
            rows.refuse(line, f"{limits.shown(place)}: not a table")
            continue
        if value.get("link") is True:
            links[place] = text_of(value.get("resolved"))
            continue
        if _MODULES not in place:
            own[place] = value
            if place == "":
                continue
        tree[place] = _package(place, value, line)
    edges = {
        place: list(_targets(place, package.wishes, tree, links)) for place, package in tree.items() if place not in own
    }
    for place in own:
        if place in tree:
            edges[place] = []
    roots: dict[Scope, list[str]] = {Scope.RUNTIME: [], Scope.OPTIONAL: [], Scope.DEV: []}
    for place, value in own.items():
        for section, scope in SCOPES.items():
            roots[scope] += _targets(place, table(value.get(section)), tree, links)
    for nodes in roots.values():
        nodes[:] = [node for node in nodes if node not in own]
    _rows(rows, tree, edges, roots, known=bool(own))


def _package(place: str, entry: Mapping[str, Any], line: int | None) -> _Package:
    raw = place.rsplit(_MODULES, 1)[-1]
    name = entry.get("name", raw) if _MODULES in place else entry.get("name", place.rsplit("/", 1)[-1])
    version = entry.get("version")
    resolved = text_of(entry.get("resolved"))
    origin = resolved_origin(resolved, text_of(name), text_of(version)) if _MODULES in place else Origin.PATH
    wishes = [*table(entry.get("dependencies")), *table(entry.get("optionalDependencies"))]
    wishes += list(table(entry.get("peerDependencies")))
    return _Package(place, line, raw, name, version, origin, entry, wishes)


def _targets(
    place: str, wishes: Iterable[str], tree: Mapping[str, _Package], links: Mapping[str, str]
) -> Iterable[str]:
    """The places the wishes of ``place`` mean, by Node's look-up: its own node_modules, then those of the folders
    above."""
    above = _folders_above(place)
    for name in wishes:
        for folder in above:
            candidate = f"{folder}{_MODULES}{name}"
            if candidate in links:
                candidate = links[candidate]
            if candidate in tree:
                yield candidate
                break


def _folders_above(place: str) -> list[str]:
    found = [f"{place}/"] if place else []
    at = place
    while "/" in at and len(found) < limits.MAX_DEPTH:
        at = at.rsplit("/", 1)[0]
        if not at.endswith("/node_modules") and at != "node_modules":
            found.append(f"{at}/")
    return [*found, ""]


# --- version 1 ------------------------------------------------------------------------------------------------


def _nested(
    rows: Rows, dependencies: Any, places: Places, asked: tuple[dict[Scope, dict[str, str]], bool] | None
) -> None:
    if not isinstance(dependencies, dict):
        raise Unreadable(rows.path, "dependencies is no table")
    tree: dict[str, _Package] = {}
    # (place above, name, entry), in the order of the text: the last pushed is the next read
    waiting = [("", name, entry) for name, entry in reversed(dependencies.items())]
    while waiting:
        above, name, entry = waiting.pop()
        line = places.after(f'"{name}"', ":{")
        place = f"{above}{_MODULES}{name}"
        if len(place) > limits.MAX_STRING:
            raise Unreadable(rows.path, "dependencies nested too deep")
        if not isinstance(entry, dict):
            rows.refuse(line, f"{limits.shown(name)}: not a table")
            continue
        tree[place] = _old_package(place, name, entry, line)
        inner = entry.get("dependencies", {})
        if isinstance(inner, dict):
            waiting += [(f"{place}/", one, value) for one, value in reversed(inner.items())]
        else:
            rows.refuse(line, f"{limits.shown(name)}: dependencies is no table")
    edges = {place: list(_targets(place, package.wishes, tree, {})) for place, package in tree.items()}
    roots = {scope: list(_targets("", wishes, tree, {})) for scope, wishes in (asked[0] if asked else {}).items()}
    _rows(rows, tree, edges, roots, known=asked is not None)


def _old_package(place: str, raw: str, entry: Mapping[str, Any], line: int | None) -> _Package:
    """An entry of version 1, where ``version`` also holds addresses (git, tarball, file) and aliases."""
    written = entry.get("version")
    found = wish(raw, written) if isinstance(written, str) else None
    name: Any = found.name if found else raw
    version: Any = (found.version or (written if found.origin is Origin.REGISTRY else None)) if found else written
    origin = found.origin if found else Origin.REGISTRY
    if origin is Origin.REGISTRY and text_of(entry.get("resolved")):
        origin = resolved_origin(text_of(entry.get("resolved")), text_of(name), text_of(version))
    return _Package(place, line, raw, name, version, origin, entry, list(table(entry.get("requires"))))


# --- both -----------------------------------------------------------------------------------------------------


def _rows(
    rows: Rows,
    tree: Mapping[str, _Package],
    edges: Mapping[str, list[str]],
    roots: Mapping[Scope, list[str]],
    *,
    known: bool,
) -> None:
    """``known``: the project's own wishes are known, so a package nobody asked for directly is not direct."""
    found = standings(edges, roots, lambda place: text_of(tree[place].name))
    for place, package in tree.items():
        standing = found[place]
        entry = package.entry
        own = _MODULES not in place
        rows.add(
            package.name,
            package.version,
            line=package.line,
            raw_name=package.raw_name,
            requirement=text_of(entry.get("resolved")) or text_of(entry.get("version")),
            origin=package.origin,
            reason=REASONS[package.origin],
            scope=standing.scope if own else _scope(entry),
            direct=standing.direct if known and not own else None,
            path=standing.path,
            groups=tuple(flag for flag in ("peer", "extraneous", "inBundle", "bundled") if entry.get(flag) is True),
            hashes=tuple(text_of(entry.get("integrity")).split()),
        )


def _scope(entry: Mapping[str, Any]) -> Scope:
    if entry.get("extraneous") is True:
        return Scope.UNKNOWN
    if entry.get("dev") is True:
        return Scope.DEV
    if entry.get("optional") is True or entry.get("devOptional") is True:
        return Scope.OPTIONAL
    return Scope.RUNTIME
