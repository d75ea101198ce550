"""What people and programs ask for with a file in their hand, or to get one: the job a worker does, and the file in pieces."""

from __future__ import annotations

import uuid

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from immune.models.people import Account
from immune.models.repositories import Repository
from immune.models.work import Work


class JobKind(models.TextChoices):
    REPORT = "report", _("report, SBOM or VEX document taken in")
    SCAN = "scan", _("files looked through")
    ADVISORIES = "advisories", _("advisories taken in")
    EXPORT = "export", _("VEX document written")


class JobState(models.TextChoices):
    PENDING = "pending", _("queued")
    RUNNING = "running", _("running")
    DONE = "done", _("done")
    FAILED = "failed", _("failed")


class Job(Work):
    """One thing that was asked for: how far it has come and what came of it. ``result`` holds counts and the first of what
    was refused; a document that was made is kept in pieces until it expires."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    kind = models.CharField(_("kind"), max_length=20, choices=JobKind, default=JobKind.REPORT)
    # None: about no repository (advisories, files that belong to none), or about every one in sight.
    repository = models.ForeignKey(Repository, on_delete=models.CASCADE, null=True, blank=True, related_name="jobs")
    part = models.CharField(_("part"), max_length=200, blank=True)
    source = models.CharField(_("file"), max_length=300)
    size = models.BigIntegerField(_("bytes"))
    # Of an export: ``kind`` of document, and the ids of the ``repositories`` it may speak of (None: of all there are).
    arguments = models.JSONField(default=dict)
    requested_by = models.ForeignKey(Account, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    # What the token it was sent with may do; None: a session. The worker's rights are the sender's, not its own.
    scopes = models.JSONField(null=True, blank=True)
    state = models.CharField(_("state"), max_length=10, choices=JobState, default=JobState.PENDING)
    progress = models.JSONField(default=dict)
    result = models.JSONField(default=dict)
    reason = models.CharField(_("reason"), max_length=60, blank=True)
    created_at = models.DateTimeField(_("sent"), default=timezone.now)
    finished_at = models.DateTimeField(_("finished"), null=True, blank=True)
    expired_at = models.DateTimeField(_("result removed"), null=True, blank=True)

    class Meta:
        db_table = "report_jobs"  # from when only reports came this way
        verbose_name = _("import or export")
        verbose_name_plural = _("imports and exports")
        indexes = [
            models.Index(fields=["state", "due_at"], name="ix_report_jobs_due"),
            models.Index(fields=["-created_at", "-id"], name="ix_report_jobs_created"),
        ]
        constraints = [
            models.CheckConstraint(condition=models.Q(state__in=JobState.values), name="report_jobs_state_known"),
            models.CheckConstraint(condition=models.Q(kind__in=JobKind.values), name="report_jobs_kind_known"),
        ]

    def __str__(self) -> str:
        return f"{self.source} for {self.repository}" if self.repository_id else self.source


class JobPiece(models.Model):
    """A piece of what was sent, kept until a worker on any host took it in, or of the document that was made."""

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="pieces")
    is_output = models.BooleanField(default=False)
    number = models.PositiveIntegerField()
    data = models.BinaryField()

    class Meta:
        db_table = "report_chunks"
        constraints = [models.UniqueConstraint(fields=["job", "is_output", "number"], name="report_chunks_once")]

    def __str__(self) -> str:
        return f"{self.job_id}:{self.number}"
