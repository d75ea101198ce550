"""Changing JSON files people keep: a value in its place, everything else byte for byte. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

_SPACE = re.compile(r"[ \t\r\n]*")
_INDENT = re.compile(r"\ufeff?\{(\r?\n)([ \t]+)\"")
_DECODER = json.JSONDecoder()


def layout(text: str) -> tuple[str, str]:
    """The line break and the indentation of a JSON object's text; npm's own where it has none."""
    found = _INDENT.match(text)
    return (found[1], found[2]) if found else ("\n", "  ")


def written(value: Any, like: str) -> str | None:
    """``value`` in the layout of the text ``like``; None where that text is not laid out as npm does it."""
    head, _, tail = _around(like)
    if _dumped(json.loads(like[len(head) : len(like) - len(tail)]), like) != like[len(head) : len(like) - len(tail)]:
        return None
    return head + _dumped(value, like) + tail


def replaced(text: str, changes: list[tuple[str, str, str]]) -> str:
    """The text with the string at (section, key) set to the third, for each change. KeyError where there is none."""
    places = []
    for section, key, value in changes:
        _, start, _ = _member(text, _start(text), section)
        _, begin, end = _member(text, start, key)
        places.append((begin, end, json.dumps(value, ensure_ascii=False)))
    for begin, end, new in sorted(places, reverse=True):
        text = text[:begin] + new + text[end:]
    return text


def with_member(text: str, key: str, value: Any) -> str:
    """The text of an object with its member ``key`` at ``value``: in its old place, else after the last one."""
    newline, indent = layout(text)
    new = _dumped(value, text).replace(newline, newline + indent)
    found = list(_members(text, _start(text)))
    for name, begin, end in found:
        if name == key:
            return text[:begin] + new + text[end:]
    if not found:
        raise KeyError(key)
    end = found[-1][2]
    return f"{text[:end]},{newline}{indent}{json.dumps(key)}: {new}{text[end:]}"


def merged(old: Any, base: Any, new: Any) -> Any:
    """What changed from ``base`` to ``new``, applied to ``old``: what a tool rewrites without being asked stays as it was."""
    if base == new:
        return old
    if not (isinstance(old, dict) and isinstance(base, dict) and isinstance(new, dict)):
        return new
    result: dict[str, Any] = {}
    for key, value in old.items():
        if key in new:
            result[key] = merged(value, base[key], new[key]) if key in base else new[key]
        elif key not in base:
            result[key] = value
    order = list(result)
    before: str | None = None
    for key, value in new.items():
        if key not in result and key not in base:
            order.insert(order.index(before) + 1 if before is not None else 0, key)
            result[key] = value
        if key in result:
            before = key
    return {key: result[key] for key in order}


def _dumped(value: Any, like: str) -> str:
    newline, indent = layout(like)
    return json.dumps(value, ensure_ascii=False, indent=indent).replace("\n", newline)


def _around(text: str) -> tuple[str, str, str]:
    head = "\ufeff" if text.startswith("\ufeff") else ""
    body = text[len(head) :].rstrip(" \t\r\n")
    return head, body, text[len(head) + len(body) :]


def _start(text: str) -> int:
    return _after_space(text, 1 if text.startswith("\ufeff") else 0)


def _after_space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


def _member(text: str, start: int, key: str) -> tuple[str, int, int]:
    for member in _members(text, start):
        if member[0] == key:
            return member
    raise KeyError(key)


def _members(text: str, start: int) -> Iterator[tuple[str, int, int]]:
    """Key, and where its value begins and ends, of each member of the object at ``start``. The text is known to be JSON."""
    at = _after_space(text, start + 1)
    while text[at] != "}":
        key, at = _DECODER.raw_decode(text, at)
        at = _after_space(text, _after_space(text, at) + 1)
        _, end = _DECODER.raw_decode(text, at)
        yield key, at, end
        at = _after_space(text, end)
        if text[at] == ",":
            at = _after_space(text, at + 1)
