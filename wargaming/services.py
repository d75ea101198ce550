"""Queueing wargames, running them, and writing down what they showed."""

from __future__ import annotations

import hashlib
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
from wargaming.building.builder import builds
from wargaming.catalogue import (
    Offered,
    RefusedFolder,
    ScenarioGone,
    counting_versions,
    repository_scenarios,
    scenario_of,
    scenarios_for,
)
from wargaming.engine import Context, Progress, WargameResult, run_wargame
from wargaming.engine import Run as EngineRun
from wargaming.environments.workshop import Workshop
from wargaming.errors import WargameError
from wargaming.evidence import Binding, evidence_bundle, run_record
from wargaming.home import Home
from wargaming.models import COUNTING, Evidence, RefusedScenario, Run, Trust, Wargame, WargameState
from wargaming.sandbox import drivers
from wargaming.sandbox.base import Driver
from wargaming.scenarios import MAX_MEMORY_MB
from wargaming.setting import environments_of
from wargaming.speaking import speaking
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
                folder=_text(one.folder)[:300],
                problems=[[_text(where)[:200], _text(what)[:500]] for where, what in one.problems[:20]],
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
        _announce(log_, wargame)
        return 1
    same = Wargame.objects.filter(apv=apv, remedy=remedy, head_commit=remedy.head_commit, scenario_digest=digest)
    last = same.get(retry__isnull=True)
    if last.state == WargameState.CANCELLED and not last.orders.exists():
        # Ended because the change was another for a while; now it is this one again.
        queue_again(log_, last)
        return 1
    return 0


def queue_again(log_: Log, wargame: Wargame) -> Wargame:
    """Queues an ended wargame once more, beside what it showed before. The caller holds the remedy and has looked that it ended."""
    again = Wargame.objects.create(
        apv=wargame.apv,
        remedy=wargame.remedy,
        scenario=wargame.scenario,
        scenario_digest=wargame.scenario_digest,
        trust=wargame.trust,
        base_commit=wargame.base_commit,
        head_commit=wargame.head_commit,
        patch_digest=wargame.patch_digest,
        retry_of=wargame,
    )
    _announce(log_, again)
    return again


def _announce(log_: Log, wargame: Wargame) -> None:
    _note(log_, "wargame.queued", wargame, {"scenario": wargame.scenario})
    log_.wake("wargame", wargame.pk)


def run(wargame: Wargame, lost: threading.Event) -> None:
    """Runs one claimed wargame to its end and writes verdict, runs and evidence in one unit of work.

    Whatever cannot be run ends as INCONCLUSIVE with the reason. Raises claims.LostClaim when another process took it over.
    """
    if not settings.WARGAMING_ENABLED:
        _inconclusive(wargame, "wargaming_off", "Wargames are switched off (WARGAMING_ENABLED); nothing was proved.")
        return
    if wargame.head_commit != wargame.remedy.head_commit:
        _inconclusive(wargame, "head_moved", "The change under test is no longer the remedy's head.")
        return
    try:
        offered = scenario_of(wargame)
    except ScenarioGone as error:
        _inconclusive(wargame, "scenario_changed", str(error))
        return
    try:
        _play(wargame, offered, lost)
    finally:
        tidy_layers()


def _play(wargame: Wargame, offered: Offered | None, lost: threading.Event) -> None:
    with act(SYSTEM) as log_:
        Wargame.objects.filter(pk=wargame.pk, owner=wargame.owner).update(started_at=timezone.now())
        _note(log_, "wargame.started", wargame, {"attempt": wargame.attempts})
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
        _inconclusive(wargame, "base_unreadable", error.message)
        return
    except WargameError as error:
        _inconclusive(wargame, error.reason, str(error))
        return
    if lost.is_set():
        raise claims.LostClaim(f"wargame {wargame.pk} was taken over or cancelled")
    binding = Binding(wargame.base_commit, wargame.head_commit, wargame.patch_digest)
    archive = evidence_bundle(
        result, offered.scenario, tools=tool_versions(), binding=binding, accepted=offered.accepted
    )
    _finish(wargame, result, archive, own, accepted=offered.accepted)


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
        _end(
            log_,
            wargame,
            verdict=seen.judgement.verdict.value,
            confidence=0.0,
            reason=seen.judgement.reason,
            explanation="There is no reproduction test for this weakness.",
            driver=home.driver.name,
            own_tests=own,
            checks=[{"name": check.name, "ok": check.ok, "detail": _text(check.detail)} for check in seen.checks],
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


def _finish(wargame: Wargame, result: WargameResult, archive: bytes, own: dict[str, Any], *, accepted: bool) -> None:
    digest = hashlib.sha256(archive).hexdigest()
    with act(SYSTEM) as log_:
        evidence, _ = Evidence.objects.get_or_create(digest=digest, defaults={"archive": archive})
        # The same was seen before and given up for its age: now it is young again.
        Evidence.objects.filter(pk=digest, removed_at__isnull=False).update(
            archive=archive, removed_at=None, created_at=timezone.now()
        )
        _end(
            log_,
            wargame,
            verdict=str(result.verdict),
            confidence=result.confidence,
            reason=result.reason,
            explanation=result.detail,
            factors=[
                {"name": f.name, "weight": f.weight, "value": round(f.value, 3), "why": f.why} for f in result.factors
            ],
            driver=result.driver,
            environments={"before": _side(result.before), "after": _side(result.after), "runtime": result.runtime},
            own_tests=own,
            evidence=evidence,
            accepted=accepted,
        )
        Run.objects.filter(wargame=wargame).delete()
        Run.objects.bulk_create(_row(wargame, number, run) for number, run in enumerate(result.runs))
        if not accepted and _accepted_meanwhile(wargame):
            queue_again(log_, wargame)


def _accepted_meanwhile(wargame: Wargame) -> bool:
    return wargame.trust == Trust.ATTACHED and any(
        row.content_id == wargame.scenario_digest and row.accepted_by_id for row in counting_versions(wargame.apv)
    )


def _inconclusive(wargame: Wargame, reason: str, explanation: str) -> None:
    with act(SYSTEM) as log_:
        _end(log_, wargame, verdict=Verdict.INCONCLUSIVE.value, confidence=0.0, reason=reason, explanation=explanation)


def _end(log_: Log, wargame: Wargame, **outcome: Any) -> None:
    claims.finish(wargame, to=WargameState.FINISHED, finished_at=timezone.now(), **outcome)
    _tell_apv(wargame)
    _note(
        log_,
        "wargame.finished",
        wargame,
        {
            "verdict": wargame.verdict,
            "confidence": f"{wargame.confidence or 0:.2f}",
            "reason": wargame.reason,
            "evidence": wargame.evidence_id,
            "scenario": wargame.scenario,
        },
    )


def _tell_apv(wargame: Wargame) -> None:
    """The APV shows the weakest verdict of its wargames for this head."""
    spoke = speaking(
        Wargame.objects.filter(COUNTING, apv=wargame.apv_id, remedy=wargame.remedy_id, head_commit=wargame.head_commit)
    )
    if spoke is not None:
        APV.objects.filter(pk=wargame.apv_id, remedy=wargame.remedy_id, remedy__head_commit=wargame.head_commit).update(
            wargame_verdict=spoke.verdict, wargame_confidence=spoke.confidence
        )


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
            _tell_apv(wargame)
            _note(log_, "wargame.cancelled", wargame, {})
    return bool(changed)


def give_up(wargame: Wargame, error: str) -> None:
    """Ends a wargame whose every attempt was killed or failed: inconclusive, with the reason."""
    _inconclusive(wargame, "engine_failed", error)


def _tell(wargame: Wargame, told: list[Progress]) -> None:
    with act(SYSTEM) as log_:
        for progress in told:
            _note(
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


def _row(wargame: Wargame, number: int, run: EngineRun) -> Run:
    record = run_record(run)
    result = run.result
    return Run(
        wargame=wargame,
        number=number,
        step=run.step if not run.variant else f"{run.step}:{run.variant}",
        phase=run.phase,
        outcome=str(run.outcome),
        exit_code=result.exit_code if result else None,
        signal=result.signal if result else None,
        last_line=_text(result.last_line if result else ""),
        stdout=_text(result.stdout_head + ("\n…\n" + result.stdout_tail if result.stdout_tail else ""))
        if result
        else "",
        stderr=_text(result.stderr_tail if result else ""),
        seconds=result.seconds if result else 0.0,
        cpu_seconds=result.usage.cpu_s if result else None,
        peak_memory=int(result.usage.memory_mb * 1024 * 1024) if result and result.usage.memory_mb else None,
        details={
            "why": run.why,
            "round": run.round,
            "limits": record.get("limits"),
            "limit_hits": record.get("limit_hits"),
        },
    )


def _text(value: str) -> str:
    # PostgreSQL text holds no NUL; it is shown for what it is. Lone surrogates come from bytes that are no UTF-8.
    return value.replace("\x00", "\\x00").encode("utf-8", "backslashreplace").decode()


def _side(side: Any) -> dict[str, Any]:
    return {
        "pins": [f"{name} {version}" for name, version in side.pins],
        "observed": [f"{name} {version}" for name, version in side.observed],
        "from_source": [wheel.said for wheel in side.from_source],
        "layer": side.layer,
        "reason": side.reason,
        "detail": side.detail,
    }


def _note(log_: Log, kind: str, wargame: Wargame, data: dict[str, Any]) -> None:
    log_.record(
        kind,
        subject=f"wargame:{wargame.pk}",
        repository=wargame.apv.repository_id,
        data={
            "apv_code": wargame.apv.apv_code,
            "remedy": str(wargame.remedy_id),
            "head": wargame.head_commit,
            **data,
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
