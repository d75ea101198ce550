"""One decision for many reviews: what is asked, what a preview shows of each row, and what became of each."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from reviews import bulk
from reviews.api.shapes.decisions import SuppressionRequest
from reviews.api.shapes.fields import Strict, Text, Verdict, Whole
from reviews.models import Recommendation

CHOICES = [(choice.value, choice.label) for choice in bulk.OFFERED]


class BulkSuppressionRequest(SuppressionRequest):
    """As with one decision; it is about every APV of each review."""

    apv_codes = None  # type: ignore[assignment]


class BulkPreviewRequest(Strict):
    """APVs by code. Several codes of one review are one row."""

    apv_codes = serializers.ListField(child=Text(max_length=32), allow_empty=False, max_length=bulk.MOST)
    decision = serializers.ChoiceField(choices=CHOICES)
    suppress = BulkSuppressionRequest(required=False)


class BulkSeenRequest(Strict):
    """A review and what was seen of it, as the preview gave it."""

    review_id = serializers.UUIDField()
    head_commit = Text(max_length=64, allow_blank=True)
    patch_digest = Text(max_length=64, allow_blank=True)
    version = Whole(min_value=0, max_value=2**31 - 1)


def each_once(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Raises ValidationError when a review stands twice: it would be decided twice, or on two heads."""
    if len({row["review_id"] for row in rows}) != len(rows):
        raise serializers.ValidationError("a review stands twice")
    return rows


class BulkRequest(Strict):
    decision = serializers.ChoiceField(choices=CHOICES)
    justification = Text(max_length=10_000)
    comments = Text(max_length=10_000, required=False, allow_blank=True, default="")
    suppress = BulkSuppressionRequest(required=False)
    reviews = serializers.ListField(child=BulkSeenRequest(), allow_empty=False, max_length=bulk.MOST)

    def validate_reviews(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return each_once(rows)


class BulkRow(serializers.Serializer[bulk.Foreseen]):
    """One review, what is to be seen of it, and what the decision would meet now."""

    review_id = serializers.UUIDField(source="review.pk")
    apv_codes = serializers.SerializerMethodField()
    repository = serializers.CharField(source="review.repository.name")
    package = serializers.SerializerMethodField()
    from_version = serializers.CharField(source="review.remedy.from_version", default="")
    target_version = serializers.CharField(source="review.remedy.target_version", default="")
    weakest_verdict = Verdict(source="review.weakest_verdict")
    confidence = serializers.FloatField(source="review.confidence", allow_null=True)
    recommendation = serializers.ChoiceField(source="review.recommendation", choices=Recommendation.choices)
    required_approvals = serializers.IntegerField(source="review.required_approvals")
    due_at = serializers.DateTimeField(source="review.due_at")
    head_commit = serializers.CharField(source="review.head_commit")
    patch_digest = serializers.CharField(source="review.patch_digest")
    version = serializers.IntegerField(source="review.version")
    outcome = serializers.SerializerMethodField(help_text="would_be_taken, refused")
    reason = serializers.CharField(source="refusal.reason", default="")
    message = serializers.SerializerMethodField()

    def get_apv_codes(self, row: bulk.Foreseen) -> list[str]:
        return [item.apv.apv_code for item in row.review.items.all()]

    def get_package(self, row: bulk.Foreseen) -> str:
        about = row.review.remedy or row.review.apv
        return about.package_name if about else ""

    def get_outcome(self, row: bulk.Foreseen) -> str:
        return "refused" if row.refusal else "would_be_taken"

    def get_message(self, row: bulk.Foreseen) -> str:
        return str(row.refusal or "")


class BulkPreview(serializers.Serializer[Any]):
    items = BulkRow(many=True)
    not_found = serializers.ListField(child=serializers.CharField(), help_text="codes without a review in sight")


class BulkOutcome(serializers.Serializer[Any]):
    """What became of one review."""

    review_id = serializers.UUIDField()
    apv_codes = serializers.ListField(child=serializers.CharField())
    outcome = serializers.ChoiceField(
        choices=["decided", "noted", "refused"], help_text="noted: taken, and the round stays open"
    )
    reason = serializers.CharField()
    message = serializers.CharField()
    decision_id = serializers.UUIDField(allow_null=True)


class BulkAnswer(serializers.Serializer[Any]):
    items = BulkOutcome(many=True)
