"""Signals of exploitation: FIRST's EPSS scores and CISA's KEV catalogue, as plain values with their dates. Pure.

EPSS (https://www.first.org/epss/data_stats): a CSV of all scores of a day. Three layouts were published: without
percentile, without the comment line that says model and date, and the present one. KEV
(https://www.cisa.gov/known-exploited-vulnerabilities-catalog): JSON, or CSV without the catalogue's version.
A file that is not such a file raises Unreadable; a broken row is a Refusal and the rest is taken.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import chain
from typing import NamedTuple

from immune.advisories.documents import read_json
from immune.inventory import Refusal, Unreadable

MAX_REFUSED = 1000  # a file with more broken rows is the wrong file
MAX_ROWS = 5_000_000
MAX_TEXT = 32 * 1024

_CVE = re.compile(r"CVE-\d{4}-\d{4,19}", re.ASCII)
_COMMENT = re.compile(r"#\s*model_version:(?P<model>[^,]{1,64}),\s*score_date:(?P<day>\d{4}-\d\d-\d\d)")
_NUMBER = r"((?:[01](?:\.\d{0,20})?|\.\d{1,20})(?:[eE]-\d{1,3})?|[1-9](?:\.\d{1,20})?[eE]-\d{1,3})"
_ROW = {
    2: re.compile(rf"(CVE-\d{{4}}-\d{{4,19}}),{_NUMBER}\s*", re.ASCII),
    3: re.compile(rf"(CVE-\d{{4}}-\d{{4,19}}),{_NUMBER},{_NUMBER}\s*", re.ASCII),
}
_HEADERS = ("cve,epss,percentile", "cve,epss")


class EpssScore(NamedTuple):
    """Probability of exploitation in the next 30 days, and the share of all CVEs scored no higher; both 0 to 1."""

    probability: float
    percentile: float | None


@dataclass(frozen=True, slots=True)
class EpssScores:
    """All scores of one day. ``model`` is "" where the layout does not say it."""

    score_date: date
    model: str
    scores: Mapping[str, EpssScore]
    refused: tuple[Refusal, ...] = ()


@dataclass(frozen=True, slots=True)
class KevEntry:
    """One vulnerability known to be exploited. ``ransomware`` is None where the catalogue does not know."""

    cve: str
    date_added: date
    due_date: date | None
    name: str
    vendor: str
    product: str
    required_action: str
    ransomware: bool | None
    cwes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class KevCatalogue:
    """The catalogue of one day. ``version`` is "" for a CSV, which does not say it."""

    released: date
    version: str
    entries: Mapping[str, KevEntry]
    refused: tuple[Refusal, ...] = ()


class _Refused:
    def __init__(self, source: str) -> None:
        self.source = source
        self.items: list[Refusal] = []

    def add(self, where: object, reason: str) -> None:
        if len(self.items) >= MAX_REFUSED:
            raise Unreadable(self.source, f"more than {MAX_REFUSED} rows are broken, the last: {reason}")
        self.items.append(Refusal(f"{self.source}:{where}", reason))


def read_epss(lines: Iterable[str], source: str, *, day: date | None = None) -> EpssScores:
    """The scores in the lines of an EPSS file. ``day`` is used where the file does not say its own; raises Unreadable."""
    numbered = enumerate(lines, 1)
    model, day, columns = _epss_head(numbered, source, day)
    scores: dict[str, EpssScore] = {}
    refused = _Refused(source)
    row = _ROW[columns]
    for number, line in numbered:
        match = row.fullmatch(line)
        if match is None:
            if line.strip():
                refused.add(number, f"not a CVE id and {columns - 1} numbers from 0 to 1")
            continue
        cve, *numbers = match.groups()
        score = EpssScore(float(numbers[0]), float(numbers[1]) if columns == 3 else None)
        if score.probability > 1.0 or (score.percentile or 0.0) > 1.0:
            refused.add(number, f"{cve}: not a number from 0 to 1")
        elif cve in scores:
            refused.add(number, f"{cve} a second time")
        elif len(scores) >= MAX_ROWS:
            raise Unreadable(source, f"more than {MAX_ROWS} rows")
        else:
            scores[cve] = score
    if not scores:
        raise Unreadable(source, "no scores in it")
    return EpssScores(day, model, scores, tuple(refused.items))


def _epss_head(lines: Iterator[tuple[int, str]], source: str, day: date | None) -> tuple[str, date, int]:
    model = ""
    first = next(lines, (0, ""))[1].lstrip("\ufeff").strip()
    if first.startswith("#"):
        match = _COMMENT.match(first)
        if match is None:
            raise Unreadable(source, "the first line names no model and date")
        model = match["model"].strip()
        day = _day(match["day"])
        first = next(lines, (0, ""))[1].strip()
    if first not in _HEADERS:
        raise Unreadable(source, f"not an EPSS file: the header is {first[:60]!r}")
    if day is None:
        raise Unreadable(source, "the file does not say its date")
    return model, day, first.count(",") + 1


def _day(text: object) -> date | None:
    if not isinstance(text, str) or not re.fullmatch(r"\d{4}-\d\d-\d\d", text, re.ASCII):
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def read_kev_json(data: bytes, source: str) -> KevCatalogue:
    """The catalogue in a KEV JSON document; raises Unreadable."""
    document = read_json(data, source)
    if not isinstance(document, dict) or not isinstance(document.get("vulnerabilities"), list):
        raise Unreadable(source, "not a KEV catalogue: no list of vulnerabilities")
    rows: list[object] = document["vulnerabilities"]
    version = document.get("catalogVersion")
    released = _released(document.get("dateReleased"))
    if not isinstance(version, str) or len(version) > 64 or released is None:
        raise Unreadable(source, "the catalogue does not say its version and date")
    count = document.get("count")
    if count is not None and count != len(rows):
        raise Unreadable(source, f"cut short: it should hold {count!s:.20} entries and holds {len(rows)}")
    return _catalogue(enumerate(rows), source, version, released)


def read_kev_csv(lines: Iterable[str], source: str, *, day: date | None = None) -> KevCatalogue:
    """The catalogue in a KEV CSV. ``day``: when it was published; without it, the day of its newest entry."""
    iterator = iter(lines)
    first = next(iterator, "").lstrip("\ufeff")
    if not first.startswith("cveID,"):
        raise Unreadable(source, f"not a KEV catalogue: the header is {first[:60].strip()!r}")
    try:
        rows = csv.DictReader(chain([first], iterator), strict=True)
        return _catalogue(((rows.line_num, row) for row in rows), source, "", day)
    except csv.Error as error:
        raise Unreadable(source, f"not CSV: {error}") from error


def _catalogue(rows: Iterable[tuple[int, object]], source: str, version: str, released: date | None) -> KevCatalogue:
    entries: dict[str, KevEntry] = {}
    refused = _Refused(source)
    for number, row in rows:
        entry = _kev_entry(row)
        if isinstance(entry, str):
            refused.add(number, entry)
        elif entry.cve in entries:
            refused.add(number, f"{entry.cve} a second time")
        elif len(entries) >= MAX_ROWS:
            raise Unreadable(source, f"more than {MAX_ROWS} rows")
        else:
            entries[entry.cve] = entry
    if not entries:
        raise Unreadable(source, "no entries in it")
    released = released or max(entry.date_added for entry in entries.values())
    return KevCatalogue(released, version, entries, tuple(refused.items))


def _kev_entry(row: object) -> KevEntry | str:
    """The entry in one row, or why there is none."""
    if not isinstance(row, dict):
        return "not an object"
    cve, added = row.get("cveID"), _day(row.get("dateAdded"))
    if not isinstance(cve, str) or not _CVE.fullmatch(cve):
        return "not a CVE id"
    if added is None:
        return f"{cve}: no day on which it was added"
    texts = {}
    for key in ("vulnerabilityName", "vendorProject", "product", "requiredAction"):
        text = row.get(key)
        if not isinstance(text, str) or len(text) > MAX_TEXT or "\x00" in text:
            return f"{cve}: {key} is not text"
        texts[key] = text.strip()
    cwes = row.get("cwes") or ()
    named = cwes.split(",") if isinstance(cwes, str) else cwes if isinstance(cwes, list) else ()
    return KevEntry(
        cve=cve,
        date_added=added,
        due_date=_day(row.get("dueDate")),
        name=texts["vulnerabilityName"],
        vendor=texts["vendorProject"],
        product=texts["product"],
        required_action=texts["requiredAction"],
        ransomware={"Known": True}.get(str(row.get("knownRansomwareCampaignUse"))),
        cwes=tuple(c.strip() for c in named[:50] if isinstance(c, str) and re.fullmatch(r"CWE-\d{1,6}", c.strip())),
    )


def _released(text: object) -> date | None:
    if not isinstance(text, str) or len(text) > 64:
        return None
    try:
        # Four digits of a fraction are one way CISA writes it; the day is all that is asked.
        return datetime.strptime(text[:10], "%Y-%m-%d").replace(tzinfo=UTC).date()
    except ValueError:
        return None
