"""Folding advisory rows that call each other aliases into one group, also when the link arrives later.

Groups only ever join here. An alias that is taken away splits nothing: the records stay in their group, and a person is asked.
When groups join, the APVs of the same package in the same repository become one (``immune.joining``).
"""

from __future__ import annotations

from collections import defaultdict

from immune.events.log import Log
from immune.joining import end_disputed_suppressions, join
from immune.matching import natural_id, preference
from immune.models import APV, Advisory, AdvisoryName, AliasGroup, ReportedName, Suppression, VexStatement
from immune.models.apvs import APVStatus
from immune.models.questions import QuestionKind
from immune.questions import ask


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


def names_of_records(advisories: set[str]) -> dict[str, set[str]]:
    """The names each record goes by today."""
    names: dict[str, set[str]] = defaultdict(set)
    for advisory, name in AdvisoryName.objects.filter(advisory__in=advisories).values_list("advisory_id", "name"):
        names[advisory].add(name)
    return names


def ask_about_taken_away(log: Log, before: dict[str, set[str]]) -> None:
    """Asks people about every APV whose records lost a name or what held them together.

    ``before``: names_of_records of some records, as they were before they were written anew.
    """
    today = names_of_records(set(before))
    lost = {advisory: names - today[advisory] for advisory, names in before.items() if names - today[advisory]}
    rows = Advisory.objects.filter(pk__in=lost).values_list("pk", "group_id")
    for advisory, group in sorted(rows):
        members = names_of_records(set(Advisory.objects.filter(group=group).values_list("pk", flat=True)))
        kept = set().union(*members.values())
        # Another record of the group still gives the name, and names still lead from each record to every other.
        gone = {name for name in lost[advisory] if name not in kept or not _hang_together(members)}
        for name in sorted(gone, key=natural_id):
            for apv in APV.objects.filter(group=group).exclude(status=APVStatus.MERGED).order_by("created_at"):
                ask(log, apv, QuestionKind.ALIAS_REMOVED, f"{advisory} - {name}")


def _hang_together(members: dict[str, set[str]]) -> bool:
    reached, rest = set[str](), dict(members)
    while found := [pk for pk, names in rest.items() if not reached or names & reached]:
        for pk in found[: None if reached else 1]:
            reached |= rest.pop(pk)
    return not rest


def _absorb(log: Log, elder: AliasGroup, younger: AliasGroup) -> None:
    disputed = end_disputed_suppressions(log, elder, younger)
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
        join(log, kept, folded)
        APV.objects.filter(pk=kept.pk).update(group=elder)
    APV.objects.filter(group=younger).update(group=elder)
    ReportedName.objects.filter(group=younger).update(group=elder)
    Suppression.objects.filter(group=younger).update(group=elder)
    VexStatement.objects.filter(group=younger).update(group=elder)
    names = f"{elder.canonical_id} = {younger.canonical_id}"
    for apv in APV.objects.filter(pk__in=disputed).select_related("merged_into").order_by("created_at"):
        ask(log, apv.merged_into or apv, QuestionKind.ALIASES_JOINED, names)
    younger.delete()


def _rename(group: AliasGroup, rows: list[Advisory]) -> None:
    best = min(rows, key=lambda row: preference(row.pk, withdrawn=row.withdrawn is not None)).pk
    if group.canonical_id != best:
        Suppression.objects.filter(group__canonical_id=best).update(group=group)
        VexStatement.objects.filter(group__canonical_id=best).update(group=group)
        AliasGroup.objects.filter(canonical_id=best).exclude(pk=group.pk).delete()
        AliasGroup.objects.filter(pk=group.pk).update(canonical_id=best)
