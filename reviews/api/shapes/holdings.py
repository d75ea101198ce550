"""What the system holds and reads: repositories, readings of them, published records, health."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from immune.models import Advisory, Repository, Scan
from immune.models.repositories import MergeMethod
from reviews.api.shapes.fields import Flag, Strict, Text


class RepositoryShape(serializers.ModelSerializer[Repository]):
    class Meta:
        model = Repository
        fields = (
            "id", "name", "forge", "default_branch", "head_commit", "read_at", "problem", "labels", "merge_method",
            "merge_queue", "created_at",
        )  # fmt: skip
        read_only_fields = fields


class MergingRequest(Strict):
    """How approved pull requests are merged. A queue and ``rebase`` are GitHub's alone."""

    merge_method = serializers.ChoiceField(choices=MergeMethod.choices)
    merge_queue = Flag()


class RepositoryPage(serializers.Serializer[Any]):
    items = RepositoryShape(many=True)
    next = serializers.CharField(allow_null=True)


class RepositoryRequest(Strict):
    url = Text(max_length=1000)
    name = Text(max_length=180, required=False)
    team_ids = serializers.ListField(
        child=serializers.UUIDField(), required=False, max_length=100, help_text="the teams that own it; else your own"
    )


class ImmunizeRequest(Strict):
    again = Flag(required=False, default=False)


class ScanShape(serializers.ModelSerializer[Scan]):
    repository_id = serializers.UUIDField()

    class Meta:
        model = Scan
        fields = ("id", "repository_id", "state", "cause", "head_commit", "result", "created_at", "finished_at")
        read_only_fields = fields


class AdvisoryItem(serializers.ModelSerializer[Advisory]):
    class Meta:
        model = Advisory
        fields = (
            "id",
            "aliases",
            "summary",
            "severity",
            "score",
            "cwes",
            "published",
            "modified",
            "withdrawn",
            "source",
        )
        read_only_fields = fields


class AdvisoryPage(serializers.Serializer[Any]):
    items = AdvisoryItem(many=True)
    next = serializers.CharField(allow_null=True)


class AffectedShape(serializers.Serializer[Any]):
    ecosystem = serializers.CharField()
    name = serializers.CharField()


class AdvisoryDetail(AdvisoryItem):
    """A record with all it says, and the codes of the APVs in sight that stand on it."""

    affected = AffectedShape(many=True)
    apvs = serializers.ListField(child=serializers.CharField(), read_only=True)

    class Meta:
        model = Advisory
        fields = (*AdvisoryItem.Meta.fields, "details", "vectors", "related", "references", "affected", "apvs")
        read_only_fields = fields


class HealthShape(serializers.Serializer[Any]):
    status = serializers.ChoiceField(choices=["ok", "degraded", "down"])
    name = serializers.CharField()
    version = serializers.CharField()
    components = serializers.DictField(child=serializers.CharField())
