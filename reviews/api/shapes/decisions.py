"""Decisions: as they are asked for, and as they stand with what became of them."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from immune.models.suppressions import Ground
from reviews.api.shapes.fields import Number, Strict, Text
from reviews.models import Choice, Decision


class SpokeShape(serializers.Serializer[Any]):
    """A version of a policy of the site's own that spoke; none did where only the built-in one is."""

    version = serializers.CharField()
    name = serializers.CharField()
    number = serializers.IntegerField()


class DecisionShape(serializers.ModelSerializer[Decision]):
    """A decision with what became of it at the forge."""

    review_id = serializers.UUIDField()
    holds_for = serializers.SerializerMethodField()
    job = serializers.SerializerMethodField()
    policies = SpokeShape(many=True)

    class Meta:
        model = Decision
        fields = (
            "id", "apv_code", "review_id", "decision", "is_final", "action_taken", "justification", "comments",
            "confidence_override", "modifications", "suppress", "reviewer_name", "head_commit", "patch_digest", "withdrawn_at",
            "created_at", "holds_for", "job", "is_automatic", "policies",
        )  # fmt: skip
        read_only_fields = fields

    def get_holds_for(self, decision: Decision) -> list[str]:
        return sorted(item.apv.apv_code for item in decision.review.items.all())

    def get_job(self, decision: Decision) -> dict[str, Any] | None:
        job = decision.job
        if job is None:
            return None
        return {
            "id": str(job.pk),
            "kind": job.kind,
            "state": job.state,
            "reason": job.reason,
            "message": job.message,
            "held": job.held,
        }


class DecisionPage(serializers.Serializer[Any]):
    items = DecisionShape(many=True)
    next = serializers.CharField(allow_null=True)


class SuppressionRequest(Strict):
    reason = Text(max_length=2000)
    expires_at = serializers.DateTimeField()
    ground = serializers.ChoiceField(
        choices=Ground.choices, required=False, help_text="VEX's justification, or accepted_risk"
    )
    apv_codes = serializers.ListField(
        child=Text(max_length=32),
        required=False,
        allow_empty=False,
        max_length=200,
        help_text="which of the review's APVs; all of them when it is absent",
    )


class ModificationsRequest(Strict):
    target_version = Text(max_length=200)


class DecisionRequest(Strict):
    """A decision on the latest round about an APV; it holds for every APV of the round."""

    apv_code = Text(max_length=32)
    decision = serializers.ChoiceField(choices=Choice.choices)
    justification = Text(max_length=10_000)
    head_commit = Text(max_length=64, required=False, allow_blank=True, default="")
    patch_digest = Text(max_length=64, required=False, allow_blank=True, default="")
    comments = Text(max_length=10_000, required=False, allow_blank=True, default="")
    confidence_override = Number(min_value=0, max_value=1, required=False, allow_null=True, default=None)
    modifications = ModificationsRequest(required=False)
    suppress = SuppressionRequest(required=False)
