"""What the system has said of its own, in the reader's language: sentences are kept in English, as they were written into the row.

Each is found again by its form and said anew; what stands in its places (names, versions, what a forge answered) stays as it is, but for
those places that hold a sentence or findings of ours themselves. So rows of any age are read alike, and what has no form here is shown
as it was kept. Nothing is trusted by this: whatever comes out is shown as a stranger's text is.
"""

from __future__ import annotations

import re
from functools import cache

from django.utils.functional import Promise
from django.utils.translation import get_language, gettext
from django.utils.translation import gettext_lazy as _lazy
from django.utils.translation import gettext_noop as _

LONGEST = 2000

# Places by name: ``inner`` holds another sentence of these, ``found`` what conditions of policies found, or what moved.
SENTENCES = (
    # What the evidence and policies say (reviews.policy.engine).
    _("There is no version to upgrade to; somebody has to decide how to live with it."),
    _("No wargame spoke for this change."),
    _("The patched release breaks what worked before."),
    _("The weakness can still be used against the patched release."),
    _("Proved, but with confidence %(confidence)s, below the %(least)s asked for."),
    _("Every wargame showed the weakness before the patch and not after it, with the controls green."),
    _("It is a major upgrade; read the release notes."),
    _("How large the upgrade is cannot be told; read the release notes."),
    _("At least one weakness did not show before the patch, so its absence after proves nothing."),
    _("At least one wargame could not tell; the change is not proved."),
    _("The weakest verdict is %(verdict)s; the change is not proved."),
    _("It rests on a scenario that nobody but its author stands for; a second person has to accept it."),
    _("Not approved without people: the kind of proof does not suffice for that."),
    _("Not approved without people: it was proved by a driver whose evidence does not count for that."),
    _("Not approved without people: more than one approval is needed."),
    _("Not approved without people: it is not recommended for approval."),
    _("Policy allows it to be approved without people."),
    _("%(count)s approvals are needed, after the first by people of %(groups)s."),
    _("%(count)s approvals are needed."),
    _("It cannot be told whether policy %(policy)s holds (%(found)s); the stricter of it and what follows does."),
    _("Policy %(policy)s speaks: %(found)s."),
    # Why a round was opened, or ended without a decision (reviews.handlers, reviews.services, reviews.ageing).
    _("The wargames have ended."),
    _("The wargames had ended before."),
    _("It was put to the proof again."),
    _("None of its APVs waits for this answer any more."),
    _("The forge did not carry it out: %(inner)s"),
    _("The decision before was withdrawn."),
    _("Approving without people was switched off."),
    _("Nobody decided about it for %(days)s days, and the branch has moved on: it is made and proved anew."),
    # How changes and APVs came to where they are (immune).
    _("Replaced by an upgrade to %(version)s."),
    _("Nothing waits for it any more."),
    _("Rejected in review."),
    _("The upgrade to %(version)s was rejected."),
    _("Pull request #%(number)s was merged at the forge by hand, with the head that was prepared."),
    _("Pull request #%(number)s was merged at the forge by hand, with another head than the one that was proved."),
    _("Pull request #%(number)s was closed at the forge by hand."),
    _(
        "Pull request #%(number)s was closed at the forge by hand. %(version)s is proposed again when a person asks, or reopens it."
    ),
    _(
        "Somebody pushed to pull request #%(number)s: what stands there was not proved and is theirs now. Merge or close it at the forge and remove its branch, then ask again."  # noqa: E501 - as it is kept
    ),
    _("Not proposed again, since it goes round in circles: %(inner)s. Ask for it again to go on all the same."),
    _("%(one)s was left for %(other)s before: the same two versions go back and forth"),
    _("the upgrade to %(version)s was merged before and was taken back since"),
    _("%(count)s proposals for this package were closed without a merge"),
    _("The change was merged, and an affected version is on the default branch all the same."),
    _("The suppression ended."),
    _("The advisory was withdrawn."),
    _("The package is no longer required."),
    _("The advisory no longer says that %(versions)s is affected."),
    _("%(commit)s on the default branch holds no affected version."),
    _("The default branch no longer holds it, and a report still sees it elsewhere."),
    _("An affected version is on the default branch again."),
    _("A report sees it again."),
    _("The report that saw it no longer does, and nothing else sees it."),
    _("The same problem as %(code)s."),
    _("%(code)s is the same problem and was not settled."),
    _("The repository could not be read again: %(inner)s"),
    # Why there is nothing to upgrade to (immune.planning).
    _("no fixed version is published"),
    _("%(version)s closes it, but no version closes it together with the others"),
    _("%(version)s closes it, but brings a vulnerability that %(current)s does not have"),
    _("its fixes (%(versions)s) are all below %(current)s"),
    _("fixed in %(version)s, which is not among the releases that can be installed"),
    _("no release above %(current)s is known to be free of it"),
    # Why a change could not be prepared (immune.remedies).
    _("%(version)s is not above %(current)s"),
    _("%(version)s brings problems that %(current)s does not have: %(names)s"),
    _("%(version)s closes nothing"),
    _("no pin of %(package)s was found to change"),
    _("%(path)s: changes to this kind of file are not prepared yet; upgrade to %(version)s"),
    _("%(path)s would be changed in two ways, by the lock files beside it"),
    _("the changed files cannot be read again: %(names)s"),
    _("the change does not close %(names)s"),
    _("the change brings problems that were not there: %(names)s"),
    _("of the change it cannot be told whether it brings a problem: %(names)s"),
    # What our own forge jobs said (immune.forge_jobs, immune.forges).
    _("the branch is not at the commit that was prepared"),
    _("the pull request was closed"),
    _("the pull request was merged with another head than the one reviewed"),
    _("the pull request was merged before it could be closed"),
    _("changes were requested on this pull request"),
    _("GitHub does not take the pull request into its merge queue"),
    _("GitHub's merge queue put the pull request out each time it was entered"),
    _("the default branch is not deleted"),
    _("there is no branch %(name)s"),
    _("there is no pull request %(number)s"),
    _("the branch changes nothing"),
    _("the branch %(name)s has an open pull request of something else"),
    _("the branch %(name)s holds commits that are not ours"),
    _("the branch %(name)s is not at the commit that was reviewed"),
    _("the head of %(name)s is not the commit that was reviewed"),
    _("the pull request had been merged already"),
    _("the pull request is no longer open"),
    _("the pull request is a draft"),
    _("the pull request waits in GitHub's merge queue"),
    _("the repository merges only through its merge queue"),
    _("the branch asks for an approving review at GitHub"),
    _("the repository does not allow this merge method"),
    _("the branch conflicts with the branch it should be merged into"),
    _("the repository is archived: nothing can be changed"),
    _("the repository has moved; register its new name"),
    _("the repository is blocked for legal reasons"),
    _("the commit is not in the repository"),
    _("the remedy has no pull request"),
    _("the merge cannot be undone by itself: %(names)s"),
    _("the repository could not be fetched: %(names)s"),
    _("the forge could not be reached"),
    _("the forge did not answer in time"),
    _("%(names)s changed on the default branch since the wargame"),
    _("given up after %(count)s attempts: %(inner)s"),
    # What wargames said of themselves (wargaming).
    _("Wargames are switched off (WARGAMING_ENABLED); nothing was proved."),
    _("The change under test is no longer the remedy's head."),
    _("There is no reproduction test for this weakness."),
    _("A newer version of its scenario was attached."),
    _("Cancelled by %(name)s: %(why)s"),
    _("scenario %(name)s is no longer what it was when the wargame was queued"),
    _("no sandbox is available here; install bubblewrap"),
    _("the wargame was cancelled"),
    _("environment before: %(inner)s"),
    _("environment after: %(inner)s"),
    _("before: %(package)s was not seen inside"),
    _("after: %(package)s was not seen inside"),
    _("before: asked for %(asked)s, seen inside %(seen)s"),
    _("after: asked for %(asked)s, seen inside %(seen)s"),
    _("control before: %(inner)s"),
    _("control after: %(inner)s"),
    _("reproduce before: %(inner)s"),
    _("reproduce after: %(inner)s"),
    _("ended at its limit: %(limit)s"),
    _("the sandbox did not start it: %(said)s"),
    _("ended by signal %(number)s"),
    _("said %(outcome)s, but reached a limit: %(limits)s"),
    _("exit %(code)s, last line %(line)s"),
    _("an environment was removed before it was used"),
    _("the resolver gave an empty lock"),
    _("%(what)s was stopped: the wargame was cancelled or lost"),
    _("%(name)s did not end in %(seconds)s s"),
    _("%(name)s is not installed"),
    _("GitHub did not bring it to an end within %(minutes)s minutes."),
    _("GitHub started no run for our push. Are Actions switched on for the repository?"),
    _("The run at GitHub is not the one that was ordered: %(what)s."),
    _("The run at GitHub ended with %(conclusion)s: %(address)s"),
    _("The evidence of %(address)s says nothing: %(inner)s"),
    _("no tests found"),
    _("at GitHub Actions only the scenario is run; the repository's own checks stand on the pull request"),
    # Why something a person asked for was refused (reviews.services, reviews.approving, reviews.campaigns).
    _("%(name)s is looking at it."),
    _("%(name)s decided meanwhile: %(choice)s."),
    _("This round has ended."),
    _("What you decided on is no longer what there is: %(found)s"),
    _("You approved it already; another person has to."),
    _("It was approved once; policy asks for the next word from %(groups)s."),
    _("Only the person who claimed it, or a lead, may release it."),
    _("Only the person who decided, or a lead, may withdraw it."),
    _("Only the person who started it, or a lead, may end it."),
    _("There is nothing left to withdraw."),
    _("The forge is already at it; the decision stands."),
    _("This idempotency key was used for another request."),
    _("This review is not yours to see."),
    _("Your role does not permit it."),
    _("Your role or token does not permit it."),
    _("A comment holds 1 to 10000 characters."),
    _("Its author has left."),
    # What is wrong with a decision as it was given (reviews.decisions).
    _("needs at least %(count)s characters"),
    _("may hold at most %(count)s characters"),
    _("lies between 0 and 1"),
    _("there is no change to approve or modify: the APV has no fix"),
    _("goes with reject only"),
    _("goes with modify only"),
    _("needs a reason"),
    _("must expire in the future"),
    _("needs target_version, the version wanted instead"),
    _("%(names)s cannot be modified in a %(strategy)s remedy"),
)
# What conditions found, joined by commas (reviews.policy.conditions).
FINDINGS = (
    _("severity not known"),
    _("severity %(value)s"),
    _("priority not known"),
    _("priority %(value)s"),
    _("weakest verdict not known"),
    _("weakest verdict %(value)s"),
    _("confidence not known"),
    _("confidence %(value)s"),
    _("proof not known"),
    _("proof %(value)s"),
    _("size of the upgrade not known"),
    _("size of the upgrade %(value)s"),
    _("use not known"),
    _("use %(value)s"),
    _("no label of %(value)s"),
    _("labels %(value)s"),
    _("age of the release not known"),
    _("age of the release %(value)s days"),
    _("reachability not known"),
    _("reachability %(value)s"),
    _("known exploitation cannot be told"),
    _("known to be exploited"),
    _("not known to be exploited"),
    _("it asks nothing"),
    # What moved under a decision (reviews.services).
    _("the head that was reviewed"),
    _("the patch"),
    _("its wargames run again"),
    _("somebody claimed, released or escalated it"),
    _("the change is no longer open"),
    _("the branch has another head"),
)

# What the factors of a confidence rest on (wargaming.confidence).
GROUNDS = (
    _("judged by another process"),
    _("judged by the script itself, protocol %(number)s"),
    _("says it judges from another process; nobody accepted it, so protocol %(number)s counts"),
    _("%(count)s reproduction(s)"),
    _("%(count)s equal run(s)"),
    _("do not all pass"),
    _("as asked, seen inside"),
    _("not seen inside"),
    _("%(share)s of the nearest limit used"),
)
# Words of ours that stand by themselves: as they are kept → as a person reads them.
WORDS: dict[str, str | Promise] = {
    # outcomes (wargaming.verdict)
    "present": _lazy("present"),
    "absent": _lazy("absent"),
    "pass": _lazy("pass"),
    "fail": _lazy("fail"),
    "error": _lazy("error"),
    "timeout": _lazy("time-out"),
    "flaky": _lazy("flaky"),
    "not_run": _lazy("not run"),
    # the repository's own tests
    "none": _lazy("no tests found"),
    "passed": _lazy("passed"),
    "broken": _lazy("broken"),
    "unclear": _lazy("unclear"),
    # factors (wargaming.confidence)
    "proof": _lazy("way of proof"),
    "scenario_source": _lazy("source of the scenario"),
    "variants": _lazy("reproductions"),
    "repeats": _lazy("repeats"),
    "controls": _lazy("controls"),
    "own_tests": _lazy("own tests"),
    "versions_observed": _lazy("versions observed"),
    "margins": _lazy("distance from limits"),
    "reachability": _lazy("reachability"),
    "driver": _lazy("driver"),
    "built_from_source": _lazy("built from source"),
    "shipped": _lazy("shipped"),
    "accepted": _lazy("accepted"),
    "not accepted": _lazy("not accepted"),
    # where vulnerable code was seen (immune.reachability)
    "runtime": _lazy("seen running"),
    "static": _lazy("used in the code"),
    "potential": _lazy("imported"),
    "unreachable": _lazy("not imported"),
    "unknown": _lazy("not known"),
    # changes
    "version_bump": _lazy("upgrade"),
    "patch": _lazy("patch"),
    "minor": _lazy("minor"),
    "major": _lazy("major"),
    # fields of a decision
    "justification": _lazy("Justification"),
    "comments": _lazy("Comment"),
    "confidence_override": _lazy("Own confidence"),
    "modifications": _lazy("Version wanted instead"),
    "suppress": _lazy("Suppression"),
}


def word(text: str) -> str:
    """A word of ours as a person reads it; a place in brackets after it stays as it is, and so does what is none of ours."""
    first, bracket, rest = text.partition(" (")
    return f"{WORDS[first]}{bracket}{rest}" if first in WORDS else _ground(text)


def _ground(text: str) -> str:
    return text if (get_language() or "en").startswith("en") else _again(text, GROUNDS)


def translated(text: str) -> str:
    """A kept text in the language that is active, line by line; what is none of ours stays as it is."""
    if (get_language() or "en").startswith("en") or not text:
        return text
    return "\n".join(_again(line, SENTENCES) for line in text.split("\n"))


def _again(line: str, forms: tuple[str, ...], depth: int = 0) -> str:
    # Long lines are not ours; and forms with places look at a line as often as it has characters.
    if len(line) > LONGEST or depth > 2:
        return line
    for form in forms:
        if (met := _pattern(form).fullmatch(line)) is None:
            continue
        words = met.groupdict()
        if "inner" in words:
            words["inner"] = _again(words["inner"], SENTENCES, depth + 1)
        if "found" in words:
            words["found"] = ", ".join(_again(one, FINDINGS) for one in words["found"].split(", "))
        return gettext(form) % words
    return line


@cache
def _pattern(form: str) -> re.Pattern[str]:
    """A form as an expression with a group for each of its places. Places hold no line ends, and as little as will do."""
    pieces = re.split(r"%\((\w+)\)s", form)
    return re.compile(
        "".join(f"(?P<{piece}>.+?)" if number % 2 else re.escape(piece) for number, piece in enumerate(pieces))
    )
