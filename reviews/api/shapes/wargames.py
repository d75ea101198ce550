"""Wargames with their runs, what people ordered of them, and the scenarios people attach."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from reviews.api.shapes.fields import Strict, Text, Verdict
from wargaming.models import AttachedScenario, Run, Wargame, WargameOrder


class RunShape(serializers.ModelSerializer[Run]):
    class Meta:
        model = Run
        fields = (
            "step", "phase", "outcome", "exit_code", "signal", "last_line", "stdout", "stderr", "seconds", "cpu_seconds",
            "peak_memory", "details",
        )  # fmt: skip
        read_only_fields = fields


class OrderShape(serializers.ModelSerializer[WargameOrder]):
    class Meta:
        model = WargameOrder
        fields = ("kind", "by_name", "reason", "created_at")
        read_only_fields = fields


class WargameShape(serializers.ModelSerializer[Wargame]):
    runs = RunShape(many=True)
    orders = OrderShape(many=True)
    retry_of = serializers.UUIDField(source="retry_of_id", allow_null=True)
    verdict = Verdict()
    trust = serializers.CharField(help_text="shipped, repository, attached; empty without a scenario")
    evidence = serializers.CharField(source="evidence_id", allow_null=True)

    class Meta:
        model = Wargame
        fields = (
            "id", "state", "scenario", "trust", "accepted", "superseded", "retry_of", "orders", "scenario_digest",
            "verdict", "confidence", "reason", "explanation", "factors",
            "driver", "environments", "own_tests", "checks", "risks", "base_commit", "head_commit", "patch_digest", "evidence",
            "started_at", "finished_at", "runs",
        )  # fmt: skip
        read_only_fields = fields


class ScenarioShape(serializers.ModelSerializer[AttachedScenario]):
    """A scenario attached to an APV. It counts towards an approval without people once ``accepted_by`` names a second person."""

    apv_code = serializers.CharField(source="apv.apv_code")
    digest = serializers.CharField(source="content_id")
    attached_by = serializers.CharField(source="attached_by.shown_name")
    accepted_by = serializers.CharField(source="accepted_by.shown_name", allow_null=True, default=None)

    class Meta:
        model = AttachedScenario
        fields = (
            "id", "apv_code", "name", "version", "digest", "attached_by", "created_at", "accepted_by", "accepted_at",
        )  # fmt: skip
        read_only_fields = fields


class RefusedScenarioShape(serializers.Serializer[Any]):
    """A folder of the repository's own ``.immune/scenarios/`` that is none."""

    folder = serializers.CharField()
    problems = serializers.ListField(child=serializers.ListField(child=serializers.CharField()))


class ScenarioList(serializers.Serializer[Any]):
    items = ScenarioShape(many=True)
    refused = RefusedScenarioShape(many=True)


class ScenarioRequest(Strict):
    archive = Text(max_length=720_000, help_text="a ZIP, tar or gzipped tar of at most 512 KiB, in base64")


class OrderRequest(Strict):
    """Why something is asked of a wargame."""

    reason = Text(max_length=2000)
