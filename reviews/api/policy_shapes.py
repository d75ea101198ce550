"""Policies, reflexes, freezes and the switch as they go in and out of the API."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from immune.models import Freeze
from reviews.api.shapes import Flag, Number, Strict, Text, Whole
from reviews.models import AutomaticSwitch, Choice, Recommendation, Rule, RuleVersion
from reviews.policies.services import LONGEST_NAME, LONGEST_NOTE
from reviews.policy.conditions import CHOICES
from reviews.policy.content import LONGEST_AGE, LONGEST_LABEL, MOST_APPROVALS, MOST_LABELS

LARGEST_NUMBER = 2**31 - 1


def _some(name: str, words: str = "") -> serializers.ListField:
    """A list of known words. Without an enumeration of its own: the words are named in the description."""
    choices = CHOICES[name]
    return serializers.ListField(
        child=Text(max_length=40),
        max_length=len(choices),
        required=False,
        help_text=f"some of {', '.join(choices)}{words}; empty asks nothing",
    )


def _labels(words: str) -> serializers.ListField:
    return serializers.ListField(
        child=Text(max_length=LONGEST_LABEL), max_length=MOST_LABELS, required=False, help_text=words
    )


class ConditionsShape(Strict):
    """All that is named must hold. Of what is not known it cannot be told; then the stricter of this and what follows holds."""

    severities = _some("severities")
    priorities = _some("priorities")
    known_exploited = Flag(required=False, allow_null=True)
    verdicts = _some("verdicts", " (the weakest among the APVs)")
    minimum_confidence = Number(min_value=0, max_value=1, required=False, allow_null=True)
    proofs = _some("proofs", " (the weakest among the APVs)")
    bumps = _some("bumps")
    uses = _some("uses")
    labels = _labels("the repository has at least one of them")
    without_labels = _labels("the repository has none of them")
    minimum_release_age = Number(
        min_value=0,
        max_value=LONGEST_AGE,
        required=False,
        allow_null=True,
        help_text="days since the target was published",
    )
    reachabilities = _some("reachabilities", " (the nearest among the APVs)")


class PolicyContent(Strict):
    conditions = ConditionsShape(required=False)
    recommendation = Text(
        required=False,
        allow_blank=True,
        max_length=20,
        help_text=f"{', '.join(Recommendation.values)}; empty: as the verdict says",
    )
    required_approvals = Whole(min_value=1, max_value=MOST_APPROVALS, required=False)
    team = Text(
        required=False, allow_blank=True, max_length=36, help_text="id of the team that approves after the first person"
    )
    automatic = Flag(required=False, help_text="whether it may be approved without people; takes the switch as well")
    valid_from = serializers.DateTimeField(required=False, allow_null=True)
    valid_until = serializers.DateTimeField(required=False, allow_null=True)


class ReflexContent(Strict):
    """Everything that is named must be known to hold; at least one cause and one action."""

    known_exploited = Flag(required=False)
    minimum_epss = Number(min_value=0, max_value=1, required=False, allow_null=True)
    severities = _some("severities")
    labels = _labels("the repository has at least one of them")
    wargame = Flag(required=False, help_text="start a wargame")
    raise_to = Text(required=False, allow_blank=True, max_length=2, help_text="P1, P2 or P3; empty: leave it")
    notify = Flag(required=False, help_text="tell people at once")


class VersionRequest(Strict):
    note = Text(max_length=LONGEST_NOTE, required=False, allow_blank=True, default="")
    seen = Whole(
        min_value=1,
        max_value=LARGEST_NUMBER,
        required=False,
        help_text="the latest version when the edit began; another one refuses it",
    )


class PolicyVersionRequest(VersionRequest):
    content = PolicyContent()


class ReflexVersionRequest(VersionRequest):
    content = ReflexContent()


class PolicyRequest(Strict):
    name = Text(max_length=LONGEST_NAME)
    content = PolicyContent()
    note = Text(max_length=LONGEST_NOTE, required=False, allow_blank=True, default="")


class ReflexRequest(Strict):
    name = Text(max_length=LONGEST_NAME)
    content = ReflexContent()
    note = Text(max_length=LONGEST_NOTE, required=False, allow_blank=True, default="")


class SwitchOnRequest(Strict):
    version = Whole(min_value=1, max_value=LARGEST_NUMBER)


class RuleOrderRequest(Strict):
    order = serializers.ListField(child=serializers.UUIDField(), max_length=1000)


class ReasonRequest(Strict):
    reason = Text(max_length=2000)


class VersionShape(serializers.ModelSerializer[RuleVersion]):
    content = serializers.DictField(help_text="as it was made; it never changes")

    class Meta:
        model = RuleVersion
        fields = ("id", "number", "content", "digest", "note", "made_by_name", "created_at")
        read_only_fields = fields


class RuleShape(serializers.ModelSerializer[Rule]):
    """A policy or reflex with the version that is switched on; null: it is off."""

    active = VersionShape(allow_null=True)

    class Meta:
        model = Rule
        fields = ("id", "name", "position", "active", "created_at")
        read_only_fields = fields


class RuleDetail(RuleShape):
    versions = VersionShape(many=True, source="latest_versions", help_text="the latest fifty, newest first")

    class Meta:
        model = Rule
        fields = (*RuleShape.Meta.fields, "versions")
        read_only_fields = fields


class RulePage(serializers.Serializer[Any]):
    items = RuleShape(many=True)
    next = serializers.CharField(allow_null=True)


class RuleOrder(serializers.Serializer[Any]):
    items = RuleShape(many=True)


class DryRunTotals(serializers.Serializer[Any]):
    """Counted in rounds. ``without_facts``: of before facts were kept. ``automatic_against_people``: would have been approved
    without people, who decided otherwise."""

    looked_at = serializers.IntegerField()
    without_facts = serializers.IntegerField()
    speaks = serializers.IntegerField()
    advised = serializers.IntegerField()
    agrees = serializers.IntegerField()
    more_than_one_approval = serializers.IntegerField()
    automatic = serializers.IntegerField()
    automatic_against_people = serializers.IntegerField()


class DryRunRow(serializers.Serializer[Any]):
    review_id = serializers.CharField()
    apvs = serializers.ListField(child=serializers.CharField())
    change = serializers.CharField()
    repository = serializers.CharField()
    recommendation = serializers.ChoiceField(choices=Recommendation.choices)
    required_approvals = serializers.IntegerField()
    automatic = serializers.BooleanField()
    policy = serializers.CharField()
    reasons = serializers.ListField(child=serializers.CharField())
    recommended_then = serializers.ChoiceField(choices=Recommendation.choices)
    decided = serializers.ChoiceField(choices=Choice.choices)
    agrees = serializers.BooleanField(allow_null=True)


class DryRunShape(serializers.Serializer[Any]):
    totals = DryRunTotals()
    table = serializers.DictField(
        child=serializers.DictField(child=serializers.IntegerField()),
        help_text="would have been recommended → people decided → how many rounds",
    )
    rounds = DryRunRow(many=True)


class SwitchShape(serializers.ModelSerializer[AutomaticSwitch]):
    """Whether anything may be approved without people at all."""

    changed_by = serializers.SerializerMethodField()
    changed_at = serializers.DateTimeField(allow_null=True)

    class Meta:
        model = AutomaticSwitch
        fields = ("state", "reason", "changed_by", "changed_at")
        read_only_fields = fields

    def get_changed_by(self, row: AutomaticSwitch) -> str:
        return row.changed_by.shown_name if row.changed_by is not None else ""


class FreezeShape(serializers.ModelSerializer[Freeze]):
    repository_id = serializers.UUIDField(allow_null=True)
    repository = serializers.SerializerMethodField(help_text="empty: of a label, or everywhere")
    author = serializers.SerializerMethodField()

    class Meta:
        model = Freeze
        fields = (
            "id",
            "repository_id",
            "repository",
            "label",
            "reason",
            "starts_at",
            "ends_at",
            "author",
            "created_at",
            "ended_at",
        )
        read_only_fields = fields

    def get_repository(self, row: Freeze) -> str:
        return row.repository.name if row.repository is not None else ""

    def get_author(self, row: Freeze) -> str:
        return row.author.shown_name if row.author is not None else ""


class FreezePage(serializers.Serializer[Any]):
    items = FreezeShape(many=True)
    next = serializers.CharField(allow_null=True)


class FreezeRequest(Strict):
    repository_id = serializers.UUIDField(required=False, allow_null=True, default=None)
    label = Text(  # type: ignore[assignment]  # a field of the request; the name hides none that is used
        max_length=LONGEST_LABEL,
        required=False,
        default="",
        allow_blank=False,
        help_text="all repositories that carry it",
    )
    reason = Text(max_length=2000)
    starts_at = serializers.DateTimeField()
    ends_at = serializers.DateTimeField()


class LabelsRequest(Strict):
    labels = serializers.ListField(
        child=Text(max_length=LONGEST_LABEL), max_length=MOST_LABELS, help_text="all labels it has from now on"
    )
