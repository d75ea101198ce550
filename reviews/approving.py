"""Whether an approval is the last one that is asked for: distinct people, the named teams, or policy alone where it may."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from uuid import UUID

from immune.models import Account, Team
from reviews import brakes
from reviews.errors import NotAutomatic, NotOfTheGroup, SecondPersonNeeded
from reviews.models import Decision, Review
from reviews.policy.approvals import Approver, may_follow, standing
from reviews.policy.engine import Advice


def is_last_word(review: Review, account: Account | None, advice: Advice) -> bool:
    """Whether this approval is the last that is asked for. Of what the round was opened with and what policy says now, the stricter
    holds: what was made laxer since holds once policy was asked again, and the round shows it.

    ``account``: None is policy itself. Raises SecondPersonNeeded, NotOfTheGroup, NotAutomatic.
    """
    required = max(review.required_approvals, advice.required_approvals)
    groups = {**{str(group): str(name) for group, name in review.required_groups}, **dict(advice.groups)}
    if account is None:
        lone = required == 1 and not groups
        if why_not := brakes.obstacle(review, advice) or ("" if lone else "More than one approval is needed."):
            raise NotAutomatic(why_not)
        return True
    earlier = Decision.objects.filter(
        review=review, decision="approve", withdrawn_at__isnull=True, reviewer__isnull=False
    )
    people = list(earlier.order_by("created_at", "pk").values_list("reviewer", flat=True))
    if account.pk in people:
        raise SecondPersonNeeded("You approved it already; another person has to.")
    teams = _teams([*people, account.pk], groups)
    given = [Approver(person, teams[person]) for person in people]
    mine = Approver(account.pk, teams[account.pk])
    if not may_follow(given, mine, groups):
        lacking = sorted(groups[group] for group in standing(given, required, groups).groups or groups)
        raise NotOfTheGroup(
            f"It was approved once; policy asks for the next word from {', '.join(lacking)}.", groups=lacking
        )
    return standing([*given, mine], max(required, 1 + len(groups)), groups).is_complete


def _teams(people: list[int], groups: Iterable[str]) -> dict[int, frozenset[str]]:
    """Which of the groups each of these people is in, now."""
    found: dict[int, set[str]] = defaultdict(set)
    if wanted := [UUID(group) for group in groups]:
        members = Team.members.through.objects.filter(team__in=wanted, account__in=people)
        for person, team in members.values_list("account", "team"):
            found[person].add(str(team))
    return {person: frozenset(found[person]) for person in people}
