"""Reading and changing TOML files people keep: one string in its place, everything else byte for byte. Pure."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

from immune.formats import limits
from immune.formats.documents import load_toml
from immune.inventory import Unreadable
from immune.renewal import CannotRenew

# Where a value stands: keys of tables and places in lists, from the document's root.
Path = tuple[str | int, ...]
MAX_PLACES = 64


def document(path: str, text: str) -> Mapping[str, Any]:
    """The text as TOML. Raises CannotRenew."""
    try:
        return load_toml(path, text)
    except Unreadable as error:
        raise CannotRenew(str(error)) from error


def with_value(text: str, path: Path, new: str) -> str:
    """The text with the string at ``path`` set to ``new``: of all places with the old value, the one whose change is that change.

    Raises CannotRenew when it is not written so that it can be changed alone.
    """
    whole = tomllib.loads(limits.without_mark(text))
    old = at(whole, path)
    wanted = _with(whole, path, new)
    for number, (begin, end) in enumerate(_places(text, str(old))):
        if number == MAX_PLACES:
            break
        candidate = text[:begin] + new + text[end:]
        try:
            if tomllib.loads(limits.without_mark(candidate)) == wanted:
                return candidate
        except tomllib.TOMLDecodeError:
            continue
    shown = limits.shown(".".join(str(key) for key in path))
    raise CannotRenew(f"{shown} is not written so that it can be changed alone")


def at(value: Any, path: Path) -> Any:
    """The value at ``path``. Raises KeyError, IndexError, TypeError where there is none."""
    for key in path:
        value = value[key]
    return value


def _with(value: Any, path: Path, new: str) -> Any:
    if not path:
        return new
    key, rest = path[0], path[1:]
    if isinstance(value, Mapping):
        return {one: _with(inner, rest, new) if one == key else inner for one, inner in value.items()}
    return [_with(inner, rest, new) if number == key else inner for number, inner in enumerate(value)]


def _places(text: str, old: str) -> Iterator[tuple[int, int]]:
    for quote in "\"'":
        start = 0
        while (found := text.find(f"{quote}{old}{quote}", start)) != -1:
            yield found + 1, found + 1 + len(old)
            start = found + 1
