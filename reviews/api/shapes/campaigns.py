"""Campaigns: as they are started, how far they have come, and what became of each review in them."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from reviews import bulk, campaigns
from reviews.api.shapes.bulk import CHOICES, BulkRow, BulkSeenRequest, BulkSuppressionRequest, each_once
from reviews.api.shapes.fields import Flag, Strict, Text
from reviews.models import Campaign, CampaignItem


class CampaignPreviewRequest(Strict):
    """An advisory, by its id or any alias, and the decision that is thought of."""

    advisory_id = Text(max_length=120)
    decision = serializers.ChoiceField(choices=CHOICES)
    suppress = BulkSuppressionRequest(required=False)


class CampaignPreview(serializers.Serializer[Any]):
    advisory_id = serializers.CharField()
    items = BulkRow(many=True)
    more = serializers.BooleanField(help_text=f"whether more than these {bulk.MOST} reviews wait")


class CampaignRequest(Strict):
    """The reviews are rows of the preview. ``takes_later`` takes signing in; a token cannot ask for it."""

    advisory_id = Text(max_length=120)
    decision = serializers.ChoiceField(choices=CHOICES)
    justification = Text(max_length=10_000)
    suppress = BulkSuppressionRequest(required=False)
    reviews = serializers.ListField(child=BulkSeenRequest(), allow_empty=False, max_length=campaigns.MOST)
    takes_later = Flag(required=False, default=False)
    until = serializers.DateTimeField(required=False, help_text="how long later ones belong to it; 14 days by default")

    def validate_reviews(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return each_once(rows)


class CampaignShape(serializers.ModelSerializer[Campaign]):
    author = serializers.CharField(source="author_name")
    ended_by = serializers.CharField(source="ended_by.shown_name", allow_null=True, default=None)

    class Meta:
        model = Campaign
        fields = (
            "id", "advisory_id", "decision", "justification", "suppress", "author", "takes_later", "until", "created_at", "ended_at",
            "ended_by",
        )  # fmt: skip
        read_only_fields = fields


class CampaignPage(serializers.Serializer[Any]):
    items = CampaignShape(many=True)
    next = serializers.CharField(allow_null=True)


class CampaignProgress(serializers.Serializer[Any]):
    """What the asker sees of it."""

    reviews = serializers.DictField(child=serializers.IntegerField(), help_text="by what became of them")
    jobs = serializers.DictField(child=serializers.IntegerField(), help_text="forge jobs of its decisions, by state")
    apvs = serializers.DictField(
        child=serializers.IntegerField(), help_text="every APV of the vulnerability, by state, also those not in review"
    )


class CampaignDetail(CampaignShape):
    progress = CampaignProgress(read_only=True)

    class Meta:
        model = Campaign
        fields = (*CampaignShape.Meta.fields, "progress")
        read_only_fields = fields


class CampaignItemShape(serializers.ModelSerializer[CampaignItem]):
    """One review of a campaign. ``reason`` says why it was refused or is left to a person."""

    review_id = serializers.UUIDField()
    apv_codes = serializers.SerializerMethodField()
    repository = serializers.CharField(source="review.repository.name")
    review_state = serializers.CharField(source="review.state")
    decision_id = serializers.UUIDField(allow_null=True)
    job_state = serializers.CharField(source="decision.job.state", allow_null=True, default=None)

    class Meta:
        model = CampaignItem
        fields = (
            "id", "review_id", "apv_codes", "repository", "state", "is_late", "reason", "message", "review_state", "decision_id",
            "job_state", "evidence", "confidence", "updated_at",
        )  # fmt: skip
        read_only_fields = fields

    def get_apv_codes(self, row: CampaignItem) -> list[str]:
        return [item.apv.apv_code for item in row.review.items.all()]


class CampaignItemPage(serializers.Serializer[Any]):
    items = CampaignItemShape(many=True)
    next = serializers.CharField(allow_null=True)
