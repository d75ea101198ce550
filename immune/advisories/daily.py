"""The daily synchronisation: exports of advisories and signals of exploitation are fetched when they changed, and read."""

from __future__ import annotations

import structlog
from django.conf import settings

from immune.advisories.bulk import BulkError, fetch_bulk, fetch_file
from immune.advisories.services import sync_advisories
from immune.advisories.signal_sync import sync_signals
from immune.events.actors import SYSTEM
from immune.inventory import Unreadable

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


def sync_signals_daily() -> int:
    """Returns how many of EPSS and KEV were read, 0 where no address is set. Raises the last failure after both were tried."""
    failed: BulkError | Unreadable | None = None
    done = 0
    for name, address in (("epss", settings.EPSS_URL), ("kev", settings.KEV_URL)):
        if not address:
            continue
        try:
            fetched = fetch_file(address, settings.WORK_DIR / "signals" / f"{name}.data")
            report = sync_signals(actor=SYSTEM, path=fetched.path)
        except (BulkError, Unreadable) as error:
            log.warning("signals_not_read", feed=name, reason=str(error))
            failed = error
            continue
        log.info(
            "signals_synced", feed=name, day=report.day.isoformat(), updated=report.updated, touched=report.touched
        )
        done += 1
    if failed is not None:
        raise failed
    return done
