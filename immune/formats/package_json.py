"""package.json: what a Node project asks for. Pure.

Source: "package.json" in npm's documentation. These are wishes: only an exact version pins. ``overrides`` and
``resolutions`` are notes, since they change what others bring in.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from typing import Any

from immune.formats import limits
from immune.formats.documents import Places, load_json, table
from immune.formats.npm_spec import wish
from immune.formats.rows import Rows
from immune.inventory import Inventory, Reader, Scope, Unreadable

FORMAT = "package.json"
SCOPES = {
    "dependencies": Scope.RUNTIME,
    "peerDependencies": Scope.RUNTIME,
    "optionalDependencies": Scope.OPTIONAL,
    "devDependencies": Scope.DEV,
}


def parse(text: str, *, path: str, read: Reader) -> Inventory:
    """Every dependency of every kind. Raises Unreadable when the text is no JSON object."""
    document = load_json(path, text)
    if not isinstance(document, dict):
        raise Unreadable(path, "not a JSON object: not a package.json")
    rows = Rows(format=FORMAT, path=path, ecosystem="npm")
    for section, wishes in document.items():
        if section in SCOPES:
            _section(rows, section, wishes, text)
    for section in ("overrides", "resolutions"):
        if document.get(section):
            rows.note(None, "option", f"{section} change what others bring in")
    return rows.inventory()


def _section(rows: Rows, section: str, wishes: Any, text: str) -> None:
    if not isinstance(wishes, dict):
        rows.refuse(None, f"{section} is no table")
        return
    places = Places(text)
    places.after(f'"{section}"', ":{")
    for name, wanted in wishes.items():
        line = places.after(f'"{name}"', ":")
        if not isinstance(wanted, str):
            rows.refuse(line, f"{limits.shown(name)}: not a version or range: {limits.shown(repr(wanted))}")
            continue
        found = wish(name, wanted)
        rows.add(
            found.name,
            found.version,
            line=line,
            reason=found.reason,
            raw_name=name,
            requirement=wanted,
            origin=found.origin,
            scope=SCOPES[section],
            direct=True,
            groups=(section,),
        )


def asked_beside(path: str, read: Reader) -> tuple[dict[Scope, dict[str, str]], bool] | None:
    """Name to wish by scope, strongest first, from the package.json beside ``path``, and whether it has workspaces.

    None when there is none to be read: what a lock file holds stands without it, only "direct" stays unknown.
    """
    place = posixpath.join(posixpath.dirname(path), "package.json")
    try:
        document = table(load_json(place, read(place)))
    except Unreadable:
        return None
    return asked(document), bool(document.get("workspaces"))


def asked(document: Mapping[str, Any]) -> dict[Scope, dict[str, str]]:
    """Name to wish by scope, strongest first. Peers count as asked for at run time, after the project's own wishes."""
    found: dict[Scope, dict[str, str]] = {Scope.RUNTIME: {}, Scope.OPTIONAL: {}, Scope.DEV: {}}
    for section, scope in SCOPES.items():
        for name, wanted in table(document.get(section)).items():
            if isinstance(wanted, str):
                found[scope].setdefault(name, wanted)
    # npm: the same name under optionalDependencies overrides dependencies
    for name in found[Scope.OPTIONAL]:
        found[Scope.RUNTIME].pop(name, None)
    return found
