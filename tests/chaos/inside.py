"""What a game asks of the product's own code: who plays, which repositories there are, and whether every promise held."""

from __future__ import annotations

import subprocess
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import orjson
from django.db.models import F, Sum
from django.utils import timezone

from immune import broker, work
from immune.demo.bootstrap import load_advisories
from immune.events.actors import COMMAND
from immune.events.audit import checkpoint_path, verify
from immune.events.log import end_of_chain
from immune.models import APV, Account, Event, ForgeJob, LocalNote, LocalPullRequest, Remedy, Repository, Team
from immune.models.apvs import APVStatus
from immune.models.remedies import ForgeJobKind, ForgeJobState
from immune.models.repositories import ForgeKind
from immune.people.services import create_account, create_team, create_token
from immune.services import mirror_of, register_local, register_remote, request_scan
from reviews.live.frames import FrameRefused, Seen, frame_of
from reviews.models import Decision, Review, ReviewState
from tests.chaos.clients import CHANNELS
from wargaming.models import Wargame

ON_THE_WAY = (APVStatus.REMEDIATING, APVStatus.WARGAMING, APVStatus.APPROVED)
TEAM = "first"


def set_up(repositories: list[str]) -> dict[str, Any]:
    """Queues, advisories, accounts and repositories. ana sees everything, bruno the first half, and both may decide."""
    broker.set_up()
    load_advisories()
    tokens = {}
    for name, role in (("ana", "admin"), ("bruno", "reviewer")):
        account = create_account(actor=COMMAND, username=name, password=None, role=role)
        tokens[name] = create_token(actor=COMMAND, account=account, name="chaos", scopes=["read", "decide"])[1]
    rows = [
        register_remote(actor=COMMAND, url=place) if "://" in place else register_local(actor=COMMAND, path=Path(place))
        for place in repositories
    ]
    bruno = Account.objects.get(username="bruno")
    create_team(actor=COMMAND, name=TEAM, members=[bruno], repositories=rows[: (len(rows) + 1) // 2])
    return {"tokens": tokens, "repositories": [str(row.pk) for row in rows]}


def immunize(repository: str) -> str:
    """As `immunize --no-wait` does."""
    return str(request_scan(actor=COMMAND, repository=Repository.objects.get(pk=repository), cause="asked").pk)


def unfinished() -> tuple[dict[str, int], int, bool]:
    """What is still to come to an end, empty when nothing is; the end of the log, which tells whether anything moves; and
    whether all of it waits between two attempts, so that nothing has to move."""
    counts = {kind.name: kind.rows().filter(state__in=("pending", "running")).count() for kind in work.kinds()}
    counts["open reviews"] = Review.objects.exclude(state=ReviewState.DECIDED).count()
    left = {name: count for name, count in counts.items() if count}
    waiting = sum(kind.rows().filter(state="pending", due_at__gt=timezone.now()).count() for kind in work.kinds())
    return left, end_of_chain()[0], bool(left) and sum(left.values()) == waiting


# ── what must hold ───────────────────────────────────────────────────────────────────────────────────────────────────


def found() -> dict[str, Any]:
    """Everything a game is judged by; ``problems`` is empty when every promise held."""
    problems = [*_decisions(), *_forge(), *_ends(), *_frames()]
    path = checkpoint_path()
    audit = verify(path if path.exists() else None)
    if not audit.ok:
        problems.append(f"the audit fails: {audit.first_bad or audit.checkpoint}")
    jobs = ForgeJob.objects.filter(decision__isnull=False)
    return {
        "problems": problems,
        "remedies": Remedy.objects.count(),
        "apvs": dict(Counter(APV.objects.values_list("status", flat=True))),
        "wargames": Wargame.objects.count(),
        "events": audit.events,
        "decisions": Decision.objects.count(),
        "effects": jobs.filter(state=ForgeJobState.DONE).count(),
        "refusals": jobs.filter(state__in=(ForgeJobState.REFUSED, ForgeJobState.FAILED)).count(),
        "reruns": {kind.name: _reruns(kind) for kind in work.kinds()},
        "decided": [str(pk) for pk in Decision.objects.values_list("pk", flat=True)],
    }


def _reruns(kind: work.Kind) -> int:
    """Attempts beyond the first of what came to its end all the same."""
    rows = kind.rows().exclude(state__in=("pending", "running")).filter(attempts__gt=1)
    return int(rows.aggregate(more=Sum(F("attempts") - 1))["more"] or 0)


def _decisions() -> list[str]:
    """Each decision has one effect on the forge, or a refusal with a round after it (or a successor) that people see."""
    problems = []
    for decision in Decision.objects.select_related("job__remedy__repository", "review"):
        job = decision.job
        name = f"{decision.decision} of {decision.apv_code}"
        if job is None and decision.action_taken != "none":
            problems.append(f"{name}: no job carries it out")
        elif job is None:
            continue
        elif job.state == ForgeJobState.DONE:
            problems += [f"{name}: {problem}" for problem in _effect(job)]
        elif job.state in (ForgeJobState.REFUSED, ForgeJobState.FAILED):
            seen = Review.objects.filter(remedy=job.remedy, round__gt=decision.review.round).exists()
            if decision.is_final and not seen and not job.remedy.reason:
                problems.append(f"{name}: refused ({job.reason}), and nobody is asked again")
            if not job.message:
                problems.append(f"{name}: refused without a reason")
        else:
            problems.append(f"{name}: its job is {job.state}")
    return problems


def forge_jobs() -> list[dict[str, Any]]:
    """Every job with what it was about, for whoever holds the forge's own books."""
    return [
        {
            "repository": job.remedy.repository.name,
            "number": job.remedy.pull_request_number,
            "head": job.head_commit,
            "kind": str(job.kind),
            "state": str(job.state),
        }
        for job in ForgeJob.objects.select_related("remedy__repository")
    ]


def _effect(job: ForgeJob) -> list[str]:
    if job.remedy.repository.forge != ForgeKind.LOCAL:
        return []  # its own books are compared outside
    pull = LocalPullRequest.objects.get(repository_id=job.remedy.repository_id, number=job.remedy.pull_request_number)
    notes = LocalNote.objects.filter(repository_id=job.remedy.repository_id, key__endswith=str(job.pk)).count()
    if job.kind == ForgeJobKind.MERGE and (pull.state != "merged" or pull.head_commit != job.head_commit):
        return [f"done, but the pull request is {pull.state} at {pull.head_commit[:12]}"]
    if job.kind == ForgeJobKind.CLOSE and pull.state != "closed":
        return [f"done, but the pull request is {pull.state}"]
    if job.kind in (ForgeJobKind.ESCALATE, ForgeJobKind.REQUEST_CHANGES) and notes != 1:
        return [f"done, but left {notes} notes"]
    return []


def _forge() -> list[str]:
    """No merge commit, pull request or note twice, and none that nobody decided."""
    problems = []
    for repository in Repository.objects.filter(forge=ForgeKind.LOCAL):
        log = _git(repository, "log", "--first-parent", "--format=%H %s", "HEAD").splitlines()
        on_branch = [line.split(" ", 1) for line in log if " Upgrade " in line]
        pulls = list(LocalPullRequest.objects.filter(repository=repository))
        merged = {pull.merge_commit for pull in pulls if pull.state == "merged"}
        if len(on_branch) != len(merged) or {commit for commit, _ in on_branch} != merged:
            problems.append(f"{repository.name}: {len(on_branch)} merge commits, {len(merged)} merged pull requests")
        approved = ForgeJob.objects.filter(
            remedy__repository=repository, kind=ForgeJobKind.MERGE, state=ForgeJobState.DONE
        )
        if approved.count() != len(merged):
            problems.append(f"{repository.name}: {len(merged)} merged, {approved.count()} merges decided and done")
        for title, count in Counter(title for _, title in on_branch).items():
            if count > 1:
                problems.append(f"{repository.name}: {count} commits {title!r}")
        for key, count in Counter(pull.key for pull in pulls).items():
            if count > 1:
                problems.append(f"{repository.name}: {count} pull requests of remedy {key}")
    keys = Counter(LocalNote.objects.exclude(kind="verdict").values_list("key", flat=True))
    problems += [f"{count} notes {key}" for key, count in keys.items() if count > 1]
    return problems


def _git(repository: Repository, *words: str) -> str:
    command = ["git", f"--git-dir={mirror_of(repository).path}", *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def _ends() -> list[str]:
    """Everything that had to be done has ended, and no APV waits for something that will not come."""
    problems = [f"{count} {name} without an end" for name, count in unfinished()[0].items()]
    for kind in work.kinds():
        for row in kind.rows().filter(state__in=("pending", "running"))[:5]:
            problems.append(
                f"{kind.name} {row.pk}: {row.state}, attempt {row.attempts}, due {row.due_at:%H:%M:%S}, lease until "
                f"{row.lease_until}, now {timezone.now():%H:%M:%S}, last error {row.last_error[:200]!r}"
            )
    for apv in APV.objects.filter(status__in=(*ON_THE_WAY, APVStatus.IN_REVIEW)):
        problems.append(f"{apv.apv_code} ({apv.package_name}) stays {apv.status}")
    for apv in APV.objects.filter(status=APVStatus.FAILED):
        # Every pin of the game can be upgraded: only a kill taken for an answer can make one fail.
        problems.append(f"{apv.apv_code} ({apv.package_name}) failed: {apv.reason}")
    for name in ("delivery", "scan"):
        rows = work.kind_named(name).rows().filter(state__in=("parked", "failed"))
        problems += [f"{name} given up: {row.last_error[:300]}" for row in rows]
    for wargame in Wargame.objects.filter(state="finished", verdict=""):
        problems.append(f"wargame {wargame.pk} ended without a verdict")
    return problems


# ── what sockets may see ─────────────────────────────────────────────────────────────────────────────────────────────


def _seen() -> list[Seen]:
    rows = Event.objects.order_by("position").values_list(
        "position", "kind", "occurred_at", "subject", "repository_id", "body"
    )
    return [Seen(*row[:5], orjson.loads(row[5])["data"]) for row in rows]


def _frames() -> list[str]:
    """Every event fits the frame declared for it; one that does not is shown to nobody."""
    refused: dict[str, str] = {}
    for event in _seen():
        try:
            frame_of(event)
        except FrameRefused as error:
            refused.setdefault(event.kind, str(error))
    return [f"never shown: {error}" for error in refused.values()]


def visible() -> dict[str, list[int]]:
    """The positions each may see, by name: those of all repositories for ana, of the team's for bruno."""
    own = set(Team.objects.get(name=TEAM).repositories.values_list("pk", flat=True))
    positions: dict[str, list[int]] = defaultdict(list)
    for event in _seen():
        try:
            frame = frame_of(event)
        except FrameRefused:
            continue
        if frame is None or frame.channel not in CHANNELS:
            continue
        positions["ana"].append(frame.position)
        if frame.everyone or frame.repository in own:
            positions["bruno"].append(frame.position)
    return dict(positions)
