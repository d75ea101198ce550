"""How bad a vulnerability is: CVSS vectors to scores and the five words people use. Pure.

Vectors are read by the ``cvss`` library (FIRST's reference behaviour). What cannot be read stays UNKNOWN, which is not
a synonym of low: see ``immune.priority``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from functools import lru_cache

from cvss import CVSS2, CVSS3, CVSS4
from cvss.exceptions import CVSSError


class Severity(StrEnum):
    CRITICAL = "CRITICAL"
    HIGH = "HIGH"
    MEDIUM = "MEDIUM"
    LOW = "LOW"
    NONE = "NONE"
    UNKNOWN = "UNKNOWN"


_RANK = {
    Severity.UNKNOWN: -1,
    Severity.NONE: 0,
    Severity.LOW: 1,
    Severity.MEDIUM: 2,
    Severity.HIGH: 3,
    Severity.CRITICAL: 4,
}
_WORDS = {
    "critical": Severity.CRITICAL,
    "high": Severity.HIGH,
    "important": Severity.HIGH,
    "moderate": Severity.MEDIUM,
    "medium": Severity.MEDIUM,
    "low": Severity.LOW,
    "none": Severity.NONE,
}
_MAX_VECTOR = 1024


@dataclass(frozen=True, slots=True)
class SeverityVector:
    """One severity as the advisory writes it: OSV type (CVSS_V2, CVSS_V3, CVSS_V4 or another) and the vector, whole."""

    type: str
    score: str


@dataclass(frozen=True, slots=True)
class Rating:
    """A computed severity. ``score`` is the CVSS base score (0.0 to 10.0), None where no vector could be read."""

    severity: Severity
    score: float | None = None
    vector: str = ""


UNRATED = Rating(Severity.UNKNOWN)


def severity_of_word(word: str) -> Severity:
    """The severity a database names in words ("MODERATE"); UNKNOWN for a word it does not know."""
    return _WORDS.get(word.strip().lower(), Severity.UNKNOWN)


def severity_of_score(score: float, *, version: int = 3) -> Severity:
    """The qualitative band of a CVSS base score. Version 2 has no critical band (NVD, CVSS v2.0 ratings)."""
    if score >= 9.0 and version >= 3:
        return Severity.CRITICAL
    if score >= 7.0:
        return Severity.HIGH
    if score >= 4.0:
        return Severity.MEDIUM
    if score > 0.0 or version < 3:
        return Severity.LOW
    return Severity.NONE


@lru_cache(maxsize=8192)
def rate_vector(kind: str, vector: str) -> Rating:
    """The rating of one vector; UNRATED when its kind or its text is not understood."""
    text = vector.strip()
    if len(text) > _MAX_VECTOR or not kind.upper().startswith("CVSS"):
        return UNRATED
    try:
        # The text says its own version; where type and vector disagree, the vector is what was scored.
        if text.startswith("CVSS:4"):
            version, score = 4, CVSS4(text).base_score
        elif text.startswith("CVSS:3"):
            version, score = 3, CVSS3(text).scores()[0]
        else:
            version, score = 2, CVSS2(text).scores()[0]
    except (CVSSError, ValueError, KeyError, ArithmeticError):
        return UNRATED
    value = float(score) if isinstance(score, (int, float, Decimal)) else None
    return UNRATED if value is None else Rating(severity_of_score(value, version=version), value, text)


def rate(vectors: Iterable[SeverityVector], database_word: str = "") -> Rating:
    """The highest rating among the vectors; without a readable one, the database's own word; else UNKNOWN."""
    ratings = [rating for v in vectors if (rating := rate_vector(v.type, v.score)) is not UNRATED]
    if ratings:
        return max(ratings, key=lambda rating: (_RANK[rating.severity], rating.score or 0.0))
    return Rating(severity_of_word(database_word))


def worst(ratings: Iterable[tuple[Severity, float | None]]) -> tuple[Severity, float | None]:
    """The highest of some severities with its score; UNKNOWN only where none is known."""
    return max(ratings, key=lambda rating: (_RANK[rating[0]], rating[1] or 0.0), default=(Severity.UNKNOWN, None))
