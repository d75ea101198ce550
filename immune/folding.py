"""Folding advisory rows that call each other aliases into one group, also when the link arrives later.

Groups only ever join here. An alias that is taken away splits nothing: the records stay in their group.
When groups join, the APVs of the same package in the same repository become one: the older keeps its code, the younger
is ``merged`` and its code leads there.
"""

from __future__ import annotations

from collections import defaultdict

from immune.events.log import Log
from immune.matching import preference
from immune.models import APV, Advisory, AdvisoryName, AliasGroup, ReportedName, Sighting, Suppression, VexStatement
from immune.models.apvs import APVStatus
from immune.transitions import move_apv


def fold_into_groups(log: Log, touched: set[str]) -> None:
    """Joins the groups of the touched advisories with those of every record that shares a name with them."""
    components = _components(touched)
    reported = _reported(components)
    for number, members in enumerate(components):
        rows = list(Advisory.objects.filter(pk__in=members).only("pk", "group_id", "withdrawn").select_related("group"))
        groups = {row.group_id: row.group for row in rows}
        elder = groups[min(groups)]
        for absorbed in sorted(pk for pk in groups if pk != elder.pk):
            _absorb(log, elder, groups[absorbed])
        for group in reported.get(number, ()):
            if group.pk != elder.pk:
                _absorb(log, elder, group)
        _rename(elder, rows)


def _reported(components: list[set[str]]) -> dict[int, list[AliasGroup]]:
    """Groups that only reports named so far, by the place of the component that has one of their names."""
    number_of = {advisory: number for number, members in enumerate(components) for advisory in members}
    component_of: dict[str, int] = {}
    for name, advisory in AdvisoryName.objects.filter(advisory__in=number_of).values_list("name", "advisory_id"):
        component_of[name] = number_of[advisory]
    alone = AliasGroup.objects.filter(advisories=None)
    named = {group.pk: group for group in alone.filter(canonical_id__in=component_of)}
    found = {pk: component_of[group.canonical_id] for pk, group in named.items()}
    for row in ReportedName.objects.filter(name__in=component_of, group__advisories=None).select_related("group"):
        named.setdefault(row.group_id, row.group)
        found.setdefault(row.group_id, component_of[row.name])
    joining: dict[int, list[AliasGroup]] = defaultdict(list)
    for pk in sorted(found):
        joining[found[pk]].append(named[pk])
    return joining


def _components(touched: set[str]) -> list[set[str]]:
    parent: dict[str, str] = {}

    def root(item: str) -> str:
        parent.setdefault(item, item)
        while parent[item] != item:
            parent[item] = parent[parent[item]]
            item = parent[item]
        return item

    # Widen until no new record shares a name with one already taken. Names and ids live in one space: an alias that is itself a
    # record's id joins that record.
    seen: set[str] = set()
    frontier = set(touched)
    while frontier:
        seen |= frontier
        by_name: dict[str, set[str]] = defaultdict(set)
        names = set(AdvisoryName.objects.filter(advisory__in=frontier).values_list("name", flat=True))
        for name, advisory in AdvisoryName.objects.filter(name__in=names).values_list("name", "advisory_id"):
            by_name[name].add(advisory)
        for advisories in by_name.values():
            first, *others = sorted(advisories)
            for other in others:
                parent[root(other)] = root(first)
        # Records already joined with one of these stay joined, whatever their names say today.
        known_groups = set(Advisory.objects.filter(pk__in=frontier).values_list("group_id", flat=True))
        for group, advisory in Advisory.objects.filter(group__in=known_groups).values_list("group_id", "pk"):
            parent[root(advisory)] = root(f"group:{group}")
        reached = set(parent) | {a for advisories in by_name.values() for a in advisories}
        frontier = {item for item in reached if not item.startswith("group:")} - seen
    members: dict[str, set[str]] = defaultdict(set)
    for item in seen:
        members[root(item)].add(item)
    return list(members.values())


def _absorb(log: Log, elder: AliasGroup, younger: AliasGroup) -> None:
    Advisory.objects.filter(group=younger).update(group=elder)
    for apv in APV.objects.filter(group=younger).exclude(status=APVStatus.MERGED).order_by("created_at"):
        twin = (
            APV.objects.filter(
                group=elder, repository=apv.repository_id, ecosystem=apv.ecosystem, package_name=apv.package_name
            )
            .exclude(status=APVStatus.MERGED)
            .first()
        )
        if twin is None:
            APV.objects.filter(pk=apv.pk).update(group=elder)
            continue
        kept, folded = (twin, apv) if twin.created_at <= apv.created_at else (apv, twin)
        _hand_over_sightings(folded, kept)
        move_apv(
            folded,
            to=APVStatus.MERGED,
            log=log,
            why="aliases",
            merged_into=kept,
            reason=f"The same problem as {kept.apv_code}.",
        )
        APV.objects.filter(pk=kept.pk).update(group=elder)
    APV.objects.filter(group=younger).update(group=elder)
    ReportedName.objects.filter(group=younger).update(group=elder)
    Suppression.objects.filter(group=younger).update(group=elder)
    VexStatement.objects.filter(group=younger).update(group=elder)
    younger.delete()


def _hand_over_sightings(folded: APV, kept: APV) -> None:
    """What reports say of the younger APV they say of the elder; where one report saw both, one of its words is enough."""
    Sighting.objects.filter(apv=folded, stream__in=Sighting.objects.filter(apv=kept).values("stream")).delete()
    Sighting.objects.filter(apv=folded).update(apv=kept)
    if folded.scan_sees and not kept.scan_sees:
        APV.objects.filter(pk=kept.pk).update(scan_sees=True)


def _rename(group: AliasGroup, rows: list[Advisory]) -> None:
    best = min(rows, key=lambda row: preference(row.pk, withdrawn=row.withdrawn is not None)).pk
    if group.canonical_id != best:
        Suppression.objects.filter(group__canonical_id=best).update(group=group)
        VexStatement.objects.filter(group__canonical_id=best).update(group=group)
        AliasGroup.objects.filter(canonical_id=best).exclude(pk=group.pk).delete()
        AliasGroup.objects.filter(pk=group.pk).update(canonical_id=best)
