"""Reflex rules carried out: a wargame started, a priority raised, people told. They never approve, close or take anything away.

They are looked at once for each repository that was read, report that came in or signal that changed, not once an APV; each
version of a rule answers to an APV once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

from django.db import IntegrityError
from django.utils import timezone

from immune import claims
from immune.advisories.exploitation import NO_SIGNALS, Signals, raised, signals_of
from immune.apvs import note_updated
from immune.events.actors import SYSTEM
from immune.events.log import Log, act
from immune.events.subscriptions import Happened, subscribe
from immune.models import APV, Scan, SignalFeed
from immune.models.apvs import LIVE, APVStatus
from immune.models.repositories import ScanState
from immune.services import request_scan
from reviews.models import ReflexFiring, Review, ReviewState, Rule, RuleKind, RuleVersion
from reviews.policy.content import digest
from reviews.policy.reflex import Reflex, Threat, fires, reflex_of
from wargaming.models import Wargame

# What nobody wants to hear of again, or is on its way out already.
ANSWERED = LIVE - {APVStatus.SUPPRESSED, APVStatus.APPROVED}
BATCH = 500


@dataclass(frozen=True, slots=True)
class Active:
    version: RuleVersion
    rule: Reflex


@subscribe("reviews.reflexes", "repository.scanned", "report.ingested", "signals.synced", "reflex.switched_on")
def answer(event: Happened) -> None:
    """Lets the rules that are switched on answer to what was read; idempotent."""
    respond(event.repository)


def respond(repository: UUID | None = None) -> int:
    """Answers for the live APVs of a repository, or of all. Returns how many times a rule answered."""
    rules = active_reflexes()
    if not rules:
        return 0
    answered = 0
    has_catalogue = SignalFeed.objects.filter(pk="kev").exists()
    for apvs in _in_batches(repository):
        signals = signals_of(apv.cve_id for apv in apvs)
        done = set(
            ReflexFiring.objects.filter(version__in=[one.version for one in rules], apv__in=apvs).values_list(
                "version", "apv"
            )
        )
        for apv in apvs:
            threat = _threat(apv, signals.get(apv.cve_id, NO_SIGNALS), has_catalogue)
            for one in rules:
                if (one.version.pk, apv.pk) not in done and fires(one.rule, threat):
                    answered += _fire(one, apv)
    return answered


def active_reflexes() -> list[Active]:
    """The rules that are switched on. A version whose content is not what its digest says was altered, and does nothing."""
    rows = Rule.objects.filter(kind=RuleKind.REFLEX, active__isnull=False).select_related("active__rule")
    versions = [row.active for row in rows.order_by("position", "pk") if row.active is not None]
    return [Active(one, reflex_of(one.content)) for one in versions if digest(one.content) == one.digest]


def _in_batches(repository: UUID | None) -> Iterator[list[APV]]:
    rows = APV.objects.filter(status__in=ANSWERED).select_related("repository").order_by("pk")
    if repository is not None:
        rows = rows.filter(repository=repository)
    last = None
    while batch := list((rows if last is None else rows.filter(pk__gt=last))[:BATCH]):
        last = batch[-1].pk
        yield batch


def _threat(apv: APV, signals: Signals, has_catalogue: bool) -> Threat:
    return Threat(
        severity=apv.severity,
        known_exploited=True if signals.kev is not None else False if has_catalogue and apv.cve_id else None,
        epss=signals.epss.probability if signals.epss is not None else None,
        labels=frozenset(str(label) for label in apv.repository.labels),
    )


def _fire(one: Active, apv: APV) -> bool:
    """Does what the rule says, in one unit of work with its event; False when another process was faster or the APV is settled."""
    try:
        with act(SYSTEM) as log:
            apv = APV.objects.select_for_update(of=("self",)).select_related("repository").get(pk=apv.pk)
            if apv.status not in ANSWERED:
                return False
            ReflexFiring.objects.create(version=one.version, apv=apv)
            raised_to = one.rule.raise_to if one.rule.raise_to and _raise(log, apv, one.rule.raise_to) else ""
            started = one.rule.wargame and _start(log, apv, one.version)
            log.record(
                "reflex.fired",
                subject=f"apv:{apv.pk}",
                repository=apv.repository_id,
                data={
                    "apv_code": apv.apv_code,
                    "rule": str(one.version.rule_id),
                    "version": str(one.version.pk),
                    "raised_to": raised_to,
                    "wargame": started,
                    "notify": one.rule.notify,
                },
            )
    except IntegrityError:
        return False
    return True


def _raise(log: Log, apv: APV, to: str) -> bool:
    """Raises the priority, which weighing anew will not take back; False when it is that urgent already."""
    to = min(to, apv.raised_to or to)
    columns = {name: getattr(apv, name) for name in ("priority", "priority_factors", "due_at")}
    found = raised(columns, apv.created_at, to)
    APV.objects.filter(pk=apv.pk).update(raised_to=to, updated_at=timezone.now(), **found)
    if found is columns:
        return False
    for name, value in found.items():
        setattr(apv, name, value)
    note_updated(log, apv)
    for review in Review.objects.filter(items__apv=apv).exclude(state=ReviewState.DECIDED):
        Review.objects.filter(pk=review.pk).update(
            priority=min(review.priority, apv.priority), due_at=min(review.due_at, apv.due_at)
        )
    return True


def _start(log: Log, apv: APV, version: RuleVersion) -> bool:
    """Lets its wargame run next, or asks for the reading that prepares one; False when it was proved or is being proved."""
    if hastened := claims.hasten(Wargame.objects.filter(apv=apv)):
        for pk in hastened:
            log.wake("wargame", pk)
        return True
    if apv.status != APVStatus.OPEN:
        return False
    under_way = Scan.objects.filter(repository=apv.repository, state__in=(ScanState.PENDING, ScanState.RUNNING))
    if not under_way.exists():
        # Never "again": what a person rejected is proposed once more only when a person asks.
        request_scan(actor=SYSTEM, repository=apv.repository, cause=f"reflex:{version.pk}")
    return True
