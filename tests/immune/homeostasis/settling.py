"""What processes of the test of two settling at once do; run through ``tests.worlds``."""

from __future__ import annotations

from immune.homeostasis import admission
from immune.models import ForgeJob
from tests.reviews import cast as made


def jobs_wait(count: int) -> None:
    """So many changes of one repository wait for a place."""
    where = made.repository("demo/noticeboard")
    for number in range(count):
        name = f"package{number}"
        threat = made.apv(where, made.advisory(f"GHSA-{name}"), package=name, status="remediating")
        change = made.remedy(where, threat, package=name, state="planned")
        ForgeJob.objects.create(
            remedy=change, kind="open_pull_request", head_commit=change.head_commit, cause=f"x:{name}"
        )


def settle() -> int:
    return admission.settle()


def admitted() -> int:
    return ForgeJob.objects.filter(admitted_at__isnull=False).count()
