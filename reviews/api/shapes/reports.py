"""Reports of scanners that were sent, and what came of them."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from immune.models import ReportJob


class RefusedRow(serializers.Serializer[Any]):
    source = serializers.CharField()  # type: ignore[assignment]
    reason = serializers.CharField()


class ReportProgress(serializers.Serializer[Any]):
    """Findings, components and statements read so far, and findings applied."""

    read = serializers.IntegerField(required=False)
    applied = serializers.IntegerField(required=False)


class IngestCounts(serializers.Serializer[Any]):
    """What came of a report; members are absent until it was taken in. ``refused`` holds the first of ``refused_count``."""

    format = serializers.CharField(required=False)
    tool = serializers.CharField(required=False)
    read = serializers.IntegerField(required=False)
    findings = serializers.IntegerField(required=False)
    components = serializers.IntegerField(required=False)
    statements = serializers.IntegerField(required=False)
    opened = serializers.IntegerField(required=False)
    updated = serializers.IntegerField(required=False)
    reopened = serializers.IntegerField(required=False)
    closed = serializers.IntegerField(required=False)
    suppressed = serializers.IntegerField(required=False)
    unchanged = serializers.IntegerField(required=False)
    statements_applied = serializers.IntegerField(required=False)
    refused_count = serializers.IntegerField(required=False)
    refused = RefusedRow(many=True, required=False)


class ReportShape(serializers.ModelSerializer[ReportJob]):
    """A report that was sent: how far taking it in has come, and what came of it."""

    repository_id = serializers.UUIDField()
    result = IngestCounts()
    progress = ReportProgress()

    class Meta:
        model = ReportJob
        fields = (
            "id", "repository_id", "part", "source", "size", "state", "reason", "progress", "result", "created_at", "finished_at",
        )  # fmt: skip
        read_only_fields = fields


class ReportPage(serializers.Serializer[Any]):
    items = ReportShape(many=True)
    next = serializers.CharField(allow_null=True)
