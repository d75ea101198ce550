"""When a release was published, as its registry says: how long the world had to look at it. Runs no program but npm's own configuration.

A release is as young as the youngest of its files: one that was added later was looked at by nobody before. What a registry does
not say is not known, and so is what no registry answers; neither is ever taken for old.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from urllib.parse import quote

import httpx

from immune.renewal import CannotRenew, RegistryUnreachable
from wargaming.renewal import fetch, npm, pypi


def published(ecosystem: str, name: str, version: str) -> datetime | None:
    """The moment a release was complete, in UTC; None when nobody says, also for ecosystems whose registry is not asked."""
    try:
        with fetch.client() as client:
            if ecosystem == "PyPI":
                return youngest(file.said.get("upload-time") for file in pypi.release(client, name, version))
            if ecosystem == "npm":
                return _of_npm(client, name, version)
    except (CannotRenew, RegistryUnreachable):
        return None
    return None


def _of_npm(client: httpx.Client, name: str, version: str) -> datetime | None:
    answer = fetch.get(client, npm.registry_address() + quote(name, safe="@"), accept="application/json")
    return npm_time(answer.content, version) if answer is not None else None


def npm_time(document: bytes, version: str) -> datetime | None:
    """What a packument says of one version; None for one that says nothing, or cannot be read."""
    try:
        times = json.loads(document)["time"]
        return youngest([times[version]])
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def youngest(moments: Iterable[object]) -> datetime | None:
    """The latest of moments in ISO 8601; None without any, or when one of them cannot be read."""
    found = []
    for text in moments:
        try:
            moment = datetime.fromisoformat(str(text))
        except ValueError:
            return None
        found.append(moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC))
    return max(found, default=None)
