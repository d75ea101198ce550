"""Which suppressions hold, what they cover, and which of them a viewer may see."""

from __future__ import annotations

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from immune.models import APV, Suppression
from immune.models.suppressions import SuppressionScope
from immune.people.selectors import Viewer, within_sight


def holding() -> Q:
    """Neither ended nor expired, now."""
    return Q(ended_at__isnull=True, expires_at__gt=timezone.now())


def covered() -> Exists:
    """The condition on APVs that a suppression which holds covers them, by whichever scope."""
    about = (
        Q(apv=OuterRef("pk"))
        | Q(
            repository=OuterRef("repository"),
            ecosystem=OuterRef("ecosystem"),
            package_name=OuterRef("package_name"),
        )
        | Q(group=OuterRef("group"))
    )
    return Exists(Suppression.objects.filter(holding()).filter(about))


def about(apv: APV) -> Q:
    """The condition on suppressions that they cover this APV, ended ones included."""
    package = Q(repository=apv.repository_id, ecosystem=apv.ecosystem, package_name=apv.package_name)
    return Q(apv=apv.pk) | package | Q(group=apv.group_id)


def holds_for(apv: APV) -> Suppression | None:
    """The latest suppression that holds for this APV."""
    return Suppression.objects.filter(holding()).filter(about(apv)).order_by("-created_at", "-pk").first()


def covers(row: Suppression) -> Q:
    """The condition on APVs that this suppression is about them."""
    if row.scope == SuppressionScope.APV:
        return Q(pk=row.apv_id)
    if row.scope == SuppressionScope.PACKAGE:
        return Q(repository=row.repository_id, ecosystem=row.ecosystem, package_name=row.package_name)
    return Q(group=row.group_id)


def suppressions(viewer: Viewer) -> QuerySet[Suppression]:
    """The suppressions a viewer may see, ended ones included: of what is in sight, and those that hold everywhere."""
    rows = Suppression.objects.select_related("apv", "repository", "group", "author", "ended_by", "apv__repository")
    if not viewer.may("read"):
        return rows.none()
    everywhere = Q(scope=SuppressionScope.ADVISORY)
    of_apvs = Q(scope=SuppressionScope.APV) & within_sight(viewer, "apv__repository")
    of_packages = Q(scope=SuppressionScope.PACKAGE) & within_sight(viewer)
    return rows.filter(everywhere | of_apvs | of_packages)


def covered_apvs(viewer: Viewer, row: Suppression) -> QuerySet[APV]:
    """The APVs in sight that this suppression is about."""
    return APV.objects.filter(within_sight(viewer)).filter(covers(row)).exclude(status="merged").order_by("apv_code")
