"""Remedies (one change, one branch, one pull request) and the forge jobs that carry them out."""

from __future__ import annotations

import uuid

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from immune.homeostasis.room import Held
from immune.models.repositories import Repository
from immune.models.work import Work


class RemedyState(models.TextChoices):
    PLANNED = "planned", _("planned")
    PROPOSED = "proposed", _("proposed")
    MERGED = "merged", _("merged")
    CLOSED = "closed", _("closed")
    SUPERSEDED = "superseded", _("superseded")
    FAILED = "failed", _("failed")


LIVE_REMEDIES = (RemedyState.PLANNED, RemedyState.PROPOSED)


class Remedy(models.Model):
    """One concrete change to one repository, serving every APV it closes."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    repository = models.ForeignKey(Repository, on_delete=models.CASCADE, related_name="remedies")
    ecosystem = models.CharField(max_length=60)
    package_name = models.CharField(_("package"), max_length=300)
    from_version = models.CharField(_("from"), max_length=200)
    target_version = models.CharField(_("to"), max_length=200)
    strategy = models.CharField(_("strategy"), max_length=30)
    bump = models.CharField(_("size"), max_length=10, blank=True)
    released_at = models.DateTimeField(
        _("target published"), null=True, blank=True, help_text=_("When the version went to is known to be published")
    )
    state = models.CharField(_("state"), max_length=12, choices=RemedyState, default=RemedyState.PLANNED)
    reason = models.TextField(_("reason"), blank=True)
    branch = models.CharField(_("branch"), max_length=250)
    base_commit = models.CharField(_("base"), max_length=64)
    head_commit = models.CharField(_("head"), max_length=64)
    patch = models.TextField(_("patch"))
    patch_digest = models.CharField(_("patch digest"), max_length=64)
    changes = models.JSONField(default=dict, help_text=_("Path → new text"))
    manifest_digests = models.JSONField(default=dict)
    pull_request_number = models.PositiveIntegerField(_("pull request"), null=True, blank=True)
    pull_request_url = models.CharField(max_length=1000, blank=True)
    created_at = models.DateTimeField(_("created"), default=timezone.now)
    # What stays when it has ended: the commit that became of it, and the APVs it was for, which may have another remedy by now.
    merge_commit = models.CharField(max_length=64, blank=True, default="")
    ended_at = models.DateTimeField(_("ended"), null=True, blank=True)
    served = models.JSONField(default=list, editable=False)

    class Meta:
        db_table = "remedies"
        verbose_name = _("remedy")
        verbose_name_plural = _("remedies")
        constraints = [
            models.UniqueConstraint(
                fields=["repository", "ecosystem", "package_name"],
                condition=models.Q(state__in=[state.value for state in LIVE_REMEDIES]),
                name="remedies_one_live_per_package",
            ),
            models.CheckConstraint(condition=models.Q(state__in=RemedyState.values), name="remedies_state_known"),
        ]

    def __str__(self) -> str:
        return f"{self.package_name} {self.from_version} → {self.target_version}"


class ForgeJobKind(models.TextChoices):
    OPEN_PULL_REQUEST = "open_pull_request", _("open pull request")
    MERGE = "merge_pr", _("merge")
    CLOSE = "close_pr", _("close")
    REQUEST_CHANGES = "request_changes", _("request changes")
    ESCALATE = "escalate_to_lead", _("escalate to lead")
    COMMENT = "comment", _("comment")
    REPORT_VERDICT = "report_verdict", _("report verdict")
    REVERT = "revert", _("open the revert")


class ForgeJobState(models.TextChoices):
    PENDING = "pending", _("pending")
    RUNNING = "running", _("running")
    DONE = "done", _("done")
    REFUSED = "refused", _("refused")
    FAILED = "failed", _("failed")
    CANCELLED = "cancelled", _("cancelled")


class HeldBecause(models.TextChoices):
    """Why a job waits although it could be carried out (``immune.homeostasis.room.Held``, with words for people)."""

    REPOSITORY_FULL = Held.REPOSITORY_FULL, _("the repository has as many open pull requests as it may")
    ALL_FULL = Held.ALL_FULL, _("there are as many open pull requests as there may be")
    REPOSITORY_PACE = Held.REPOSITORY_PACE, _("the repository had as many merges in the last hour as it may")
    ALL_PACE = Held.ALL_PACE, _("there were as many merges in the last hour as there may be")
    EMERGENCY = Held.EMERGENCY, _("nothing new is proposed in an emergency")


class ForgeJob(Work):
    """One thing to be done at the forge, written in the same transaction as its cause, closed with what the forge said."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    remedy = models.ForeignKey(Remedy, on_delete=models.CASCADE, related_name="jobs")
    kind = models.CharField(_("kind"), max_length=20, choices=ForgeJobKind)
    head_commit = models.CharField(max_length=64)
    round = models.PositiveIntegerField(default=0)
    cause = models.CharField(max_length=120, help_text=_("What it follows from: an event kind and an id"))
    arguments = models.JSONField(default=dict)
    state = models.CharField(_("state"), max_length=10, choices=ForgeJobState, default=ForgeJobState.PENDING)
    reason = models.CharField(_("reason"), max_length=60, blank=True)
    message = models.TextField(_("what the forge said"), blank=True)
    result = models.JSONField(default=dict)
    # Written by ``immune.homeostasis.admission`` alone: why it waits without being claimed, and when it was given a place.
    held = models.CharField(_("held because"), max_length=20, choices=HeldBecause, blank=True)
    admitted_at = models.DateTimeField(_("given a place"), null=True, blank=True)
    created_at = models.DateTimeField(_("created"), default=timezone.now)
    finished_at = models.DateTimeField(_("finished"), null=True, blank=True)

    class Meta:
        db_table = "forge_jobs"
        verbose_name = _("forge job")
        verbose_name_plural = _("forge jobs")
        indexes = [
            models.Index(fields=["state", "due_at"], name="ix_forge_jobs_due"),
            models.Index(fields=["kind", "admitted_at"], name="ix_forge_jobs_admitted"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["remedy", "kind", "head_commit", "round", "cause"], name="forge_jobs_once_per_cause"
            ),
            models.CheckConstraint(condition=models.Q(state__in=ForgeJobState.values), name="forge_jobs_state_known"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} for {self.remedy_id}"


class LocalPullRequest(models.Model):
    """The row that stands for a pull request in the local git forge: that forge's own state, not ours."""

    repository = models.ForeignKey(Repository, on_delete=models.CASCADE, related_name="local_pull_requests")
    number = models.PositiveIntegerField()
    key = models.CharField(max_length=120)
    branch = models.CharField(max_length=250)
    base = models.CharField(max_length=250)
    head_commit = models.CharField(max_length=64)
    title = models.TextField()
    body = models.TextField(blank=True)
    state = models.CharField(max_length=10, choices=[(s, s) for s in ("open", "closed", "merged")], default="open")
    draft = models.BooleanField(default=False)
    labels = models.JSONField(default=list)
    assignees = models.JSONField(default=list)
    merge_commit = models.CharField(max_length=64, blank=True)
    version = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        db_table = "local_pull_requests"
        constraints = [
            models.UniqueConstraint(fields=["repository", "number"], name="local_pull_requests_number_once"),
            models.UniqueConstraint(
                fields=["repository", "branch"],
                condition=models.Q(state="open"),
                name="local_pull_requests_one_open_per_branch",
            ),
        ]

    def __str__(self) -> str:
        return f"#{self.number} {self.title}"


class LocalNote(models.Model):
    """A comment, review, escalation or verdict in the local git forge, at most one per key."""

    repository = models.ForeignKey(Repository, on_delete=models.CASCADE, related_name="local_notes")
    about = models.CharField(max_length=80, help_text=_("Pull request number or commit"))
    key = models.CharField(max_length=200)
    kind = models.CharField(max_length=30)
    body = models.TextField(blank=True)

    class Meta:
        db_table = "local_notes"
        constraints = [models.UniqueConstraint(fields=["repository", "about", "key"], name="local_notes_once")]

    def __str__(self) -> str:
        return f"{self.kind} on {self.about}"
