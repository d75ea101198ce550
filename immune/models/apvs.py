"""APVs: one alias group × one package × one repository, and what became of it."""

from __future__ import annotations

import uuid

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from immune.models.advisories import AliasGroup, Severity, severity_rank
from immune.models.repositories import Repository


class APVStatus(models.TextChoices):
    """DESIGN's states of an APV; ``immune.transitions`` holds the moves between them."""

    OPEN = "open", _("open")
    REMEDIATING = "remediating", _("remediating")
    WARGAMING = "wargaming", _("wargaming")
    IN_REVIEW = "in_review", _("in review")
    APPROVED = "approved", _("approved")
    RESOLVED = "resolved", _("resolved")
    SUPPRESSED = "suppressed", _("suppressed")
    NO_FIX = "no_fix", _("no fix")
    FAILED = "failed", _("failed")
    WITHDRAWN = "withdrawn", _("withdrawn")
    MERGED = "merged", _("merged into another")


LIVE = frozenset(
    {
        APVStatus.OPEN,
        APVStatus.REMEDIATING,
        APVStatus.WARGAMING,
        APVStatus.IN_REVIEW,
        APVStatus.APPROVED,
        APVStatus.SUPPRESSED,
        APVStatus.NO_FIX,
        APVStatus.FAILED,
    }
)


class Verdict(models.TextChoices):
    """What a wargame found; weakest first is the order policy reads them in."""

    REGRESSION = "REGRESSION", _("regression")
    PATCH_INSUFFICIENT = "PATCH_INSUFFICIENT", _("patch insufficient")
    INCONCLUSIVE = "INCONCLUSIVE", _("inconclusive")
    NOT_REPRODUCED = "NOT_REPRODUCED", _("not reproduced")
    PATCH_EFFECTIVE = "PATCH_EFFECTIVE", _("patch effective")


WEAKEST_FIRST = [choice.value for choice in Verdict]


class Priority(models.TextChoices):
    P1 = "P1", "P1"
    P2 = "P2", "P2"
    P3 = "P3", "P3"
    P4 = "P4", "P4"


class APVNumber(models.Model):
    """Hands out the numbers of APV codes: inserting a row takes the next one. Gaps are allowed, twins are not."""

    class Meta:
        db_table = "apv_numbers"

    def __str__(self) -> str:
        return str(self.pk)


class APV(models.Model):
    """One verified potential threat (*Ameaça Potencial Verificada*). Table and index names are read by tools outside."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    apv_code = models.CharField(_("code"), max_length=32, unique=True)
    repository = models.ForeignKey(Repository, on_delete=models.CASCADE, related_name="apvs")
    group = models.ForeignKey(AliasGroup, on_delete=models.PROTECT, related_name="apvs")
    advisory_id = models.CharField(_("advisory"), max_length=120)
    cve_id = models.CharField(_("CVE"), max_length=40, blank=True)
    severity = models.CharField(_("severity"), max_length=10, choices=Severity)
    score = models.FloatField(_("score"), null=True, blank=True)
    ecosystem = models.CharField(_("ecosystem"), max_length=60)
    package_name = models.CharField(_("package"), max_length=300)
    versions = models.JSONField(_("affected versions present"), default=list)
    fixed_versions = models.JSONField(_("fixed versions"), default=list)
    manifests = models.JSONField(_("manifests"), default=list)
    # Whether the last reading of the tree found it. What only reports say has its sightings alone to stand on.
    scan_sees = models.BooleanField(_("found by our own scan"), default=True)
    priority = models.CharField(_("priority"), max_length=2, choices=Priority)
    priority_factors = models.JSONField(_("priority factors"), default=list)
    # The priority a reflex rule raised it to, which weighing it anew does not take back.
    raised_to = models.CharField(_("raised to"), max_length=2, choices=Priority, blank=True)
    due_at = models.DateTimeField(_("due"))
    patch_strategy = models.CharField(_("strategy"), max_length=30, blank=True)
    wargame_verdict = models.CharField(_("verdict"), max_length=20, choices=Verdict, blank=True)
    wargame_confidence = models.FloatField(_("confidence"), null=True, blank=True)
    status = models.CharField(_("status"), max_length=16, choices=APVStatus, default=APVStatus.OPEN)
    reason = models.TextField(_("reason"), blank=True)
    remedy = models.ForeignKey(
        "immune.Remedy", on_delete=models.SET_NULL, null=True, blank=True, related_name="apvs", verbose_name=_("remedy")
    )
    merged_into = models.ForeignKey("self", on_delete=models.PROTECT, null=True, blank=True, related_name="absorbed")
    created_at = models.DateTimeField(_("opened"), default=timezone.now)
    updated_at = models.DateTimeField(_("changed"), default=timezone.now)

    class Meta:
        db_table = "apv_reviews"
        verbose_name = "APV"
        verbose_name_plural = "APVs"
        indexes = [
            # What lists are narrowed by, each in the order they have without another: a page is read off, nothing is sorted.
            models.Index(fields=["status", "priority", "due_at", "id"], name="ix_apv_reviews_status"),
            models.Index(fields=["severity", "priority", "due_at", "id"], name="ix_apv_reviews_severity"),
            models.Index(fields=["wargame_verdict", "priority", "due_at", "id"], name="ix_apv_reviews_verdict"),
            models.Index(fields=["patch_strategy", "priority", "due_at", "id"], name="ix_apv_reviews_strategy"),
            models.Index(fields=["package_name", "priority", "due_at", "id"], name="ix_apv_reviews_package"),
            models.Index(fields=["repository", "priority", "due_at", "id"], name="ix_apv_reviews_of_repository"),
            models.Index(fields=["repository", "status"], name="ix_apv_reviews_repository"),
            # The orders in which lists are paged by key.
            models.Index(fields=["priority", "due_at", "id"], name="ix_apv_reviews_queue"),
            models.Index(severity_rank(), "due_at", "id", name="ix_apv_reviews_worst"),
            models.Index(fields=["due_at", "id"], name="ix_apv_reviews_due"),
            models.Index(fields=["created_at", "id"], name="ix_apv_reviews_created"),
            models.Index(fields=["updated_at", "id"], name="ix_apv_reviews_updated"),
            # What the figures count.
            models.Index(fields=["severity"], condition=models.Q(status__in=sorted(LIVE)), name="ix_apv_reviews_live"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["group", "ecosystem", "package_name", "repository"],
                condition=~models.Q(status="merged"),
                name="apv_reviews_identity",
            ),
            models.CheckConstraint(condition=models.Q(status__in=APVStatus.values), name="apv_reviews_status_known"),
            models.CheckConstraint(
                condition=models.Q(wargame_verdict__in=["", *Verdict.values]), name="apv_reviews_verdict_known"
            ),
            models.CheckConstraint(
                condition=models.Q(status="merged", merged_into__isnull=False)
                | (~models.Q(status="merged") & models.Q(merged_into__isnull=True)),
                name="apv_reviews_merged_names_its_elder",
            ),
        ]

    def __str__(self) -> str:
        return self.apv_code
