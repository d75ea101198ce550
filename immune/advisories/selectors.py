"""Reading advisories back: as the pure records matching works on, and as rows for people."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import orjson
from django.db.models import QuerySet

from immune.advisories.osv import read_osv
from immune.matching import AdvisoryIndex, natural_id
from immune.models import Advisory, AffectedPackage, AliasGroup
from immune.models.advisories import AdvisoryName
from immune.people.selectors import Viewer


@dataclass(frozen=True, slots=True)
class Group:
    """One alias group as findings need it: its row id, canonical id and every name."""

    pk: int
    canonical: str
    names: tuple[str, ...]
    summary: str
    severity: str
    score: float | None

    @property
    def cve(self) -> str:
        return min((name for name in self.names if name.startswith("CVE-")), key=natural_id, default="")


@dataclass(frozen=True, slots=True)
class Knowledge:
    """The advisories of some packages: the index to ask, and the group each record belongs to."""

    index: AdvisoryIndex
    groups: dict[str, Group]  # record id → its group

    @property
    def group_of(self) -> dict[str, str]:
        return {record: group.canonical for record, group in self.groups.items()}


def knowledge_of(packages: Iterable[tuple[str, str]]) -> Knowledge:
    """What is known of the packages, (ecosystem, normalised name) each."""
    wanted = set(packages)
    names = sorted({name for _, name in wanted})
    ids: set[str] = set()
    for start in range(0, len(names), 500):
        chunk = names[start : start + 500]
        rows = AffectedPackage.objects.filter(name__in=chunk).values_list("ecosystem", "name", "advisory_id")
        ids |= {advisory for ecosystem, name, advisory in rows if (ecosystem, name) in wanted}
    records = []
    group_ids: dict[str, int] = {}
    ordered = sorted(ids)
    for start in range(0, len(ordered), 500):
        for row in Advisory.objects.filter(pk__in=ordered[start : start + 500]).only(
            "pk", "group_id", "record", "source"
        ):
            records.append(read_osv(orjson.loads(row.record), row.source, digests=False))
            group_ids[row.pk] = row.group_id
    by_pk = _groups(set(group_ids.values()))
    return Knowledge(AdvisoryIndex(records), {pk: by_pk[group] for pk, group in group_ids.items()})


_RANK = ("UNKNOWN", "NONE", "LOW", "MEDIUM", "HIGH", "CRITICAL")


def _groups(pks: set[int]) -> dict[int, Group]:
    members: dict[int, list[Advisory]] = {pk: [] for pk in pks}
    rows = Advisory.objects.filter(group__in=pks).only(
        "pk", "group_id", "aliases", "summary", "severity", "score", "withdrawn"
    )
    for row in rows:
        members[row.group_id].append(row)
    canonical = dict(AliasGroup.objects.filter(pk__in=pks).values_list("pk", "canonical_id"))
    return {pk: group_from(pk, canonical[pk], advisories) for pk, advisories in members.items()}


def group_from(pk: int, canonical: str, advisories: list[Advisory]) -> Group:
    """A group as findings need it, from its records, of which there is at least one."""
    live = [row for row in advisories if row.withdrawn is None] or advisories
    worst = max(live, key=lambda row: (_RANK.index(row.severity), row.score or 0.0))
    names = {name for row in advisories for name in (row.pk, *row.aliases)}
    return Group(
        pk=pk,
        canonical=canonical,
        names=tuple(sorted(names, key=natural_id)),
        summary=next((row.summary for row in live if row.summary), ""),
        severity=worst.severity,
        score=worst.score,
    )


def names_of(groups: Iterable[int]) -> dict[int, tuple[str, ...]]:
    """Every name each group goes by: the ids of its records and their aliases."""
    wanted = sorted(set(groups))
    found: dict[int, set[str]] = {pk: set() for pk in wanted}
    for start in range(0, len(wanted), 500):
        rows = Advisory.objects.filter(group__in=wanted[start : start + 500]).values_list("group_id", "pk", "aliases")
        for group, pk, aliases in rows:
            found[group] |= {pk, *aliases}
    return {group: tuple(sorted(names, key=natural_id)) for group, names in found.items()}


def advisories(
    viewer: Viewer,
    *,
    name: str | None = None,
    ecosystem: str | None = None,
    package: str | None = None,
    severity: str | None = None,
    withdrawn: bool | None = None,
) -> QuerySet[Advisory]:
    """The records that fit all that is given, without their long texts. They are public: whoever may read sees all."""
    rows = Advisory.objects.defer("record", "details", "references")
    if not viewer.may("read"):
        return rows.none()
    if name is not None:
        rows = rows.filter(pk__in=AdvisoryName.objects.filter(name=name).values("advisory"))
    if ecosystem is not None or package is not None:
        affected = AffectedPackage.objects.all()
        if ecosystem is not None:
            affected = affected.filter(ecosystem=ecosystem)
        if package is not None:
            affected = affected.filter(name=package)
        rows = rows.filter(pk__in=affected.values("advisory"))
    if severity is not None:
        rows = rows.filter(severity=severity)
    return rows if withdrawn is None else rows.filter(withdrawn__isnull=not withdrawn)


def advisory_named(viewer: Viewer, name: str) -> Advisory | None:
    """The record of this id, or one that goes by this alias. None when unknown or for those who may not read."""
    if not viewer.may("read"):
        return None
    rows = Advisory.objects.defer("record").select_related("group")
    known = rows.filter(pk=name).first()
    return known or rows.filter(names__name=name).order_by("pk").first()


def advisory(viewer: Viewer, pk: str) -> Advisory | None:
    """One record with the packages it names. None when unknown or for those who may not read."""
    if not viewer.may("read"):
        return None
    return Advisory.objects.defer("record").prefetch_related("affected").filter(pk=pk).first()
