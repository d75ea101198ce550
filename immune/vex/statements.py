"""One VEX statement about one package in one repository, as it is written into documents. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote

from immune.formats.reports.shapes import Status


@dataclass(frozen=True, slots=True)
class Said:
    """``repository``: its reference in documents, a URI. ``parts``: purls of the package, without version where it is fixed."""

    repository: str
    name: str  # of the repository, for people
    advisory: str
    aliases: tuple[str, ...]
    package: str
    parts: tuple[str, ...]
    status: Status
    justification: str = ""  # VEX's word, with not_affected only
    impact: str = ""
    action: str = ""
    at: datetime | None = None  # since when


def repository_reference(name: str, location: str) -> str:
    """The URI a repository goes by in documents: its address, or for one on this machine its name, never its path."""
    if re.fullmatch(r"https://[^\s@]+", location):
        return location
    return f"urn:immune:repository:{quote(name, safe='')}"
