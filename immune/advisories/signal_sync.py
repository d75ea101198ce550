"""Taking EPSS and KEV files in, and looking again at the APVs they touch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from django.utils import timezone

from immune import priority
from immune.advisories.exploitation import NO_SIGNALS, Signals, signals_of, weighed
from immune.advisories.signal_files import read_epss_file, read_kev_file
from immune.advisories.signals import EpssScores, KevCatalogue
from immune.apvs import note_updated
from immune.events.actors import Actor
from immune.events.log import Log, act
from immune.inventory import Refusal, Unreadable
from immune.models import APV, EpssRow, KevRow, SignalFeed
from immune.models.apvs import LIVE
from immune.severity import Severity

BATCH = 5000
EPSS, KEV = "epss", "kev"


@dataclass(slots=True)
class SignalReport:
    """What reading a signal file did. ``touched``: live APVs whose factors changed; ``day``: of the file."""

    kind: str
    day: date
    read: int = 0
    added: int = 0
    updated: int = 0
    removed: int = 0
    unchanged: int = 0
    touched: int = 0
    refused: list[Refusal] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        refused = [{"source": one.source, "reason": one.reason} for one in self.refused]
        return {**{n: getattr(self, n) for n in self.__slots__}, "day": self.day.isoformat(), "refused": refused}


def sync_signals(*, actor: Actor, path: Path) -> SignalReport:
    """Takes an EPSS or KEV file in, told apart by its content, and assesses again the live APVs of the CVEs that changed.

    Raises Unreadable for what is neither, and for a file older than the one read last; nothing has changed then.
    """
    found = _read(path)
    if isinstance(found, EpssScores):
        report, changed = _take_epss(actor, found)
    else:
        report, changed = _take_kev(actor, found)
    report.touched = _assess_again(actor, changed)
    return report


def _read(path: Path) -> EpssScores | KevCatalogue:
    try:
        return read_epss_file(path)
    except Unreadable as not_epss:
        try:
            return read_kev_file(path)
        except Unreadable as not_kev:
            # The one that says more than "the header is another" tells what is wrong.
            raise (not_kev if "not an EPSS file" in not_epss.reason else not_epss) from None


def _newer(kind: str, day: date, version: str) -> SignalFeed:
    feed = SignalFeed.objects.filter(pk=kind).first()
    if feed is not None and day < feed.day:
        raise Unreadable(kind, f"of {day}, older than what was read last ({feed.day})")
    return SignalFeed(name=kind, day=day, version=version)


def _take_epss(actor: Actor, found: EpssScores) -> tuple[SignalReport, set[str]]:
    feed = _newer(EPSS, found.score_date, found.model)
    report = SignalReport(EPSS, found.score_date, read=len(found.scores), refused=list(found.refused))
    held = {
        cve: (probability, percentile)
        for cve, probability, percentile in EpssRow.objects.values_list("cve", "probability", "percentile").iterator()
    }
    changed = {cve for cve, score in found.scores.items() if held.get(cve) != tuple(score)}
    report.added = sum(1 for cve in changed if cve not in held)
    report.updated = len(changed) - report.added
    report.unchanged = len(found.scores) - len(changed)
    # A score that is no longer published is no longer known.
    # Where rows could not be read nothing is said to be absent.
    absent = [cve for cve in held if cve not in found.scores] if not found.refused else []
    report.removed = len(absent)
    with act(actor) as log:
        for chunk in _chunks(sorted(changed)):
            EpssRow.objects.bulk_create(
                [
                    EpssRow(cve, score.probability, score.percentile, found.score_date)
                    for cve, score in ((c, found.scores[c]) for c in chunk)
                ],
                update_conflicts=True,
                unique_fields=["cve"],
                update_fields=["probability", "percentile", "day"],
            )
        for chunk in _chunks(absent):
            EpssRow.objects.filter(pk__in=chunk).delete()
        _keep(log, feed, report)
    return report, changed | set(absent)


def _take_kev(actor: Actor, found: KevCatalogue) -> tuple[SignalReport, set[str]]:
    feed = _newer(KEV, found.released, found.version)
    report = SignalReport(KEV, found.released, read=len(found.entries), refused=list(found.refused))
    held = {row.cve: row for row in KevRow.objects.all()}
    rows = {
        entry.cve: KevRow(entry.cve, entry.date_added, entry.due_date, entry.ransomware, entry.name)
        for entry in found.entries.values()
    }
    facts = ("added", "due", "ransomware", "name")
    changed = {
        cve
        for cve, row in rows.items()
        if cve not in held or any(getattr(row, f) != getattr(held[cve], f) for f in facts)
    }
    absent = sorted(set(held) - set(rows)) if not found.refused else []
    report.added = sum(1 for cve in changed if cve not in held)
    report.updated, report.removed = len(changed) - report.added, len(absent)
    report.unchanged = len(rows) - len(changed)
    with act(actor) as log:
        KevRow.objects.bulk_create(
            [rows[cve] for cve in sorted(changed)],
            update_conflicts=True,
            unique_fields=["cve"],
            update_fields=list(facts),
        )
        KevRow.objects.filter(pk__in=absent).delete()
        _keep(log, feed, report)
    return report, changed | set(absent)


def _keep(log: Log, feed: SignalFeed, report: SignalReport) -> None:
    """Says which file was read last; an event only when something changed, so that the same file again changes nothing."""
    if report.added or report.updated or report.removed:
        log.record(
            "signals.synced",
            subject=f"signals:{feed.name}",
            data={
                "day": feed.day.isoformat(),
                "added": report.added,
                "updated": report.updated,
                "removed": report.removed,
                "refused": len(report.refused),
            },
        )
    feed.save()


def _chunks(values: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(values), BATCH):
        yield values[start : start + BATCH]


def _assess_again(actor: Actor, changed: set[str]) -> int:
    """Weighs the live APVs of these CVEs again. Returns how many changed."""
    touched = 0
    rows = APV.objects.filter(status__in=LIVE).exclude(cve_id="").values_list("pk", "cve_id")
    concerned = [str(pk) for pk, cve in rows.iterator() if cve in changed]
    for chunk in _chunks(concerned):
        with act(actor) as log:
            apvs = list(APV.objects.select_for_update().filter(pk__in=chunk, status__in=LIVE))
            signals = signals_of(apv.cve_id for apv in apvs)
            moved = []
            for apv in apvs:
                facts = weighed(_facts_of(apv, signals.get(apv.cve_id, NO_SIGNALS)), apv.created_at, apv.raised_to)
                if any(getattr(apv, name) != value for name, value in facts.items()):
                    for name, value in facts.items():
                        setattr(apv, name, value)
                    apv.updated_at = timezone.now()
                    moved.append(apv)
                    note_updated(log, apv)
            APV.objects.bulk_update(moved, ["priority", "priority_factors", "due_at", "updated_at"], batch_size=500)
            touched += len(moved)
    return touched


def _facts_of(apv: APV, signals: Signals) -> priority.Facts:
    """The facts an APV was weighed by, with these signals in place of those there were."""
    shown = {factor["name"]: factor["value"] for factor in apv.priority_factors}
    reachability, reachability_source = priority.reachability_in(apv.priority_factors)
    return priority.Facts(
        severity=Severity(apv.severity),
        cvss_score=apv.score,
        epss=signals.epss.probability if signals.epss else None,
        known_exploited=signals.kev is not None,
        direct={"yes": True, "no": False}.get(shown.get("direct", "")),
        fix_available=bool(apv.fixed_versions),
        reachability=reachability,
        reachability_source=reachability_source,
    )
