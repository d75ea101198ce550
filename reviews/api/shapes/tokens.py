"""Tokens, as they are asked for and shown."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from immune.models import ApiToken
from immune.people.selectors import SCOPES
from immune.people.services import LONGEST_LIFE, LONGEST_OVERLAP
from reviews.api.shapes.fields import Strict, Text, Whole


class TokenShape(serializers.ModelSerializer[ApiToken]):
    """A token without its text: the prefix tells one from another."""

    account = serializers.CharField(source="account.username")

    class Meta:
        model = ApiToken
        fields = (
            "id",
            "account",
            "name",
            "prefix",
            "scopes",
            "created_at",
            "expires_at",
            "last_used_at",
            "revoked_at",
            "replaced_at",
        )
        read_only_fields = fields


class TokenPage(serializers.Serializer[Any]):
    items = TokenShape(many=True)
    next = serializers.CharField(allow_null=True)


class TokenMade(TokenShape):
    token = serializers.CharField(help_text="the text to authenticate with, shown this once")

    class Meta:
        model = ApiToken
        fields = (*TokenShape.Meta.fields, "token")
        read_only_fields = fields


class RotateRequest(Strict):
    overlap_minutes = Whole(
        min_value=0,
        max_value=int(LONGEST_OVERLAP.total_seconds() // 60),
        required=False,
        default=0,
        help_text="how long the old text holds on beside the new one",
    )


class TokenRequest(Strict):
    name = Text(max_length=120)
    scopes = serializers.ListField(
        child=serializers.ChoiceField(choices=sorted(SCOPES)), allow_empty=False, max_length=len(SCOPES)
    )
    days = Whole(min_value=1, max_value=LONGEST_LIFE.days, required=False, default=90)
