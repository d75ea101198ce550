"""pnpm-lock.yaml, lockfile versions 5.x, 6.x and 9.x. Pure.

Source: pnpm's ``lockfile-types`` and ``dependency-path``. A package's key carries name and version, and after it the
peers it was resolved with; rows are by name and version, so the same version with other peers is one row. What the
importers ask for is direct.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from immune.formats import limits
from immune.formats.documents import Mapped, load_yaml, table, text_of
from immune.formats.graph import Standing, standings
from immune.formats.npm_spec import REASONS, resolved_origin
from immune.formats.rows import Rows
from immune.inventory import Inventory, Origin, Reader, Scope, Unreadable

FORMAT = "pnpm-lock.yaml"
_OLD_KEY = re.compile(r"(?:[^/@]*)/((?:@[^/]+/)?[^/@]+)/(\d[^/_]*)(?:_.*)?")
_KEY = re.compile(r"/?((?:@[^/@]+/)?[^/@]+)@(\d[^(/]*)(?:\(.*)?")
_SECTIONS = {
    "dependencies": Scope.RUNTIME,
    "optionalDependencies": Scope.OPTIONAL,
    "devDependencies": Scope.DEV,
}


def parse(text: str, *, path: str, read: Reader) -> Inventory:
    """Every package. Raises Unreadable without a ``lockfileVersion`` this reader knows."""
    document = load_yaml(path, text)
    if not isinstance(document, Mapped) or "lockfileVersion" not in document:
        raise Unreadable(path, "no lockfileVersion: not a pnpm-lock.yaml")
    written = text_of(document["lockfileVersion"])
    major = written.split(".")[0]
    if major not in {"5", "6", "9"}:
        raise Unreadable(path, f"lockfileVersion {limits.shown(written)!r} is not known")
    packages = document.get("packages") or Mapped()
    if not isinstance(packages, Mapped):
        raise Unreadable(path, "packages is no table")
    rows = Rows(format=FORMAT, path=path, ecosystem="npm")
    known = _standings(document, packages, major)
    seen: set[tuple[str, str, Origin]] = set()
    for key, value in packages.items():
        line = packages.lines[key]
        entry = table(value)
        name, version = _identity(key, entry, major)
        if name is None:
            rows.refuse(line, f"{limits.shown(key)}: a key without name and version")
            continue
        origin = _origin(key, entry, name, text_of(version))
        if (name, text_of(version), origin) in seen:
            continue
        seen.add((name, text_of(version), origin))
        standing = known.get((name, text_of(version))) or Standing(None, Scope.UNKNOWN, ())
        rows.add(
            name,
            version,
            line=line,
            requirement=key,
            origin=origin,
            reason=REASONS[origin],
            scope=_scope(entry, standing.scope),
            direct=standing.direct,
            path=standing.path,
            hashes=tuple(text_of(table(entry.get("resolution")).get("integrity")).split()),
        )
    return rows.inventory()


def _identity(key: str, entry: Mapping[str, Any], major: str) -> tuple[str | None, str | None]:
    """Name and version: the entry's own fields (packages from elsewhere have them), else the key's."""
    match = (_OLD_KEY if major == "5" else _KEY).fullmatch(key)
    name = text_of(entry.get("name")) or (match[1] if match else None)
    version = text_of(entry.get("version")) or (match[2] if match else None)
    if name is None and major != "5" and version is not None:
        name = key.lstrip("/").rsplit("@http", 1)[0].rsplit("@git", 1)[0].rsplit("@file:", 1)[0]
    if name is None or version is None:
        return None, None
    return name, version


def _origin(key: str, entry: Mapping[str, Any], name: str, version: str) -> Origin:
    resolution = table(entry.get("resolution"))
    if resolution.get("type") == "git" or "repo" in resolution:
        return Origin.GIT
    if resolution.get("type") == "directory" or key.lstrip("/").startswith("file:") or "@file:" in key:
        return Origin.PATH
    tarball = text_of(resolution.get("tarball"))
    return resolved_origin(tarball, name, version) if tarball else Origin.REGISTRY


def _scope(entry: Mapping[str, Any], reached: Scope) -> Scope:
    if entry.get("dev") is True:
        return Scope.DEV
    if entry.get("optional") is True:
        return Scope.OPTIONAL
    if entry.get("dev") is False:
        return Scope.RUNTIME
    return reached


def _standings(document: Mapping[str, Any], packages: Mapping[str, Any], major: str) -> dict[Any, Standing[str]]:
    """Standing by (name, version): of the same version with several peers, the one nearest the project."""
    nodes = table(document.get("snapshots")) if major == "9" else packages
    edges = {key: list(_targets(table(value), nodes, major)) for key, value in nodes.items()}
    importers = table(document.get("importers")) or {".": document}
    roots: dict[Scope, list[str]] = {scope: [] for scope in _SECTIONS.values()}
    for importer in importers.values():
        for section, scope in _SECTIONS.items():
            roots[scope] += _section_targets(table(importer).get(section), nodes, major)
    identities = {key: _node_identity(key, table(packages.get(key)), major, packages) for key in nodes}
    best: dict[Any, Standing[str]] = {}
    for key, standing in standings(edges, roots, lambda key: identities[key][0]).items():
        identity = identities[key]
        held = best.get(identity)
        if held is None or standing.rank < held.rank:
            best[identity] = standing
    return best


def _node_identity(key: str, entry: Mapping[str, Any], major: str, packages: Mapping[str, Any]) -> tuple[str, str]:
    if major == "9" and not entry:
        entry = table(packages.get(key.split("(", 1)[0]))
    name, version = _identity(key.split("(", 1)[0] if major != "5" else key, entry, major)
    return (name or key, text_of(version))


def _targets(entry: Mapping[str, Any], nodes: Mapping[str, Any], major: str) -> Iterable[str]:
    for section in ("dependencies", "optionalDependencies"):
        yield from _section_targets(entry.get(section), nodes, major)


def _section_targets(section: Any, nodes: Mapping[str, Any], major: str) -> Iterable[str]:
    for name, value in table(section).items():
        reference = text_of(value) or text_of(table(value).get("version"))
        # a plain version completes the name; an alias or a place outside the registry is a key by itself
        written = {"5": f"/{name}/{reference}", "6": f"/{name}@{reference}", "9": f"{name}@{reference}"}[major]
        for key in (written, reference):
            if key in nodes:
                yield key
                break
