"""Jobs: reports and files that were sent, documents that were asked for, and what came of them."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from immune.jobs.selectors import has_document
from immune.models import Job
from immune.vex.documents import KINDS
from reviews.api.shapes.fields import Strict


class RefusedRow(serializers.Serializer[Any]):
    source = serializers.CharField()  # type: ignore[assignment]
    reason = serializers.CharField()


class ReportProgress(serializers.Serializer[Any]):
    """Findings, components and statements read so far, and findings applied; of a scan files, and dependencies matched; of
    advisories records, and those that changed something; of an export statements, and those written."""

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


class ReportShape(serializers.ModelSerializer[Job]):
    """A report that was sent: how far taking it in has come, and what came of it."""

    repository_id = serializers.UUIDField()
    result = IngestCounts()
    progress = ReportProgress()

    class Meta:
        model = Job
        fields = (
            "id", "repository_id", "part", "source", "size", "state", "reason", "progress", "result", "created_at", "finished_at",
        )  # fmt: skip
        read_only_fields = fields


class ReportPage(serializers.Serializer[Any]):
    items = ReportShape(many=True)
    next = serializers.CharField(allow_null=True)


_FOUND = {
    "type": "object",
    "description": "One vulnerable version in one manifest, as `manage.py scan` says it.",
    "properties": {
        **{
            name: {"type": "string"} for name in ("ecosystem", "package", "version", "manifest", "advisory", "severity")
        },
        **{name: {"type": "array", "items": {"type": "string"}} for name in ("aliases", "fixed_versions")},
    },
}


@extend_schema_field({"oneOf": [{"type": "integer"}, {"type": "array", "items": _FOUND}]})
class Findings(serializers.Field[Any, Any, Any, Any]):
    """How many a report had; of a scan the first of them."""

    def to_representation(self, value: Any) -> Any:
        return value


class UnresolvedRow(serializers.Serializer[Any]):
    """What has no pinned version, or comes from no registry, and was not matched."""

    ecosystem = serializers.CharField()
    package = serializers.CharField()
    manifest = serializers.CharField()
    line = serializers.IntegerField(allow_null=True)
    requirement = serializers.CharField(allow_blank=True)
    reason = serializers.CharField()


class JobResult(IngestCounts):
    """What came of a job; members are absent until it ended, and where its kind has none. Lists hold the first 200 of what
    their counts say; a scan's document holds all."""

    outcome = serializers.ChoiceField(["clean", "findings", "unreadable"], required=False)
    dependencies = serializers.IntegerField(required=False)
    findings = Findings(required=False)  # type: ignore[assignment]
    findings_count = serializers.IntegerField(required=False)
    unresolved = UnresolvedRow(many=True, required=False)
    unresolved_count = serializers.IntegerField(required=False)
    unreadable = RefusedRow(many=True, required=False)
    unreadable_count = serializers.IntegerField(required=False)
    added = serializers.IntegerField(required=False)
    withdrawn = serializers.IntegerField(required=False)


class JobShape(serializers.ModelSerializer[Job]):
    """A job: how far it has come, and what came of it. ``document``: where the whole can be downloaded, once there is one."""

    repository_id = serializers.UUIDField(allow_null=True)
    result = JobResult()
    progress = ReportProgress()
    document = serializers.SerializerMethodField()

    class Meta:
        model = Job
        fields = (
            "id", "kind", "repository_id", "part", "source", "size", "state", "reason", "progress", "result", "document",
            "created_at", "finished_at", "expired_at",
        )  # fmt: skip
        read_only_fields = fields

    def get_document(self, job: Job) -> str | None:
        return f"/hitl/jobs/{job.pk}/document" if has_document(job) else None


class JobPage(serializers.Serializer[Any]):
    items = JobShape(many=True)
    next = serializers.CharField(allow_null=True)


class ExportRequest(Strict):
    """``repository_id`` left out: everything in sight."""

    kind = serializers.ChoiceField(sorted(KINDS))
    repository_id = serializers.UUIDField(required=False)
