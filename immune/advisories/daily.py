"""The daily synchronisation: the export of each configured ecosystem is fetched when it changed, and read."""

from __future__ import annotations

import structlog
from django.conf import settings

from immune.advisories.bulk import BulkError, fetch_bulk
from immune.advisories.services import sync_advisories
from immune.events.actors import SYSTEM

log = structlog.get_logger(__name__)


def sync_configured() -> int:
    """Returns how many ecosystems were read, 0 where OSV_BULK_URL is empty. Raises the last BulkError after all were tried."""
    if not settings.OSV_BULK_URL:
        return 0
    failed: BulkError | None = None
    done = 0
    for ecosystem in settings.OSV_ECOSYSTEMS:
        try:
            fetched = fetch_bulk(ecosystem, settings.WORK_DIR / "advisories", template=settings.OSV_BULK_URL)
        except BulkError as error:
            log.warning("advisories_not_fetched", ecosystem=ecosystem, reason=str(error.reason))
            failed = error
            continue
        # Read even when unchanged: the reading of the day before may have been cut short, and reading twice changes nothing.
        report = sync_advisories(actor=SYSTEM, paths=[fetched.path])
        log.info("advisories_synced", ecosystem=ecosystem, added=report.added, updated=report.updated)
        done += 1
    if failed is not None:
        raise failed
    return done
