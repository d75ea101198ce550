"""Text of one advisory document to plain values: JSON and YAML, strictly. Pure.

Both readers refuse duplicate keys and nesting beyond ``MAX_DEPTH``. The YAML reader builds values from parser events,
so that no alias, no tag and no type guess can surprise: aliases and foreign tags are refused, and dates and numbers
stay the text that was written ("1.10" is a version, not 1.1).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NoReturn

import yaml

from immune.inventory import Unreadable

MAX_DEPTH = 64
MAX_YAML_NODES = 2_000_000

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_PLAIN_TAGS = frozenset(f"tag:yaml.org,2002:{name}" for name in ("str", "map", "seq", "int", "float", "timestamp"))
_CONSTANTS = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip


def decode(data: bytes, source: str) -> str:
    """The text in UTF-8 bytes, byte order mark dropped; raises Unreadable."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Unreadable(source, f"not UTF-8 text (byte {error.start})") from error


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    value = dict(pairs)
    if len(value) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"duplicate key {twice[:60]!r}")
    return value


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant)


def _too_deep(value: object) -> bool:
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer if isinstance(outer, list) else ())
            if isinstance(inner, dict | list)
        ]
        if not level:
            return False
    return True


def read_json(data: bytes, source: str) -> object:
    """The value of one JSON document; raises Unreadable."""
    text = decode(data, source)
    try:
        value = _DECODER.decode(text)
    except RecursionError as error:
        raise Unreadable(source, f"nested deeper than {MAX_DEPTH} levels") from error
    except json.JSONDecodeError as error:
        raise Unreadable(source, f"not JSON: {error.msg} at line {error.lineno} column {error.colno}") from error
    except ValueError as error:
        raise Unreadable(source, str(error)[:200]) from error
    if _too_deep(value):
        raise Unreadable(source, f"nested deeper than {MAX_DEPTH} levels")
    return value


def read_yaml(data: bytes, source: str) -> list[object]:
    """The values of the documents in one YAML stream; raises Unreadable."""
    text = decode(data, source)
    try:
        return list(_yaml_documents(_Loader(text), source))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "malformed"
        raise Unreadable(source, f"not YAML: {problem}{where}") from error


def _yaml_documents(loader: Any, source: str) -> Iterator[object]:
    nodes = 0
    documents: list[object] = []
    # Each frame is (container, pending key); a mapping waits for a key while the pending one is the marker.
    frames: list[list[Any]] = []
    no_key = object()

    def place(value: object) -> None:
        if not frames:
            documents.append(value)
            return
        frame = frames[-1]
        container, key = frame
        if isinstance(container, list):
            container.append(value)
        elif key is no_key:
            if not isinstance(value, str):
                raise Unreadable(source, "a key that is not text")
            if value in container:
                raise Unreadable(source, f"duplicate key {value[:60]!r}")
            frame[1] = value
        else:
            container[key] = value
            frame[1] = no_key

    while not isinstance(event := loader.get_event(), yaml.StreamEndEvent):
        nodes += 1
        if nodes > MAX_YAML_NODES:
            raise Unreadable(source, f"more than {MAX_YAML_NODES} nodes")
        if isinstance(event, yaml.ScalarEvent):
            if event.tag is not None and event.tag not in _PLAIN_TAGS:
                raise Unreadable(source, f"tag {event.tag[:60]!r} is not allowed")
            is_key = bool(frames) and isinstance(frames[-1][0], dict) and frames[-1][1] is no_key
            plain = event.style is None and event.tag is None and not is_key
            place(_CONSTANTS.get(event.value, event.value) if plain else event.value)
        elif isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
            if event.tag is not None and event.tag not in _PLAIN_TAGS:
                raise Unreadable(source, f"tag {event.tag[:60]!r} is not allowed")
            if len(frames) >= MAX_DEPTH:
                raise Unreadable(source, f"nested deeper than {MAX_DEPTH} levels")
            frames.append([{} if isinstance(event, yaml.MappingStartEvent) else [], no_key])
        elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            place(frames.pop()[0])
        elif isinstance(event, yaml.AliasEvent):
            raise Unreadable(source, "an alias (*name) is not allowed")
    yield from documents
