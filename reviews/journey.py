"""Working a repository's jobs in this process until its reviews are open: what ``immunize`` does while a person waits."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from django.conf import settings
from django.db import connection

from immune import work
from immune.events.actors import Actor
from immune.models import APV, Repository, Scan
from immune.models.repositories import ScanState
from immune.people.selectors import EVERYTHING
from immune.services import request_scan
from reviews import selectors

Tell = Callable[[str], None]


def immunize(
    repository: Repository, *, actor: Actor, again: bool = False, wait: bool = True, tell: Tell = lambda _: None
) -> Scan:
    """Asks for a scan and, with ``wait``, works everything of this repository until nothing is left to do here or elsewhere."""
    scan = request_scan(actor=actor, repository=repository, cause="asked", again=again)
    if wait:
        work_until_quiet(repository, tell)
        scan.refresh_from_db()
    return scan


def work_until_quiet(repository: Repository, tell: Tell) -> None:
    """Claims and runs the repository's work, wargames side by side, until none is pending or running anywhere."""
    beside = settings.WARGAME_CONCURRENCY
    seen = ""
    with ThreadPoolExecutor(max_workers=beside) as pool:
        while True:
            others = [_drain(kind.name, repository) for kind in work.kinds() if kind.name != "wargame"]
            ran = any(others)
            ran = any(list(pool.map(lambda _: _one_wargame(repository), range(beside)))) or ran
            seen = _tell_state(repository, tell, seen)
            if ran:
                continue
            if not work.unfinished(repository):
                return
            # Another process holds what is left, or its time has not come; look again shortly.
            time.sleep(0.2)


def _drain(name: str, repository: Repository) -> bool:
    ran = False
    while work.run_one(name, repository=repository):
        ran = True
    return ran


def _one_wargame(repository: Repository) -> bool:
    try:
        return work.run_one("wargame", repository=repository)
    finally:
        # Each thread of the pool has a connection of its own.
        connection.close()


def _tell_state(repository: Repository, tell: Tell, before: str) -> str:
    states: dict[str, int] = {}
    for status in APV.objects.filter(repository=repository).values_list("status", flat=True):
        states[status] = states.get(status, 0) + 1
    now = ", ".join(f"{count} {status}" for status, count in sorted(states.items()))
    if now and now != before:
        tell(now)
    return now


def report(repository: Repository, scan: Scan) -> dict[str, Any]:
    """The document of ``immunize``: what was read, refused, and where each APV stands."""
    rows = selectors.apvs(EVERYTHING).filter(repository=repository).prefetch_related("group__advisories")
    reasons = selectors.reasons_of_verdicts(repository)
    return {
        "repository": repository.name,
        "head": repository.head_commit or None,
        "scan": {"id": str(scan.pk), "state": scan.state},
        "refused": scan.result.get("refused", []),
        "apvs": [_apv(apv, reasons.get(apv.pk, "")) for apv in rows.order_by("apv_code")],
    }


def _apv(apv: Any, why: str) -> dict[str, Any]:
    names = {name for row in apv.group.advisories.all() for name in (row.pk, *row.aliases)}
    return {
        "code": apv.apv_code,
        "advisory": apv.advisory_id,
        "aliases": sorted(names - {apv.advisory_id}),
        "package": apv.package_name,
        "from_version": ", ".join(apv.versions),
        "to_version": apv.remedy.target_version if apv.remedy else None,
        "remedy": str(apv.remedy_id) if apv.remedy_id else None,
        "verdict": apv.wargame_verdict or None,
        "confidence": apv.wargame_confidence,
        "state": apv.status,
        "review_state": apv.review_state,
        # What a person wrote, or why nothing could be done; else why its weakest wargame said what it said.
        "reason": apv.reason or why or None,
    }


def failed(scan: Scan) -> bool:
    return scan.state == ScanState.FAILED
