"""Reads one OSV record into plain values, strictly and within bounds. Pure.

Shape: the OSV schema (https://ossf.github.io/osv-schema/). A field of the wrong type, a required one that is missing or
anything beyond the bounds refuses the record as a whole (``Unreadable`` with the field's path): half an advisory would
silently miss somebody. Fields the schema does not know are ignored; GIT ranges are kept and not evaluated.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import orjson

from immune.inventory import Unreadable
from immune.severity import Rating, SeverityVector, rate
from immune.versions import base_ecosystem, normalize_name

MAX_TEXT = 256 * 1024  # characters of details
MAX_LINE = 8 * 1024  # characters of any other string
# As wide as what they are kept in; the longest real ones have some 50, 40 and 150 characters.
MAX_ID = 120
MAX_ECOSYSTEM = 60
MAX_NAME = 300
MAX_ITEMS = 50_000  # of any list: the longest real ones are a few thousand versions
RANGE_TYPES = ("SEMVER", "ECOSYSTEM", "GIT")
EVENT_KINDS = ("introduced", "fixed", "last_affected", "limit")

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/+~@-]*", re.ASCII)
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?(Z|[+-]\d\d:\d\d)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Event:
    """One bound of a range: kind is introduced, fixed, last_affected or limit."""

    kind: str
    version: str


@dataclass(frozen=True, slots=True)
class Range:
    type: str  # SEMVER, ECOSYSTEM or GIT
    events: tuple[Event, ...]
    repo: str = ""


@dataclass(frozen=True, slots=True)
class Affected:
    """One affected package. ``ecosystem`` is "" for entries that name only a repository (GIT)."""

    ecosystem: str  # as written, suffix included
    name: str  # normalised by the ecosystem's rule
    raw_name: str
    ranges: tuple[Range, ...] = ()
    versions: tuple[str, ...] = ()
    severities: tuple[SeverityVector, ...] = ()
    symbols: tuple[str, ...] = ()  # functions the advisory names, dotted or with their import path; for reachability
    purl: str = ""
    package: tuple[str, str] = field(init=False, compare=False, repr=False)  # (ecosystem without suffix, name)

    def __post_init__(self) -> None:
        object.__setattr__(self, "package", (base_ecosystem(self.ecosystem), self.name))


@dataclass(frozen=True, slots=True)
class Reference:
    type: str
    url: str


@dataclass(frozen=True, slots=True)
class AdvisoryRecord:
    """One published record. Times are UTC."""

    id: str
    modified: datetime
    source: str
    digest: str  # of the whole content: changes with any change of the record
    matching_digest: str  # of what matching and folding read: changes only when an answer may change
    aliases: tuple[str, ...] = ()
    related: tuple[str, ...] = ()
    upstream: tuple[str, ...] = ()
    summary: str = ""
    details: str = ""
    published: datetime | None = None
    withdrawn: datetime | None = None
    severities: tuple[SeverityVector, ...] = ()
    database_severity: str = ""
    affected: tuple[Affected, ...] = ()
    references: tuple[Reference, ...] = ()
    cwes: tuple[str, ...] = ()
    schema_version: str = ""

    @property
    def rating(self) -> Rating:
        """The record's severity: its own vectors and those of its packages, the highest; else the database's word."""
        return rate((*self.severities, *(s for a in self.affected for s in a.severities)), self.database_severity)

    @property
    def ids(self) -> tuple[str, ...]:
        """Its own id and every alias."""
        return (self.id, *(alias for alias in self.aliases if alias != self.id))


class _Reader:
    """Walks one mapping; every refusal names the path of the field."""

    def __init__(self, source: str) -> None:
        self.source = source

    def refuse(self, path: str, what: str) -> Unreadable:
        return Unreadable(self.source, f"{path}: {what}" if path else what)

    def text(self, value: object, path: str, limit: int = MAX_LINE) -> str:
        if not isinstance(value, str):
            raise self.refuse(path, f"expected text, found {_kind(value)}")
        if len(value) > limit:
            raise self.refuse(path, f"longer than {limit} characters")
        if "\x00" in value:
            raise self.refuse(path, "contains a NUL character")
        return value

    def optional_text(self, record: Mapping[str, Any], key: str, path: str, limit: int = MAX_LINE) -> str:
        value = record.get(key)
        return "" if value is None else self.text(value, f"{path}{key}", limit)

    def identifier(self, value: object, path: str) -> str:
        text = self.text(value, path, MAX_ID)
        if not _ID.fullmatch(text):
            raise self.refuse(path, "not an identifier")
        return text

    def mapping(self, value: object, path: str) -> Mapping[str, Any]:
        if not isinstance(value, Mapping):
            raise self.refuse(path, f"expected an object, found {_kind(value)}")
        return value

    def items(self, record: Mapping[str, Any], key: str, path: str) -> list[tuple[str, Any]]:
        """(path, value) of each entry of an optional list; null counts as absent, as published records have it."""
        value = record.get(key)
        if value is None:
            return []
        if not isinstance(value, list | tuple):
            raise self.refuse(f"{path}{key}", f"expected a list, found {_kind(value)}")
        if len(value) > MAX_ITEMS:
            raise self.refuse(f"{path}{key}", f"more than {MAX_ITEMS} entries")
        return [(f"{path}{key}[{index}]", item) for index, item in enumerate(value)]

    def texts(self, record: Mapping[str, Any], key: str, path: str) -> tuple[str, ...]:
        """The texts of an optional list; in one go where nothing is wrong, as versions come by the thousand."""
        value = record.get(key)
        if isinstance(value, list) and 0 < len(value) <= MAX_ITEMS:
            try:
                if "\x00" not in "".join(value) and max(map(len, value)) <= MAX_LINE:
                    return tuple(value)
            except TypeError:
                pass  # the way below says which one
        return tuple(self.text(item, where) for where, item in self.items(record, key, path))

    def identifiers(self, record: Mapping[str, Any], key: str) -> tuple[str, ...]:
        # Published lists hold slips such as "GHSA-jf66-3q76-h5p5,"; what is meant is plain.
        return tuple(
            dict.fromkeys(
                self.identifier(item.strip(" ,;") if isinstance(item, str) else item, path)
                for path, item in self.items(record, key, "")
            )
        )

    def time(self, value: object, path: str) -> datetime:
        match = _TIME.fullmatch(self.text(value, path, 64))
        if match is None:
            raise self.refuse(path, "not an RFC 3339 time")
        whole, fraction, zone = match.groups()
        try:
            moment = datetime.fromisoformat(whole + (fraction or "")[:7] + ("+00:00" if zone == "Z" else zone))
            return moment.astimezone(UTC)
        except (ValueError, OverflowError) as error:
            raise self.refuse(path, "not a time that exists") from error

    def optional_time(self, record: Mapping[str, Any], key: str) -> datetime | None:
        value = record.get(key)
        return None if value is None else self.time(value, key)

    def severities(self, record: Mapping[str, Any], path: str) -> tuple[SeverityVector, ...]:
        found = []
        for where, item in self.items(record, "severity", path):
            entry = self.mapping(item, where)
            found.append(
                SeverityVector(
                    self.text(entry.get("type"), f"{where}.type", MAX_ID),
                    self.text(entry.get("score"), f"{where}.score"),
                )
            )
        return tuple(found)

    def range(self, value: object, path: str) -> Range:
        entry = self.mapping(value, path)
        kind = self.text(entry.get("type"), f"{path}.type", MAX_ID)
        if kind not in RANGE_TYPES:
            raise self.refuse(f"{path}.type", f"unknown range type {kind[:40]!r}")
        events: list[Event] = []
        for where, item in self.items(entry, "events", f"{path}."):
            event = self.mapping(item, where)
            named = [name for name in EVENT_KINDS if event.get(name) is not None]
            if not named:
                raise self.refuse(where, "an event without introduced, fixed, last_affected or limit")
            # The schema wants one kind an event; older records join two, with the same meaning as two events.
            events.extend(Event(name, self.text(event[name], f"{where}.{name}")) for name in named)
        if not any(event.kind == "introduced" for event in events):
            raise self.refuse(f"{path}.events", "no introduced event")
        return Range(kind, tuple(events), self.optional_text(entry, "repo", f"{path}."))

    def affected(self, value: object, path: str) -> Affected:
        entry = self.mapping(value, path)
        ecosystem = name = url = ""
        if entry.get("package") is not None:
            package = self.mapping(entry["package"], f"{path}.package")
            ecosystem = self.text(package.get("ecosystem"), f"{path}.package.ecosystem", MAX_ECOSYSTEM)
            name = self.text(package.get("name"), f"{path}.package.name", MAX_NAME)
            url = self.optional_text(package, "purl", f"{path}.package.")
            if not ecosystem.strip() or not name.strip():
                raise self.refuse(f"{path}.package", "an empty ecosystem or name")
        return Affected(
            ecosystem=ecosystem,
            name=normalize_name(ecosystem, name) if name else "",
            raw_name=name,
            ranges=tuple(self.range(item, where) for where, item in self.items(entry, "ranges", f"{path}.")),
            versions=self.texts(entry, "versions", f"{path}."),
            severities=self.severities(entry, f"{path}."),
            symbols=_symbols(entry.get("ecosystem_specific")),
            purl=url,
        )


def read_osv(mapping: object, source: str, *, digests: bool = True) -> AdvisoryRecord:
    """The record in a parsed OSV document; raises Unreadable naming the field that is wrong.

    ``digests`` False leaves both empty, for one that is read back from where it was kept: they are a third of the work.
    """
    reader = _Reader(source)
    record = reader.mapping(mapping, "")
    if "modified" not in record and not isinstance(record.get("id"), str):
        raise reader.refuse("", "not an OSV record: neither an id nor a time of modification")
    identifier = reader.identifier(record.get("id"), "id")
    reader.source = f"{source} ({identifier})" if identifier not in source else source
    database = record.get("database_specific")
    specific: Mapping[str, Any] = {} if database is None else reader.mapping(database, "database_specific")
    parsed = AdvisoryRecord(
        id=identifier,
        modified=reader.time(record.get("modified"), "modified"),
        source=source,
        digest=_digest(record, reader) if digests else "",
        matching_digest="",
        aliases=reader.identifiers(record, "aliases"),
        related=reader.identifiers(record, "related"),
        upstream=reader.identifiers(record, "upstream"),
        summary=reader.optional_text(record, "summary", ""),
        details=reader.optional_text(record, "details", "", MAX_TEXT),
        published=reader.optional_time(record, "published"),
        withdrawn=reader.optional_time(record, "withdrawn"),
        severities=reader.severities(record, ""),
        database_severity=_word(specific.get("severity")),
        affected=tuple(reader.affected(item, where) for where, item in reader.items(record, "affected", "")),
        references=tuple(
            Reference(
                reader.optional_text(reader.mapping(item, where), "type", f"{where}."),
                reader.text(item.get("url"), f"{where}.url"),
            )
            for where, item in reader.items(record, "references", "")
        ),
        cwes=_cwes(specific.get("cwe_ids")),
        schema_version=reader.optional_text(record, "schema_version", ""),
    )
    return replace(parsed, matching_digest=_matching_digest(parsed)) if digests else parsed


def _kind(value: object) -> str:
    names = {type(None): "nothing", str: "text", list: "a list", dict: "an object", bool: "true or false"}
    return names.get(type(value), "a number" if isinstance(value, int | float) else type(value).__name__)


def _word(value: object) -> str:
    # database_specific belongs to each database: what is not a short word there is simply not a severity.
    return value if isinstance(value, str) and len(value) <= 64 and "\x00" not in value else ""


def _cwes(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        return ()
    return tuple(item for item in value[:100] if isinstance(item, str) and re.fullmatch(r"CWE-\d{1,6}", item))


def _symbols(value: object) -> tuple[str, ...]:
    """Names of affected functions: Go (imports: path, symbols), RustSec (affects.functions); others name none."""
    if not isinstance(value, Mapping):
        return ()
    found: list[str] = []
    imports = value.get("imports")
    for entry in imports if isinstance(imports, list) else []:
        if isinstance(entry, Mapping) and isinstance(path := entry.get("path"), str):
            symbols = entry.get("symbols")
            names = [s for s in symbols if isinstance(s, str)] if isinstance(symbols, list) else []
            found.extend(f"{path}.{name}" for name in names)
    affects = value.get("affects")
    functions = affects.get("functions") if isinstance(affects, Mapping) else None
    if isinstance(functions, list):
        found.extend(name for name in functions if isinstance(name, str))
    return tuple(name for name in found[:2000] if len(name) <= MAX_LINE and "\x00" not in name)


def _digest(record: Mapping[str, Any], reader: _Reader) -> str:
    try:
        return hashlib.sha256(orjson.dumps(record, option=orjson.OPT_SORT_KEYS)).hexdigest()
    except (TypeError, RecursionError) as error:
        # Lone surrogates, integers beyond 64 bits, nesting beyond 250, keys that are not text.
        raise reader.refuse("", f"content that JSON cannot carry: {error}") from error


def _matching_digest(record: AdvisoryRecord) -> str:
    content = [
        record.id,
        sorted(record.aliases),
        record.withdrawn is not None,
        [
            [
                a.ecosystem,
                a.name,
                [[r.type, [[e.kind, e.version] for e in r.events]] for r in a.ranges],
                sorted(a.versions),
            ]
            for a in record.affected
        ],
    ]
    return hashlib.sha256(orjson.dumps(content)).hexdigest()
