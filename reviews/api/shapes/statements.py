"""Statements of VEX documents, as they are kept."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from immune.models import VexStatement


class StatementShape(serializers.ModelSerializer[VexStatement]):
    """One statement about a vulnerability in a package of a repository, with the document it was taken from."""

    repository = serializers.CharField(source="repository.name")
    repository_id = serializers.UUIDField()
    advisory_id = serializers.CharField(source="group.canonical_id")
    status = serializers.CharField(read_only=True, help_text="affected, fixed, under_investigation")
    author = serializers.CharField(source="author.shown_name", allow_null=True, default=None)

    class Meta:
        model = VexStatement
        fields = (
            "id", "repository", "repository_id", "advisory_id", "ecosystem", "package_name", "status", "impact", "action", "source",
            "author", "created_at",
        )  # fmt: skip
        read_only_fields = fields


class StatementPage(serializers.Serializer[Any]):
    items = StatementShape(many=True)
    next = serializers.CharField(allow_null=True)
