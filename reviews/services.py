"""What people do with a review: claim, release, comment, decide, withdraw. Every edge calls these and nothing else.

The rules (role, sight, claim, evidence seen, second person) live here, below console, API, bulk and tasks alike.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db import IntegrityError
from django.db.models import F, Prefetch, prefetch_related_objects
from django.utils import timezone

from immune.events.actors import POLICY, SYSTEM, Actor
from immune.events.log import Log, act
from immune.models import APV, Account, ForgeJob, Remedy
from immune.models.apvs import APVStatus
from immune.models.remedies import LIVE_REMEDIES, ForgeJobState
from immune.models.suppressions import Ground
from immune.people.selectors import Viewer, sees
from immune.suppression.services import suppress_apv
from immune.transitions import Moved, move_apvs
from reviews import metrics, rounds
from reviews.approving import is_last_word
from reviews.decisions import ACTIONS, FINAL, Asked, complaints
from reviews.errors import (
    AlreadyDecided,
    BadDecision,
    ClaimedByAnother,
    IdempotencyConflict,
    NotAllowed,
    ReviewError,
    StaleEvidence,
    TooLate,
)
from reviews.models import Comment, Decision, Review, ReviewItem, ReviewState
from reviews.policies.consulting import advice_now, spoke_columns
from reviews.transitions import move_review

CLAIM_LEASE = timedelta(minutes=30)
GROUNDS = frozenset(Ground.values)
# What may have moved under a decision: as ``details`` name it → as a person reads it.
MOVED = {
    "head_commit": "the head that was reviewed",
    "patch_digest": "the patch",
    "wargames": "its wargames run again",
    "version": "somebody claimed, released or escalated it",
    "remedy": "the change is no longer open",
    "remedy_head": "the branch has another head",
}


def claim_review(*, account: Account, viewer: Viewer, review: Review) -> Review:
    """Takes a round for oneself for half an hour; taking one's own again extends it.

    Raises NotAllowed, AlreadyDecided, ClaimedByAnother.
    """
    _may(viewer, "decide", review)
    until = timezone.now() + CLAIM_LEASE
    with act(Actor.of(account)) as log:
        review = _locked(review)
        _undecided(review)
        _unclaimed_by_others(review, account)
        if review.state == ReviewState.CLAIMED and review.claimed_by_id == account.pk:
            Review.objects.filter(pk=review.pk).update(claimed_until=until)
        elif review.state == ReviewState.CLAIMED:
            # The lease of whoever held it ran out.
            move_review(review, to=ReviewState.PENDING, log=log, why="claim_expired", claimed_by=None)
            move_review(review, to=ReviewState.CLAIMED, log=log, why="claimed", claimed_by=account, claimed_until=until)
        else:
            move_review(review, to=ReviewState.CLAIMED, log=log, why="claimed", claimed_by=account, claimed_until=until)
    review.refresh_from_db()
    return review


def release_review(*, account: Account, viewer: Viewer, review: Review) -> Review:
    """Gives a claimed round back. A lead or admin may release another's. Raises NotAllowed, AlreadyDecided."""
    _may(viewer, "decide", review)
    with act(Actor.of(account)) as log:
        review = _locked(review)
        _undecided(review)
        if review.state == ReviewState.CLAIMED:
            if review.claimed_by_id != account.pk and not viewer.may("lead"):
                raise NotAllowed("Only the person who claimed it, or a lead, may release it.")
            move_review(review, to=ReviewState.PENDING, log=log, why="released", claimed_by=None, claimed_until=None)
    return review


def return_expired_claims() -> int:
    """Gives back rounds whose claim ran out, so that lists show them as free. Returns how many."""
    returned = 0
    expired = Review.objects.filter(state=ReviewState.CLAIMED, claimed_until__lte=timezone.now())
    for review in expired:
        with act(SYSTEM) as log:
            review = _locked(review)  # noqa: PLW2901 - the same one, as it is now
            if review.state == ReviewState.CLAIMED and not (
                review.claimed_until and review.claimed_until > timezone.now()
            ):
                move_review(
                    review, to=ReviewState.PENDING, log=log, why="claim_expired", claimed_by=None, claimed_until=None
                )
                returned += 1
    return returned


def comment_review(*, account: Account, viewer: Viewer, review: Review, text: str) -> Comment:
    """Says something without deciding. Raises NotAllowed, BadDecision for an empty or overlong text."""
    _may(viewer, "decide", review)
    if not text.strip() or len(text) > 10_000:
        raise BadDecision("A comment holds 1 to 10000 characters.", fields={"text": "holds 1 to 10000 characters"})
    with act(Actor.of(account)) as log:
        comment = Comment.objects.create(review=review, author=account, text=text)
        _note(log, "review.commented", review, {"comment": comment.pk})
    return comment


def decide(
    *,
    account: Account,
    viewer: Viewer,
    review: Review,
    asked: Asked,
    through: APV | None = None,
    expected_version: int | None = None,
    idempotency_key: str = "",
) -> Decision:
    """Takes one person's decision on a round, and writes what the forge must do about it in the same transaction.

    ``through`` is the APV whose page or code it was given on; it holds for all of the round. Raises NotAllowed, BadDecision,
    StaleEvidence, AlreadyDecided, ClaimedByAnother, SecondPersonNeeded, IdempotencyConflict. A repeated idempotency key with the
    same request returns the decision made before.
    """
    started = timezone.now()
    _may(viewer, "decide", review)
    # Of what was asked about, not of the round: the answer to a repeated request must not depend on a round that opened since.
    digest = asked.digest(str((through or review.remedy or review.apv or review).pk))
    if before := _repeated(account, idempotency_key, digest):
        return before
    _sound(review, asked)
    try:
        with act(Actor.of(account)) as log:
            review = _locked_to_decide(review)
            if before := _repeated(account, idempotency_key, digest):
                return before  # the same request, sent twice at once
            _undecided(review)
            _unclaimed_by_others(review, account)
            _fresh(review, asked, expected_version)
            decision = _write(log, account, review, asked, through, idempotency_key, digest)
    except (IntegrityError, Moved) as error:
        # Two at once: the constraint or the conditional move let one of them win.
        if before := _repeated(account, idempotency_key, digest):
            return before
        raise _already(review) from error
    metrics.decision_made(asked.choice, decision.apv.severity)
    metrics.decision_timed((timezone.now() - started).total_seconds())
    return decision


def foresee(
    *, account: Account, viewer: Viewer, review: Review, asked: Asked, expected_version: int | None = None
) -> ReviewError | None:
    """The refusal ``decide`` would give now, None when it would take the decision. Only looks: a justification is still to come."""
    try:
        _may(viewer, "decide", review)
        _sound(review, asked, before_writing=True)
        _undecided(review)
        _unclaimed_by_others(review, account)
        _fresh(review, asked, expected_version)
        if asked.choice == "approve" and review.remedy is not None:
            is_last_word(review, account, advice_now(review))
    except ReviewError as error:
        return error
    return None


def approve_by_policy(*, review: Review, justification: str) -> Decision:
    """Approves a round without people, by the way every decision goes, where policy allows it and nothing stands against it.

    Raises NotAutomatic with what does, AlreadyDecided, ClaimedByAnother (also for whoever holds it), StaleEvidence, BadDecision.
    """
    asked = Asked("approve", justification, review.head_commit, review.patch_digest)
    _sound(review, asked)
    version = review.version
    try:
        with act(POLICY) as log:
            review = _locked_to_decide(review)
            _undecided(review)
            _unclaimed_by_others(review, None)
            _fresh(review, asked, version)
            decision = _write(log, None, review, asked, None, "", "")
    except (IntegrityError, Moved) as error:
        raise _already(review) from error
    metrics.decision_made(asked.choice, decision.apv.severity)
    return decision


def _write(
    log: Log, account: Account | None, review: Review, asked: Asked, through: APV | None, key: str, digest: str
) -> Decision:
    """``account``: the person who decides; None is policy, which may approve and nothing else."""
    apvs = [item.apv for item in review.items.all()]
    advice = advice_now(review) if asked.choice == "approve" and review.remedy is not None else None
    final = asked.choice in FINAL and (advice is None or is_last_word(review, account, advice))
    apv = next((one for one in apvs if one == through), apvs[0])
    spoke = (
        spoke_columns(advice)
        if advice is not None
        else {"policies": review.policies, "policy_version_id": review.policy_version_id}
    )
    decision = Decision(
        apv=apv,
        apv_code=apv.apv_code,
        review=review,
        decision=asked.choice,
        justification=asked.justification,
        comments=asked.comments,
        confidence_override=asked.confidence_override,
        modifications=asked.modifications,
        suppress=asked.suppress.kept() if asked.suppress else {},
        reviewer=account,
        reviewer_name=account.shown_name if account is not None else _policy_name(spoke["policies"]),
        reviewer_email=account.email if account is not None else "",
        is_automatic=account is None,
        is_final=final,
        action_taken=ACTIONS[asked.choice] if final or asked.choice == "escalate" else "none",
        head_commit=review.head_commit,
        patch_digest=review.patch_digest,
        idempotency_key=key,
        request_digest=digest,
        **spoke,
    )
    if review.remedy is not None and decision.action_taken != "none":
        decision.job = _job(review.remedy, review.round, decision)
        log.wake("forge", decision.job.pk)
    decision.save(force_insert=True)
    _note(
        log,
        "decision.made",
        review,
        {
            "decision": str(decision.pk),
            "type": decision.decision,
            "final": final,
            "action": decision.action_taken,
            "apvs": [apv.apv_code for apv in apvs],
            "severity": apv.severity,
            "head": review.head_commit,
            "patch": review.patch_digest,
            "job": str(decision.job_id) if decision.job_id else None,
            "automatic": decision.is_automatic,
            "policies": [one["version"] for one in decision.policies],
        },
    )
    _follow(log, review, decision, apvs)
    return decision


def _policy_name(spoke: list[dict[str, Any]]) -> str:
    return f"policy {spoke[-1]['name']}, version {spoke[-1]['number']}" if spoke else "policy"


def _follow(log: Log, review: Review, decision: Decision, apvs: list[APV]) -> None:
    """What a decision changes at once. What depends on the forge waits for its answer."""
    if decision.is_final:
        move_review(
            review, to=ReviewState.DECIDED, log=log, why=decision.decision, decided_at=timezone.now(), claimed_by=None
        )
    elif decision.decision == "escalate":
        changes: dict[str, Any] = {"escalated_at": timezone.now(), "claimed_by": None, "claimed_until": None}
        if review.state == ReviewState.CLAIMED:
            move_review(review, to=ReviewState.PENDING, log=log, why="escalated", **changes)
        else:
            # As where it was claimed: who looked before does not know that somebody wants another pair of eyes on it.
            Review.objects.filter(pk=review.pk).update(**changes, version=F("version") + 1)
    elif review.state == ReviewState.CLAIMED:
        # One of several approvals: whoever gives the next must not have to wait for this claim to run out.
        move_review(review, to=ReviewState.PENDING, log=log, why="approved_once", claimed_by=None, claimed_until=None)
    if decision.decision == "approve" and decision.is_final:
        # One of them may have been resolved or set aside since the round opened: the others are approved all the same.
        live = [apv for apv in apvs if apv.status not in rounds.ENDED]
        move_apvs(live, to=APVStatus.APPROVED, log=log, why="approved")
    if decision.decision == "reject" and review.remedy is None and decision.suppress:
        for apv in apvs:
            suppress_apv(
                log,
                apv,
                reason=decision.suppress["reason"],
                until=decision.suppress["expires_at"],
                by=decision.reviewer,
                ground=decision.suppress.get("ground", ""),
            )


def _job(remedy: Remedy, number: int, decision: Decision) -> ForgeJob:
    arguments: dict[str, Any] = {"decision": str(decision.pk)}
    if decision.suppress:
        arguments["suppress"] = {**decision.suppress, "by": decision.reviewer_id}
    if decision.modifications:
        arguments["modifications"] = decision.modifications
    return ForgeJob.objects.create(
        remedy=remedy,
        kind=decision.action_taken,
        head_commit=decision.head_commit,
        round=number,
        cause=f"decision:{decision.pk}",
        arguments=arguments,
    )


def withdraw_decision(*, account: Account, viewer: Viewer, decision: Decision) -> Decision:
    """Takes a decision back while its forge job has not begun; a new round opens. Raises NotAllowed, TooLate."""
    _may(viewer, "decide", decision.review)
    if decision.reviewer_id != account.pk and not viewer.may("lead"):
        raise NotAllowed("Only the person who decided, or a lead, may withdraw it.")
    with act(Actor.of(account)) as log:
        review = _locked(decision.review)
        if decision.withdrawn_at is not None or not decision.is_final or decision.job_id is None:
            raise TooLate("There is nothing left to withdraw.")
        if not _cancelled(decision):
            raise TooLate("The forge is already at it; the decision stands.")
        _take_back(log, review, decision, "The decision before was withdrawn.")
    return decision


def withdraw_automatic(log: Log, *, because: str) -> int:
    """Takes back every approval that policy gave and the forge has not begun with; people are asked instead. Returns how many."""
    waiting = Decision.objects.filter(is_automatic=True, withdrawn_at__isnull=True, job__state=ForgeJobState.PENDING)
    taken = 0
    for decision in waiting.select_related("review").order_by("created_at"):
        review = _locked(decision.review)
        if _cancelled(decision):
            _take_back(log, review, decision, because)
            taken += 1
    return taken


def _cancelled(decision: Decision) -> bool:
    """Takes its forge job out of line; False when the forge is at it already."""
    return decision.job_id is not None and bool(
        ForgeJob.objects.filter(pk=decision.job_id, state=ForgeJobState.PENDING, attempts=0).update(
            state=ForgeJobState.CANCELLED, finished_at=timezone.now(), reason="withdrawn"
        )
    )


def _take_back(log: Log, review: Review, decision: Decision, because: str) -> None:
    decision.withdrawn_at = timezone.now()
    Decision.objects.filter(pk=decision.pk).update(withdrawn_at=decision.withdrawn_at)
    _note(log, "decision.withdrawn", review, {"decision": str(decision.pk), "type": decision.decision})
    if review.remedy is not None:
        rounds.open_round(log, remedy=review.remedy, because=because)


def _repeated(account: Account, key: str, digest: str) -> Decision | None:
    if not key:
        return None
    before = Decision.objects.filter(reviewer=account, idempotency_key=key).first()
    if before is not None and before.request_digest != digest:
        raise IdempotencyConflict("This idempotency key was used for another request.")
    return before


def _may(viewer: Viewer, right: str, review: Review) -> None:
    if not sees(viewer, review.repository_id):
        raise NotAllowed("This review is not yours to see.")
    if not viewer.may(right):
        raise NotAllowed("Your role does not permit it.")


def _locked(review: Review) -> Review:
    """The row as it is now, held until commit, so that what is checked is what is changed.

    Without joins: PostgreSQL, having waited for the lock, gives the row anew but what was joined to it as it was before. The
    remedy is held too, so that no rebase gives it another head between the look and the decision; its texts, which may be whole lock
    files, are left where they are.
    """
    held = Review.objects.select_for_update().get(pk=review.pk)
    if held.remedy_id is not None:
        held.remedy = Remedy.objects.select_for_update().defer("patch", "changes").get(pk=held.remedy_id)
    return held


def _locked_to_decide(review: Review) -> Review:
    """As ``_locked``, with the APVs it holds for, most urgent first."""
    held = _locked(review)
    items = ReviewItem.objects.select_related("apv").order_by("apv__priority", "apv__apv_code")
    prefetch_related_objects([held], Prefetch("items", queryset=items))
    return held


def _undecided(review: Review) -> None:
    if review.state == ReviewState.DECIDED:
        raise _already(review)


def _already(review: Review) -> ReviewError:
    last = Decision.objects.filter(review_id=review.pk, is_final=True, withdrawn_at__isnull=True).first()
    if last is None:
        return AlreadyDecided("This round has ended.", decision=None)
    return AlreadyDecided(
        f"{last.reviewer_name} decided meanwhile: {last.get_decision_display()}.",
        decision=str(last.pk),
        by=last.reviewer_name,
        choice=last.decision,
    )


def _unclaimed_by_others(review: Review, account: Account | None) -> None:
    held = review.claimed_until is not None and review.claimed_until > timezone.now()
    if (
        review.state == ReviewState.CLAIMED
        and held
        and review.claimed_by_id not in (None, account.pk if account else None)
    ):
        assert review.claimed_by is not None  # noqa: S101 - the id was just seen
        raise ClaimedByAnother(f"{review.claimed_by.shown_name} is looking at it.", by=review.claimed_by.shown_name)


def _sound(review: Review, asked: Asked, *, before_writing: bool = False) -> None:
    strategy = review.remedy.strategy if review.remedy else ""
    fields = complaints(
        asked,
        has_remedy=review.remedy_id is not None,
        strategy=strategy,
        now=timezone.now(),
        codes=_codes(review) if asked.suppress and asked.suppress.apv_codes else frozenset(),
        grounds=GROUNDS,
    )
    if before_writing:
        fields.pop("justification", None)
    if fields:
        told = (text if name == "decision" else f"{name} {text}" for name, text in fields.items())
        raise BadDecision("; ".join(told), fields=fields)


def _codes(review: Review) -> frozenset[str]:
    return frozenset(review.items.values_list("apv__apv_code", flat=True))


def _fresh(review: Review, asked: Asked, expected_version: int | None) -> None:
    changed: dict[str, dict[str, Any]] = {}
    if asked.seen_head and asked.seen_head != review.head_commit:
        changed["head_commit"] = {"seen": asked.seen_head, "now": review.head_commit}
    if asked.seen_patch and asked.seen_patch != review.patch_digest:
        changed["patch_digest"] = {"seen": asked.seen_patch, "now": review.patch_digest}
    if any(item.apv.status == APVStatus.WARGAMING for item in review.items.all()):
        changed["wargames"] = {"seen": "ended", "now": "running"}
    if expected_version is not None and expected_version != review.version:
        changed["version"] = {"seen": expected_version, "now": review.version}
    if review.remedy is not None and review.remedy.state not in LIVE_REMEDIES:
        changed["remedy"] = {"seen": "open", "now": review.remedy.state}
    if review.remedy is not None and review.remedy.head_commit != review.head_commit:
        changed["remedy_head"] = {"seen": review.head_commit, "now": review.remedy.head_commit}
    if changed:
        moved = ", ".join(MOVED[name] for name in changed)
        raise StaleEvidence(f"What you decided on is no longer what there is: {moved}", changed=changed)


def _note(log: Log, kind: str, review: Review, data: dict[str, Any]) -> None:
    log.record(
        kind,
        subject=f"review:{review.pk}",
        repository=review.repository_id,
        data={"remedy": str(review.remedy_id) if review.remedy_id else None, "round": review.round, **data},
    )
