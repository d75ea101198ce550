"""Reports that were sent to us: kept in the database in pieces, taken in by whichever worker claims them."""

from __future__ import annotations

import tempfile
import threading
from datetime import timedelta
from typing import IO, Protocol

from django.conf import settings
from django.db.models import Q, QuerySet
from django.utils import timezone

from immune import claims, work
from immune.events.actors import SYSTEM, Actor
from immune.events.log import act
from immune.formats import limits
from immune.ingest.services import MAX_PART, Overtaken, ingest_report
from immune.inventory import Unreadable
from immune.models import Account, ReportChunk, ReportJob, Repository
from immune.models.reports import ReportState
from immune.people.selectors import Viewer, viewer_of, within_sight
from immune.services import Refused

CHUNK = 1024 * 1024
MAX_SOURCE = 300


class TooLarge(Refused):
    """More bytes than ``REPORT_MAX_BYTES``."""


class Readable(Protocol):
    def read(self, size: int = ..., /) -> bytes: ...


def submit_report(
    *,
    actor: Actor,
    viewer: Viewer,
    repository: Repository,
    stream: Readable,
    source: str,
    part: str = "",
    requested_by: Account | None,
) -> ReportJob:
    """Keeps what was sent and asks for it to be taken in, with the rights of ``viewer``.

    Raises Refused (empty, bad_part) and TooLarge, having kept nothing.
    """
    if len(part) > MAX_PART or "\x00" in part:
        raise Refused("bad_part", f"a part's name has at most {MAX_PART} characters")
    name = limits.shown(source.rsplit("/", 1)[-1].rsplit("\\", 1)[-1], MAX_SOURCE) or "report"
    # Received whole before the transaction begins: a slow sender holds no lock.
    with tempfile.TemporaryFile() as held:
        size = _receive(stream, held)
        if size == 0:
            raise Refused("empty", "the report is empty")
        held.seek(0)
        with act(actor) as log:
            job = ReportJob.objects.create(
                repository=repository,
                part=part,
                source=name,
                size=size,
                requested_by=requested_by,
                scopes=None if viewer.scopes is None else sorted(viewer.scopes),
            )
            number = 0
            while piece := held.read(CHUNK):
                ReportChunk.objects.create(job=job, number=number, data=piece)
                number += 1
            log.record(
                "report.submitted",
                subject=f"report:{job.pk}",
                repository=repository.pk,
                data={"size": size, "by": requested_by.pk if requested_by else None},
            )
            log.wake("report", job.pk)
    return job


def _receive(stream: Readable, held: IO[bytes]) -> int:
    size = 0
    while piece := stream.read(CHUNK):
        size += len(piece)
        if size > settings.REPORT_MAX_BYTES:
            raise TooLarge("too_large", f"a report holds at most {settings.REPORT_MAX_BYTES} bytes as it is sent")
        held.write(piece)
    return size


def report_jobs(viewer: Viewer) -> QuerySet[ReportJob]:
    """The reports sent for repositories in sight, newest first."""
    return ReportJob.objects.filter(within_sight(viewer)).select_related("repository", "requested_by")


def run(job: ReportJob, lost: threading.Event) -> None:
    """Takes one claimed report in. One that cannot be read ends as failed with the reason, and has changed nothing."""
    actor = Actor.of(job.requested_by) if job.requested_by else SYSTEM

    def progress(found: dict[str, int]) -> None:
        if lost.is_set():
            raise claims.LostClaim(f"report {job.pk} was taken over")
        ReportJob.objects.filter(pk=job.pk, owner=job.owner).update(progress=found)

    with tempfile.TemporaryFile() as file:
        for number in range(job.chunks.count()):
            file.write(bytes(job.chunks.get(number=number).data))
        file.seek(0)
        try:
            done = ingest_report(
                file=file,
                repository=job.repository,
                actor=actor,
                source=job.source,
                part=job.part,
                progress=progress,
                viewer=viewer_of(job.requested_by, job.scopes),
                author=job.requested_by,
            )
        except Unreadable as error:
            _end(job, ReportState.FAILED, "unreadable", {"refused": [{"source": error.source, "reason": error.reason}]})
            return
        except Overtaken as error:
            _end(job, ReportState.FAILED, "overtaken", {"refused": [{"source": job.source, "reason": str(error)}]})
            return
    _end(job, ReportState.DONE, "", done.as_dict())


def give_up(job: ReportJob, error: str) -> None:
    _end(job, ReportState.FAILED, "given_up", {"refused": [{"source": job.source, "reason": error[:2000]}]})


def _end(job: ReportJob, state: ReportState, reason: str, result: dict[str, object]) -> None:
    with act(SYSTEM) as log:
        claims.finish(job, to=state, finished_at=timezone.now(), reason=reason, result=result)
        ReportChunk.objects.filter(job=job).delete()
        log.record(
            "report.finished",
            subject=f"report:{job.pk}",
            repository=job.repository_id,
            data={"state": str(state), "reason": reason},
        )


REPORTS = work.Kind(
    name="report",
    queue="ingest",
    rows=ReportJob.objects.select_related("repository", "requested_by").all,
    run=run,
    give_up=give_up,
    scope=lambda repository: Q(repository=repository),
    lease=timedelta(minutes=2),
    attempts=3,
)
