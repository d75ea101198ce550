"""Writing down how a wargame ended: verdict, runs and evidence in one unit of work, and the event that says so.

Whoever calls this holds the wargame; one that was taken over or cancelled meanwhile raises ``claims.LostClaim``.
"""

from __future__ import annotations

import hashlib
from typing import Any

from django.utils import timezone

from immune import claims
from immune.events.actors import SYSTEM
from immune.events.log import Log, act
from immune.models import APV
from wargaming.catalogue import counting_versions
from wargaming.concluding import Run as SeenRun
from wargaming.concluding import Side, WargameResult
from wargaming.evidence import run_record
from wargaming.models import COUNTING, Evidence, Run, Trust, Wargame, WargameState
from wargaming.speaking import speaking
from wargaming.verdict import Verdict


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
    announce(log_, again)
    return again


def announce(log_: Log, wargame: Wargame) -> None:
    note(log_, "wargame.queued", wargame, {"scenario": wargame.scenario})
    log_.wake("wargame", wargame.pk)


def finish(wargame: Wargame, result: WargameResult, archive: bytes, own: dict[str, Any], *, accepted: bool) -> None:
    """Ends it with what its runs showed; ``archive`` is its evidence, ``own`` the record of the repository's own tests."""
    digest = hashlib.sha256(archive).hexdigest()
    with act(SYSTEM) as log_:
        evidence, _ = Evidence.objects.get_or_create(digest=digest, defaults={"archive": archive})
        # The same was seen before and given up for its age: now it is young again.
        Evidence.objects.filter(pk=digest, removed_at__isnull=False).update(
            archive=archive, removed_at=None, created_at=timezone.now()
        )
        end(
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


def inconclusive(wargame: Wargame, reason: str, explanation: str, **more: Any) -> None:
    """Ends it as INCONCLUSIVE for a reason that is no outcome of its runs."""
    with act(SYSTEM) as log_:
        said = {"confidence": 0.0, "reason": reason, "explanation": explanation, **more}
        end(log_, wargame, verdict=Verdict.INCONCLUSIVE.value, **said)


def end(log_: Log, wargame: Wargame, **outcome: Any) -> None:
    """Ends it inside a unit of work; ``outcome`` are columns of its row."""
    claims.finish(wargame, to=WargameState.FINISHED, finished_at=timezone.now(), **outcome)
    tell_apv(wargame)
    note(
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


def tell_apv(wargame: Wargame) -> None:
    """The APV shows the weakest verdict of its wargames for this head."""
    spoke = speaking(
        Wargame.objects.filter(COUNTING, apv=wargame.apv_id, remedy=wargame.remedy_id, head_commit=wargame.head_commit)
    )
    if spoke is not None:
        APV.objects.filter(pk=wargame.apv_id, remedy=wargame.remedy_id, remedy__head_commit=wargame.head_commit).update(
            wargame_verdict=spoke.verdict, wargame_confidence=spoke.confidence
        )


def _row(wargame: Wargame, number: int, run: SeenRun) -> Run:
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
        last_line=text(result.last_line if result else ""),
        stdout=text(result.stdout_head + ("\n…\n" + result.stdout_tail if result.stdout_tail else ""))
        if result
        else "",
        stderr=text(result.stderr_tail if result else ""),
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


def text(value: str) -> str:
    # PostgreSQL text holds no NUL; it is shown for what it is. Lone surrogates come from bytes that are no UTF-8.
    return value.replace("\x00", "\\x00").encode("utf-8", "backslashreplace").decode()


def _side(side: Side) -> dict[str, Any]:
    return {
        "pins": [f"{name} {version}" for name, version in side.pins],
        "observed": [f"{name} {version}" for name, version in side.observed],
        "from_source": [wheel.said for wheel in side.from_source],
        "layer": side.layer,
        "reason": side.reason,
        "detail": side.detail,
    }


def note(log_: Log, kind: str, wargame: Wargame, data: dict[str, Any]) -> None:
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
