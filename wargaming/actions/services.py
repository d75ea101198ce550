"""A wargame at GitHub Actions, step by step: its branch, its run, its evidence, and the branch gone again.

Each step is one short piece of work on the row (``ActionsRun``): it asks GitHub once, writes down what that said, and says when to look
again. No worker waits in between, and a step that was cut off is done again: the branch is found by its name and content, the run by its
correlation id, commit and workflow. Whatever GitHub does not show in time, shows of another run, or shows altered is INCONCLUSIVE.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db.models import Q
from django.utils import timezone

from immune import claims, git, work
from immune.events.actors import SYSTEM
from immune.events.log import Log, act
from immune.forges.base import Answer, BranchRequest, Done, Failed, Failure, Refusal, Refused
from immune.forges.github import GitHubForge
from immune.forges.github_actions import WorkflowRun, WorkflowRuns
from immune.forges.store import ForgeNotConfigured, ForgeUnavailable, actions_of, full_name_of
from immune.models import Repository
from immune.models.repositories import ForgeKind
from immune.priority import reachability_in
from immune.reachability.judging import Reach
from immune.remedies import AUTHOR, EPOCH
from immune.services import mirror_of
from wargaming.actions.order import DRIVER, EVIDENCE, WORKFLOW, Order, branch_files, make_order
from wargaming.actions.reading import Ran, read_evidence
from wargaming.catalogue import Offered, ScenarioGone, scenario_of
from wargaming.concluding import PHASES, Context, concluded
from wargaming.environments.locks import checked_lock
from wargaming.environments.spec import EnvironmentSpec, Lock
from wargaming.environments.workshop import Workshop
from wargaming.errors import WargameError
from wargaming.evidence import Binding, evidence_bundle
from wargaming.models import ActionsRun, ActionsState, ActionsStep, Wargame, WargameState
from wargaming.outcome import finish, inconclusive, note
from wargaming.sandbox.runtimes import python_runtime
from wargaming.scenarios import Scenario
from wargaming.setting import environments_of
from wargaming.standalone import tool_versions
from wargaming.verdict import OwnTests

POLL = timedelta(seconds=20)
TO_START = timedelta(minutes=15)  # GitHub shows a run within seconds; longer, and it starts none
MAX_ARTIFACT = 32 << 20
PATIENCE = 8  # attempts that are counted while GitHub does not answer: the pause grows no longer, and the wait has an end of its own


def at_actions(repository: Repository) -> bool:
    """Whether the scenarios of a repository are played at GitHub Actions (``GITHUB_ACTIONS_WARGAMES``)."""
    if repository.forge != ForgeKind.GITHUB:
        return False
    named = {name.lower() for name in settings.GITHUB_ACTIONS_WARGAMES}
    return "*" in named or full_name_of(repository).lower() in named


def hand_over(wargame: Wargame, scenario: Scenario, workshop: Workshop, cancelled: Callable[[], bool]) -> ActionsRun:
    """Resolves both sides, writes the order down, and lets it hold the claimed wargame from here on.

    Raises GitError, WargameError for what cannot be ordered, claims.LostClaim.
    """
    sides = environments_of(wargame.remedy, scenario.with_)
    runtime = workshop.runtime(scenario.ecosystem)
    locks = workshop.locks(*sides)
    if cancelled():
        raise claims.LostClaim(f"wargame {wargame.pk} was taken over or cancelled")
    versions = {"python": _minor(python_runtime().version)}
    if scenario.ecosystem == "npm":
        versions["node"] = runtime.version.partition(".")[0]
    order = make_order(scenario, sides, locks, versions=versions)
    with act(SYSTEM) as log:
        row = ActionsRun.objects.create(
            wargame=wargame,
            correlation=order.correlation,
            nonce=order.nonce,
            order=order.text,
            locks={"before": locks[0].text, "after": locks[1].text},
            branch=order.branch,
        )
        # Not by claims.finish: the beat of our own claim must not extend this one.
        held = Wargame.objects.filter(pk=wargame.pk, owner=wargame.owner, state=WargameState.RUNNING)
        if not held.update(owner=row.holder, lease_until=None, started_at=timezone.now(), driver=DRIVER):
            raise claims.LostClaim(f"wargame {wargame.pk} was taken over or cancelled")
        note(log, "wargame.started", wargame, {"attempt": wargame.attempts})
        log.wake(ACTIONS.name, row.pk)
    return row


def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])


# -- the steps -------------------------------------------------------------------------------------------------------------------


def run(row: ActionsRun, _lost: threading.Event) -> None:
    """Does the step a claimed row stands at. Raises claims.LostClaim when the row is no longer ours."""
    wargame = row.wargame
    if row.step != ActionsStep.TIDY:
        if (wargame.state, wargame.owner) != (WargameState.RUNNING, row.holder):
            _tidy_next(row)  # cancelled, or its change is another by now: nobody waits for what it says
            return
        wait = timedelta(minutes=settings.GITHUB_ACTIONS_WAIT_MINUTES)
        if timezone.now() > row.created_at + wait:
            said = f"GitHub did not bring it to an end within {settings.GITHUB_ACTIONS_WAIT_MINUTES} minutes."
            _could_not(row, "actions_timeout", said)
            return
    try:
        forge, runs = actions_of(wargame.remedy.repository)
    except ForgeUnavailable as error:
        _not_answered(row, error.answer)
    except ForgeNotConfigured as error:
        _not_answered(row, Refused(Refusal.UNAUTHENTICATED, str(error)))
    else:
        _STEPS[ActionsStep(row.step)](row, forge, runs)


def _push(row: ActionsRun, forge: GitHubForge, _runs: WorkflowRuns) -> None:
    """The branch stands at its one commit, cut from the base of the change; never on the change's own branch."""
    wargame = row.wargame
    try:
        scenario = _offered(wargame).scenario
    except ScenarioGone as error:
        _could_not(row, "scenario_changed", str(error))
        return
    there = [entry.path for entry in git.list_tree(mirror_of(wargame.remedy.repository), wargame.base_commit)]
    order = _order(row)
    asked = order.content["asked"]
    sides = tuple(EnvironmentSpec(scenario.ecosystem, tuple(asked[phase])) for phase in PHASES)
    request = BranchRequest(
        name=row.branch,
        base_commit=wargame.base_commit,
        changes=branch_files(order, scenario, (sides[0], sides[1]), row.locks, there),
        message=f"{order.title}\n",
        author=AUTHOR,
        when=EPOCH,
    )
    answer = forge.ensure_branch(request)
    if not isinstance(answer, Done):
        _not_answered(row, answer)
        return
    _go_on(row, ActionsStep.FIND, commit=answer.value.commit, pushed_at=timezone.now())


def _find(row: ActionsRun, _forge: GitHubForge, runs: WorkflowRuns) -> None:
    """The run of our workflow that our push started, known by its title, branch and commit."""
    answer = runs.find(row.branch, row.commit, WORKFLOW, _order(row).title)
    if isinstance(answer, Done):
        _go_on(row, ActionsStep.WATCH, run_id=answer.value.id, run_url=_address(answer.value.url))
    elif isinstance(answer, Refused) or answer.reason is not Failure.PENDING:
        _not_answered(row, answer)
    elif timezone.now() > (row.pushed_at or row.created_at) + TO_START:
        _could_not(
            row, "actions_no_run", "GitHub started no run for our push. Are Actions switched on for the repository?"
        )
    else:
        _look_again(row)


def _watch(row: ActionsRun, _forge: GitHubForge, runs: WorkflowRuns) -> None:
    """Until it has ended; then its evidence is read and the verdict drawn from it."""
    answer = runs.read(row.run_id or 0)
    if not isinstance(answer, Done):
        _not_answered(row, answer)
        return
    ran = answer.value
    if other := _another(row, ran):
        _could_not(row, "actions_run_another", f"The run at GitHub is not the one that was ordered: {other}.")
    elif not ran.ended:
        _look_again(row)
    elif ran.conclusion != "success":
        _could_not(row, "actions_run_failed", f"The run at GitHub ended with {ran.conclusion}: {row.run_url}")
    else:
        _read(row, runs.artifact(ran.id, EVIDENCE, max_bytes=MAX_ARTIFACT))


def _another(row: ActionsRun, ran: WorkflowRun) -> str:
    for what, seen, ordered in (
        ("commit", ran.head_commit, row.commit),
        ("workflow", ran.path, WORKFLOW),
        ("branch", ran.branch, row.branch),
        ("name", ran.title, _order(row).title),
    ):
        if seen != ordered:
            return f"its {what} is {seen[:120]}"
    # Whoever runs it again until it says what they like would choose the verdict.
    return f"it was run {ran.attempt} times" if ran.attempt != 1 else ""


def _read(row: ActionsRun, fetched: Answer[bytes]) -> None:
    if isinstance(fetched, Refused) and fetched.reason in (Refusal.NOT_FOUND, Refusal.INVALID):
        reason = "evidence_missing" if fetched.reason is Refusal.NOT_FOUND else "evidence_refused"
        _could_not(row, reason, fetched.message)
        return
    if not isinstance(fetched, Done):
        _not_answered(row, fetched)
        return
    wargame = row.wargame
    try:
        offered = _offered(wargame)
        context = Context(
            own_tests=OwnTests.NOT_RUN,
            reachability=Reach(*reachability_in(wargame.apv.priority_factors)),
            scenario_accepted=offered.accepted,
        )
        ran = Ran(row.commit, row.run_id or 0)
        seen = read_evidence(fetched.value, _order(row), ran, offered.scenario, _locks(row, offered.scenario), context)
    except ScenarioGone as error:
        _could_not(row, "scenario_changed", str(error))
        return
    except WargameError as error:
        _could_not(row, error.reason, f"The evidence of {row.run_url} says nothing: {error}")
        return
    result = concluded(seen)
    archive = evidence_bundle(
        result,
        offered.scenario,
        tools=tool_versions(),
        binding=Binding(wargame.base_commit, wargame.head_commit, wargame.patch_digest),
        accepted=offered.accepted,
        elsewhere={
            "at": DRIVER,
            "repository": full_name_of(wargame.remedy.repository),
            "run_id": str(row.run_id),
            "url": row.run_url,
            "branch": row.branch,
            "commit": row.commit,
            "correlation": row.correlation,
            "nonce": row.nonce,
            "order_sha256": hashlib.sha256(row.order.encode()).hexdigest(),
            "artifact_sha256": hashlib.sha256(fetched.value).hexdigest(),
        },
    )
    why = "at GitHub Actions only the scenario is run; the repository's own checks stand on the pull request"
    own = {"status": str(OwnTests.NOT_RUN), "command": "", "broken": [], "why": why, "seconds": [None, None]}
    _told(row, lambda held: finish(held, result, archive, own, accepted=offered.accepted))


def _tidy(row: ActionsRun, forge: GitHubForge, _runs: WorkflowRuns) -> None:
    """The branch is removed, whatever became of the wargame. One that somebody pushed to is theirs, and stays."""
    commit: str | None = row.commit
    if not commit:
        # Cut off between the push and its being written down. Nobody else knows the name.
        head = forge.branch_head(row.branch)
        if not isinstance(head, Done):
            _not_answered(row, head)
            return
        commit = head.value
    gone = forge.delete_branch(row.branch, commit) if commit else Done(None)
    if isinstance(gone, Failed):
        _not_answered(row, gone)
        return
    left = f"{gone.reason}: {gone.message}" if isinstance(gone, Refused) else ""
    to = ActionsState.FAILED if left else ActionsState.DONE
    claims.finish(row, to=to, finished_at=timezone.now(), last_error=left)


_STEPS: dict[ActionsStep, Callable[[ActionsRun, GitHubForge, WorkflowRuns], None]] = {
    ActionsStep.PUSH: _push,
    ActionsStep.FIND: _find,
    ActionsStep.WATCH: _watch,
    ActionsStep.TIDY: _tidy,
}


# -- how a step ends -------------------------------------------------------------------------------------------------------------


def _go_on(row: ActionsRun, step: ActionsStep, **changes: Any) -> None:
    with act(SYSTEM) as log:
        _next(log, row, step, **changes)


def _next(log: Log, row: ActionsRun, step: ActionsStep, **changes: Any) -> None:
    now = timezone.now()
    claims.finish(row, to=ActionsState.PENDING, step=step, due_at=now, attempts=0, last_error="", **changes)
    log.wake(ACTIONS.name, row.pk)


def _tidy_next(row: ActionsRun) -> None:
    _go_on(row, ActionsStep.TIDY)


def _look_again(row: ActionsRun) -> None:
    claims.finish(row, to=ActionsState.PENDING, due_at=timezone.now() + POLL, attempts=0, last_error="")


def _not_answered(row: ActionsRun, answer: Refused | Failed) -> None:
    if isinstance(answer, Refused):
        detail = f" ({answer.detail[:300]})" if answer.detail else ""
        if row.step == ActionsStep.TIDY:
            said = f"{answer.reason}: {answer.message}"
            claims.finish(row, to=ActionsState.FAILED, finished_at=timezone.now(), last_error=said)
        else:
            _could_not(row, "actions_refused", f"{answer.message}{detail}")
        return
    wait = claims.backoff(row.attempts)
    if answer.retry_at is not None:
        wait = max(wait, answer.retry_at - timezone.now())
    attempts = row.attempts if row.step == ActionsStep.TIDY else min(row.attempts, PATIENCE)
    said = f"{answer.reason}: {answer.message}"
    claims.finish(row, to=ActionsState.PENDING, due_at=timezone.now() + wait, attempts=attempts, last_error=said)


def _could_not(row: ActionsRun, reason: str, explanation: str) -> None:
    _told(row, lambda held: inconclusive(held, reason, explanation, driver=DRIVER))


def _told(row: ActionsRun, say: Callable[[Wargame], None]) -> None:
    """Ends the wargame and goes on to tidying, both or neither. One that was cancelled meanwhile keeps the end it has."""
    held = row.wargame
    held.owner = row.holder
    try:
        with act(SYSTEM) as log:
            say(held)
            _next(log, row, ActionsStep.TIDY)
    except claims.LostClaim:
        _tidy_next(row)  # raises it again where it is the row that was lost


def give_up(row: ActionsRun, error: str) -> None:
    """Every attempt at a step was cut off or failed: the wargame could not tell; a branch that cannot be removed stays, and it is said."""
    if row.step == ActionsStep.TIDY:
        claims.finish(row, to=ActionsState.FAILED, finished_at=timezone.now(), last_error=error[:2000])
    else:
        _could_not(row, "engine_failed", error)


def _offered(wargame: Wargame) -> Offered:
    found = scenario_of(wargame)
    if found is None:
        raise ScenarioGone("it has no scenario")
    return found


def _order(row: ActionsRun) -> Order:
    return Order(row.correlation, row.nonce, row.order)


def _locks(row: ActionsRun, scenario: Scenario) -> tuple[Lock, Lock]:
    return checked_lock(scenario.ecosystem, row.locks["before"]), checked_lock(scenario.ecosystem, row.locks["after"])


def _address(url: str) -> str:
    """Shown as a link, so nothing but a web address is kept."""
    return url[:500] if url.startswith("https://") else ""


ACTIONS = work.Kind(
    name="actions_run",
    queue="forge",
    rows=ActionsRun.objects.select_related(
        "wargame__apv__repository", "wargame__apv__group", "wargame__remedy__repository"
    ).all,
    run=run,
    give_up=give_up,
    scope=lambda repository: Q(wargame__remedy__repository=repository),
    lease=timedelta(seconds=120),
    attempts=12,
)
