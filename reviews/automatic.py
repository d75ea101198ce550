"""Approving without people: the switch that a person arms and anything may disarm, and the rounds that policy may answer alone.

It starts disarmed. Disarming takes back what policy approved and the forge has not begun with, so that people are asked instead.
Asking policy again belongs here too: what it says changes with its versions, with the calendar, and with what is learned.
"""

from __future__ import annotations

import structlog
from django.utils import timezone

from immune.events.actors import SYSTEM, Actor
from immune.events.log import act
from immune.models import Account
from immune.people.selectors import Viewer
from reviews import brakes, release_dates, services
from reviews.errors import BadDecision, NotAllowed, ReviewError
from reviews.models import AutomaticSwitch, Decision, Review, ReviewState, Rule, RuleKind, SwitchState
from reviews.policies.consulting import Consulted, consult_review

LONGEST_REASON = 2000

log_ = structlog.get_logger(__name__)


def arm(*, account: Account, viewer: Viewer, reason: str) -> bool:
    """Lets policy approve without people where it allows that. Only a person who administers and signed in may, no token; False
    when it was armed already.

    Raises NotAllowed, BadDecision without a reason.
    """
    if viewer.account_id != account.pk or not viewer.may("administer"):
        raise NotAllowed("Your role does not permit it.")
    if viewer.scopes is not None:
        raise NotAllowed("A token cannot arm it; sign in for that.")
    reason = _sound(reason)
    with act(Actor.of(account)) as log:
        changed = _set(SwitchState.ARMED, reason, account)
        if changed:
            log.record("automatic.armed", subject="automatic:switch", data={})
    return changed


def disarm(actor: Actor, reason: str, *, account: Account | None = None) -> bool:
    """Stops every approval without people, and takes back those the forge has not begun with. False when it was disarmed already.

    ``reason`` is shown to people. Whatever found something wrong may call it; who may press the button is asked in ``disarm_by``.
    """
    with act(actor) as log:
        changed = _set(SwitchState.DISARMED, reason[:LONGEST_REASON], account)
        taken = services.withdraw_automatic(log, because="Approving without people was switched off.")
        if changed or taken:
            log.record("automatic.disarmed", subject="automatic:switch", data={"withdrawn": taken})
    return changed


def disarm_by(*, account: Account, viewer: Viewer, reason: str) -> bool:
    """A person stops it: whoever may decide, lead, operate or administer. Raises NotAllowed, BadDecision without a reason."""
    may_disarm(viewer)
    return disarm(Actor.of(account), _sound(reason), account=account)


def may_disarm(viewer: Viewer) -> None:
    """Raises NotAllowed unless the viewer may stop it: stopping is easier than starting on purpose."""
    if not viewer.may("read") or not any(viewer.may(right) for right in ("decide", "lead", "operate", "administer")):
        raise NotAllowed("Your role does not permit it.")


def consider(review: Review) -> Decision | None:
    """Approves a round without people when policy allows it and nothing stands against it; None, changing nothing, otherwise."""
    if review.remedy is None or review.state != ReviewState.PENDING or not brakes.is_armed():
        return None
    consulted = consult_review(review)
    if not consulted.advice.automatic:
        return None
    try:
        return services.approve_by_policy(review=review, justification=_words(consulted))
    except ReviewError as error:
        log_.info("not_approved_without_people", review=str(review.pk), reason=error.reason, why=str(error))
        return None


def consult_again(review: Review) -> bool:
    """Asks policy again about an open round and keeps what it says now. True when that changed; who looked before must look again."""
    with act(SYSTEM) as log:
        review = Review.objects.select_for_update(of=("self",)).get(pk=review.pk)
        if review.remedy is None or review.state == ReviewState.DECIDED:
            return False
        columns = consult_review(review).columns()
        if all(getattr(review, name) == columns[name] for name in _SAYS):
            return False
        Review.objects.filter(pk=review.pk).update(version=review.version + 1, **columns)
        log.record(
            "review.advised",
            subject=f"review:{review.pk}",
            repository=review.repository_id,
            data={
                "remedy": str(review.remedy_id),
                "round": review.round,
                "recommendation": columns["recommendation"],
                "required_approvals": columns["required_approvals"],
                "policies": [spoke["version"] for spoke in columns["policies"]],
            },
        )
    return True


# Of what policy says, the parts whose change concerns who decides. Words and figures may differ from day to day.
_SAYS = ("recommendation", "required_approvals", "required_groups", "policies")


def reconsider() -> int:
    """Asks policy again about every open round, and approves what it may alone. Idempotent; a duty. Returns how many changed."""
    open_rounds = Review.objects.exclude(state=ReviewState.DECIDED).filter(remedy__isnull=False)
    if not Rule.objects.filter(kind=RuleKind.POLICY, active__isnull=False).exists():
        open_rounds = open_rounds.exclude(policies=[])  # the built-in one alone says the same as before
    changed = 0
    ask_age = release_dates.asked_for()
    for pk in list(open_rounds.order_by("priority", "due_at").values_list("pk", flat=True)):
        review = Review.objects.select_related("remedy__repository").get(pk=pk)
        if ask_age and review.remedy is not None:
            release_dates.learn(review.remedy)
        changed += consult_again(review)
        review.refresh_from_db()
        consider(review)
    return changed


def _set(state: str, reason: str, account: Account | None) -> bool:
    """Moves the switch; False when it stood there already. The row is held until commit."""
    switch, _ = AutomaticSwitch.objects.select_for_update().get_or_create(
        pk=1, defaults={"state": SwitchState.DISARMED}
    )
    if switch.state == state:
        return False
    AutomaticSwitch.objects.filter(pk=switch.pk).update(
        state=state, reason=reason, changed_by=account, changed_at=timezone.now()
    )
    return True


def _sound(reason: str) -> str:
    reason = reason.strip()
    if not reason or len(reason) > LONGEST_REASON or "\x00" in reason:
        raise BadDecision("Say why.", fields={"reason": f"holds 1 to {LONGEST_REASON} characters"})
    return reason


def _words(consulted: Consulted) -> str:
    return "\n".join(consulted.advice.reasons)[:10_000]
