"""What a review service may refuse, each with a machine-readable reason. Edges translate them once."""

from __future__ import annotations

from typing import Any


class ReviewError(Exception):
    """A refusal a person can read. ``details`` holds further facts for the answer."""

    reason = "review_error"

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message)
        self.details = details


class NotAllowed(ReviewError):
    """The account's role or token does not permit it."""

    reason = "not_allowed"


class AlreadyDecided(ReviewError):
    """Somebody decided first; ``details`` say who and what."""

    reason = "already_decided"


class ClaimedByAnother(ReviewError):
    """Somebody else is looking at it now."""

    reason = "claimed_by_another"


class StaleEvidence(ReviewError):
    """The reviewer saw another head, patch or evidence than there is now; ``details`` say what changed."""

    reason = "stale_evidence"


class BadDecision(ReviewError):
    """The decision as given cannot be taken; ``details["fields"]`` maps field to complaint."""

    reason = "bad_decision"


class SecondPersonNeeded(ReviewError):
    """The same person may not give two of the required approvals."""

    reason = "second_person_needed"


class TooLate(ReviewError):
    """Its forge job has begun, so the decision can no longer be withdrawn."""

    reason = "too_late"


class IdempotencyConflict(ReviewError):
    """The key was used before for another request."""

    reason = "idempotency_conflict"


class NotOfTheGroup(ReviewError):
    """After the first approval policy asks for one by somebody of a named team; ``details["groups"]`` names it."""

    reason = "not_of_the_group"


class NotAutomatic(ReviewError):
    """Something stands against approving it without people; the text says what."""

    reason = "not_automatic"


class BadPolicy(ReviewError):
    """What was written is no policy; ``details["fields"]`` maps field to complaint."""

    reason = "bad_policy"


class StalePolicy(ReviewError):
    """Somebody edited it meanwhile; ``details`` say what changed."""

    reason = "stale_policy"
