"""One reading of a repository: fetch, read, match, open and close APVs, prepare remedies. Asked for by people and events."""

from __future__ import annotations

import threading
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from django.db.models import Q, QuerySet
from django.utils import timezone

from immune import aftermath, apvs, claims, git, reading, rebasing, remedies, work
from immune.advisories.selectors import knowledge_of
from immune.events.actors import SYSTEM, Actor
from immune.events.log import act
from immune.fetching import CannotRead, fetch
from immune.findings import Findings, findings_in, packages_in, unresolved_packages
from immune.git_checkout import push_back
from immune.git_process import GitError
from immune.ingest.knowing import confirm_again
from immune.ingest.services import match_components_again
from immune.models import APV, ForgeJob, Repository, Scan
from immune.models.apvs import APVStatus
from immune.models.repositories import ScanState
from immune.priority import Reachability
from immune.reachability.judging import ECOSYSTEMS, Reach, names_of, reach_of
from immune.reachability.tree import sources_of
from immune.services import mirror_of
from immune.transitions import move_apv


def run(scan: Scan, lost: threading.Event) -> None:
    """Does one claimed scan. A repository that cannot be read ends it as failed with the reason on the repository."""
    repository = scan.repository
    actor = Actor.of(scan.requested_by) if scan.requested_by else SYSTEM
    try:
        bench, result = _read(repository, scan, actor)
    except CannotRead as error:
        _fail(scan, repository, error.reason, str(error))
        return
    cause, _, about = scan.cause.partition(":")
    wanted = _wanted(about) if cause == "modify" else {}
    result["remedies"] = remedies.propose_remedies(
        bench, actor=actor, again=bool(scan.result.get("again")), wanted=wanted
    )
    result["rebased"] = rebasing.rebase_stale(
        bench, only=UUID(about) if cause == "rebase" else None, after_merge=cause == "merged"
    )
    if cause == "merged":
        result["write_back"] = _write_back(repository)
    with act(actor) as log:
        claims.finish(
            scan, to=ScanState.DONE, finished_at=timezone.now(), head_commit=bench.reading.commit, result=result
        )
        log.record(
            "repository.scanned",
            subject=f"repository:{repository.pk}",
            repository=repository.pk,
            data={"scan": str(scan.pk), "head": bench.reading.commit, "refused": len(result["refused"])},
        )


def _read(repository: Repository, scan: Scan, actor: Actor) -> tuple[remedies.Workbench, dict[str, Any]]:
    mirror, branch, head = fetch(repository)
    try:
        found = reading.read_tree(mirror, head)
    except GitError as error:
        if error.passing:
            raise
        raise CannotRead(error.reason.value, error.message) from error
    dependencies = found.dependencies
    knowledge = knowledge_of(packages_in(dependencies))
    findings = findings_in(dependencies, knowledge)
    reach = _reach(mirror, head, findings)
    since = aftermath.merges_before(repository, head)
    refused = [*found.refused, *findings.doubts]
    problem = ""
    if not found.inventories and not found.refused:
        problem = "no manifest of a known format was found"
    elif found.refused:
        problem = f"{len(found.refused)} part(s) of the manifests could not be read"
    with act(actor) as log:
        if not claims.extend(scan, lease=SCANS.lease):
            raise claims.LostClaim(f"scan {scan.pk} was taken over")
        apvs.store_dependencies(repository, dependencies)
        changes = apvs.apply_findings(
            log, repository, findings, found, unresolved=unresolved_packages(dependencies), reach=reach
        )
        aftermath.compare(log, since, findings)
        remedies.retire_moot(log, repository)
        Repository.objects.filter(pk=repository.pk).update(
            default_branch=branch, head_commit=head, read_at=timezone.now(), problem=problem
        )
    match_components_again(repository, actor)
    if scan.cause == "advisories_changed":
        confirm_again(repository)
    repository.refresh_from_db()
    result = {
        "opened": changes.opened,
        "reopened": changes.reopened,
        "updated": changes.updated,
        "closed": changes.closed,
        "suppressed": changes.suppressed,
        "manifests": len(found.inventories),
        "refused": [{"source": refusal.source, "reason": refusal.reason} for refusal in refused][:1000],
    }
    if problem and not found.inventories:
        raise CannotRead("no_manifest" if not found.refused else "unreadable", _explained(problem, result))
    return remedies.Workbench(repository, mirror, found, knowledge), result


def _reach(mirror: git.Mirror, head: str, findings: Findings) -> dict[apvs.Identity, Reach]:
    """How near the repository's own code comes to what was found. Outside any transaction: it reads many files."""
    looked_at = [one for one in findings.found if one.ecosystem in ECOSYSTEMS]
    if not looked_at:
        return {}
    try:
        names = [names_of(one.ecosystem, one.package, one.symbols) for one in looked_at]
        sources = sources_of(mirror, head, frozenset().union(*names))
    except GitError as error:
        if error.passing:
            raise
        return {one.identity: Reach(Reachability.UNKNOWN, error.message) for one in looked_at}
    return {
        one.identity: reach_of(
            sources, ecosystem=one.ecosystem, package=one.package, symbols=one.symbols, direct=one.direct
        )
        for one in looked_at
    }


def _explained(problem: str, result: dict[str, Any]) -> str:
    first = result["refused"][:1]
    return problem + (f": {first[0]['source']}: {first[0]['reason']}" if first else "")


def _wanted(about: str) -> dict[tuple[str, str], str]:
    """The target a reviewer asked for instead, from the job that told the forge."""
    job = ForgeJob.objects.select_related("remedy").get(pk=UUID(about))
    target = job.arguments.get("modifications", {}).get("target_version")
    return {(job.remedy.ecosystem, job.remedy.package_name): target} if target else {}


def _write_back(repository: Repository) -> str:
    if not repository.write_back:
        return "off"
    mirror = mirror_of(repository)
    try:
        moved = push_back(mirror, Path(repository.location), git.default_branch(mirror))
    except GitError as error:
        return f"refused: {error.message}"
    return "done" if moved else "already"


def _fail(scan: Scan, repository: Repository, reason: str, message: str) -> None:
    with act(SYSTEM) as log:
        claims.finish(
            scan,
            to=ScanState.FAILED,
            finished_at=timezone.now(),
            last_error=message,
            result={"reason": reason, "refused": [{"source": repository.location, "reason": message}]},
        )
        Repository.objects.filter(pk=repository.pk).update(problem=message)
        log.record(
            "repository.unreadable",
            subject=f"repository:{repository.pk}",
            repository=repository.pk,
            data={"scan": str(scan.pk), "reason": reason},
        )


def give_up(scan: Scan, error: str) -> None:
    """Ends a scan that never came to an end as failed, and with it what waits for just this one: people can ask for it again.

    After a merge nothing is failed: the branch is read again every day, which resolves what was merged.
    """
    with act(SYSTEM) as log:
        _fail(scan, scan.repository, "given_up", error)
        for apv in _waiting_for(scan):
            reason = f"The repository could not be read again: {error}"[:2000]
            move_apv(apv, to=APVStatus.FAILED, log=log, why="scan_given_up", reason=reason, remedy=None)


def _waiting_for(scan: Scan) -> QuerySet[APV]:
    cause, _, about = scan.cause.partition(":")
    waiting = APV.objects.filter(repository=scan.repository, status=APVStatus.REMEDIATING)
    if cause == "rebase":
        return waiting.filter(remedy=UUID(about))
    if cause == "modify":
        remedy = ForgeJob.objects.select_related("remedy").get(pk=UUID(about)).remedy
        return waiting.filter(ecosystem=remedy.ecosystem, package_name=remedy.package_name, remedy=None)
    return waiting.none()


SCANS = work.Kind(
    name="scan",
    queue="remedy",
    rows=Scan.objects.select_related("repository", "requested_by").all,
    run=run,
    give_up=give_up,
    scope=lambda repository: Q(repository=repository),
    lease=timedelta(minutes=5),
    attempts=3,
)
