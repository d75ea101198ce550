"""Which vulnerability a report means, and what our own matching says about the version it names."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import orjson
from django.utils import timezone

from immune.advisories.osv import AdvisoryRecord, Affected, read_osv
from immune.advisories.selectors import Group, group_from
from immune.ingest.rows import Package, Row
from immune.matching import CouldNotTell, Match, NotAffected, affected
from immune.models import Advisory, AdvisoryName, AliasGroup, ReportedName, Repository, Sighting
from immune.models.reports import Confirmation
from immune.versions import order_or_unknown

STEP = 1000

# The weakest answer first: several versions are confirmed when one of them is.
_STRENGTH = {
    answer: rank
    for rank, answer in enumerate(
        (
            Confirmation.UNKNOWN_ADVISORY,
            Confirmation.WITHDRAWN,
            Confirmation.NOT_AFFECTED,
            Confirmation.COULD_NOT_TELL,
            Confirmation.CONFIRMED,
        )
    )
}


def strongest(answers: Iterable[Confirmation]) -> Confirmation:
    return max(answers, key=_STRENGTH.__getitem__)


@dataclass(slots=True)
class Known:
    """``group_of``: name → group id. ``groups``: what our records say, absent for a group without a record."""

    group_of: dict[str, int] = field(default_factory=dict)
    groups: dict[int, Group] = field(default_factory=dict)
    canonical: dict[int, str] = field(default_factory=dict)
    # (group, ecosystem, package) → what the group's records say of the package
    entries: dict[tuple[int, str, str], list[tuple[AdvisoryRecord, Affected]]] = field(default_factory=dict)

    def group(self, row: Row) -> int | None:
        """The group of a finding: by the id the tool leads with before any alias, since only a record joins names."""
        return next((self.group_of[name] for name in (row.advisory, *row.aliases) if name in self.group_of), None)

    def confirm(self, group: int, package: Package, row: Row) -> tuple[Confirmation, tuple[str, ...]]:
        """What our own matching says of the version, and the fixes it knows."""
        return self.confirm_version(group, package, row.version, row.ecosystem)

    def confirm_version(
        self, group: int, package: Package, version: str, ecosystem: str = ""
    ) -> tuple[Confirmation, tuple[str, ...]]:
        if group not in self.groups:
            return Confirmation.UNKNOWN_ADVISORY, ()
        if not version:
            return Confirmation.COULD_NOT_TELL, ()
        base, name = package
        suffix = ecosystem.partition(":")[2]
        live: list[Match | CouldNotTell] = []
        withdrawn = False
        for record, entry in self.entries.get((group, base, name), ()):
            # "Debian:11" is not touched by what "Debian:12" says; an entry without a suffix speaks of all.
            if suffix and entry.ecosystem.partition(":")[2] not in ("", suffix):
                continue
            answer = affected(entry.ranges, entry.versions, version, order_or_unknown(base))
            if isinstance(answer, NotAffected):
                continue
            if record.withdrawn is None:
                live.append(answer)
            else:
                withdrawn = True
        fixed = dict.fromkeys(v for answer in live if isinstance(answer, Match) for v in answer.fixed)
        if any(isinstance(answer, Match) for answer in live):
            return Confirmation.CONFIRMED, tuple(fixed)
        if live:
            return Confirmation.COULD_NOT_TELL, ()
        return (Confirmation.WITHDRAWN if withdrawn else Confirmation.NOT_AFFECTED), ()


def known_of(found: Iterable[tuple[Package, Row]]) -> Known:
    """What is known of the findings, in a constant number of statements. Every finding has a group afterwards.

    A vulnerability that no record of ours names gets a group of its own under the id the tool leads with: the record joins it
    when it comes (``immune.folding``).
    """
    found = list(found)
    names = {name for _, row in found for name in (row.advisory, *row.aliases)}
    known = Known()
    known.group_of = dict(ReportedName.objects.filter(name__in=names).values_list("name", "group_id"))
    known.group_of |= dict(AliasGroup.objects.filter(canonical_id__in=names).values_list("canonical_id", "pk"))
    # A record's word goes before a tool's.
    known.group_of |= dict(
        AdvisoryName.objects.filter(name__in=names).values_list("name", "advisory__group_id").order_by("-advisory_id")
    )
    _give_groups(known, found)
    _read_records(known, {package for package, _ in found})
    return known


def group_of_names(names: Sequence[str]) -> AliasGroup:
    """A group for a vulnerability that nothing here has a name of yet, under the first of its names."""
    known = Known()
    leaders = {names[0]: set(names)}
    _make_groups(known, leaders, dict.fromkeys(names, names[0]))
    return AliasGroup.objects.get(pk=known.group_of[names[0]])


def _give_groups(known: Known, found: list[tuple[Package, Row]]) -> None:
    leaders: dict[str, set[str]] = {}
    leader_of: dict[str, str] = {}
    for _, row in found:
        if known.group(row) is not None:
            continue
        names = (row.advisory, *row.aliases)
        leader = next((leader_of[name] for name in names if name in leader_of), row.advisory)
        leaders.setdefault(leader, set()).update(names)
        for name in names:
            leader_of.setdefault(name, leader)
    if leaders:
        _make_groups(known, leaders, leader_of)


def _make_groups(known: Known, leaders: dict[str, set[str]], leader_of: dict[str, str]) -> None:
    AliasGroup.objects.bulk_create([AliasGroup(canonical_id=leader) for leader in leaders], ignore_conflicts=True)
    made = dict(AliasGroup.objects.filter(canonical_id__in=leaders).values_list("canonical_id", "pk"))
    fresh = {name: made[leader] for name, leader in leader_of.items() if name not in known.group_of}
    ReportedName.objects.bulk_create(
        [ReportedName(name=name, group_id=group) for name, group in fresh.items()], ignore_conflicts=True
    )
    known.group_of |= fresh


def _read_records(known: Known, packages: set[Package]) -> None:
    wanted = set(known.group_of.values())
    members: dict[int, list[Advisory]] = defaultdict(list)
    for row in Advisory.objects.filter(group__in=wanted).only(
        "pk", "group_id", "aliases", "summary", "severity", "score", "withdrawn", "record", "source"
    ):
        members[row.group_id].append(row)
        record = read_osv(orjson.loads(row.record), row.source, digests=False)
        for entry in record.affected:
            if entry.package in packages:
                known.entries.setdefault((row.group_id, *entry.package), []).append((record, entry))
    known.canonical = dict(AliasGroup.objects.filter(pk__in=wanted).values_list("pk", "canonical_id"))
    known.groups = {pk: group_from(pk, known.canonical[pk], rows) for pk, rows in members.items()}


def confirm_again(repository: Repository) -> int:
    """Asks our own matching anew about everything reports say of the repository. Returns how many answers changed."""
    changed = 0
    rows = Sighting.objects.filter(stream__repository=repository).select_related("apv").order_by("pk")
    last = 0
    while some := list(rows.filter(pk__gt=last)[:STEP]):
        last = some[-1].pk
        known = Known(group_of={str(one.apv.group_id): one.apv.group_id for one in some})
        _read_records(known, {(one.ecosystem, one.package_name) for one in some})
        altered = []
        for one in some:
            package = (one.ecosystem, one.package_name)
            answers = [known.confirm_version(one.apv.group_id, package, version)[0] for version in one.versions or [""]]
            answer = strongest(answers)
            if answer != one.confirmation:
                one.confirmation, one.changed_at = answer, timezone.now()
                altered.append(one)
        Sighting.objects.bulk_update(altered, ["confirmation", "changed_at"])
        changed += len(altered)
    return changed
