"""Queueing wargames, running them, and writing down what they showed."""

from __future__ import annotations

import threading
from datetime import timedelta
from functools import cache, partial
from pathlib import Path
from typing import Any

import structlog
from django.conf import settings
from django.db.models import Q
from django.utils import timezone

from immune import claims, work
from immune.events.actors import SYSTEM, Actor
from immune.events.log import Log, act
from immune.git_process import GitError
from immune.models import APV, Remedy
from immune.models.apvs import APVStatus
from immune.models.remedies import LIVE_REMEDIES
from immune.slots import Slots, machine_slots
from immune.transitions import move_apv
from wargaming.actions.order import DRIVER
from wargaming.actions.services import at_actions, hand_over
from wargaming.building.builder import builds
from wargaming.catalogue import (
    Offered,
    RefusedFolder,
    ScenarioGone,
    repository_scenarios,
    scenario_of,
    scenarios_for,
)
from wargaming.concluding import Context
from wargaming.engine import Progress, run_wargame
from wargaming.environments.workshop import Workshop
from wargaming.errors import WargameError
from wargaming.evidence import Binding, evidence_bundle
from wargaming.home import Home
from wargaming.models import RefusedScenario, Wargame, WargameState
from wargaming.outcome import announce, end, finish, inconclusive, note, queue_again, tell_apv, text
from wargaming.sandbox import drivers
from wargaming.sandbox.base import Driver
from wargaming.scenarios import MAX_MEMORY_MB
from wargaming.setting import environments_of
from wargaming.standalone import tool_versions
from wargaming.telling import telling
from wargaming.verdict import OwnTests, Verdict

log = structlog.get_logger(__name__)


def queue_wargames(remedy: Remedy, *, actor: Actor = SYSTEM) -> int:
    """Queues one wargame per APV and scenario for the remedy's present head. Idempotent. Returns how many are new."""
    # Reading scenarios asks git, so it happens before the transaction.
    offers = {apv: scenarios_for(apv, remedy) for apv in remedy.apvs.select_related("group").order_by("priority")}
    refused = [found for found in repository_scenarios(remedy) if isinstance(found, RefusedFolder)]
    made = 0
    with act(actor) as log_:
        remedy = Remedy.objects.select_for_update(of=("self",)).get(pk=remedy.pk)
        if remedy.state not in LIVE_REMEDIES:
            return 0
        for apv, offered in offers.items():
            wanted: list[Offered | None] = [*offered] or [None]
            # What could be told without a scenario is nothing beside what one shows.
            without = Wargame.objects.filter(apv=apv, remedy=remedy, head_commit=remedy.head_commit, scenario_digest="")
            without.update(superseded=bool(offered))
            made += sum(_queue(log_, apv, remedy, offer) for offer in wanted)
        if made:
            # Asked about already: a scenario was attached meanwhile. The round ends, and opens again with what it shows.
            for apv in remedy.apvs.filter(status=APVStatus.IN_REVIEW):
                move_apv(apv, to=APVStatus.WARGAMING, log=log_, why="proved_again")
        RefusedScenario.objects.filter(remedy=remedy, base_commit=remedy.base_commit).delete()
        RefusedScenario.objects.bulk_create(
            RefusedScenario(
                remedy=remedy,
                base_commit=remedy.base_commit,
                folder=text(one.folder)[:300],
                problems=[[text(where)[:200], text(what)[:500]] for where, what in one.problems[:20]],
            )
            for one in refused[:50]
        )
    return made


def _queue(log_: Log, apv: APV, remedy: Remedy, offer: Offered | None) -> int:
    digest = offer.scenario.digest if offer else ""
    wargame, made = Wargame.objects.get_or_create(
        apv=apv,
        remedy=remedy,
        head_commit=remedy.head_commit,
        scenario_digest=digest,
        retry_of=None,
        defaults={
            "scenario": offer.scenario.id if offer else "",
            "trust": offer.scenario.trust.value if offer else "",
            "base_commit": remedy.base_commit,
            "patch_digest": remedy.patch_digest,
        },
    )
    if made:
        announce(log_, wargame)
        return 1
    same = Wargame.objects.filter(apv=apv, remedy=remedy, head_commit=remedy.head_commit, scenario_digest=digest)
    last = same.get(retry__isnull=True)
    if last.state == WargameState.CANCELLED and not last.orders.exists():
        # Ended because the change was another for a while; now it is this one again.
        queue_again(log_, last)
        return 1
    return 0


def run(wargame: Wargame, lost: threading.Event) -> None:
    """Runs one claimed wargame to its end and writes verdict, runs and evidence in one unit of work.

    Whatever cannot be run ends as INCONCLUSIVE with the reason. Raises claims.LostClaim when another process took it over.
    """
    if not settings.WARGAMING_ENABLED:
        inconclusive(wargame, "wargaming_off", "Wargames are switched off (WARGAMING_ENABLED); nothing was proved.")
        return
    if wargame.head_commit != wargame.remedy.head_commit:
        inconclusive(wargame, "head_moved", "The change under test is no longer the remedy's head.")
        return
    try:
        offered = scenario_of(wargame)
    except ScenarioGone as error:
        inconclusive(wargame, "scenario_changed", str(error))
        return
    try:
        if offered is not None and at_actions(wargame.remedy.repository):
            _send(wargame, offered, lost)
        else:
            _play(wargame, offered, lost)
    finally:
        tidy_layers()


def _send(wargame: Wargame, offered: Offered, lost: threading.Event) -> None:
    """Has it played at GitHub Actions: from here on its ``ActionsRun`` holds it."""
    try:
        hand_over(wargame, offered.scenario, workshop(), lost.is_set)
    except GitError as error:
        if error.passing:
            raise
        inconclusive(wargame, "base_unreadable", error.message, driver=DRIVER)
    except WargameError as error:
        inconclusive(wargame, error.reason, str(error), driver=DRIVER)


def _play(wargame: Wargame, offered: Offered | None, lost: threading.Event) -> None:
    with act(SYSTEM) as log_:
        Wargame.objects.filter(pk=wargame.pk, owner=wargame.owner).update(started_at=timezone.now())
        note(log_, "wargame.started", wargame, {"attempt": wargame.attempts})
    try:
        base, head = environments_of(wargame.remedy, offered.scenario.with_ if offered else ())
        with drivers.opened(driver_name(), work_folder()) as opened:
            driver = _allowed(opened, wargame)
            mine = workshop().during(driver, lost.is_set)
            home = Home(wargame.remedy, base, head, driver, mine, work_folder() / "checkouts", lost.is_set)
            own = _own_tests(wargame, home)
            if offered is None:
                _examine(wargame, home, own)
                return
            context = Context(
                own_tests=OwnTests(own["status"]),
                reachability=home.reachability(wargame.apv),
                scenario_accepted=offered.accepted,
            )
            with telling(partial(_tell, wargame)) as tell:
                result = run_wargame(
                    offered.scenario,
                    base,
                    head,
                    driver,
                    mine,
                    on_progress=tell,
                    cancelled=lost.is_set,
                    context=context,
                )
    except GitError as error:
        if error.passing:
            raise
        inconclusive(wargame, "base_unreadable", error.message)
        return
    except WargameError as error:
        inconclusive(wargame, error.reason, str(error))
        return
    if lost.is_set():
        raise claims.LostClaim(f"wargame {wargame.pk} was taken over or cancelled")
    binding = Binding(wargame.base_commit, wargame.head_commit, wargame.patch_digest)
    archive = evidence_bundle(
        result, offered.scenario, tools=tool_versions(), binding=binding, accepted=offered.accepted
    )
    finish(wargame, result, archive, own, accepted=offered.accepted)


def _own_tests(wargame: Wargame, home: Home) -> dict[str, Any]:
    """What the repository's own tests say of this head: once a remedy and head, then remembered by its wargames."""
    siblings = Wargame.objects.filter(
        remedy=wargame.remedy_id, head_commit=wargame.head_commit, state=WargameState.FINISHED, driver=home.driver.name
    ).exclude(own_tests={})
    known = siblings.values_list("own_tests", flat=True).first()
    if known is not None:
        return dict(known)
    _tell(wargame, [Progress("own_tests")])
    return home.own_tests()


def _examine(wargame: Wargame, home: Home, own: dict[str, Any]) -> None:
    """Without a scenario nothing is proved; what can be seen of the upgrade is written down beside that."""
    seen = home.examine(wargame.apv.group_id, wargame.apv.package_name)
    with act(SYSTEM) as log_:
        end(
            log_,
            wargame,
            verdict=seen.judgement.verdict.value,
            confidence=0.0,
            reason=seen.judgement.reason,
            explanation="There is no reproduction test for this weakness.",
            driver=home.driver.name,
            own_tests=own,
            checks=[{"name": check.name, "ok": check.ok, "detail": text(check.detail)} for check in seen.checks],
            risks=[
                {"name": risk.name, "file": risk.file, "line": risk.line, "sure": risk.sure}
                for risk in seen.risks[:500]
            ],
        )


def driver_name() -> str:
    """The sandbox driver that is set; "" for the strongest here."""
    name: str = settings.SANDBOX_DRIVER
    return "" if name == "auto" else name


def _allowed(driver: Driver, wargame: Wargame) -> Driver:
    """The limited process holds nothing back, so it runs shipped scenarios on the demonstration repository only."""
    if driver.name == "limited" and not wargame.remedy.repository.is_demo:
        raise WargameError("no_sandbox", "no sandbox is available here; install bubblewrap")
    return driver


def cancel_wargame(*, actor: Actor, wargame: Wargame, explanation: str = "") -> bool:
    """Cancels a wargame that has not ended; it could not tell. A running one is killed within two seconds: its claim is gone, so
    its heartbeat finds nothing to extend, and whatever it still finds out is not written. False when it had ended."""
    with act(actor) as log_:
        changed = Wargame.objects.filter(pk=wargame.pk, state__in=(WargameState.PENDING, WargameState.RUNNING)).update(
            state=WargameState.CANCELLED,
            verdict=Verdict.INCONCLUSIVE.value,
            confidence=0.0,
            reason="cancelled",
            explanation=explanation,
            finished_at=timezone.now(),
            owner="",
            lease_until=None,
        )
        if changed:
            tell_apv(wargame)
            note(log_, "wargame.cancelled", wargame, {})
    return bool(changed)


def give_up(wargame: Wargame, error: str) -> None:
    """Ends a wargame whose every attempt was killed or failed: inconclusive, with the reason."""
    inconclusive(wargame, "engine_failed", error)


def _tell(wargame: Wargame, told: list[Progress]) -> None:
    with act(SYSTEM) as log_:
        for progress in told:
            note(
                log_,
                "wargame.progress",
                wargame,
                {
                    "what": progress.what,
                    "step": progress.step,
                    "phase": progress.phase,
                    "variant": progress.variant,
                    "round": progress.round,
                    "outcome": str(progress.outcome) if progress.outcome else None,
                },
            )


def tidy_layers() -> None:
    """Removes the longest unused environments until LAYER_CACHE_MB are kept. Done by every process that makes some, after each
    wargame: the folder is a machine's own. The duty of the same name is for machines that rest."""
    layers = workshop().layers
    before = layers.counters.evictions
    # Half-built ones that a killed process left go too.
    removed = layers.evict(settings.LAYER_CACHE_MB << 20)
    if removed:
        log.info("layers_evicted", count=len(removed), before=before)


def work_folder() -> Path:
    return Path(settings.WORK_DIR)


@cache
def workshop() -> Workshop:
    return Workshop(work_folder(), builds=builds(settings.WARGAME_BUILDS))


WARGAMES = work.Kind(
    name="wargame",
    queue="wargame",
    rows=Wargame.objects.select_related("apv__repository", "apv__group", "remedy__repository").all,
    run=run,
    give_up=give_up,
    scope=lambda repository: Q(remedy__repository=repository),
    lease=timedelta(seconds=60),
    attempts=3,
    look=timedelta(seconds=2),
    # A wargame runs one program at a time, which may ask for up to MAX_MEMORY_MB.
    slots=Slots(
        lambda: work_folder() / "slots",
        process=settings.WARGAME_CONCURRENCY,
        machine=lambda: settings.WARGAME_MACHINE_CONCURRENCY or machine_slots(MAX_MEMORY_MB),
    ),
    turn="remedy__repository",
)
