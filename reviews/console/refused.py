"""Why the forge did not do it, in the reader's language: a sentence for each reason ``immune.forges.base`` knows.

What the job itself keeps (``message``) is said beside it; it names the thing it was about.
"""

from __future__ import annotations

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from immune.forges.base import Failure, Refusal

SENTENCES: dict[str, Promise] = {
    Refusal.UNAUTHENTICATED: _("The forge does not accept our credentials. Renew the token or the App's key."),
    Refusal.FORBIDDEN: _("Our account may not do this at the forge. Somebody there has to give it the right."),
    Refusal.WORKFLOWS: _("Our account may not write workflows there. Give the token or the App the right to."),
    Refusal.NOT_FOUND: _("The forge knows no such thing, or does not show it to our account."),
    Refusal.UNAVAILABLE_FOR_LEGAL_REASONS: _("The repository is blocked at the forge for legal reasons."),
    Refusal.ARCHIVED: _("The repository is archived: nothing can be changed there."),
    Refusal.INVALID: _("The forge does not accept what was sent."),
    Refusal.HEAD_MOVED: _("The pull request is no longer at the commit that was reviewed."),
    Refusal.BRANCH_MOVED: _("A branch is not where it was when this was proved."),
    Refusal.BRANCH_NAME_TAKEN: _("Something else has the name of the branch."),
    Refusal.CONFLICT: _("The change conflicts with what is on the branch by now."),
    Refusal.NOT_MERGEABLE: _("The forge does not allow this merge and does not say why."),
    Refusal.PROTECTED: _("A protection rule of the branch forbids it."),
    Refusal.CHECKS_MISSING: _("Checks that the branch requires are missing or red."),
    Refusal.REVIEW_REQUIRED: _("The branch asks for an approving review at the forge."),
    Refusal.MERGE_QUEUE: _("The branch merges only through its merge queue. Switch it on for this repository."),
    Refusal.QUEUE_EVICTED: _(
        "The merge queue took it in and put it out again, several times. Look at its checks there."
    ),
    Refusal.METHOD_NOT_ALLOWED: _("The repository does not allow this merge method. Choose another for it."),
    Refusal.CLOSED: _("The pull request was closed."),
    Refusal.MERGED_OTHERWISE: _("The pull request was merged otherwise than it was reviewed."),
    Refusal.DRAFT: _("The pull request is a draft, or changes were requested on it."),
    Refusal.NOTHING_CHANGED: _("The branch would change nothing."),
    Refusal.NOT_SUPPORTED: _("This forge cannot do it."),
    Failure.UNREACHABLE: _("The forge could not be reached."),
    Failure.TIMED_OUT: _("The forge did not answer in time."),
    Failure.RATE_LIMITED: _("The forge's hourly limit was met."),
    Failure.SECONDARY_RATE_LIMITED: _("The forge asked us to slow down."),
    Failure.SERVER_ERROR: _("The forge had a fault of its own."),
    Failure.BUSY: _("The branch kept moving."),
    Failure.UNREADABLE_ANSWER: _("The forge's answer could not be read."),
    Failure.PENDING: _("It has waited in the merge queue for too long."),
    "withdrawn": _("The decision was withdrawn before the forge began."),
}


def sentence(reason: str) -> str:
    """The sentence for a job's reason; empty for a reason that is none of the forge's."""
    return str(SENTENCES.get(reason, ""))
