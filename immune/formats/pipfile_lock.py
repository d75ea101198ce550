"""Pipfile.lock: what Pipenv resolved, by category. Pure.

Source: Pipenv's "Pipfile & Pipfile.lock". ``default`` is for running, every other category for development. What was
asked for directly stands in the Pipfile beside it, which is read when it is there.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from typing import Any

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

from immune.formats import limits
from immune.formats.documents import Places, items, load_json, load_toml, table, text_of
from immune.formats.requirements_txt import pinned
from immune.formats.rows import Rows
from immune.inventory import Inventory, Origin, Reader, Scope, Unreadable

FORMAT = "Pipfile.lock"
_ORIGINS = {"git": Origin.GIT, "hg": Origin.GIT, "svn": Origin.GIT, "path": Origin.PATH, "file": Origin.URL}


def parse(text: str, *, path: str, read: Reader) -> Inventory:
    """Every package of every category. Raises Unreadable when it is not JSON or no Pipfile.lock."""
    document = load_json(path, text)
    if not isinstance(document, dict) or not {"_meta", "default", "develop"} & set(document):
        raise Unreadable(path, "no _meta, default or develop: not a Pipfile.lock")
    rows = Rows(format=FORMAT, path=path, ecosystem="PyPI")
    places = Places(text)
    asked = _asked(path, read)
    for source in items(table(document.get("_meta")).get("sources")):
        rows.note(None, "index", text_of(table(source).get("url")))
    for category, packages in document.items():
        if category == "_meta":
            continue
        if not isinstance(packages, dict):
            rows.refuse(None, f"category {limits.shown(category)} is no table")
            continue
        for name, entry in packages.items():
            _package(rows, name, entry, places.after(f'"{name}"', ":{"), category=category, asked=asked)
    return rows.inventory()


def _package(
    rows: Rows, name: str, entry: Any, line: int | None, *, category: str, asked: Mapping[str, set[str]] | None
) -> None:
    if not isinstance(entry, dict):
        rows.refuse(line, f"{limits.shown(name)}: not a table")
        return
    origin = next((kind for key, kind in _ORIGINS.items() if key in entry), Origin.REGISTRY)
    version, reason = _version(entry.get("version"))
    if origin is not Origin.REGISTRY:
        reason = f"comes from {origin.value}, not from the package index"
    normal = canonicalize_name(name)
    rows.add(
        normal,
        version,
        line=line,
        reason=reason,
        raw_name=name,
        requirement=text_of(entry.get("version")),
        origin=origin,
        scope=Scope.RUNTIME if category == "default" else Scope.DEV,
        direct=None if asked is None else normal in asked.get(category, ()),
        groups=(category,),
        extras=tuple(sorted(one for one in items(entry.get("extras")) if isinstance(one, str))),
        marker=text_of(entry.get("markers")),
        hashes=tuple(one for one in items(entry.get("hashes")) if isinstance(one, str)),
    )


def _version(wanted: Any) -> tuple[str | None, str]:
    if not isinstance(wanted, str):
        return None, "no version given"
    try:
        return pinned(SpecifierSet(wanted))
    except (InvalidSpecifier, ValueError):
        return None, f"not a version: {limits.shown(wanted)}"


def _asked(path: str, read: Reader) -> dict[str, set[str]] | None:
    place = posixpath.join(posixpath.dirname(path), "Pipfile")
    try:
        document = load_toml(place, read(place))
    except Unreadable:
        return None  # the lock stands without it; only "direct" stays unknown
    names = {"packages": "default", "dev-packages": "develop"}
    return {
        names.get(section, section): {canonicalize_name(one) for one in table(wishes)}
        for section, wishes in document.items()
        if section not in {"source", "requires", "pipenv", "scripts"}
    }
