"""Review rounds, the APVs each holds for, the decisions given and what people said."""

from __future__ import annotations

import uuid

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from immune.models import APV, Account, Advisory, ForgeJob, Remedy, Repository
from immune.models.apvs import Verdict
from reviews.notices.models import Notice, NoticeAttempt, NoticeChannel  # noqa: F401 - Django looks for tables here
from reviews.policies.models import AutomaticSwitch, ReflexFiring, ReflexRule, Rule, RuleKind, RuleVersion, SwitchState
from wargaming.models import Wargame

__all__ = [
    "AutomaticSwitch",
    "Choice",
    "Comment",
    "Decision",
    "Recommendation",
    "ReflexFiring",
    "ReflexRule",
    "Review",
    "ReviewItem",
    "ReviewState",
    "Rule",
    "RuleKind",
    "RuleVersion",
    "SwitchState",
]


class ReviewState(models.TextChoices):
    PENDING = "pending", _("pending")
    CLAIMED = "claimed", _("claimed")
    DECIDED = "decided", _("decided")


class Choice(models.TextChoices):
    """What a reviewer may say. approve, reject and modify end the round; escalate does not."""

    APPROVE = "approve", _("approve")
    REJECT = "reject", _("reject")
    MODIFY = "modify", _("modify")
    ESCALATE = "escalate", _("escalate")


class Recommendation(models.TextChoices):
    APPROVE = "approve", _("approve")
    REJECT = "reject", _("reject")
    ESCALATE = "escalate", _("escalate")
    ASK = "ask", _("a person has to look")


class Review(models.Model):
    """One round of the question put to people about one remedy, or about one APV without a fix."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    repository = models.ForeignKey(Repository, on_delete=models.CASCADE, related_name="reviews")
    remedy = models.ForeignKey(Remedy, on_delete=models.CASCADE, null=True, blank=True, related_name="reviews")
    apv = models.ForeignKey(APV, on_delete=models.CASCADE, null=True, blank=True, related_name="no_fix_reviews")
    round = models.PositiveIntegerField(_("round"), default=1)
    state = models.CharField(_("state"), max_length=10, choices=ReviewState, default=ReviewState.PENDING)
    head_commit = models.CharField(max_length=64, blank=True)
    patch_digest = models.CharField(max_length=64, blank=True)
    evidence_digest = models.CharField(max_length=64, blank=True)
    weakest_verdict = models.CharField(_("weakest verdict"), max_length=20, choices=Verdict, blank=True)
    confidence = models.FloatField(_("confidence"), null=True, blank=True)
    recommendation = models.CharField(
        _("recommendation"), max_length=10, choices=Recommendation, default=Recommendation.ASK
    )
    recommendation_reasons = models.JSONField(default=list)
    required_approvals = models.PositiveIntegerField(_("approvals needed"), default=1)
    required_groups = models.JSONField(
        default=list, help_text=_("[[team, name], …] of those who approve after the first")
    )
    # What was known when policy was last asked, and which versions spoke then; the deciding one apart. None: the built-in one.
    facts = models.JSONField(default=dict)
    policies = models.JSONField(default=list)
    policy_version = models.ForeignKey(RuleVersion, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    escalated_at = models.DateTimeField(_("escalated"), null=True, blank=True)
    opened_because = models.TextField(_("opened because"), blank=True)
    closed_because = models.TextField(_("ended without a decision because"), blank=True)
    claimed_by = models.ForeignKey(
        Account, on_delete=models.SET_NULL, null=True, blank=True, related_name="claimed_reviews"
    )
    claimed_until = models.DateTimeField(null=True, blank=True)
    opened_at = models.DateTimeField(_("opened"), default=timezone.now)
    decided_at = models.DateTimeField(_("decided"), null=True, blank=True)
    due_at = models.DateTimeField(_("due"))
    priority = models.CharField(_("priority"), max_length=2, default="P4")
    version = models.PositiveIntegerField(default=1)

    class Meta:
        db_table = "reviews"
        verbose_name = _("review")
        verbose_name_plural = _("reviews")
        indexes = [models.Index(fields=["state", "priority", "due_at"], name="ix_reviews_queue")]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(remedy__isnull=False, apv__isnull=True)
                | models.Q(remedy__isnull=True, apv__isnull=False),
                name="reviews_about_a_remedy_or_an_apv",
            ),
            models.UniqueConstraint(fields=["remedy", "round"], name="reviews_round_once_per_remedy"),
            models.UniqueConstraint(fields=["apv", "round"], name="reviews_round_once_per_apv"),
            models.UniqueConstraint(
                fields=["remedy"], condition=~models.Q(state="decided"), name="reviews_one_open_per_remedy"
            ),
            models.UniqueConstraint(
                fields=["apv"], condition=~models.Q(state="decided"), name="reviews_one_open_per_apv"
            ),
            models.CheckConstraint(condition=models.Q(state__in=ReviewState.values), name="reviews_state_known"),
        ]

    def __str__(self) -> str:
        return f"{self.remedy or self.apv} · {self.round}"


class ReviewItem(models.Model):
    """One APV a round holds for, with the wargame that speaks for it."""

    review = models.ForeignKey(Review, on_delete=models.CASCADE, related_name="items")
    apv = models.ForeignKey(APV, on_delete=models.CASCADE, related_name="review_items")
    wargame = models.ForeignKey(Wargame, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    verdict = models.CharField(max_length=20, choices=Verdict, blank=True)
    confidence = models.FloatField(null=True, blank=True)

    class Meta:
        db_table = "review_items"
        constraints = [models.UniqueConstraint(fields=["review", "apv"], name="review_items_once")]

    def __str__(self) -> str:
        return f"{self.apv} in {self.review_id}"


class Decision(models.Model):
    """One decision by one person. Table, columns and index names are read by tools outside."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    apv = models.ForeignKey(APV, on_delete=models.CASCADE, related_name="decisions", db_index=False)
    apv_code = models.CharField(_("code"), max_length=32)
    review = models.ForeignKey(Review, on_delete=models.CASCADE, related_name="decisions")
    decision = models.CharField(_("decision"), max_length=10, choices=Choice)
    justification = models.TextField(_("justification"))
    comments = models.TextField(_("comments"), blank=True)
    confidence_override = models.FloatField(_("own confidence"), null=True, blank=True)
    modifications = models.JSONField(default=dict)
    suppress = models.JSONField(default=dict)
    reviewer = models.ForeignKey(Account, on_delete=models.SET_NULL, null=True, related_name="decisions")
    reviewer_name = models.CharField(_("reviewer"), max_length=200)
    reviewer_email = models.CharField(_("mail"), max_length=254, blank=True)
    is_final = models.BooleanField(_("ends the round"), default=True)
    is_automatic = models.BooleanField(_("by policy, without people"), default=False)
    # What policy said when it was given; none is the built-in one.
    policies = models.JSONField(default=list)
    policy_version = models.ForeignKey(RuleVersion, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    action_taken = models.CharField(_("action"), max_length=30)
    job = models.OneToOneField(ForgeJob, on_delete=models.SET_NULL, null=True, blank=True, related_name="decision")
    head_commit = models.CharField(max_length=64, blank=True)
    patch_digest = models.CharField(max_length=64, blank=True)
    idempotency_key = models.CharField(max_length=200, blank=True)
    request_digest = models.CharField(max_length=64, blank=True)
    withdrawn_at = models.DateTimeField(_("withdrawn"), null=True, blank=True)
    created_at = models.DateTimeField(_("decided"), default=timezone.now)

    class Meta:
        db_table = "hitl_decisions"
        verbose_name = _("decision")
        verbose_name_plural = _("decisions")
        indexes = [
            models.Index(fields=["apv"], name="ix_hitl_decisions_apv_id"),
            # The order in which they are listed, and what the figures of a day, a week and a month are taken from.
            models.Index(fields=["created_at", "id"], name="ix_hitl_decisions_created"),
            models.Index(fields=["decision"], name="ix_hitl_decisions_choice"),
        ]
        constraints = [
            models.CheckConstraint(condition=models.Q(decision__in=Choice.values), name="hitl_decisions_known"),
            models.CheckConstraint(
                condition=models.Q(confidence_override__isnull=True)
                | models.Q(confidence_override__gte=0, confidence_override__lte=1),
                name="hitl_decisions_confidence_between_0_and_1",
            ),
            models.UniqueConstraint(
                fields=["review"],
                condition=models.Q(is_final=True, withdrawn_at__isnull=True),
                name="hitl_decisions_one_final_per_round",
            ),
            models.UniqueConstraint(
                fields=["review", "reviewer"],
                condition=models.Q(decision="approve", withdrawn_at__isnull=True, reviewer__isnull=False),
                name="hitl_decisions_one_approval_per_person",
            ),
            models.CheckConstraint(
                condition=models.Q(is_automatic=False)
                | models.Q(decision="approve", reviewer__isnull=True, policy_version__isnull=False),
                name="hitl_decisions_automatic_names_its_policy",
            ),
            models.UniqueConstraint(
                fields=["reviewer", "idempotency_key"],
                condition=~models.Q(idempotency_key=""),
                name="hitl_decisions_idempotency_key_once",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.decision} {self.apv_code}"


class Comment(models.Model):
    """Something a person said about a review without deciding it."""

    review = models.ForeignKey(Review, on_delete=models.CASCADE, related_name="comments")
    author = models.ForeignKey(Account, on_delete=models.SET_NULL, null=True, related_name="+")
    text = models.TextField()
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        db_table = "review_comments"
        ordering = ["created_at"]

    def __str__(self) -> str:
        return f"comment {self.pk}"


class Campaign(models.Model):
    """One decision about one vulnerability for many repositories, followed until each has its answer.

    ``takes_later``: what is proved after the start is decided too, until ``until``, where its evidence is of the same kind.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    advisory = models.ForeignKey(Advisory, on_delete=models.PROTECT, related_name="+")
    decision = models.CharField(_("decision"), max_length=10, choices=Choice)
    justification = models.TextField(_("justification"))
    suppress = models.JSONField(default=dict)
    author = models.ForeignKey(Account, on_delete=models.SET_NULL, null=True, related_name="+")
    author_name = models.CharField(_("author"), max_length=200)
    takes_later = models.BooleanField(_("decides later ones too"), default=False)
    until = models.DateTimeField(_("takes later ones until"))
    created_at = models.DateTimeField(_("started"), default=timezone.now)
    ended_at = models.DateTimeField(_("ended"), null=True, blank=True)
    ended_by = models.ForeignKey(Account, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")

    class Meta:
        db_table = "campaigns"
        verbose_name = _("campaign")
        verbose_name_plural = _("campaigns")
        indexes = [models.Index(fields=["advisory", "until"], name="ix_campaigns_running")]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(decision__in=["approve", "reject", "escalate"]), name="campaigns_decision_known"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.decision} {self.advisory_id}"


class CampaignItemState(models.TextChoices):
    """What became of one review in a campaign. ``shown`` and ``refused`` are left to a person."""

    WAITING = "waiting", _("waiting")
    DECIDED = "decided", _("decided")
    NOTED = "noted", _("noted, another person has to")
    REFUSED = "refused", _("refused")
    SHOWN = "shown", _("left to a person")


class CampaignItem(models.Model):
    """One review of a campaign, with what its author saw of it, or what it was when it came later."""

    campaign = models.ForeignKey(Campaign, on_delete=models.CASCADE, related_name="items")
    review = models.ForeignKey(Review, on_delete=models.CASCADE, related_name="campaign_items")
    state = models.CharField(_("state"), max_length=10, choices=CampaignItemState, default=CampaignItemState.WAITING)
    is_late = models.BooleanField(_("came later"), default=False)
    seen_head = models.CharField(max_length=64, blank=True)
    seen_patch = models.CharField(max_length=64, blank=True)
    seen_version = models.PositiveIntegerField()
    evidence = models.JSONField(default=dict)
    confidence = models.FloatField(null=True, blank=True)
    decision = models.ForeignKey(Decision, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    reason = models.CharField(_("reason"), max_length=60, blank=True)
    message = models.TextField(_("message"), blank=True)
    updated_at = models.DateTimeField(_("changed"), default=timezone.now)

    class Meta:
        db_table = "campaign_items"
        indexes = [models.Index(fields=["campaign", "state"], name="ix_campaign_items_state")]
        constraints = [
            models.UniqueConstraint(fields=["campaign", "review"], name="campaign_items_once"),
            models.CheckConstraint(
                condition=models.Q(state__in=CampaignItemState.values), name="campaign_items_state_known"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.review_id} in {self.campaign_id}"
