"""Repositories we watch and what their manifests say."""

from __future__ import annotations

import uuid

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from immune.inventory import Origin, Scope
from immune.models.people import Account, Team
from immune.models.work import Work


class ForgeKind(models.TextChoices):
    LOCAL = "local", _("local git")
    GITHUB = "github", "GitHub"


class MergeMethod(models.TextChoices):
    """How an approved pull request becomes part of the default branch."""

    SQUASH = "squash", _("squash")
    MERGE = "merge", _("merge commit")
    REBASE = "rebase", _("rebase")


class Repository(models.Model):
    """One repository: where it lies, which teams own it, and what was last read of its default branch."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(_("name"), max_length=200, unique=True)
    forge = models.CharField(_("forge"), max_length=10, choices=ForgeKind, default=ForgeKind.LOCAL)
    location = models.CharField(_("location"), max_length=1000, help_text=_("Path or address it was registered with"))
    default_branch = models.CharField(_("default branch"), max_length=250, blank=True)
    head_commit = models.CharField(_("head"), max_length=64, blank=True)
    read_at = models.DateTimeField(_("last read"), null=True, blank=True)
    problem = models.TextField(_("why it could not be read"), blank=True)
    write_back = models.BooleanField(_("push merges back"), default=False)
    merge_method = models.CharField(_("merge method"), max_length=10, choices=MergeMethod, default=MergeMethod.SQUASH)
    merge_queue = models.BooleanField(_("merges through the merge queue"), default=False)
    is_demo = models.BooleanField(_("demonstration"), default=False, editable=False)
    labels = models.JSONField(_("labels"), default=list, blank=True)
    owners = models.ManyToManyField(Team, related_name="repositories", blank=True, verbose_name=_("owning teams"))
    created_at = models.DateTimeField(_("created"), default=timezone.now)

    class Meta:
        db_table = "repositories"
        verbose_name = _("repository")
        verbose_name_plural = _("repositories")
        constraints = [
            models.UniqueConstraint(fields=["location"], name="repositories_location_once"),
            models.CheckConstraint(
                condition=models.Q(merge_method__in=MergeMethod.values), name="repositories_merge_method_known"
            ),
        ]

    def __str__(self) -> str:
        return self.name


class DependencyRow(models.Model):
    """One package as one manifest of a repository names it, at the head last read; or as an SBOM does, then with its ``stream``."""

    repository = models.ForeignKey(Repository, on_delete=models.CASCADE, related_name="dependencies")
    stream = models.ForeignKey(
        "immune.ReportStream", on_delete=models.CASCADE, null=True, blank=True, related_name="dependencies"
    )
    ecosystem = models.CharField(max_length=60)
    name = models.CharField(_("package"), max_length=300)
    version = models.CharField(_("version"), max_length=200, null=True, blank=True)  # noqa: DJ001 - null: not resolved
    manifest = models.CharField(_("manifest"), max_length=1000)
    line = models.PositiveIntegerField(null=True, blank=True)
    requirement = models.TextField(blank=True)
    origin = models.CharField(max_length=10, choices=[(o.value, o.value) for o in Origin])
    scope = models.CharField(max_length=10, choices=[(s.value, s.value) for s in Scope])
    direct = models.BooleanField(null=True)
    path = models.JSONField(default=list)
    reason = models.TextField(blank=True)

    class Meta:
        db_table = "dependencies"
        indexes = [models.Index(fields=["ecosystem", "name", "version"], name="ix_dependencies_package")]

    def __str__(self) -> str:
        return f"{self.name} {self.version or '?'} in {self.manifest}"


class ScanState(models.TextChoices):
    PENDING = "pending", _("queued")
    RUNNING = "running", _("running")
    DONE = "done", _("done")
    FAILED = "failed", _("failed")


class Scan(Work):
    """One reading of a repository's default branch: inventory, matching, APVs, remedies. Asked for by a person or an event."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    repository = models.ForeignKey(Repository, on_delete=models.CASCADE, related_name="scans")
    cause = models.CharField(_("cause"), max_length=120)
    requested_by = models.ForeignKey(Account, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    state = models.CharField(_("state"), max_length=10, choices=ScanState, default=ScanState.PENDING)
    head_commit = models.CharField(max_length=64, blank=True)
    result = models.JSONField(default=dict)
    created_at = models.DateTimeField(_("asked"), default=timezone.now)
    finished_at = models.DateTimeField(_("finished"), null=True, blank=True)

    class Meta:
        db_table = "scans"
        verbose_name = _("scan")
        verbose_name_plural = _("scans")
        indexes = [models.Index(fields=["state", "due_at"], name="ix_scans_due")]
        constraints = [
            models.CheckConstraint(condition=models.Q(state__in=ScanState.values), name="scans_state_known"),
        ]

    def __str__(self) -> str:
        return f"{self.repository} because of {self.cause}"
