"""The list of APVs, one APV with the round about it, and the figures of the queue."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from immune.homeostasis.states import State
from immune.models import APV, Question, QuestionKind, Sighting
from reviews.api.shapes.decisions import DecisionShape, SpokeShape
from reviews.api.shapes.fields import Strict, Text, Verdict
from reviews.api.shapes.wargames import WargameShape
from reviews.models import Review


class ReviewItem(serializers.ModelSerializer[APV]):
    """One APV as the list shows it."""

    repository = serializers.CharField(source="repository.name")
    repository_id = serializers.UUIDField()
    remedy_id = serializers.UUIDField(allow_null=True)
    review_id = serializers.UUIDField(allow_null=True)
    review_state = serializers.CharField(allow_null=True)
    questioned = serializers.BooleanField(help_text="whether a question to people about it is open")
    wargame_verdict = Verdict()

    class Meta:
        model = APV
        fields = (
            "apv_code", "advisory_id", "cve_id", "severity", "score", "priority", "ecosystem", "package_name", "versions",
            "patch_strategy", "wargame_verdict", "wargame_confidence", "status", "reason", "repository", "repository_id",
            "remedy_id", "review_id", "review_state", "questioned", "due_at", "created_at", "updated_at",
        )  # fmt: skip
        read_only_fields = fields


class ReviewPage(serializers.Serializer[Any]):
    items = ReviewItem(many=True)
    next = serializers.CharField(allow_null=True)


class AdvisoryShape(serializers.Serializer[Any]):
    id = serializers.CharField()
    aliases = serializers.ListField(child=serializers.CharField())
    summary = serializers.CharField(allow_blank=True)
    severity = serializers.CharField()
    score = serializers.FloatField(allow_null=True)


class ReviewDetail(serializers.ModelSerializer[Review]):
    """Everything a review page shows about the latest round that holds for one APV."""

    weakest_verdict = Verdict()
    items = serializers.SerializerMethodField()
    wargames = serializers.SerializerMethodField()
    remedy = serializers.SerializerMethodField()
    decisions = DecisionShape(many=True)
    comments = serializers.SerializerMethodField()
    claimed_by = serializers.CharField(source="claimed_by.shown_name", allow_null=True, default=None)
    required_groups = serializers.ListField(
        child=serializers.ListField(child=serializers.CharField()),
        help_text="[id, name] of the teams that approve after the first",
    )
    policies = SpokeShape(many=True)

    class Meta:
        model = Review
        fields = (
            "id", "state", "round", "version", "head_commit", "patch_digest", "evidence_digest", "weakest_verdict", "confidence",
            "recommendation", "recommendation_reasons", "required_approvals", "required_groups", "policies", "opened_because",
            "closed_because", "claimed_by", "claimed_until", "escalated_at", "opened_at", "decided_at", "due_at", "priority",
            "items", "wargames", "remedy", "decisions", "comments",
        )  # fmt: skip
        read_only_fields = fields

    def get_items(self, review: Review) -> list[dict[str, Any]]:
        return [
            {
                "apv_code": item.apv.apv_code,
                "severity": item.apv.severity,
                "verdict": item.verdict,
                "confidence": item.confidence,
                "advisories": AdvisoryShape(item.apv.group.advisories.all(), many=True).data,
            }
            for item in review.items.all()
        ]

    def get_wargames(self, review: Review) -> list[dict[str, Any]]:
        return [dict(WargameShape(item.wargame).data) for item in review.items.all() if item.wargame]

    def get_remedy(self, review: Review) -> dict[str, Any] | None:
        remedy = review.remedy
        if remedy is None:
            return None
        return {
            "id": str(remedy.pk),
            "package": remedy.package_name,
            "from_version": remedy.from_version,
            "target_version": remedy.target_version,
            "bump": remedy.bump,
            "state": remedy.state,
            "reason": remedy.reason,
            "merge_commit": remedy.merge_commit or None,
            "aftermath": str(remedy.aftermath.pk) if hasattr(remedy, "aftermath") else None,
            "branch": remedy.branch,
            "base_commit": remedy.base_commit,
            "pull_request": remedy.pull_request_number,
            "patch": remedy.patch,
        }

    def get_comments(self, review: Review) -> list[dict[str, Any]]:
        return [
            {"author": c.author.shown_name if c.author else None, "text": c.text, "at": c.created_at.isoformat()}
            for c in review.comments.all()
        ]


class FactorShape(serializers.Serializer[Any]):
    """One thing that was weighed: as a person reads it, and what it added to the score."""

    name = serializers.CharField()
    value = serializers.CharField()
    weight = serializers.IntegerField()


class SightingShape(serializers.ModelSerializer[Sighting]):
    """Who else says that the problem is there, and whether our own matching agrees."""

    tool = serializers.CharField(source="stream.tool")
    part = serializers.CharField(source="stream.part")

    class Meta:
        model = Sighting
        fields = (
            "tool", "part", "advisory", "aliases", "versions", "fixed_versions", "severity", "targets", "state", "confirmation",
            "suppressed", "gone", "first_at", "changed_at",
        )  # fmt: skip
        read_only_fields = fields


class SignalsShape(serializers.Serializer[Any]):
    """What is known of its exploitation. Null: not scored, or not in the catalogue."""

    epss = serializers.FloatField(allow_null=True, help_text="probability of exploitation in the next 30 days")
    epss_percentile = serializers.FloatField(allow_null=True)
    epss_day = serializers.DateField(allow_null=True)
    kev_added = serializers.DateField(allow_null=True, help_text="since when it is known to be exploited")
    kev_due = serializers.DateField(allow_null=True)
    kev_ransomware = serializers.BooleanField(allow_null=True)


class QuestionShape(serializers.ModelSerializer[Question]):
    """What only a person can settle. ``about``: the codes, states and ids it is about."""

    kind = serializers.CharField(help_text=", ".join(QuestionKind.values))
    settled_by = serializers.CharField(source="settled_by.shown_name", allow_null=True, default=None)

    class Meta:
        model = Question
        fields = ("id", "kind", "about", "asked_at", "settled_at", "settled_by")
        read_only_fields = fields


class DetailAnswer(ReviewItem):
    """One APV with what its priority is made of, the latest round about it, who sees it and how it is exploited."""

    priority_factors = FactorShape(many=True, read_only=True)

    review = ReviewDetail(allow_null=True)
    sources = SightingShape(many=True)
    signals = SignalsShape()
    questions = QuestionShape(many=True, source="asked")

    class Meta:
        model = APV
        fields = (*ReviewItem.Meta.fields, "scan_sees", "priority_factors", "sources", "signals", "questions", "review")
        read_only_fields = fields


class CommentRequest(Strict):
    text = Text(max_length=10_000)


class BalanceShape(serializers.Serializer[Any]):
    """How the whole is doing (docs/homeostasis.md)."""

    state = serializers.CharField(allow_null=True, help_text=f"{', '.join(State)}; null before the first look")
    since = serializers.DateTimeField(allow_null=True)
    reasons = serializers.ListField(child=serializers.CharField(), help_text="the figures that ask for the state")
    held = serializers.DictField(
        child=serializers.IntegerField(), help_text="forge jobs that wait for a place, by the reason, within sight"
    )


class StatsShape(serializers.Serializer[Any]):
    pending = serializers.IntegerField()
    claimed = serializers.IntegerField()
    overdue = serializers.IntegerField()
    pending_by_severity = serializers.DictField(
        child=serializers.IntegerField(), help_text="open reviews by the worst severity among their APVs"
    )
    decided_today = serializers.IntegerField()
    decided_this_week = serializers.IntegerField()
    median_seconds_to_decision = serializers.FloatField(
        allow_null=True, help_text="of the latest 1000 reviews decided within 30 days, from opening; null without any"
    )
    p95_seconds_to_decision = serializers.FloatField(allow_null=True)
    agreement_with_recommendation = serializers.FloatField(
        allow_null=True, help_text="share of those whose recommendation was not to ask and was followed"
    )
    live_apvs_by_severity = serializers.DictField(child=serializers.IntegerField())
    decisions_by_type = serializers.DictField(child=serializers.IntegerField())
    balance = BalanceShape()
