"""The whole state in VEX's words: one statement for each vulnerability in a package of a repository.

| APV | statement |
|---|---|
| suppressed, not affected by VEX's justifications | not_affected, with that justification |
| suppressed otherwise (accepted risk, words only) | affected: until when it is set aside is the action |
| resolved | fixed; where a kept ``not_affected`` still stands, that: it holds for what may open again, and one product has one status |
| approved; a wargame reproduced it; a document confirmed it | affected |
| any other that lives | under_investigation: the version matches, nobody has shown more |
| withdrawn, merged | none: nothing left to speak of, or spoken of by the elder |

A ``fixed`` or ``not_affected`` that a document stated of what is no APV here is passed on.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db.models import QuerySet

from immune.advisories.selectors import names_of
from immune.formats.reports.shapes import Status
from immune.models import APV, Repository, Suppression, VexStatement
from immune.models.apvs import APVStatus, Verdict
from immune.models.suppressions import NOT_AFFECTED
from immune.people.selectors import Viewer, within_sight
from immune.suppression.selectors import holding
from immune.versions import Unparsable, purl
from immune.vex.standing import is_standing
from immune.vex.statements import Said, repository_reference

REPRODUCED = (Verdict.PATCH_EFFECTIVE, Verdict.PATCH_INSUFFICIENT, Verdict.REGRESSION)
Identity = tuple[object, int, str, str]


def said(viewer: Viewer, repository: Repository | None = None) -> tuple[list[Said], list[str]]:
    """Every statement in sight, in a stable order, and the codes of APVs whose package has no purl to speak of it by."""
    rows = APV.objects.filter(within_sight(viewer)).exclude(status__in=(APVStatus.WITHDRAWN, APVStatus.MERGED))
    taken = VexStatement.objects.filter(within_sight(viewer)).select_related("repository", "group")
    if repository is not None:
        rows, taken = rows.filter(repository=repository), taken.filter(repository=repository)
    latest = {_identity(row): row for row in taken.order_by("created_at", "pk")}
    apvs = list(rows.select_related("repository", "group").order_by("repository__name", "apv_code"))
    names = names_of({apv.group_id for apv in apvs} | {row.group_id for row in latest.values()})
    held = _held(apvs)
    found: list[Said] = []
    unsayable: list[str] = []
    for apv in apvs:
        kept = latest.get(_identity(apv))
        if apv.status == APVStatus.RESOLVED and kept is not None and is_standing(kept):
            continue  # spoken of below
        try:
            found.append(_of_apv(apv, held.get(apv.pk), latest.pop(_identity(apv), None), names[apv.group_id]))
        except Unparsable:
            unsayable.append(apv.apv_code)
    for row in latest.values():
        if is_standing(row):
            versions: list[str | None] = [None] if row.versions is None else row.versions
            found.append(
                Said(
                    **_about(row, names[row.group_id]),
                    parts=tuple(purl(row.ecosystem, row.package_name, version) for version in versions),
                    status=Status.NOT_AFFECTED,
                    justification=row.justification,
                    impact=row.impact,
                    at=row.created_at,
                )
            )
        elif row.status == Status.FIXED:
            found.append(
                Said(
                    **_about(row, names[row.group_id]),
                    parts=(purl(row.ecosystem, row.package_name),),
                    status=Status.FIXED,
                    at=row.created_at,
                )
            )
    return sorted(found, key=lambda one: (one.name, one.advisory, one.parts)), unsayable


def statements(viewer: Viewer) -> QuerySet[VexStatement]:
    """What documents said and was kept, of repositories in sight."""
    return VexStatement.objects.filter(within_sight(viewer)).select_related("repository", "group", "author")


def statements_about(viewer: Viewer, apv: APV) -> QuerySet[VexStatement]:
    """What documents said about the APV's problem and was kept, the latest first."""
    about = {"repository": apv.repository_id, "group": apv.group_id, "ecosystem": apv.ecosystem}
    rows = VexStatement.objects.filter(within_sight(viewer), package_name=apv.package_name, **about)
    return rows.order_by("-created_at", "-pk")


def _of_apv(apv: APV, held: Suppression | None, taken: VexStatement | None, names: tuple[str, ...]) -> Said:
    about = _about(apv, names)
    parts = tuple(purl(apv.ecosystem, apv.package_name, version) for version in apv.versions)
    if apv.status == APVStatus.RESOLVED:
        return Said(**about, parts=(purl(apv.ecosystem, apv.package_name),), status=Status.FIXED, at=apv.updated_at)
    if apv.status == APVStatus.SUPPRESSED and held is not None and held.ground in NOT_AFFECTED:
        return Said(
            **about,
            parts=parts,
            status=Status.NOT_AFFECTED,
            justification=held.ground,
            impact=held.reason,
            at=held.created_at,
        )
    if apv.status == APVStatus.SUPPRESSED and held is not None:
        action = f"Set aside until {held.expires_at:%Y-%m-%d}: {held.reason}"
        return Said(**about, parts=parts, status=Status.AFFECTED, action=action, at=held.created_at)
    confirmed = taken is not None and taken.status == Status.AFFECTED
    if confirmed or apv.status == APVStatus.APPROVED or apv.wargame_verdict in REPRODUCED:
        action = (taken.action if taken is not None and confirmed else "") or _action(apv)
        impact = taken.impact if taken is not None and confirmed else ""
        return Said(**about, parts=parts, status=Status.AFFECTED, action=action, impact=impact, at=apv.updated_at)
    return Said(**about, parts=parts, status=Status.UNDER_INVESTIGATION, at=apv.created_at)


def _about(row: APV | VexStatement, names: tuple[str, ...]) -> dict[str, Any]:
    canonical = row.group.canonical_id
    return {
        "repository": repository_reference(row.repository.name, row.repository.location),
        "name": row.repository.name,
        "advisory": canonical,
        "aliases": tuple(name for name in names if name != canonical),
        "package": row.package_name,
    }


def _action(apv: APV) -> str:
    if not apv.fixed_versions:
        return "No fixed version is known."
    return f"Upgrade {apv.package_name} to {apv.fixed_versions[0]} or another version that is not affected."


def _held(apvs: Iterable[APV]) -> dict[object, Suppression]:
    """The latest suppression that holds for each suppressed APV, in one query."""
    set_aside = [apv for apv in apvs if apv.status == APVStatus.SUPPRESSED]
    if not set_aside:
        return {}
    alone: dict[object, Suppression] = {}
    wider: dict[tuple[object, ...], Suppression] = {}
    for row in Suppression.objects.filter(holding()).order_by("created_at", "pk"):
        if row.apv_id:
            alone[row.apv_id] = row
        else:
            wider[(row.group_id,) if row.group_id else (row.repository_id, row.ecosystem, row.package_name)] = row
    found: dict[object, Suppression] = {}
    for apv in set_aside:
        keys = ((apv.group_id,), (apv.repository_id, apv.ecosystem, apv.package_name))
        rows = [row for row in (alone.get(apv.pk), *map(wider.get, keys)) if row is not None]
        if rows:
            found[apv.pk] = max(rows, key=lambda row: (row.created_at, row.pk))
    return found


def _identity(row: APV | VexStatement) -> Identity:
    return row.repository_id, row.group_id, row.ecosystem, row.package_name
