"""What the operations test asks and does inside its installation; run through ``tests.worlds``."""

from __future__ import annotations

from datetime import timedelta

from django.db.models import F

from immune.models import ForgeJob, Lease, Repository
from tests.reviews import journeys


def states() -> dict[str, str]:
    repository = Repository.objects.first()
    return journeys.states(repository) if repository else {}


def approve(package: str) -> str:
    review = journeys.review_of(package)
    decision = journeys.decide(review, "approve", seen_head=review.head_commit, seen_patch=review.patch_digest)
    return str(decision.pk)


def merges() -> int:
    return ForgeJob.objects.filter(kind="merge_pr", state="done").count()


def sweeps() -> int:
    """The sweep's token: how often it began."""
    return Lease.objects.get(name="sweep").token


def an_hour_passes() -> None:
    Lease.objects.update(began_at=F("began_at") - timedelta(hours=1))
