"""uv.lock: every package uv resolved, for all platforms at once. Pure.

Source: uv's documentation ("Locking and syncing") and ``uv-resolver/src/lock``. The project and its workspace members
stand in the lock themselves (source virtual, editable or directory); what they ask for is direct.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from packaging.utils import canonicalize_name

from immune.formats.documents import headers, items, load_toml, table, text_of
from immune.formats.graph import collected, standings
from immune.formats.rows import Rows
from immune.inventory import Inventory, Origin, Reader, Scope, Unreadable

FORMAT = "uv.lock"
_ORIGINS = {
    "registry": Origin.REGISTRY,
    "git": Origin.GIT,
    "url": Origin.URL,
    "path": Origin.PATH,
    "directory": Origin.PATH,
    "editable": Origin.PATH,
    "virtual": Origin.PATH,
}
_OWN = frozenset({"directory", "editable", "virtual"})


def parse(text: str, *, path: str, read: Reader) -> Inventory:
    """Every ``[[package]]``, the project's own included (origin path). Raises Unreadable when it is no uv lock."""
    document = load_toml(path, text)
    if "version" not in document:
        raise Unreadable(path, "no lock version: not a uv lock file")
    rows = Rows(format=FORMAT, path=path, ecosystem="PyPI")
    packages = [table(one) for one in items(document.get("package"))]
    lines = headers(text, "package", len(packages))
    index = _Index(packages)
    edges = collected(path, ((at, index.targets(_all_wishes(one))) for at, one in enumerate(packages)))
    own = {at for at, one in enumerate(packages) if _kind(one) in _OWN}
    roots = {
        Scope.RUNTIME: [node for at in own for node in index.targets(items(packages[at].get("dependencies")))],
        Scope.OPTIONAL: [node for at in own for node in index.targets(_grouped(packages[at], "optional-dependencies"))],
        Scope.DEV: [node for at in own for node in index.targets(_grouped(packages[at], "dev-dependencies"))],
    }
    known = standings(edges, roots, lambda at: text_of(packages[at].get("name")))
    for at, entry in enumerate(packages):
        kind = _kind(entry)
        name = text_of(entry.get("name"))
        standing = known[at]
        of_project = at in own
        rows.add(
            canonicalize_name(name) if name else entry.get("name"),
            entry.get("version"),
            line=lines[at],
            raw_name=name,
            origin=_ORIGINS.get(kind, Origin.REGISTRY),
            reason=f"source {kind}" if kind else "no version given",
            scope=standing.scope,
            direct=standing.direct if own and not (of_project and not standing.direct) else None,
            path=standing.path,
            hashes=tuple(_hashes(entry)),
        )
    return rows.inventory()


def _kind(entry: Mapping[str, Any]) -> str:
    return next((key for key in table(entry.get("source")) if key in _ORIGINS), "")


def _grouped(entry: Mapping[str, Any], field: str) -> list[Any]:
    return [wish for wishes in table(entry.get(field)).values() for wish in items(wishes)]


def _all_wishes(entry: Mapping[str, Any]) -> list[Any]:
    own = items(entry.get("dependencies")) + _grouped(entry, "optional-dependencies")
    return own if _kind(entry) not in _OWN else own + _grouped(entry, "dev-dependencies")


def _hashes(entry: Mapping[str, Any]) -> Iterable[str]:
    for file in [entry.get("sdist"), *items(entry.get("wheels"))]:
        if found := text_of(table(file).get("hash")):
            yield found


class _Index:
    """Finds the packages a wish means: by name, and by version where the lock holds several."""

    def __init__(self, packages: list[Mapping[str, Any]]) -> None:
        self._by_name: dict[str, list[int]] = {}
        self._versions = [text_of(one.get("version")) for one in packages]
        for at, one in enumerate(packages):
            self._by_name.setdefault(text_of(one.get("name")), []).append(at)

    def targets(self, wishes: Iterable[Any]) -> Iterable[int]:
        for wish in wishes:
            entry = table(wish)
            for at in self._by_name.get(text_of(entry.get("name")), ()):
                if "version" not in entry or entry["version"] == self._versions[at]:
                    yield at
