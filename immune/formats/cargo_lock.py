"""Cargo.lock, versions 1 to 4: every crate Cargo resolved. Pure.

Source: Cargo's ``core/resolver/encode.rs``. Packages without a source are the workspace's own; what they depend on is
direct. The lock does not tell development dependencies apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from immune.formats.documents import headers, items, load_toml, table, text_of
from immune.formats.graph import collected, standings
from immune.formats.rows import Rows
from immune.inventory import Inventory, Origin, Reader, Scope, Unreadable

FORMAT = "Cargo.lock"


def parse(text: str, *, path: str, read: Reader) -> Inventory:
    """Every ``[[package]]``, the workspace's own included (origin path). Raises Unreadable when it is no Cargo.lock."""
    document = load_toml(path, text)
    if not {"version", "package", "metadata", "root"} & set(document):
        raise Unreadable(path, "neither version nor packages: not a Cargo.lock")
    rows = Rows(format=FORMAT, path=path, ecosystem="crates.io")
    packages = [table(one) for one in items(document.get("package"))]
    lines = headers(text, "package", len(packages))
    named: dict[str, list[int]] = {}
    for at, one in enumerate(packages):
        named.setdefault(text_of(one.get("name")), []).append(at)
    edges = collected(path, ((at, _targets(one, packages, named)) for at, one in enumerate(packages)))
    own = [at for at, one in enumerate(packages) if "source" not in one]
    asked = [node for at in own for node in edges[at]]
    known = standings(edges, {Scope.UNKNOWN: asked}, lambda at: text_of(packages[at].get("name")))
    checksums = table(document.get("metadata"))
    for at, entry in enumerate(packages):
        source = text_of(entry.get("source"))
        origin = Origin.PATH if not source else Origin.GIT if source.startswith("git+") else Origin.REGISTRY
        name, version = entry.get("name"), entry.get("version")
        old = f"checksum {text_of(name)} {text_of(version)} ({source})"
        digest = text_of(entry.get("checksum")) or text_of(checksums.get(old))
        rows.add(
            name,
            version,
            line=lines[at],
            origin=origin,
            reason={Origin.PATH: "a package of this workspace", Origin.GIT: "comes from a repository"}.get(origin, ""),
            direct=(known[at].direct if own and (source or known[at].direct) else None),
            path=known[at].path,
            hashes=(f"sha256:{digest}",) if digest and digest != "<none>" else (),
        )
    return rows.inventory()


def _targets(
    entry: Mapping[str, Any], packages: list[Mapping[str, Any]], named: Mapping[str, list[int]]
) -> Iterable[int]:
    """The crates an entry depends on, each written ``name``, ``name version`` or ``name version (source)``."""
    for wish in items(entry.get("dependencies")):
        parts = text_of(wish).split(" ")
        for at in named.get(parts[0], ()):
            other = packages[at]
            if len(parts) > 1 and parts[1] != other.get("version"):
                continue
            if len(parts) > 2 and parts[2].strip("()") != text_of(other.get("source")):
                continue
            yield at
