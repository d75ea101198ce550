"""The canonical text of an event and its place in the hash chain. Pure; must never change for events already written.

The text is JSON with sorted keys, no spaces and UTF-8 (orjson's output for str, int, bool, None, list and dict; floats are
refused, since their text is not the same everywhere). The hash is SHA-256 over the previous hash, the position and the text.
"""

from __future__ import annotations

import hashlib
from typing import Any

import orjson

GENESIS = "0" * 64


class NotCanonical(ValueError):
    """A value that has no single text form."""


def canonical(value: dict[str, Any]) -> str:
    """Returns the one text form of ``value``. Raises NotCanonical for anything but str, int, bool, None, list and dict."""
    _check(value, "event")
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode("utf-8")
    except (orjson.JSONEncodeError, UnicodeEncodeError) as error:
        raise NotCanonical(f"not canonical: {error}") from error


# Nothing to look into, so nothing to name: most of what events hold.
_PLAIN = frozenset({str, int, bool, type(None)})


def _check(value: Any, where: str) -> None:
    if value is None or isinstance(value, (str, bool, int)):
        return
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise NotCanonical(f"{where}: key {key!r} is not text")
            if type(item) not in _PLAIN:
                _check(item, f"{where}.{key}")
        return
    if isinstance(value, (list, tuple)):
        for number, item in enumerate(value):
            _check(item, f"{where}[{number}]")
        return
    raise NotCanonical(f"{where}: {type(value).__name__} has no canonical form")


def chain(previous_hash: str, position: int, body: str) -> str:
    """Returns the hex SHA-256 that links ``body`` at ``position`` to the event before it."""
    return hashlib.sha256(f"{previous_hash}\n{position}\n{body}".encode()).hexdigest()
