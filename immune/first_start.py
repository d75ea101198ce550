"""What a first start makes, and never twice: the admin account, and what a new reader needs to see.

``make run`` does it in its one process, ``make stack`` by ``manage.py first_start`` before its processes.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from django.conf import settings

from immune.demo.bootstrap import ensure_demo, load_advisories
from immune.people.first_account import ensure_admin


def _advisories() -> None:
    report = load_advisories()
    if report.added:
        say(f"{report.added} bundled advisories loaded.")


def _demo() -> None:
    made = ensure_demo(settings.WORK_DIR)
    if made is not None:
        say(f"Demonstration repository made in {made.location}; it is being read, patched and proved now.")


# Steps beside the account, in order. Each makes what is missing and nothing else, and may say a line about it on stderr.
STEPS: list[Callable[[], None]] = [_advisories, _demo]


def prepare() -> None:
    """Runs every step. What a step raises stops the start: half a first start is told, not hidden."""
    made = ensure_admin(settings.WORK_DIR)
    if made is not None:
        say(
            f"Account {made.username} made. Password: {made.password}   (kept in {made.kept_in}; `manage.py password` resets it)"
        )
    for step in STEPS:
        step()


def say(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()
