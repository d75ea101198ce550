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


class ScenarioContent(models.Model):
    """The files of an attached scenario, once whatever it is attached to, named by their digest."""

    digest = models.CharField(primary_key=True, max_length=64)
    files = models.JSONField(help_text=_("Name → content of each file, base64"))

    class Meta:
        db_table = "scenario_contents"

    def __str__(self) -> str:
        return self.digest


class AttachedScenario(models.Model):
    """A scenario a reviewer or an API client attached to an APV: untrusted until a second person accepted it.

    Of one name the highest version counts; those before it are kept to be seen.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    apv = models.ForeignKey(APV, on_delete=models.CASCADE, related_name="scenarios")
    name = models.CharField(_("scenario"), max_length=200)
    version = models.PositiveIntegerField(_("version"), default=1)
    content = models.ForeignKey(ScenarioContent, on_delete=models.PROTECT, related_name="attached")
    attached_by = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="+")
    accepted_by = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="+", null=True, blank=True)
    accepted_at = models.DateTimeField(_("accepted"), null=True, blank=True)
    created_at = models.DateTimeField(_("attached"), default=timezone.now)

    class Meta:
        db_table = "attached_scenarios"
        verbose_name = _("attached scenario")
        verbose_name_plural = _("attached scenarios")
        constraints = [
            models.UniqueConstraint(fields=["apv", "name", "version"], name="attached_scenarios_version_once"),
            models.CheckConstraint(
                condition=models.Q(accepted_by__isnull=True) | ~models.Q(accepted_by=models.F("attached_by")),
                name="attached_scenarios_accepted_by_another",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.apv} · {self.name} v{self.version}"


class RefusedScenario(models.Model):
    """A scenario in the target's own folder that is none, with what is wrong with it, at one base of a remedy."""

    remedy = models.ForeignKey(Remedy, on_delete=models.CASCADE, related_name="refused_scenarios")
    base_commit = models.CharField(max_length=64)
    folder = models.CharField(max_length=300)
    problems = models.JSONField(help_text=_("[[where, what], …]"))

    class Meta:
        db_table = "refused_scenarios"
        constraints = [
            models.UniqueConstraint(fields=["remedy", "base_commit", "folder"], name="refused_scenarios_once")
        ]

    def __str__(self) -> str:
        return self.folder


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
    accepted = models.BooleanField(_("accepted"), default=False, help_text=_("Whether its scenario was when it ran"))
    superseded = models.BooleanField(default=False, help_text=_("A newer version of its scenario counts instead"))
    retry_of = models.OneToOneField("self", on_delete=models.CASCADE, null=True, blank=True, related_name="retry")
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
            # Retries hang on one another, one each: the row without a retry is the one that counts.
            models.UniqueConstraint(
                fields=["apv", "remedy", "head_commit", "scenario_digest"],
                condition=models.Q(retry_of__isnull=True),
                name="wargames_once_per_head_and_scenario",
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


# Of all wargames of a head, those that count: the last of each line of retries, of scenarios not replaced by a newer version.
COUNTING = models.Q(retry__isnull=True, superseded=False)


class ActionsStep(models.TextChoices):
    """What is to be done next for a wargame at GitHub Actions."""

    PUSH = "push", _("writing its branch")
    FIND = "find", _("waiting for its run")
    WATCH = "watch", _("running at GitHub")
    TIDY = "tidy", _("removing its branch")


class ActionsState(models.TextChoices):
    PENDING = "pending", _("queued")
    RUNNING = "running", _("running")
    DONE = "done", _("done")
    FAILED = "failed", _("failed")


class ActionsRun(Work):
    """A wargame that is played at GitHub Actions: what was ordered, where it stands, and what is to be done next.

    While it lasts its wargame is ``running`` and held by it (``holder``), without a lease: nobody waits there meanwhile.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    wargame = models.OneToOneField(Wargame, on_delete=models.CASCADE, related_name="actions_run")
    state = models.CharField(_("state"), max_length=10, choices=ActionsState, default=ActionsState.PENDING)
    step = models.CharField(_("step"), max_length=10, choices=ActionsStep, default=ActionsStep.PUSH)
    correlation = models.CharField(_("correlation id"), max_length=40, unique=True)
    nonce = models.CharField(max_length=80)
    order = models.TextField(help_text=_("The order as it was written onto the branch, JSON"))
    locks = models.JSONField(help_text=_("The locks of both sides"))
    branch = models.CharField(_("branch"), max_length=200)
    commit = models.CharField(_("commit"), max_length=64, blank=True)
    run_id = models.BigIntegerField(_("run at GitHub"), null=True, blank=True)
    run_url = models.CharField(max_length=500, blank=True)
    created_at = models.DateTimeField(_("ordered"), default=timezone.now)
    pushed_at = models.DateTimeField(_("pushed"), null=True, blank=True)
    finished_at = models.DateTimeField(_("finished"), null=True, blank=True)

    class Meta:
        db_table = "wargame_actions_runs"
        indexes = [models.Index(fields=["state", "due_at"], name="ix_wargame_actions_due")]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(state__in=ActionsState.values), name="wargame_actions_runs_state_known"
            ),
            models.CheckConstraint(
                condition=models.Q(step__in=ActionsStep.values), name="wargame_actions_runs_step_known"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.wargame_id} at {self.branch}"

    @property
    def holder(self) -> str:
        """The name under which it holds its wargame."""
        return f"actions:{self.pk}"


class OrderKind(models.TextChoices):
    CANCEL = "cancel", _("cancel")
    RETRY = "retry", _("retry")


class WargameOrder(models.Model):
    """That a person cancelled a wargame or asked for it once more, and why."""

    wargame = models.ForeignKey(Wargame, on_delete=models.CASCADE, related_name="orders")
    kind = models.CharField(_("what"), max_length=10, choices=OrderKind)
    by = models.ForeignKey(Account, on_delete=models.SET_NULL, null=True, related_name="+")
    by_name = models.CharField(_("by"), max_length=200)
    reason = models.TextField(_("reason"))
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        db_table = "wargame_orders"
        ordering = ["created_at"]
        constraints = [
            models.CheckConstraint(condition=models.Q(kind__in=OrderKind.values), name="wargame_orders_known")
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.wargame_id}"


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
    """What a wargame observed, as one archive named by its hash. ``removed_at``: when its content was given up for its age."""

    digest = models.CharField(primary_key=True, max_length=64)
    archive = models.BinaryField()
    created_at = models.DateTimeField(default=timezone.now)
    removed_at = models.DateTimeField(_("removed"), null=True, blank=True)

    class Meta:
        db_table = "evidence"
        verbose_name = _("evidence")
        verbose_name_plural = _("evidence")

    def __str__(self) -> str:
        return self.digest
