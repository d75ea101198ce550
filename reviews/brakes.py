"""What stands against approving a round without people, asked inside the transaction that would do it.

Policy allowing it is one of many conditions. Other parts of the house add theirs by ``register``: each says why not, or nothing.
"""

from __future__ import annotations

from collections.abc import Callable

from immune import freezes
from immune.models import ForgeJob
from immune.models.remedies import ForgeJobKind, ForgeJobState
from reviews.models import AutomaticSwitch, Decision, Review, SwitchState
from reviews.policy.engine import Advice

Brake = Callable[[Review], str]
_brakes: dict[str, Brake] = {}


def register(name: str, brake: Brake) -> None:
    """Adds a brake; ``brake(review)`` returns why nothing is approved without people now, or "". Raises ValueError for a name taken."""
    if _brakes.setdefault(name, brake) is not brake:
        raise ValueError(f"brake {name} is registered twice")


def is_armed(*, locked: bool = False) -> bool:
    """Whether the switch is armed. ``locked``: held until commit, so that disarming waits or is waited for."""
    rows = AutomaticSwitch.objects.filter(state=SwitchState.ARMED)
    return (rows.select_for_update() if locked else rows).first() is not None


def obstacle(review: Review, advice: Advice) -> str:
    """Why the round is not approved without people, for people to read; empty when nothing stands against it."""
    if not advice.automatic:
        return "Policy does not allow it."
    if not is_armed(locked=True):
        return "Approving without people is switched off."
    if freezes.frozen(review.repository_id) is not None:
        return "The repository is frozen."
    if _a_person_spoke(review):
        return "A person has spoken about this change; the decision is theirs."
    if _was_refused(review):
        return "The forge refused this very change before; a person has to look."
    return next((reason for brake in _brakes.values() if (reason := brake(review))), "")


def _a_person_spoke(review: Review) -> bool:
    """Whether anybody decided, escalated or commented on this change, in whatever round. What they took back counts as well."""
    rounds = Review.objects.filter(remedy=review.remedy_id)
    return (
        Decision.objects.filter(review__in=rounds, is_automatic=False).exists()
        or rounds.filter(comments__isnull=False).exists()
    )


def _was_refused(review: Review) -> bool:
    """Whether a merge of this head came back, or one that policy gave was taken back."""
    jobs = ForgeJob.objects.filter(remedy=review.remedy_id, head_commit=review.head_commit, kind=ForgeJobKind.MERGE)
    return jobs.filter(state__in=(ForgeJobState.REFUSED, ForgeJobState.FAILED, ForgeJobState.CANCELLED)).exists()
