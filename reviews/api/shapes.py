"""What goes in and out of the API, as serializers: the one place the OpenAPI document is made from."""

from __future__ import annotations

from typing import Any

from django.utils import timezone
from rest_framework import serializers

from immune.homeostasis.states import State
from immune.models import APV, Advisory, ApiToken, ReportJob, Repository, Scan, Sighting, Suppression
from immune.models.apvs import Verdict as Verdicts
from immune.models.suppressions import Ground, SuppressionScope
from immune.people.selectors import SCOPES
from immune.people.services import LONGEST_LIFE
from reviews.models import Choice, Decision, Review
from wargaming.models import AttachedScenario, Run, Wargame, WargameOrder


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
    by = serializers.CharField(required=False, help_text="who decided or claimed it")
    choice = serializers.CharField(required=False, help_text="what was decided")
    decision = serializers.CharField(required=False, allow_null=True, help_text="the decision that stands")


class ReviewItem(serializers.ModelSerializer[APV]):
    """One APV as the list shows it."""

    repository = serializers.CharField(source="repository.name")
    repository_id = serializers.UUIDField()
    remedy_id = serializers.UUIDField(allow_null=True)
    review_id = serializers.UUIDField(allow_null=True)
    review_state = serializers.CharField(allow_null=True)
    wargame_verdict = Verdict()

    class Meta:
        model = APV
        fields = (
            "apv_code", "advisory_id", "cve_id", "severity", "score", "priority", "ecosystem", "package_name", "versions",
            "patch_strategy", "wargame_verdict", "wargame_confidence", "status", "reason", "repository", "repository_id",
            "remedy_id", "review_id", "review_state", "due_at", "created_at", "updated_at",
        )  # fmt: skip
        read_only_fields = fields


class ReviewPage(serializers.Serializer[Any]):
    items = ReviewItem(many=True)
    next = serializers.CharField(allow_null=True)


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
            "driver", "environments", "own_tests", "base_commit", "head_commit", "patch_digest", "evidence", "started_at",
            "finished_at", "runs",
        )  # fmt: skip
        read_only_fields = fields


class DecisionShape(serializers.ModelSerializer[Decision]):
    """A decision with what became of it at the forge."""

    review_id = serializers.UUIDField()
    holds_for = serializers.SerializerMethodField()
    job = serializers.SerializerMethodField()

    class Meta:
        model = Decision
        fields = (
            "id", "apv_code", "review_id", "decision", "is_final", "action_taken", "justification", "comments",
            "confidence_override", "modifications", "suppress", "reviewer_name", "head_commit", "patch_digest", "withdrawn_at",
            "created_at", "holds_for", "job",
        )  # fmt: skip
        read_only_fields = fields

    def get_holds_for(self, decision: Decision) -> list[str]:
        return sorted(item.apv.apv_code for item in decision.review.items.all())

    def get_job(self, decision: Decision) -> dict[str, Any] | None:
        job = decision.job
        if job is None:
            return None
        return {
            "id": str(job.pk),
            "kind": job.kind,
            "state": job.state,
            "reason": job.reason,
            "message": job.message,
            "held": job.held,
        }


class DecisionPage(serializers.Serializer[Any]):
    items = DecisionShape(many=True)
    next = serializers.CharField(allow_null=True)


class AdvisoryShape(serializers.Serializer[Any]):
    id = serializers.CharField()
    aliases = serializers.ListField(child=serializers.CharField())
    summary = serializers.CharField(allow_blank=True)
    severity = serializers.CharField()
    score = serializers.FloatField(allow_null=True)


class ReviewDetail(serializers.ModelSerializer[Review]):
    """Everything a review page shows about the latest round that holds for one APV."""

    weakest_verdict = Verdict()
    items = serializers.SerializerMethodField()
    wargames = serializers.SerializerMethodField()
    remedy = serializers.SerializerMethodField()
    decisions = DecisionShape(many=True)
    comments = serializers.SerializerMethodField()
    claimed_by = serializers.CharField(source="claimed_by.shown_name", allow_null=True, default=None)

    class Meta:
        model = Review
        fields = (
            "id", "state", "round", "version", "head_commit", "patch_digest", "evidence_digest", "weakest_verdict", "confidence",
            "recommendation", "recommendation_reasons", "required_approvals", "opened_because", "closed_because", "claimed_by",
            "claimed_until", "escalated_at", "opened_at", "decided_at", "due_at", "priority", "items", "wargames", "remedy",
            "decisions", "comments",
        )  # fmt: skip
        read_only_fields = fields

    def get_items(self, review: Review) -> list[dict[str, Any]]:
        return [
            {
                "apv_code": item.apv.apv_code,
                "severity": item.apv.severity,
                "verdict": item.verdict,
                "confidence": item.confidence,
                "advisories": AdvisoryShape(item.apv.group.advisories.all(), many=True).data,
            }
            for item in review.items.all()
        ]

    def get_wargames(self, review: Review) -> list[dict[str, Any]]:
        return [dict(WargameShape(item.wargame).data) for item in review.items.all() if item.wargame]

    def get_remedy(self, review: Review) -> dict[str, Any] | None:
        remedy = review.remedy
        if remedy is None:
            return None
        return {
            "id": str(remedy.pk),
            "package": remedy.package_name,
            "from_version": remedy.from_version,
            "target_version": remedy.target_version,
            "bump": remedy.bump,
            "state": remedy.state,
            "branch": remedy.branch,
            "base_commit": remedy.base_commit,
            "pull_request": remedy.pull_request_number,
            "patch": remedy.patch,
        }

    def get_comments(self, review: Review) -> list[dict[str, Any]]:
        return [
            {"author": c.author.shown_name if c.author else None, "text": c.text, "at": c.created_at.isoformat()}
            for c in review.comments.all()
        ]


class FactorShape(serializers.Serializer[Any]):
    """One thing that was weighed: as a person reads it, and what it added to the score."""

    name = serializers.CharField()
    value = serializers.CharField()
    weight = serializers.IntegerField()


class SightingShape(serializers.ModelSerializer[Sighting]):
    """Who else says that the problem is there, and whether our own matching agrees."""

    tool = serializers.CharField(source="stream.tool")
    part = serializers.CharField(source="stream.part")

    class Meta:
        model = Sighting
        fields = (
            "tool", "part", "advisory", "aliases", "versions", "fixed_versions", "severity", "targets", "state", "confirmation",
            "suppressed", "gone", "first_at", "changed_at",
        )  # fmt: skip
        read_only_fields = fields


class SignalsShape(serializers.Serializer[Any]):
    """What is known of its exploitation. Null: not scored, or not in the catalogue."""

    epss = serializers.FloatField(allow_null=True, help_text="probability of exploitation in the next 30 days")
    epss_percentile = serializers.FloatField(allow_null=True)
    epss_day = serializers.DateField(allow_null=True)
    kev_added = serializers.DateField(allow_null=True, help_text="since when it is known to be exploited")
    kev_due = serializers.DateField(allow_null=True)
    kev_ransomware = serializers.BooleanField(allow_null=True)


class DetailAnswer(ReviewItem):
    """One APV with what its priority is made of, the latest round about it, who sees it and how it is exploited."""

    priority_factors = FactorShape(many=True, read_only=True)

    review = ReviewDetail(allow_null=True)
    sources = SightingShape(many=True)
    signals = SignalsShape()

    class Meta:
        model = APV
        fields = (*ReviewItem.Meta.fields, "scan_sees", "priority_factors", "sources", "signals", "review")
        read_only_fields = fields


class SuppressionRequest(Strict):
    reason = Text(max_length=2000)
    expires_at = serializers.DateTimeField()


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


class ModificationsRequest(Strict):
    target_version = Text(max_length=200)


class DecisionRequest(Strict):
    """A decision on the latest round about an APV; it holds for every APV of the round."""

    apv_code = Text(max_length=32)
    decision = serializers.ChoiceField(choices=Choice.choices)
    justification = Text(max_length=10_000)
    head_commit = Text(max_length=64, required=False, allow_blank=True, default="")
    patch_digest = Text(max_length=64, required=False, allow_blank=True, default="")
    comments = Text(max_length=10_000, required=False, allow_blank=True, default="")
    confidence_override = Number(min_value=0, max_value=1, required=False, allow_null=True, default=None)
    modifications = ModificationsRequest(required=False)
    suppress = SuppressionRequest(required=False)


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


class CommentRequest(Strict):
    text = Text(max_length=10_000)


class RepositoryShape(serializers.ModelSerializer[Repository]):
    class Meta:
        model = Repository
        fields = ("id", "name", "forge", "default_branch", "head_commit", "read_at", "problem", "labels", "created_at")
        read_only_fields = fields


class RepositoryPage(serializers.Serializer[Any]):
    items = RepositoryShape(many=True)
    next = serializers.CharField(allow_null=True)


class RepositoryRequest(Strict):
    url = Text(max_length=1000)
    name = Text(max_length=180, required=False)


class ImmunizeRequest(Strict):
    again = Flag(required=False, default=False)


class ScanShape(serializers.ModelSerializer[Scan]):
    repository_id = serializers.UUIDField()

    class Meta:
        model = Scan
        fields = ("id", "repository_id", "state", "cause", "head_commit", "result", "created_at", "finished_at")
        read_only_fields = fields


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


class BalanceShape(serializers.Serializer[Any]):
    """How the whole is doing (docs/homeostasis.md)."""

    state = serializers.CharField(allow_null=True, help_text=f"{', '.join(State)}; null before the first look")
    since = serializers.DateTimeField(allow_null=True)
    reasons = serializers.ListField(child=serializers.CharField(), help_text="the figures that ask for the state")
    held = serializers.DictField(
        child=serializers.IntegerField(), help_text="forge jobs that wait for a place, by the reason, within sight"
    )


class StatsShape(serializers.Serializer[Any]):
    pending = serializers.IntegerField()
    claimed = serializers.IntegerField()
    overdue = serializers.IntegerField()
    pending_by_severity = serializers.DictField(
        child=serializers.IntegerField(), help_text="open reviews by the worst severity among their APVs"
    )
    decided_today = serializers.IntegerField()
    decided_this_week = serializers.IntegerField()
    median_seconds_to_decision = serializers.FloatField(
        allow_null=True, help_text="of the latest 1000 reviews decided within 30 days, from opening; null without any"
    )
    p95_seconds_to_decision = serializers.FloatField(allow_null=True)
    agreement_with_recommendation = serializers.FloatField(
        allow_null=True, help_text="share of those whose recommendation was not to ask and was followed"
    )
    live_apvs_by_severity = serializers.DictField(child=serializers.IntegerField())
    decisions_by_type = serializers.DictField(child=serializers.IntegerField())
    balance = BalanceShape()


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


class TokenShape(serializers.ModelSerializer[ApiToken]):
    """A token without its text: the prefix tells one from another."""

    account = serializers.CharField(source="account.username")

    class Meta:
        model = ApiToken
        fields = ("id", "account", "name", "prefix", "scopes", "created_at", "expires_at", "last_used_at", "revoked_at")
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


class TokenRequest(Strict):
    name = Text(max_length=120)
    scopes = serializers.ListField(
        child=serializers.ChoiceField(choices=sorted(SCOPES)), allow_empty=False, max_length=len(SCOPES)
    )
    days = Whole(min_value=1, max_value=LONGEST_LIFE.days, required=False, default=90)


class HealthShape(serializers.Serializer[Any]):
    status = serializers.ChoiceField(choices=["ok", "degraded", "down"])
    name = serializers.CharField()
    version = serializers.CharField()
    components = serializers.DictField(child=serializers.CharField())
