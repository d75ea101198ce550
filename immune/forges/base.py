"""What a forge can be asked, and the three ways it answers. Types only: no I/O, no Django.

A forge is where the code lives: GitHub, or a local bare repository. Every call is idempotent: it looks before acting,
and what it finds done already it reports as done (``already=True``). An answer says whether asking again can help:

- ``Done``: the forge itself says so now.
- ``Refused``: it will not happen; a person has to see the reason. ``retry`` says what would have to change.
- ``Failed``: it could not be attempted or its outcome is unknown. ``retry_at`` is the earliest moment to look again;
  when ``may_have_acted`` it lies beyond the call's own time-out, since a call in flight cannot be seen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Generic, Protocol, TypeVar

from immune.git import Identity

T = TypeVar("T")


class Refusal(StrEnum):
    """Why a forge will not do it. Shown to people and used as a metric's label."""

    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    UNAVAILABLE_FOR_LEGAL_REASONS = "unavailable_for_legal_reasons"
    ARCHIVED = "archived"
    INVALID = "invalid"
    HEAD_MOVED = "head_moved"
    BRANCH_MOVED = "branch_moved"
    BRANCH_NAME_TAKEN = "branch_name_taken"
    CONFLICT = "conflict"
    NOT_MERGEABLE = "not_mergeable"
    PROTECTED = "branch_protected"
    WORKFLOWS = "workflow_permission"
    CHECKS_MISSING = "required_checks"
    REVIEW_REQUIRED = "review_required"
    MERGE_QUEUE = "merge_queue_required"
    QUEUE_EVICTED = "merge_queue_evicted"
    METHOD_NOT_ALLOWED = "merge_method_not_allowed"
    CLOSED = "pull_request_closed"
    MERGED_OTHERWISE = "merged_otherwise"
    DRAFT = "draft"
    NOTHING_CHANGED = "nothing_changed"
    NOT_SUPPORTED = "not_supported"


class Failure(StrEnum):
    """Why it could not be told or done now."""

    UNREACHABLE = "unreachable"
    TIMED_OUT = "timed_out"
    RATE_LIMITED = "rate_limited"
    SECONDARY_RATE_LIMITED = "secondary_rate_limited"
    SERVER_ERROR = "server_error"
    BUSY = "busy"
    UNREADABLE_ANSWER = "unreadable_answer"
    PENDING = "pending"


class Retry(StrEnum):
    """What would make asking again sensible."""

    NEVER = "never"
    LATER = "later"
    AFTER_REVIEW = "after_review"


@dataclass(frozen=True, slots=True)
class Done(Generic[T]):
    """It is so. ``already``: it was so before this call."""

    value: T
    already: bool = False


@dataclass(frozen=True, slots=True)
class Refused:
    """It will not happen as asked. ``message`` is ours, in plain words; ``detail`` is the forge's own (untrusted)."""

    reason: Refusal
    message: str
    retry: Retry = Retry.NEVER
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Failed:
    """Not done, or not known. ``retry_at``: not before (UTC); None leaves the pace to the caller."""

    reason: Failure
    message: str
    retry_at: datetime | None = None
    may_have_acted: bool = False
    detail: str = ""


Answer = Done[T] | Refused | Failed

# The detail of a pending answer by which the pull request went into a merge queue: not every one that finds it there.
ENTERED_QUEUE = "entered_merge_queue"


class PullState(StrEnum):
    """The state of a pull request."""

    OPEN = "open"
    CLOSED = "closed"
    MERGED = "merged"


class MergeMethod(StrEnum):
    """How a pull request becomes part of its base branch."""

    SQUASH = "squash"
    MERGE = "merge"
    REBASE = "rebase"


class Conclusion(StrEnum):
    """What a check says about a commit."""

    SUCCESS = "success"
    FAILURE = "failure"
    NEUTRAL = "neutral"
    PENDING = "pending"


class ChecksState(StrEnum):
    """What all checks of a commit say together. NONE: nobody checks it, which is not the same as green."""

    GREEN = "green"
    RED = "red"
    PENDING = "pending"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Checks:
    """The checks of a commit: which are red and which have not ended, by name."""

    commit: str
    state: ChecksState
    red: tuple[str, ...] = ()
    pending: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Branch:
    """A branch and the commit it stands at."""

    name: str
    commit: str


class Style(StrEnum):
    """How a part of a text is set."""

    PARAGRAPH = "paragraph"
    HEADING = "heading"
    ITEM = "item"
    BLOCK = "block"


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a longer text. The words are always untrusted; only the style is ours, so nothing in them can act."""

    text: str
    style: Style = Style.PARAGRAPH


# A text for people: one paragraph, or parts.
Body = str | tuple[Part, ...]


def words(body: Body) -> str:
    """The body as plain lines."""
    return body if isinstance(body, str) else "\n\n".join(part.text for part in body)


@dataclass(frozen=True, slots=True)
class PullRequest:
    """A pull request as the forge shows it now. ``merge_commit`` only when merged."""

    number: int
    branch: str
    base: str
    head_commit: str
    state: PullState
    title: str
    draft: bool = False
    labels: tuple[str, ...] = ()
    assignees: tuple[str, ...] = ()
    merge_commit: str | None = None
    url: str = ""


@dataclass(frozen=True, slots=True)
class Note:
    """A comment or review on a pull request, found again by its marker."""

    key: str
    url: str = ""


@dataclass(frozen=True, slots=True)
class BranchRequest:
    """A branch with one commit on top of ``base_commit``. ``replaces``: the head it may stand at now and is moved from.

    ``changes``: path → new bytes, None removes. Message, author and date are part of the commit's identity: give the same
    again. The message is written as it is; untrusted words in it go through ``github_text.message`` before.
    """

    name: str
    base_commit: str
    changes: Mapping[str, bytes | None]
    message: str
    author: Identity
    when: datetime
    replaces: str | None = None


@dataclass(frozen=True, slots=True)
class PullRequestRequest:
    """A pull request of ours. ``key`` names our subject (a remedy's id); it goes into the marker.

    Texts are untrusted.
    """

    key: str
    branch: str
    base: str
    head_commit: str
    title: str
    body: Body
    labels: Sequence[str] = ()
    draft: bool = False


@dataclass(frozen=True, slots=True)
class MergeRequest:
    """Merge exactly ``head_commit``. ``when`` is the decision's time, part of a local merge commit's identity.

    ``base_commit``: where the base stood when the merge was found right; it is not merged onto another. GitHub guards the head
    alone: there the base is compared just before, and what still slips between is seen when the branch is read after the merge.
    ``may_enter_queue``: False once a merge queue has put it out often enough; what is in the queue still is waited for then.
    """

    number: int
    head_commit: str
    title: str
    message: str
    when: datetime
    method: MergeMethod = MergeMethod.SQUASH
    base_commit: str | None = None
    may_enter_queue: bool = True


@dataclass(frozen=True, slots=True)
class NoteRequest:
    """A text on a pull request, at most one per ``key``. ``head_commit``: the commit a review of changes speaks of."""

    number: int
    key: str
    body: Body
    head_commit: str = ""


@dataclass(frozen=True, slots=True)
class EscalationRequest:
    """Bring a pull request before other people: names as the forge knows them."""

    number: int
    key: str
    body: Body
    assignees: Sequence[str] = ()
    team: str = ""
    labels: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class VerdictReport:
    """A verdict shown beside a commit. ``key`` makes it one check, renewed rather than repeated."""

    head_commit: str
    key: str
    name: str
    conclusion: Conclusion
    summary: str
    url: str = ""


class Forge(Protocol):
    """What both forges do. No call raises for what the forge says; programming errors do raise."""

    def read_default_branch(self) -> Answer[Branch]:
        """The default branch and its commit, read now."""
        ...

    def read_pull_request(self, number: int) -> Answer[PullRequest]:
        """A pull request, read now."""
        ...

    def read_checks(self, commit: str) -> Answer[Checks]:
        """What the checks of a commit say now. Refused: not_found."""
        ...

    def ensure_branch(self, request: BranchRequest) -> Answer[Branch]:
        """The branch stands at the commit the request describes. Refused: branch_moved, branch_name_taken, …"""
        ...

    def ensure_pull_request(self, request: PullRequestRequest) -> Answer[PullRequest]:
        """There is one open pull request of ours for the branch. Refused: head_moved, not_found, …"""
        ...

    def merge_pull_request(self, request: MergeRequest) -> Answer[PullRequest]:
        """The pull request is merged with the reviewed head. Refused: head_moved, conflict, pull_request_closed, …"""
        ...

    def close_pull_request(self, number: int) -> Answer[PullRequest]:
        """The pull request is closed without a merge. Refused: merged_otherwise, not_found."""
        ...

    def request_changes(self, request: NoteRequest) -> Answer[PullRequest]:
        """The pull request shows that changes are wanted, and is not merged meanwhile."""
        ...

    def escalate(self, request: EscalationRequest) -> Answer[PullRequest]:
        """The pull request is before the named people."""
        ...

    def comment(self, request: NoteRequest) -> Answer[Note]:
        """The comment stands there, once."""
        ...

    def report_verdict(self, report: VerdictReport) -> Answer[Note]:
        """The verdict stands beside the commit, once, as it is now."""
        ...

    def delete_branch(self, name: str, expected_commit: str) -> Answer[None]:
        """The branch is gone. Refused: branch_moved when it stands elsewhere."""
        ...
