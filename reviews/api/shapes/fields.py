"""What every shape is made of: strict requests, fields that take what the document says and nothing else, problems."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from immune.models.apvs import Verdict as Verdicts


class Strict(serializers.Serializer[Any]):
    """Refuses fields it does not know, so that a misspelt one is not quietly left out."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, dict) and (unknown := sorted(set(data) - set(self.fields))):
            raise serializers.ValidationError({name: ["is not a field of this request"] for name in unknown[:20]})
        return super().to_internal_value(data)


class Text(serializers.CharField):
    """A string and nothing that could be made one: what the document says is what is taken."""

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return str(super().to_internal_value(data))


class Number(serializers.FloatField):
    def to_internal_value(self, data: Any) -> float:
        if isinstance(data, bool) or not isinstance(data, (int, float)):
            self.fail("invalid")
        return float(super().to_internal_value(data))


class Whole(serializers.IntegerField):
    def to_internal_value(self, data: Any) -> int:
        if isinstance(data, bool) or not isinstance(data, int):
            self.fail("invalid")
        return int(super().to_internal_value(data))


class Flag(serializers.BooleanField):
    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            self.fail("invalid", input=data)
        return data


class Verdict(serializers.CharField):
    """A verdict, which is empty as long as there is none: an enumeration would not say so."""

    def __init__(self, **more: Any) -> None:
        super().__init__(read_only=True, help_text=f"{', '.join(Verdicts.values)}; empty while there is none", **more)


class Problem(serializers.Serializer[Any]):
    """An RFC 9457 problem document."""

    type = serializers.CharField()
    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField()
    reason = serializers.CharField()
    fields = serializers.DictField(required=False, help_text="complaints, by field of the request")  # type: ignore[assignment]
    problems = serializers.ListField(
        required=False, help_text="everything that is wrong with a scenario: where and what"
    )
    changed = serializers.DictField(required=False, help_text="what is no longer as it was seen: seen and now, by name")
    groups = serializers.ListField(
        child=serializers.CharField(), required=False, help_text="the teams whose word is still missing"
    )
    by = serializers.CharField(required=False, help_text="who decided or claimed it")
    choice = serializers.CharField(required=False, help_text="what was decided")
    decision = serializers.CharField(required=False, allow_null=True, help_text="the decision that stands")
