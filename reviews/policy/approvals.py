"""Whose approvals a change has and whose it still lacks: distinct people, and after the first those of the named groups."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Approver:
    """A person by id, with the ids of the groups they belong to."""

    person: int
    groups: frozenset[str]


@dataclass(frozen=True, slots=True)
class Standing:
    """``missing``: how many approvals are lacking still; ``groups``: those of which nobody has approved after the first."""

    missing: int
    groups: frozenset[str]

    @property
    def is_complete(self) -> bool:
        return not self.missing and not self.groups


def standing(given: Sequence[Approver], required: int, groups: Collection[str]) -> Standing:
    """How far a change has come with the approvals ``given``, in their order. One person counts once, with the first."""
    wanted = frozenset(groups)
    people: dict[int, Approver] = {}
    for approver in given:
        if not people or not wanted or approver.groups & wanted:
            people.setdefault(approver.person, approver)
    later = list(people.values())[1:]
    lacking = wanted.difference(*(one.groups for one in later))
    return Standing(max(required - len(people), len(lacking)), lacking)


def may_follow(given: Sequence[Approver], next_one: Approver, groups: Collection[str]) -> bool:
    """Whether this person's approval would count: another person, and after the first one of a group that still lacks its word."""
    if any(one.person == next_one.person for one in given):
        return False
    if not given or not groups:
        return True
    lacking = standing(given, 1, groups).groups or frozenset(groups)
    return bool(next_one.groups & lacking)
