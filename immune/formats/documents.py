"""JSON, TOML and YAML of untrusted files, read in bounded time and memory, or refused with the reason. Pure.

What the format's own tools would read two ways is refused, not resolved: duplicate keys, YAML aliases (a few lines of
them grow to gigabytes), tags, numbers no machine holds. YAML scalars stay text, so ``version: 1.10`` is not the
number 1.1.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

import yaml

from immune.formats import limits
from immune.inventory import Unreadable

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
# Keys joined by more dots than any real file has: tomllib takes quadratic time and deep recursion on them.
_MANY_DOTS = re.compile(r"(?:[^\n.]{0,200}\.){80}")
MAX_NESTING = 200
_MISSES = 40


def load_json(source: str, text: str) -> Any:
    """The value of a JSON text. Raises Unreadable: not JSON, duplicate keys, too deep, too large."""
    limits.check_size(source, text)
    try:
        return json.loads(limits.without_mark(text), object_pairs_hook=unique_pairs, parse_constant=_no_constant)
    except RecursionError as error:
        raise Unreadable(source, "JSON nested too deep") from error
    except ValueError as error:
        raise Unreadable(source, f"not JSON: {limits.shown(str(error))}") from error


def unique_pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object from its pairs; ValueError when a key stands twice (for ``object_pairs_hook``)."""
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise ValueError(f"key {key!r} stands twice in one object")
            seen.add(key)
    return found


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def load_toml(source: str, text: str) -> dict[str, Any]:
    """The tables of a TOML text. Raises Unreadable: not TOML (duplicate keys included), too deep, too large."""
    limits.check_size(source, text)
    for line in text.split("\n"):
        if line.count(".") > 80 and _MANY_DOTS.match(line.split("=", 1)[0].split('"', 1)[0]):
            raise Unreadable(source, "TOML key of too many parts")
    try:
        return tomllib.loads(limits.without_mark(text).replace("\r\n", "\n"))
    except RecursionError as error:
        raise Unreadable(source, "TOML nested too deep") from error
    except ValueError as error:
        raise Unreadable(source, f"not TOML: {limits.shown(str(error))}") from error


class Mapped(dict[str, Any]):
    """A YAML mapping that knows the line (1-based) each of its keys stands on."""

    __slots__ = ("lines",)

    def __init__(self) -> None:
        super().__init__()
        self.lines: dict[str, int] = {}


def load_yaml(source: str, text: str) -> Any:
    """The one document of a YAML text: Mapped, list, text, bool or None. Raises Unreadable.

    Built from the parser's events without recursion, so depth costs nothing and aliases are met before they grow.
    """
    limits.check_size(source, text)
    try:
        return _from_events(source, limits.without_mark(text))
    except yaml.YAMLError as error:
        raise Unreadable(source, f"not YAML: {limits.shown(' '.join(str(error).split()))}") from error
    except ValueError as error:  # surrogates and control characters the C scanner cannot take
        raise Unreadable(source, f"not YAML: {limits.shown(str(error))}") from error


def _from_events(source: str, text: str) -> Any:
    root: list[Any] = []
    # of every open collection: the collection, and for a mapping the key that waits for its value
    open_: list[list[Any]] = [[root, None]]
    events: Iterable[Any] = yaml.parse(text, Loader=_LOADER)  # its stubs leave fields out
    for event in events:
        line = event.start_mark.line + 1
        tag = getattr(event, "tag", None)
        if isinstance(event, yaml.AliasEvent):
            raise Unreadable(source, f"line {line}: YAML aliases are not read")
        if isinstance(event, yaml.CollectionEndEvent):
            open_.pop()
            continue
        if not isinstance(event, yaml.NodeEvent):
            if isinstance(event, yaml.DocumentStartEvent) and root:
                raise Unreadable(source, "more than one YAML document")
            continue
        if tag is not None:
            raise Unreadable(source, f"line {line}: YAML tags are not read")
        value = _value(event)
        _place(source, open_[-1], value, event)
        if isinstance(value, Mapped | list):
            if len(open_) > MAX_NESTING:
                raise Unreadable(source, "YAML nested too deep")
            open_.append([value, None])
    return root[0] if root else None


def _value(event: Any) -> Any:
    if isinstance(event, yaml.MappingStartEvent):
        return Mapped()
    if isinstance(event, yaml.SequenceStartEvent):
        return []
    text = event.value
    if event.style is None or event.style == "":
        if text in _NULLS:
            return None
        if text in {"true", "false"}:
            return text == "true"
    return text


def _place(source: str, frame: list[Any], value: Any, event: Any) -> None:
    holder, key = frame
    line = event.start_mark.line + 1
    if isinstance(holder, list):
        holder.append(value)
    elif key is None:
        if isinstance(value, Mapped | list):
            raise Unreadable(source, f"line {line}: a YAML key that is no text")
        name = event.value
        if name in holder:
            raise Unreadable(source, f"line {line}: key {limits.shown(name)!r} stands twice")
        frame[1] = name
        holder[name] = None
        holder.lines[name] = line
    else:
        holder[key] = value
        frame[1] = None


# --- looking into what was loaded -----------------------------------------------------------------------------


def table(value: Any) -> Mapping[str, Any]:
    """The value if it is a mapping, else an empty one."""
    return value if isinstance(value, dict) else {}


def items(value: Any) -> list[Any]:
    """The value if it is a list, else an empty one."""
    return value if isinstance(value, list) else []


def text_of(value: Any) -> str:
    """The value if it is text, else the empty text."""
    return value if isinstance(value, str) else ""


class Places:
    """Finds the lines of keys that are asked for in the order in which they stand in a text.

    Lines are shown to people, no decision hangs on them: a key written in an unusual way (escapes) has none.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._line = 1
        self._misses = 0

    def after(self, quoted: str, then: str = "") -> int | None:
        """The line of the next ``quoted`` that is followed (white space aside) by ``then``; None when there is none."""
        # Every miss reads to the end: a text made of misses must not take quadratic time.
        at = self._text.find(quoted, self._at) if self._misses < _MISSES else -1
        while at != -1:
            end = at + len(quoted)
            rest = self._text[end : end + 64].lstrip()
            if rest.startswith(then[:1]) and rest[len(then[:1]) :].lstrip().startswith(then[1:]):
                self._line += self._text.count("\n", self._at, at)
                self._at = at
                line = self._line
                self._line += self._text.count("\n", at, end)
                self._at = end
                return line
            at = self._text.find(quoted, end)
        self._misses += 1
        return None


def headers(text: str, name: str, count: int) -> list[int | None]:
    """Lines of the ``[[name]]`` headers of a TOML text, when there are ``count`` of them; else as many None."""
    pattern = re.compile(rf"[ \t]*\[\[[ \t]*{re.escape(name)}[ \t]*\]\]")
    found = [number for number, line in enumerate(text.split("\n"), 1) if pattern.match(line)]
    return list(found) if len(found) == count else [None] * count
