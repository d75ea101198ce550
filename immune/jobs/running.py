"""What a worker does with each kind of job. What cannot be read ends as failed with the reason, and has changed nothing."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import IO, Any

from django.conf import settings
from django.db.models import Q
from django.utils import timezone

from immune import claims, work
from immune.advisories.services import sync_advisories
from immune.events.actors import SYSTEM, Actor
from immune.events.log import act
from immune.formats.limits import shown
from immune.ingest.services import Overtaken, ingest_report
from immune.inventory import Refusal, Unreadable
from immune.jobs.selectors import sent
from immune.jobs.services import keep
from immune.models import Job, JobPiece
from immune.models.jobs import JobKind, JobState
from immune.path_scan import scan_upload
from immune.people.selectors import Viewer, sees, viewer_of, visible_repositories
from immune.vex import documents
from immune.vex.selectors import said

MAX_KEPT = 200  # of each list of a result; the whole stands in the document, or nowhere
Progress = Callable[[dict[str, int]], None]


@dataclass(slots=True)
class Ended:
    """How a job ended. ``document`` is kept beside it where there is one."""

    result: dict[str, Any]
    state: JobState = JobState.DONE
    reason: str = ""
    document: IO[bytes] | None = None
    arguments: dict[str, Any] = field(default_factory=dict)


def run(job: Job, lost: threading.Event) -> None:
    """Does one claimed job."""

    def progress(found: dict[str, int]) -> None:
        if lost.is_set():
            raise claims.LostClaim(f"job {job.pk} was taken over")
        Job.objects.filter(pk=job.pk, owner=job.owner).update(progress=found)

    viewer = viewer_of(job.requested_by, job.scopes)
    try:
        ended = _RUNS[JobKind(job.kind)](job, viewer, progress)
    except Unreadable as error:
        ended = _failed("unreadable", Refusal(error.source, error.reason))
    except Overtaken as error:
        ended = _failed("overtaken", Refusal(job.source, str(error)))
    with ended.document or tempfile.TemporaryFile() as made:
        _end(job, ended, made if ended.document else None)


def give_up(job: Job, error: str) -> None:
    _end(job, _failed("given_up", Refusal(job.source, error[:2000])), None)


def _end(job: Job, ended: Ended, made: IO[bytes] | None) -> None:
    with act(SYSTEM) as log:
        claims.finish(
            job,
            to=ended.state,
            finished_at=timezone.now(),
            reason=ended.reason,
            result=ended.result,
            arguments=job.arguments | ended.arguments,
        )
        JobPiece.objects.filter(job=job).delete()
        if made is not None:
            keep(job, made, is_output=True)
        log.record(
            "job.finished",
            subject=f"job:{job.pk}",
            repository=job.repository_id,
            data={"kind": job.kind, "state": str(ended.state), "reason": ended.reason},
        )


def _report(job: Job, viewer: Viewer, progress: Progress) -> Ended:
    if job.repository is None:
        raise Unreadable(job.source, "the report names no repository")
    if not viewer.may("immunize") or not sees(viewer, job.repository.pk):
        return _not_permitted(job)
    with sent(job) as file:
        done = ingest_report(
            file=file,  # type: ignore[arg-type]
            repository=job.repository,
            actor=_actor(job),
            source=job.source,
            part=job.part,
            progress=progress,
            viewer=viewer,
            author=job.requested_by,
        )
    return Ended(done.as_dict())


def _scan(job: Job, viewer: Viewer, progress: Progress) -> Ended:
    if not viewer.may("immunize"):
        return _not_permitted(job)
    with tempfile.TemporaryDirectory(prefix="immune-scan-") as folder:
        found = scan_upload(_unfolded(job, folder), job.source, progress=progress)
    whole = found.as_dict()
    lists = ("findings", "unresolved", "unreadable")
    return Ended(
        {
            "outcome": found.outcome,
            "dependencies": whole["dependencies"],
            **{name: whole[name][:MAX_KEPT] for name in lists},
            **{f"{name}_count": len(whole[name]) for name in lists},
        },
        document=_written(whole),
    )


def _advisories(job: Job, viewer: Viewer, progress: Progress) -> Ended:
    if not viewer.may("operate"):
        return _not_permitted(job)
    with tempfile.TemporaryDirectory(prefix="immune-advisories-") as folder:
        path = _unfolded(job, folder)
        # The name tells JSON Lines from JSON, and stands in what is refused.
        named = path.rename(path.with_name(re.sub(r"[^A-Za-z0-9._-]+", "-", job.source).lstrip(".-")[-100:] or "sent"))
        done = sync_advisories(actor=_actor(job), paths=[named], progress=progress)
    counts = {name: value for name, value in done.as_dict().items() if name != "refused"}
    return Ended({**counts, **_refused(done.refused)})


def _export(job: Job, viewer: Viewer, progress: Progress) -> Ended:
    seen = visible_repositories(viewer)
    if job.repository is not None:
        seen = seen.filter(pk=job.repository.pk)
        if not seen.exists():
            return _not_permitted(job)
    one = job.repository is not None
    spoken_of = None if viewer.sees_all and not one else sorted(str(pk) for pk in seen.values_list("pk", flat=True))
    found, unsayable = said(viewer, job.repository)
    progress({"read": len(found), "applied": 0})
    issue = documents.Issue(settings.APP_NAME, timezone.now(), settings.APP_VERSION)
    try:
        whole = documents.KINDS[job.arguments["kind"]](found, issue)
    except documents.NothingToSay as error:
        return _failed("nothing_to_say", Refusal(job.source, str(error)))
    refused = [Refusal(code, "its package has no package URL") for code in unsayable]
    progress({"read": len(found), "applied": len(found)})
    return Ended(
        {"format": job.arguments["kind"], "statements": len(found), **_refused(refused)},
        document=_written(whole),
        arguments={"repositories": spoken_of},
    )


_RUNS: dict[JobKind, Callable[[Job, Viewer, Progress], Ended]] = {
    JobKind.REPORT: _report,
    JobKind.SCAN: _scan,
    JobKind.ADVISORIES: _advisories,
    JobKind.EXPORT: _export,
}


def _actor(job: Job) -> Actor:
    return Actor.of(job.requested_by) if job.requested_by else SYSTEM


def _unfolded(job: Job, folder: str) -> Path:
    """What was sent as a file of our own naming: a stranger's name never reaches the disk unchanged."""
    path = Path(folder, "sent")
    with sent(job) as file, path.open("wb") as kept:
        shutil.copyfileobj(file, kept)
    return path


def _written(whole: dict[str, Any]) -> IO[bytes]:
    file = tempfile.TemporaryFile()  # noqa: SIM115 - closed once it is kept
    file.write(json.dumps(whole, indent=2, ensure_ascii=False).encode("utf-8", "backslashreplace"))
    file.seek(0)
    return file


def _refused(found: list[Refusal]) -> dict[str, Any]:
    return {
        "refused_count": len(found),
        "refused": [{"source": shown(one.source, 400), "reason": shown(one.reason, 400)} for one in found[:MAX_KEPT]],
    }


def _failed(reason: str, *refused: Refusal) -> Ended:
    return Ended(_refused(list(refused)), JobState.FAILED, reason)


def _not_permitted(job: Job) -> Ended:
    return _failed("not_permitted", Refusal(job.source, "the account that asked may not, or no longer"))


JOBS = work.Kind(
    name="job",
    queue="ingest",
    rows=Job.objects.select_related("repository", "requested_by").all,
    run=run,
    give_up=give_up,
    scope=lambda repository: Q(repository=repository),
    lease=timedelta(minutes=2),
    attempts=3,
)
