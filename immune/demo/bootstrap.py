"""Laying out the demonstration in the work folder: once, and again only what is missing."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from immune.advisories.services import SyncReport, sync_advisories
from immune.events.actors import SYSTEM
from immune.models import Repository
from immune.services import register_local, request_scan

HERE = Path(__file__).parent
NAME = "noticeboard"
# The same content, author and dates: the demonstration's first commit is the same everywhere.
_IDENTITY = {
    "GIT_AUTHOR_NAME": "Notice Board",
    "GIT_AUTHOR_EMAIL": "noticeboard@localhost",
    "GIT_AUTHOR_DATE": "2026-01-05T09:00:00+00:00",
    "GIT_COMMITTER_NAME": "Notice Board",
    "GIT_COMMITTER_EMAIL": "noticeboard@localhost",
    "GIT_COMMITTER_DATE": "2026-01-05T09:00:00+00:00",
}


def load_advisories() -> SyncReport:
    """Reads the bundled advisories; changes nothing the second time."""
    return sync_advisories(actor=SYSTEM, paths=[HERE / "advisories.jsonl"])


def ensure_demo(work: Path) -> Repository | None:
    """Makes the demonstration repository below ``work`` and asks for its first scan. None when it is there already."""
    if Repository.objects.filter(is_demo=True).exists():
        return None
    place = work / "demo" / NAME
    if not (place / ".git").exists():
        _lay_out(place)
    repository = register_local(actor=SYSTEM, path=place, name=NAME, is_demo=True)
    request_scan(actor=SYSTEM, repository=repository, cause="first_start")
    return repository


def _lay_out(place: Path) -> None:
    fresh = place.with_name(place.name + ".new")
    shutil.rmtree(fresh, ignore_errors=True)
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(HERE / "app", fresh, ignore=shutil.ignore_patterns("__pycache__", ".pytest_cache"))
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(fresh),
        "GIT_CONFIG_NOSYSTEM": "1",
        **_IDENTITY,
    }
    for command in (
        ["init", "--quiet", "--initial-branch=main"],
        ["add", "--all", "--force"],
        ["commit", "--quiet", "--message", "A small notice board"],
    ):
        subprocess.run(["git", *command], cwd=fresh, env=environment, check=True, capture_output=True)  # noqa: S603, S607
    fresh.rename(place)
