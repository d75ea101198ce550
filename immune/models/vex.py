"""What VEX documents said about a package in a repository, where that is neither a suppression nor the APV's own state."""

from __future__ import annotations

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from immune.formats.reports.shapes import Status
from immune.models.advisories import AliasGroup
from immune.models.people import Account
from immune.models.repositories import Repository
from immune.models.suppressions import NOT_AFFECTED


class VexStatement(models.Model):
    """One statement that was taken. The latest about a package in a repository counts.

    ``not_affected`` of what is an APV becomes a suppression instead; of what is none yet it is kept here, and becomes one when the APV
    opens while it holds (``immune.vex.standing``). ``versions``: those it speaks of, null for all.
    """

    repository = models.ForeignKey(Repository, on_delete=models.CASCADE, related_name="vex_statements")
    group = models.ForeignKey(AliasGroup, on_delete=models.PROTECT, related_name="+")
    ecosystem = models.CharField(_("ecosystem"), max_length=60)
    package_name = models.CharField(_("package"), max_length=300)
    status = models.CharField(_("status"), max_length=20, choices=[(one.value, one.value) for one in Status])
    impact = models.TextField(_("impact"), blank=True)
    action = models.TextField(_("action"), blank=True)
    justification = models.CharField(_("ground"), max_length=60, blank=True)
    versions = models.JSONField(_("versions"), null=True, blank=True)
    expires_at = models.DateTimeField(_("ends"), null=True, blank=True)
    spent_at = models.DateTimeField(_("became a suppression"), null=True, blank=True)
    source = models.CharField(_("taken from"), max_length=300, blank=True)
    author = models.ForeignKey(Account, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField(_("taken"), default=timezone.now)

    class Meta:
        db_table = "vex_statements"
        verbose_name = _("VEX statement")
        verbose_name_plural = _("VEX statements")
        indexes = [models.Index(fields=["repository", "group"], name="ix_vex_statements_about")]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(status__in=[one.value for one in Status]), name="vex_statements_status_known"
            ),
            models.CheckConstraint(
                condition=models.Q(status="not_affected", expires_at__isnull=False)
                & models.Q(justification__in=sorted(NOT_AFFECTED))
                | ~models.Q(status="not_affected"),
                name="vex_statements_not_affected_says_why_and_until_when",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.status}: {self.package_name} in {self.repository}"
