"""Pairs of versions to compare, and which of each is the older."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from immune.versions.comparing import LONGEST, MOST
from reviews.api.shapes.fields import Strict, Text


class PairRequest(Strict):
    """Two versions, as they are written."""

    a = Text(max_length=LONGEST, trim_whitespace=False)
    b = Text(max_length=LONGEST, trim_whitespace=False)


class CompareRequest(Strict):
    ecosystem = Text(max_length=100, help_text="an OSV ecosystem, with or without its suffix")
    pairs = serializers.ListField(child=PairRequest(), allow_empty=False, max_length=MOST)


class ComparisonShape(serializers.Serializer[Any]):
    """`<`: the first is the older."""

    answer = serializers.ChoiceField(["<", "=", ">"])


class ComparedRow(serializers.Serializer[Any]):
    """The answer to one pair; `?` with the reason where it cannot be compared."""

    answer = serializers.ChoiceField(["<", "=", ">", "?"])
    reason = serializers.CharField(allow_blank=True)


class ComparedShape(serializers.Serializer[Any]):
    """One answer a pair, in the order they were sent."""

    answers = ComparedRow(many=True)
