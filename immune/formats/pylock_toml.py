"""pylock.toml (PEP 751): the standard lock file of Python. Pure.

Source: PEP 751 and the specification on packaging.python.org ("pylock.toml Specification"). The file is meant for
installing: it does not say what was asked for, and ``dependencies`` are informational, so ``direct`` stays unknown.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from packaging.utils import canonicalize_name

from immune.formats.documents import headers, items, load_toml, table, text_of
from immune.formats.rows import Rows
from immune.inventory import Inventory, Origin, Reader, Unreadable

FORMAT = "pylock.toml"
_ORIGINS = {"vcs": Origin.GIT, "directory": Origin.PATH, "archive": Origin.URL}


def parse(text: str, *, path: str, read: Reader) -> Inventory:
    """Every ``[[packages]]``. Raises Unreadable without a ``lock-version``, which the specification requires."""
    document = load_toml(path, text)
    if not isinstance(document.get("lock-version"), str):
        raise Unreadable(path, "no lock-version: not a pylock.toml")
    if document["lock-version"].split(".")[0] != "1":
        raise Unreadable(path, "a lock-version other than 1: its rules are not known")
    rows = Rows(format=FORMAT, path=path, ecosystem="PyPI")
    packages = [table(one) for one in items(document.get("packages"))]
    lines = headers(text, "packages", len(packages))
    for at, entry in enumerate(packages):
        name = text_of(entry.get("name"))
        origin = next((kind for key, kind in _ORIGINS.items() if key in entry), Origin.REGISTRY)
        archive = table(entry.get("archive"))
        if origin is Origin.URL and "path" in archive and "url" not in archive:
            origin = Origin.PATH
        rows.add(
            canonicalize_name(name) if name else entry.get("name"),
            entry.get("version"),
            line=lines[at],
            raw_name=name,
            origin=origin,
            reason="no version given" if origin is Origin.REGISTRY else f"comes from {origin.value}",
            marker=text_of(entry.get("marker")),
            hashes=tuple(_hashes(entry)),
        )
    return rows.inventory()


def _hashes(entry: Mapping[str, Any]) -> Iterable[str]:
    for file in [entry.get("sdist"), *items(entry.get("wheels")), entry.get("archive")]:
        for kind, digest in table(table(file).get("hashes")).items():
            yield f"{kind}:{text_of(digest)}"
