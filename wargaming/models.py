"""Scenarios, wargames, their runs and the evidence they left."""

from __future__ import annotations

import uuid

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from immune.models import APV, Account, Remedy
from immune.models.apvs import Verdict
from immune.models.work import Work


class Trust(models.TextChoices):
    """Where a scenario came from, and so how far it is trusted."""

    SHIPPED = "shipped", _("shipped library")
    REPOSITORY = "repository", _("the repository's own")
    ATTACHED = "attached", _("attached by a person")


class AttachedScenario(models.Model):
    """A scenario a reviewer or an API client attached to an APV: untrusted until a second person accepted it."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    apv = models.ForeignKey(APV, on_delete=models.CASCADE, related_name="scenarios")
    version = models.PositiveIntegerField(default=1)
    digest = models.CharField(max_length=64)
    files = models.JSONField(help_text=_("Name → text of each file"))
    attached_by = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="+")
    accepted_by = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="+", null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        db_table = "attached_scenarios"
        verbose_name = _("attached scenario")
        verbose_name_plural = _("attached scenarios")
        constraints = [
            models.UniqueConstraint(fields=["apv", "version"], name="attached_scenarios_version_once"),
            models.CheckConstraint(
                condition=models.Q(accepted_by__isnull=True) | ~models.Q(accepted_by=models.F("attached_by")),
                name="attached_scenarios_accepted_by_another",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.apv} v{self.version}"


class WargameState(models.TextChoices):
    PENDING = "pending", _("queued")
    RUNNING = "running", _("running")
    FINISHED = "finished", _("finished")
    CANCELLED = "cancelled", _("cancelled")


class Wargame(Work):
    """One run of one scenario (or of what can be run without one) against base and head of a remedy, for one APV."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    apv = models.ForeignKey(APV, on_delete=models.CASCADE, related_name="wargames")
    remedy = models.ForeignKey(Remedy, on_delete=models.CASCADE, related_name="wargames")
    state = models.CharField(_("state"), max_length=10, choices=WargameState, default=WargameState.PENDING)
    scenario = models.CharField(_("scenario"), max_length=200, blank=True)
    scenario_digest = models.CharField(max_length=64, blank=True)
    trust = models.CharField(_("source"), max_length=12, choices=Trust, blank=True)
    base_commit = models.CharField(max_length=64)
    head_commit = models.CharField(max_length=64)
    patch_digest = models.CharField(max_length=64)
    verdict = models.CharField(_("verdict"), max_length=20, choices=Verdict, blank=True)
    confidence = models.FloatField(_("confidence"), null=True, blank=True)
    reason = models.CharField(_("reason"), max_length=80, blank=True)
    explanation = models.TextField(_("explanation"), blank=True)
    factors = models.JSONField(_("factors"), default=list)
    driver = models.CharField(_("driver"), max_length=20, blank=True)
    environments = models.JSONField(default=dict, help_text=_("Per side: lock, layer, observed versions"))
    own_tests = models.JSONField(default=dict)
    checks = models.JSONField(default=list, help_text=_("What could be checked without a scenario"))
    risks = models.JSONField(default=list, help_text=_("Names the repository uses that the new release lacks"))
    evidence = models.ForeignKey("Evidence", on_delete=models.PROTECT, null=True, blank=True, related_name="wargames")
    created_at = models.DateTimeField(_("queued"), default=timezone.now)
    started_at = models.DateTimeField(_("started"), null=True, blank=True)
    finished_at = models.DateTimeField(_("finished"), null=True, blank=True)

    class Meta:
        db_table = "wargames"
        verbose_name = _("wargame")
        verbose_name_plural = _("wargames")
        indexes = [models.Index(fields=["state", "due_at"], name="ix_wargames_due")]
        constraints = [
            models.UniqueConstraint(
                fields=["apv", "remedy", "head_commit", "scenario_digest"], name="wargames_once_per_head_and_scenario"
            ),
            models.CheckConstraint(condition=models.Q(state__in=WargameState.values), name="wargames_state_known"),
            models.CheckConstraint(
                condition=models.Q(verdict__in=["", *Verdict.values]), name="wargames_verdict_known"
            ),
            models.CheckConstraint(
                condition=models.Q(confidence__isnull=True) | models.Q(confidence__gte=0, confidence__lte=1),
                name="wargames_confidence_between_0_and_1",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.apv} · {self.scenario or 'no scenario'}"


class Run(models.Model):
    """One script run on one side, as observed."""

    wargame = models.ForeignKey(Wargame, on_delete=models.CASCADE, related_name="runs")
    number = models.PositiveIntegerField()
    step = models.CharField(_("step"), max_length=60)
    phase = models.CharField(_("side"), max_length=10)
    outcome = models.CharField(_("outcome"), max_length=20)
    exit_code = models.IntegerField(_("exit code"), null=True, blank=True)
    signal = models.IntegerField(_("signal"), null=True, blank=True)
    last_line = models.TextField(_("last line"), blank=True)
    stdout = models.TextField(_("output"), blank=True)
    stderr = models.TextField(_("errors"), blank=True)
    seconds = models.FloatField(_("seconds"), default=0)
    cpu_seconds = models.FloatField(_("CPU seconds"), null=True, blank=True)
    peak_memory = models.BigIntegerField(_("peak memory, bytes"), null=True, blank=True)
    details = models.JSONField(default=dict)

    class Meta:
        db_table = "wargame_runs"
        ordering = ["number"]
        constraints = [models.UniqueConstraint(fields=["wargame", "number"], name="wargame_runs_number_once")]

    def __str__(self) -> str:
        return f"{self.step} {self.phase}: {self.outcome}"


class Evidence(models.Model):
    """What a wargame observed, as one archive named by its hash."""

    digest = models.CharField(primary_key=True, max_length=64)
    archive = models.BinaryField()
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        db_table = "evidence"
        verbose_name = _("evidence")
        verbose_name_plural = _("evidence")

    def __str__(self) -> str:
        return self.digest
