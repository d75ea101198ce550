"""Asking for a job: what is sent is received whole, kept in the database in pieces, and done by whichever worker claims it."""

from __future__ import annotations

import tempfile
from datetime import datetime, timedelta
from typing import IO, Any, Protocol

from django.conf import settings
from django.utils import timezone

from immune import leases
from immune.events.actors import SYSTEM, Actor
from immune.events.log import Log, act
from immune.formats import limits
from immune.ingest.services import MAX_PART
from immune.jobs.selectors import WITH_DOCUMENT
from immune.models import Account, Job, JobPiece, Repository
from immune.models.jobs import JobKind, JobState
from immune.people.selectors import Viewer, visible_repositories
from immune.people.services import NotPermitted
from immune.services import Refused
from immune.vex.documents import KINDS

CHUNK = 1024 * 1024
MAX_SOURCE = 300
AT_ONCE = 200
MAX_WAITING = (
    100  # jobs of one account that have not ended: their files stand in the database, and everybody's wait in one queue
)


class TooLarge(Refused):
    """More bytes than ``REPORT_MAX_BYTES``."""


class TooManyWaiting(Refused):
    """``MAX_WAITING`` jobs of the account have not ended."""


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
) -> Job:
    """Keeps what was sent and asks for it to be taken in, with the rights of ``viewer``.

    Raises NotPermitted, Refused (empty, bad_part), TooLarge and TooManyWaiting, having kept nothing.
    """
    _permit(viewer, "immunize")
    if len(part) > MAX_PART or "\x00" in part:
        raise Refused("bad_part", f"a part's name has at most {MAX_PART} characters")
    about = {"kind": JobKind.REPORT, "repository": repository, "part": part, "source": _name(source, "report")}
    return _submit(actor, viewer, stream, about, requested_by)


def submit_scan(*, actor: Actor, viewer: Viewer, stream: Readable, source: str, requested_by: Account | None) -> Job:
    """Keeps a manifest, a lock file or an archive of them and asks for it to be matched, as ``manage.py scan`` does. ``source``
    is its name, which tells what kind of manifest it is.

    Raises NotPermitted, Refused (empty), TooLarge and TooManyWaiting, having kept nothing.
    """
    _permit(viewer, "immunize")
    about = {"kind": JobKind.SCAN, "source": _name(source, "archive")}
    return _submit(actor, viewer, stream, about, requested_by)


def submit_advisories(
    *, actor: Actor, viewer: Viewer, stream: Readable, source: str, requested_by: Account | None
) -> Job:
    """Keeps OSV records, or an archive of them, and asks for them to be taken in, as ``manage.py sync_advisories`` does.

    Raises NotPermitted, Refused (empty), TooLarge and TooManyWaiting, having kept nothing.
    """
    _permit(viewer, "operate")
    about = {"kind": JobKind.ADVISORIES, "source": _name(source, "advisories")}
    return _submit(actor, viewer, stream, about, requested_by)


def request_export(
    *, actor: Actor, viewer: Viewer, kind: str, repository: Repository | None, requested_by: Account | None
) -> Job:
    """Asks for the state of everything in sight, or of one repository, as a VEX document of the ``kind``, as
    ``manage.py export_vex`` writes it.

    Raises NotPermitted (also for a repository out of sight), Refused (``unknown_kind``) and TooManyWaiting.
    """
    _permit(viewer, "read")
    if kind not in KINDS:
        raise Refused("unknown_kind", f"a document is one of {', '.join(sorted(KINDS))}")
    seen = visible_repositories(viewer)
    if repository is not None and not seen.filter(pk=repository.pk).exists():
        raise NotPermitted("The repository is not yours to see.")
    about = {"kind": JobKind.EXPORT, "repository": repository, "source": f"{kind}.json", "arguments": {"kind": kind}}
    with act(actor) as log:
        job = _create(viewer, about, 0, requested_by)
        _announce(log, job)
    return job


def expire_results() -> int:
    """The duty: removes documents, and what the job says of their content, ``JOB_RESULT_DAYS`` after they were made. Returns
    how many. The job stays, so that whoever asks for one is told."""
    if not settings.JOB_RESULT_DAYS:
        return 0
    before = timezone.now() - timedelta(days=settings.JOB_RESULT_DAYS)
    removed = 0
    while found := _expire_some(before):
        removed += found
    return removed


def _expire_some(before: datetime) -> int:
    old = Job.objects.filter(kind__in=WITH_DOCUMENT, finished_at__lt=before, expired_at=None)
    with act(SYSTEM) as log:
        leases.fence()
        jobs = list(old.select_for_update(of=("self",)).order_by("pk")[:AT_ONCE])
        JobPiece.objects.filter(job__in=jobs).delete()
        for job in jobs:
            kept = {name: value for name, value in job.result.items() if not isinstance(value, list)}
            Job.objects.filter(pk=job.pk).update(result=kept, expired_at=timezone.now())
            log.record(
                "job.expired",
                subject=f"job:{job.pk}",
                repository=job.repository_id,
                data={"kind": job.kind, "days": settings.JOB_RESULT_DAYS},
            )
    return len(jobs)


def _permit(viewer: Viewer, right: str) -> None:
    if not viewer.may(right):
        raise NotPermitted("Your role or token does not permit it.")


def _name(source: str, usual: str) -> str:
    """The last part of a path as anybody's system writes it, cut down to what can be kept and shown."""
    return limits.shown(source.rsplit("/", 1)[-1].rsplit("\\", 1)[-1], MAX_SOURCE) or usual


def _submit(actor: Actor, viewer: Viewer, stream: Readable, about: dict[str, Any], requested_by: Account | None) -> Job:
    # Received whole before the transaction begins: a slow sender holds no lock.
    with tempfile.TemporaryFile() as held:
        size = _receive(stream, held)
        if size == 0:
            raise Refused("empty", "the file is empty")
        held.seek(0)
        with act(actor) as log:
            job = _create(viewer, about, size, requested_by)
            keep(job, held, is_output=False)
            _announce(log, job)
    return job


def _create(viewer: Viewer, about: dict[str, Any], size: int, requested_by: Account | None) -> Job:
    if requested_by is not None:
        # One of an account's requests after the other: each counts those that came before it.
        Account.objects.select_for_update(no_key=True).get(pk=requested_by.pk)
        waiting = Job.objects.filter(requested_by=requested_by, state__in=(JobState.PENDING, JobState.RUNNING))
        if waiting.count() >= MAX_WAITING:
            raise TooManyWaiting(
                "too_many_waiting", f"{MAX_WAITING} of your files and exports wait; send more once some have ended"
            )
    scopes = None if viewer.scopes is None else sorted(viewer.scopes)
    return Job.objects.create(**about, size=size, requested_by=requested_by, scopes=scopes)


def _announce(log: Log, job: Job) -> None:
    log.record(
        "job.submitted",
        subject=f"job:{job.pk}",
        repository=job.repository_id,
        data={"kind": str(job.kind), "size": job.size, "by": job.requested_by_id},
    )
    log.wake("job", job.pk)


def keep(job: Job, file: IO[bytes], *, is_output: bool) -> None:
    """Keeps a file beside its job, in pieces. Part of a unit of work."""
    number = 0
    while piece := file.read(CHUNK):
        JobPiece.objects.create(job=job, is_output=is_output, number=number, data=piece)
        number += 1


def _receive(stream: Readable, held: IO[bytes]) -> int:
    size = 0
    while piece := stream.read(CHUNK):
        size += len(piece)
        if size > settings.REPORT_MAX_BYTES:
            raise TooLarge("too_large", f"a file holds at most {settings.REPORT_MAX_BYTES} bytes as it is sent")
        held.write(piece)
    return size
