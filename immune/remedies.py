"""Preparing remedies: for each vulnerable package the smallest version that closes what can be closed, as one change.

Planning and git happen outside transactions; then rows, moves and the forge job that opens the pull request are written together.
"""

from __future__ import annotations

import hashlib
import posixpath
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog
from django.conf import settings
from django.db.models import Q
from django.utils import timezone

from immune import git
from immune.advisories.selectors import Knowledge, knowledge_of
from immune.events.actors import Actor
from immune.events.log import Log, act
from immune.findings import Package, findings_in, packages_in
from immune.formats import detect, limits
from immune.formats.requirements_edit import CannotEdit, change_pin
from immune.git import Identity, Mirror
from immune.git_process import GitError
from immune.homeostasis.loops import Before, loop_in
from immune.inventory import Note, Unreadable
from immune.models import APV, ForgeJob, Remedy, Repository
from immune.models.aftermaths import BACK
from immune.models.apvs import APVStatus
from immune.models.remedies import LIVE_REMEDIES, ForgeJobKind, ForgeJobState, RemedyState
from immune.planning import Plan, plan_for
from immune.reading import Reading, read_manifests
from immune.renewal import CannotRenew, RegistryUnreachable, Wanted, check_for, renewer_for
from immune.transitions import move_apv, move_remedy
from immune.versions import Unparsable, order_for

log_ = structlog.get_logger(__name__)

AUTHOR = Identity("Immune", "immune@localhost")
# Commits are dated, so that the same change on the same base is the same commit whoever makes it and however often.
EPOCH = datetime(2020, 1, 1, tzinfo=UTC)
# Files that ask for versions, beside which a lock file may stand.
MANIFESTS = frozenset({"package.json", "pyproject.toml"})
PLANNABLE = (APVStatus.OPEN, APVStatus.NO_FIX)


class CannotRemedy(Exception):
    """No change can be prepared; the text is the reason for people."""


@dataclass(frozen=True, slots=True)
class Change:
    """A prepared change: new text per file, the commit on top of the base, and the patch as a unified diff."""

    files: dict[str, str]
    base: str
    head: str
    patch: str

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.patch.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Workbench:
    """What preparing needs: the repository, its mirror, what was read of it, and what is known."""

    repository: Repository
    mirror: Mirror
    reading: Reading
    knowledge: Knowledge


def propose_remedies(
    bench: Workbench, *, actor: Actor, again: bool = False, wanted: dict[Package, str] | None = None
) -> int:
    """Prepares a remedy for each package with APVs that wait for one. Returns how many were proposed.

    ``again``: targets that were rejected here may be proposed once more. ``wanted``: targets a reviewer asked for instead of
    the smallest.
    """
    wanted = wanted or {}
    proposed = 0
    for package, apvs in sorted(_waiting(bench.repository).items()):
        proposed += _propose(bench, package, apvs, actor=actor, again=again, target=wanted.get(package))
    return proposed


def _waiting(repository: Repository) -> dict[Package, list[APV]]:
    packages: dict[Package, list[APV]] = defaultdict(list)
    # What only reports see stands in no manifest that could be changed.
    for apv in APV.objects.filter(repository=repository, scan_sees=True).order_by("priority", "apv_code"):
        packages[apv.ecosystem, apv.package_name].append(apv)
    ready = (*PLANNABLE, APVStatus.REMEDIATING, APVStatus.FAILED)
    return {p: apvs for p, apvs in packages.items() if any(apv.status in ready for apv in apvs)}


def _propose(
    bench: Workbench, package: Package, apvs: list[APV], *, actor: Actor, again: bool, target: str | None
) -> int:
    live = Remedy.objects.filter(
        repository=bench.repository, ecosystem=package[0], package_name=package[1], state__in=LIVE_REMEDIES
    ).first()
    served = [apv for apv in apvs if apv.status not in (APVStatus.SUPPRESSED, APVStatus.RESOLVED, APVStatus.WITHDRAWN)]
    served = [apv for apv in served if apv.status != APVStatus.MERGED]
    if any(apv.status == APVStatus.APPROVED for apv in served):
        # A decision is on its way to the forge; what it leaves is planned when the branch is read again.
        return 0
    ready = (*PLANNABLE, APVStatus.REMEDIATING, *((APVStatus.FAILED,) if again else ()))
    fresh = [apv for apv in served if apv.status in ready and apv.remedy_id is None]
    if live is not None and not fresh and target in (None, live.target_version):
        # Also when this reading was begun before and killed after it had proposed what was asked for.
        return 0
    current = _lowest(package, served)
    try:
        plan = (
            _plan(bench, package, current, apvs) if target is None else _towards(bench, package, current, target, apvs)
        )
    except (Unparsable, CannotRemedy) as error:
        _fail(actor, fresh, str(error))
        return 0
    closes = [apv for apv in served if apv.group.canonical_id in plan.closes]
    _say_no_fix(actor, plan, [apv for apv in fresh if apv not in closes])
    if plan.target is None or not closes or not (target or any(apv in closes for apv in fresh)):
        return 0
    if live is None and not again and target is None and _was_rejected(bench.repository, package, plan.target):
        return 0
    if not again and target is None and (circle := _circle(bench.repository, package, current, plan.target)):
        _stop_circling(actor, package, plan.target, [apv for apv in fresh if apv in closes], circle)
        return 0
    try:
        change = prepare_change(bench, package, plan.target, frozenset(apv.group.canonical_id for apv in closes))
    except RegistryUnreachable as error:
        # Nothing was learned about the change: they wait as they are, for the next reading.
        log_.warning("registry_unreachable", repository=str(bench.repository.pk), package=package[1], error=str(error))
        return 0
    except (CannotRemedy, CannotEdit, GitError) as error:
        if isinstance(error, GitError) and error.passing:
            raise
        _fail(actor, [apv for apv in fresh if apv in closes], str(error))
        return 0
    with act(actor) as log:
        if live is not None and decision_under_way(live):
            return 0
        if live is not None:
            supersede(log, live, why="newer_remedy", because=f"Replaced by an upgrade to {plan.target}.")
        _write(log, bench, package, current, plan, change, closes)
    return 1


def _lowest(package: Package, apvs: list[APV]) -> str:
    order = order_for(package[0])
    versions = {version for apv in apvs for version in apv.versions}
    try:
        return min(versions, key=order.key)
    except Unparsable:
        return min(versions)


def _plan(bench: Workbench, package: Package, current: str, apvs: list[APV]) -> Plan:
    ignored = frozenset(apv.group.canonical_id for apv in apvs if apv.status == APVStatus.SUPPRESSED)
    return plan_for(bench.knowledge.index, *package, current, group_of=bench.knowledge.group_of, ignore=ignored)


def _towards(bench: Workbench, package: Package, current: str, target: str, apvs: list[APV]) -> Plan:
    """The plan with a target a reviewer asked for: it must close something and add nothing."""
    from_ = {canonical for canonical, _ in _problems(bench, package, current)}
    left = {canonical for canonical, _ in _problems(bench, package, target)}
    order = order_for(package[0])
    if order.key(target) <= order.key(current):
        raise CannotRemedy(f"{target} is not above {current}")
    if added := sorted(left - from_):
        raise CannotRemedy(f"{target} brings problems that {current} does not have: {', '.join(added)}")
    closes = tuple(apv.group.canonical_id for apv in apvs if apv.group.canonical_id in from_ - left)
    if not closes:
        raise CannotRemedy(f"{target} closes nothing")
    return Plan(target, closes, (), None)


def _problems(bench: Workbench, package: Package, version: str) -> list[tuple[str, str]]:
    return [
        (bench.knowledge.groups[finding.record.id].canonical, finding.record.id)
        for finding in bench.knowledge.index.findings(*package, version)
        if not finding.withdrawn
    ]


def prepare_change(bench: Workbench, package: Package, target: str, closes: frozenset[str]) -> Change:
    """Renews every manifest with an affected version of the package and commits the result on the commit that was read, touching
    no branch. ``closes``: the canonical ids that must be gone afterwards; nothing may have come.

    Raises CannotRemedy, CannotEdit, GitError, RegistryUnreachable.
    """
    files = _renewed(bench, package, target)
    if not files:
        raise CannotRemedy(f"no pin of {package[1]} was found to change")
    _check(bench, package, files, closes)
    base = bench.reading.commit
    head = git.commit_files(
        bench.mirror,
        base,
        {path: text.encode() for path, text in files.items()},
        message=commit_message(package[1], target),
        author=AUTHOR,
        when=EPOCH,
    )
    return Change(files, base, head, git.diff(bench.mirror, base, head))


def _renewed(bench: Workbench, package: Package, target: str) -> dict[str, str]:
    """The new text of every file with a pin that has a problem."""
    pins = sorted(
        {
            (d.manifest, d.version, bool(d.hashes))
            for d in bench.reading.dependencies
            if (d.ecosystem, d.name) == package and d.version is not None and _problems(bench, package, d.version)
        }
    )
    tree = _Tree(bench)
    files: dict[str, str] = {}
    # A lock file first: it holds every version of the package, and what is beside it moves along.
    for path in sorted({path for path, _, _ in pins}, key=lambda path: (posixpath.basename(path) in MANIFESTS, path)):
        versions = [version for at, version, _ in pins if at == path]
        known = detect(path)
        hashed = any(has for at, _, has in pins if at == path)
        if known is not None and known.name == "requirements.txt" and not hashed:
            text = tree.text(path)
            _check_pins(
                Wanted(path, text, package[1], dict.fromkeys(versions, target), tree.beside, _notes(bench, path))
            )
            for version in versions:
                text = change_pin(text, name=package[1], from_version=version, to_version=target)
            files[path] = text
            continue
        renew = renewer_for(known.name) if known is not None else None
        if renew is None:
            raise CannotRemedy(f"{path}: changes to this kind of file are not prepared yet; upgrade to {target}")
        if path in files:
            continue  # renewed together with the file beside it
        targets = {version: _target_of(bench, package, version, target) for version in versions}
        wanted = Wanted(path, tree.text(path), package[1], targets, tree.beside, _notes(bench, path))
        try:
            renewed = renew(wanted)
        except CannotRenew as error:
            raise CannotRemedy(f"{path}: {error}") from error
        if twice := sorted(one for one in renewed.keys() & files if renewed[one] != files[one]):
            raise CannotRemedy(f"{twice[0]} would be changed in two ways, by the lock files beside it")
        files |= renewed
    return files


def _check_pins(wanted: Wanted) -> None:
    """Raises CannotRemedy when the other pins are known not to fit. Without a registry nothing is known: the wargame installs them all."""
    check = check_for("requirements.txt")
    if check is None:
        return
    try:
        check(wanted)
    except CannotRenew as error:
        raise CannotRemedy(f"{wanted.path}: {error}") from error
    except (RegistryUnreachable, Unreadable) as error:
        log_.info("pins_not_checked", path=wanted.path, package=wanted.name, error=str(error))


def _target_of(bench: Workbench, package: Package, version: str, target: str) -> str:
    """Where a lock holds the package at several versions, each goes to the smallest that serves it; ``target`` is the lowest's."""
    order = order_for(package[0])
    try:
        if order.key(version) < order.key(target):
            return target
    except Unparsable as error:
        raise CannotRemedy(f"{package[1]} stands at {limits.shown(version)}, which cannot be ordered") from error
    own = plan_for(bench.knowledge.index, *package, version, group_of=bench.knowledge.group_of)
    if own.target is None:
        raise CannotRemedy(f"{package[1]} {version} stands beside it, and nothing above it closes anything")
    return own.target


def _notes(bench: Workbench, path: str) -> tuple[Note, ...]:
    touching = (one for one in bench.reading.inventories if path in {one.path, *(d.manifest for d in one.dependencies)})
    return tuple(dict.fromkeys(note for one in touching for note in one.notes))


class _Tree:
    """The files of the commit that was read, as text."""

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench
        self._entries = {entry.path: entry for entry in git.list_tree(bench.mirror, bench.reading.commit)}

    def bytes(self, path: str) -> bytes:
        entry = self._entries.get(path)
        if entry is None or entry.mode not in ("100644", "100755", "100664"):
            raise Unreadable(path, "is no file of the repository")
        return git.read_file(self._bench.mirror, self._bench.reading.commit, path)

    def text(self, path: str) -> str:
        try:
            return limits.decode(path, self.bytes(path))
        except Unreadable as error:
            raise CannotRemedy(str(error)) from error

    def beside(self, path: str) -> str | None:
        return self.text(path) if path in self._entries else None


def _unread(reading: Reading) -> set[tuple[str, str]]:
    """File and reason of what could not be read; lines move."""
    return {(one.source.partition(":")[0], one.reason) for one in reading.refused}


def _check(bench: Workbench, package: Package, files: dict[str, str], closes: frozenset[str]) -> None:
    """Reads the changed files as if they had been committed: what was to be closed is gone, and nothing came. Raises CannotRemedy."""
    tree = _Tree(bench)

    def fetch(path: str) -> bytes:
        return files[path].encode() if path in files else tree.bytes(path)

    after = read_manifests(bench.reading.commit, [one.path for one in bench.reading.inventories], fetch)
    if worse := sorted(_unread(after) - _unread(bench.reading)):
        raise CannotRemedy(f"the changed files cannot be read again: {': '.join(worse[0])}")
    names = packages_in(after.dependencies)
    known = bench.knowledge if names <= packages_in(bench.reading.dependencies) else knowledge_of(names)
    before_found = findings_in(bench.reading.dependencies, bench.knowledge)
    found = findings_in(after.dependencies, known)
    left = {(one.ecosystem, one.package, one.group.canonical) for one in found.found}
    had = {(one.ecosystem, one.package, one.group.canonical) for one in before_found.found}
    if open_still := sorted(canonical for canonical in closes if (*package, canonical) in left):
        raise CannotRemedy(f"the change does not close {', '.join(open_still)}")
    if came := sorted(f"{name}: {canonical}" for _, name, canonical in left - had):
        raise CannotRemedy(f"the change brings problems that were not there: {', '.join(came)}")
    if doubtful := sorted({str(one.reason) for one in found.doubts} - {str(one.reason) for one in before_found.doubts}):
        raise CannotRemedy(f"of the change it cannot be told whether it brings a problem: {doubtful[0]}")


def commit_message(package: str, target: str) -> str:
    return f"Upgrade {package} to {target}\n"


def branch_name(package: Package, target: str, base: str) -> str:
    """A name of its own for each package, target and base, so that an older remedy's branch is never in the way."""
    slug = re.sub(r"[^A-Za-z0-9.-]+", "-", f"{package[1]}-{target}").strip("-.")[:80]
    return f"immune/{package[0].lower()}/{slug}-{hashlib.sha256('/'.join((*package, base)).encode()).hexdigest()[:8]}"


def _write(
    log: Log, bench: Workbench, package: Package, current: str, plan: Plan, change: Change, closes: list[APV]
) -> Remedy:
    assert plan.target is not None  # noqa: S101 - the caller returned otherwise
    remedy = Remedy.objects.create(
        repository=bench.repository,
        ecosystem=package[0],
        package_name=package[1],
        from_version=current,
        target_version=plan.target,
        strategy="version_bump",
        bump=plan.bump.value if plan.bump else "",
        branch=branch_name(package, plan.target, change.base),
        base_commit=change.base,
        head_commit=change.head,
        patch=change.patch,
        patch_digest=change.digest,
        changes=change.files,
        manifest_digests=bench.reading.digests,
    )
    log.record(
        "remedy.planned",
        subject=f"remedy:{remedy.pk}",
        repository=remedy.repository_id,
        data={
            "package": ":".join(package),
            "to": plan.target,
            "head": change.head,
            "base": change.base,
            "patch": change.digest,
            "apvs": [apv.apv_code for apv in closes],
        },
    )
    for apv in closes:
        changes = {"patch_strategy": "version_bump", "remedy": remedy, "reason": ""}
        if apv.status == APVStatus.REMEDIATING:
            APV.objects.filter(pk=apv.pk).update(**changes)
        else:
            # Whatever it waited for with the remedy before, it starts anew with this one.
            move_apv(apv, to=APVStatus.REMEDIATING, log=log, why="remedy_planned", **changes)
    order_job(log, remedy, ForgeJobKind.OPEN_PULL_REQUEST, cause=f"remedy:{remedy.pk}")
    return remedy


def order_job(
    log: Log, remedy: Remedy, kind: str, *, cause: str, arguments: dict[str, object] | None = None
) -> ForgeJob:
    """Writes a forge job for a remedy's present head in the current unit of work, once per cause."""
    job, made = ForgeJob.objects.get_or_create(
        remedy=remedy,
        kind=kind,
        head_commit=remedy.head_commit,
        round=0,
        cause=cause,
        defaults={"arguments": arguments or {}},
    )
    if made:
        log.wake("forge", job.pk)
    return job


def supersede(log: Log, remedy: Remedy, *, why: str, because: str) -> None:
    """Retires a live remedy: its pull request is closed, and its APVs are free for another."""
    had_pull = remedy.state == RemedyState.PROPOSED
    move_remedy(remedy, to=RemedyState.SUPERSEDED, log=log, why=why, reason=because)
    APV.objects.filter(remedy=remedy).update(remedy=None)
    # What still waits to be opened never is; what is being opened just now is closed when the forge has answered.
    remedy.jobs.filter(kind=ForgeJobKind.OPEN_PULL_REQUEST, state=ForgeJobState.PENDING).update(
        state=ForgeJobState.CANCELLED, finished_at=timezone.now(), reason="superseded", held=""
    )
    if had_pull:
        order_job(log, remedy, ForgeJobKind.CLOSE, cause=f"superseded:{remedy.pk}")


def decision_under_way(remedy: Remedy) -> bool:
    """Whether a decision about it is on its way to the forge. Only what the forge answers says what became of the remedy, and a
    new head under a pull request that is being closed would become a second pull request."""
    kinds = (ForgeJobKind.MERGE, ForgeJobKind.CLOSE, ForgeJobKind.REQUEST_CHANGES)
    unfinished = (ForgeJobState.PENDING, ForgeJobState.RUNNING)
    return remedy.jobs.filter(kind__in=kinds, state__in=unfinished).exists()


def retire_moot(log: Log, repository: Repository) -> int:
    """Retires live remedies none of whose APVs waits for them any more: somebody else fixed it, or the package is gone.

    One whose decision is on its way to the forge is left to that: the fix just read may be its own merge, not told yet.
    """
    waiting = (APVStatus.REMEDIATING, APVStatus.WARGAMING, APVStatus.IN_REVIEW, APVStatus.APPROVED)
    live = Remedy.objects.filter(repository=repository, state__in=LIVE_REMEDIES)
    unserved = [remedy for remedy in live if not remedy.apvs.filter(status__in=waiting).exists()]
    moot = [remedy for remedy in unserved if not decision_under_way(remedy)]
    for remedy in moot:
        supersede(log, remedy, why="moot", because="Nothing waits for it any more.")
    return len(moot)


def _was_rejected(repository: Repository, package: Package, target: str) -> bool:
    return (
        Remedy.objects.filter(
            repository=repository,
            ecosystem=package[0],
            package_name=package[1],
            target_version=target,
        )
        .filter(
            # What was merged and did not stay is asked about too, not fought over.
            Q(state=RemedyState.CLOSED) | Q(state=RemedyState.MERGED, aftermath__cause__in=BACK)
        )
        .exists()
    )


def _circle(repository: Repository, package: Package, current: str, target: str) -> str:
    """Why proposing this once more would go round in circles; empty when it would not."""
    since = timezone.now() - timedelta(days=settings.LOOP_DAYS)
    rows = Remedy.objects.filter(
        repository=repository, ecosystem=package[0], package_name=package[1], created_at__gt=since
    )
    history = [Before(*row) for row in rows.values_list("from_version", "target_version", "state")]
    return loop_in(history, from_version=current, to_version=target, most_closed=settings.LOOP_CLOSED)


def _stop_circling(actor: Actor, package: Package, target: str, apvs: list[APV], circle: str) -> None:
    """Leaves the APVs to a person, who goes on by asking for the repository to be immunized again."""
    reason = f"Not proposed again, since it goes round in circles: {circle}. Ask for it again to go on all the same."
    if not apvs:
        return
    with act(actor) as log:
        for apv in apvs:
            if apv.status != APVStatus.FAILED:
                move_apv(apv, to=APVStatus.FAILED, log=log, why="loop", reason=reason)
        log.record(
            "remedy.looped",
            subject=f"repository:{apvs[0].repository_id}",
            repository=apvs[0].repository_id,
            data={"package": ":".join(package), "to": target, "apvs": [apv.apv_code for apv in apvs]},
        )


def _say_no_fix(actor: Actor, plan: Plan, apvs: Iterable[APV]) -> None:
    reasons = {no_fix.id: no_fix.reason for no_fix in plan.cannot_close}
    for apv in apvs:
        reason = reasons.get(apv.group.canonical_id)
        if reason is not None and apv.status != APVStatus.NO_FIX:
            with act(actor) as log:
                move_apv(apv, to=APVStatus.NO_FIX, log=log, why="nothing_to_upgrade_to", reason=reason)


def _fail(actor: Actor, apvs: Iterable[APV], reason: str) -> None:
    for apv in apvs:
        if apv.status != APVStatus.FAILED:
            with act(actor) as log:
                move_apv(apv, to=APVStatus.FAILED, log=log, why="no_change_prepared", reason=reason)
