"""poetry.lock, lock versions 1.0 to 2.1: every package Poetry resolved. Pure.

Source: Poetry's ``packages/locker.py``. The lock does not say what was asked for directly; ``pyproject.toml`` beside
it does, and is read when it is there (else ``direct`` is None). ``category`` (1.x) or ``groups`` (2.1) give the scope.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from packaging.utils import canonicalize_name

from immune.formats import pyproject_toml
from immune.formats.documents import headers, items, load_toml, table, text_of
from immune.formats.graph import Standing, collected, standings
from immune.formats.rows import Rows
from immune.inventory import Inventory, Origin, Reader, Scope, Unreadable

FORMAT = "poetry.lock"
_ORIGINS = {"git": Origin.GIT, "url": Origin.URL, "file": Origin.PATH, "directory": Origin.PATH}


def parse(text: str, *, path: str, read: Reader) -> Inventory:
    """Every ``[[package]]``. Raises Unreadable when the text is not TOML or holds nothing of a poetry lock."""
    document = load_toml(path, text)
    if "package" not in document and "metadata" not in document:
        raise Unreadable(path, "neither packages nor metadata: not a poetry lock file")
    rows = Rows(format=FORMAT, path=path, ecosystem="PyPI")
    packages = items(document.get("package"))
    lines = headers(text, "package", len(packages))
    old_hashes = table(table(document.get("metadata")).get("files"))
    known = _standings(packages, path, read)
    for at, package in enumerate(packages):
        entry = table(package)
        name = text_of(entry.get("name"))
        groups = _groups(entry)
        standing = known.get(at)
        scope = _scope(entry, groups)
        source = table(entry.get("source"))
        origin = _ORIGINS.get(text_of(source.get("type")), Origin.REGISTRY)
        if origin is Origin.REGISTRY and source.get("url"):
            rows.note(lines[at], "index", text_of(source.get("url")))
        rows.add(
            canonicalize_name(name) if name else entry.get("name"),
            entry.get("version"),
            line=lines[at],
            raw_name=name,
            origin=origin,
            reason=f"comes from {origin.value}, not from the package index",
            scope=standing.scope if standing and scope is Scope.UNKNOWN else scope,
            direct=standing.direct if standing else None,
            path=standing.path if standing else (),
            groups=groups,
            marker=text_of(entry.get("markers")) or text_of(entry.get("marker")),
            hashes=_hashes(entry, old_hashes, name),
        )
    return rows.inventory()


def _groups(entry: Mapping[str, Any]) -> tuple[str, ...]:
    found = entry.get("groups", [entry["category"]] if "category" in entry else [])
    return tuple(one for one in items(found) if isinstance(one, str))


def _scope(entry: Mapping[str, Any], groups: tuple[str, ...]) -> Scope:
    if not groups:
        return Scope.OPTIONAL if entry.get("optional") is True else Scope.UNKNOWN
    if "main" in groups:
        return Scope.OPTIONAL if entry.get("optional") is True else Scope.RUNTIME
    return Scope.DEV


def _hashes(entry: Mapping[str, Any], old: Mapping[str, Any], name: str) -> tuple[str, ...]:
    files = items(entry.get("files")) or items(old.get(name))
    return tuple(text_of(table(one).get("hash")) for one in files if text_of(table(one).get("hash")))


def _standings(packages: list[Any], path: str, read: Reader) -> dict[int, Standing[int]]:
    """Standing by place in the list, when pyproject.toml beside the lock says what was asked for."""
    asked = pyproject_toml.asked_beside(path, read)
    if asked is None:
        return {}
    by_name: dict[str, list[int]] = {}
    for at, package in enumerate(packages):
        by_name.setdefault(canonicalize_name(text_of(table(package).get("name"))), []).append(at)

    def targets(package: Any) -> Iterable[int]:
        for wish in table(table(package).get("dependencies")):
            yield from by_name.get(canonicalize_name(wish), ())

    edges = collected(path, ((at, targets(package)) for at, package in enumerate(packages)))
    roots = {scope: [node for name in names for node in by_name.get(name, ())] for scope, names in asked.items()}
    return standings(edges, roots, lambda at: canonicalize_name(text_of(table(packages[at]).get("name"))))
