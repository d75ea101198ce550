"""Suppressions: as they are made, and as they stand."""

from __future__ import annotations

from typing import Any

from django.utils import timezone
from rest_framework import serializers

from immune.models import Suppression
from immune.models.suppressions import Ground, SuppressionScope
from reviews.api.shapes.fields import Strict, Text


class SuppressionMade(Strict):
    """What to set aside. Each scope names its own: an APV by code; repository, ecosystem and package; an advisory by any name."""

    scope = serializers.ChoiceField(choices=SuppressionScope.choices)
    ground = serializers.ChoiceField(choices=Ground.choices)
    reason = Text(max_length=2000)
    expires_at = serializers.DateTimeField()
    apv_code = Text(max_length=32, required=False)
    repository_id = serializers.UUIDField(required=False)
    ecosystem = Text(max_length=60, required=False)
    package = Text(max_length=300, required=False)
    advisory_id = Text(max_length=120, required=False)


class SuppressionShape(serializers.ModelSerializer[Suppression]):
    """One suppression. ``holds``: it has neither expired nor been ended."""

    apv_code = serializers.CharField(source="apv.apv_code", allow_null=True, default=None)
    repository_id = serializers.SerializerMethodField()
    advisory_id = serializers.CharField(source="group.canonical_id", allow_null=True, default=None)
    ground = serializers.CharField(read_only=True, help_text=f"{', '.join(Ground.values)}; empty for words alone")
    author = serializers.CharField(source="author.shown_name", allow_null=True, default=None)
    ended_by = serializers.CharField(source="ended_by.shown_name", allow_null=True, default=None)
    holds = serializers.SerializerMethodField()

    class Meta:
        model = Suppression
        fields = (
            "id", "scope", "ground", "reason", "apv_code", "repository_id", "ecosystem", "package_name", "advisory_id", "author",
            "source", "created_at", "expires_at", "ended_at", "ended_by", "holds",
        )  # fmt: skip
        read_only_fields = fields

    def get_repository_id(self, row: Suppression) -> str | None:
        found = row.apv.repository_id if row.apv is not None else row.repository_id
        return str(found) if found else None

    def get_holds(self, row: Suppression) -> bool:
        return row.ended_at is None and row.expires_at > timezone.now()


class SuppressionDetail(SuppressionShape):
    apvs = serializers.ListField(
        child=serializers.CharField(), read_only=True, help_text="codes in sight of what it is about, 200 at most"
    )

    class Meta:
        model = Suppression
        fields = (*SuppressionShape.Meta.fields, "apvs")
        read_only_fields = fields


class SuppressionPage(serializers.Serializer[Any]):
    items = SuppressionShape(many=True)
    next = serializers.CharField(allow_null=True)
