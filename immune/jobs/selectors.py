"""Which jobs somebody may see, and the documents they left."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from typing import IO

from django.db.models import Q, QuerySet

from immune.models import Job, JobPiece
from immune.models.jobs import JobKind, JobState
from immune.people.selectors import Viewer, visible_repositories, within_sight

# What leaves a document behind; of the others ``result`` is the whole answer.
WITH_DOCUMENT = (JobKind.SCAN, JobKind.EXPORT)


def jobs(viewer: Viewer) -> QuerySet[Job]:
    """The reports sent for repositories in sight, and what the account itself asked for. Who sees everything sees all."""
    rows = Job.objects.select_related("repository", "requested_by")
    if not viewer.may("read"):
        return rows.none()
    if viewer.sees_all:
        return rows
    mine = Q(requested_by=viewer.account_id) & (Q(repository=None) | within_sight(viewer))
    return rows.filter(Q(kind=JobKind.REPORT) & within_sight(viewer) | mine)


def has_document(job: Job) -> bool:
    """Whether there is a document to download."""
    return job.kind in WITH_DOCUMENT and job.state == JobState.DONE and job.expired_at is None


def still_in_sight(viewer: Viewer, job: Job) -> bool:
    """Whether everything the document may speak of is the viewer's to see today, and not only when it was written."""
    if job.kind != JobKind.EXPORT or viewer.sees_all:
        return True
    spoken_of = job.arguments.get("repositories")
    if spoken_of is None:
        return False
    return visible_repositories(viewer).filter(pk__in=spoken_of).count() == len(spoken_of)


def sent(job: Job) -> IO[bytes]:
    """What was sent, put together again in a file that is gone when it is closed."""
    file = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
    for piece in _pieces(job, is_output=False):
        file.write(piece)
    file.seek(0)
    return file


def document(job: Job) -> Iterator[bytes]:
    """The document that was made, piece by piece."""
    return _pieces(job, is_output=True)


def _pieces(job: Job, *, is_output: bool) -> Iterator[bytes]:
    rows = JobPiece.objects.filter(job=job, is_output=is_output)
    for number in range(rows.count()):
        yield bytes(rows.get(number=number).data)
