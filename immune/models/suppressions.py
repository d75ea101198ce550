"""What is set aside, why, by whom and until when."""

from __future__ import annotations

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from immune.models.advisories import AliasGroup
from immune.models.apvs import APV
from immune.models.people import Account
from immune.models.repositories import Repository


class SuppressionScope(models.TextChoices):
    """How far a suppression reaches, narrowest first."""

    APV = "apv", _("one APV")
    PACKAGE = "package", _("a package in a repository")
    ADVISORY = "advisory", _("an advisory everywhere")


class Ground(models.TextChoices):
    """Why: the five justifications of VEX for "not affected" (CISA, "VEX Status Justifications"), or a risk that is accepted.

    Empty stands for a suppression whose author gave words only; to VEX it says nothing about being affected.
    """

    COMPONENT_NOT_PRESENT = "component_not_present", _("the component is not present")
    CODE_NOT_PRESENT = "vulnerable_code_not_present", _("the vulnerable code is not present")
    CODE_NOT_EXECUTED = "vulnerable_code_not_in_execute_path", _("the vulnerable code is not in the execute path")
    CODE_NOT_CONTROLLED = (
        "vulnerable_code_cannot_be_controlled_by_adversary",
        _("the vulnerable code cannot be controlled by an adversary"),
    )
    MITIGATED = "inline_mitigations_already_exist", _("inline mitigations already exist")
    ACCEPTED = "accepted_risk", _("the risk is accepted")


NOT_AFFECTED = frozenset(Ground.values) - {Ground.ACCEPTED.value}


class Suppression(models.Model):
    """Holds while it has neither expired nor been ended; the latest one that covers an APV is the one shown."""

    scope = models.CharField(_("scope"), max_length=10, choices=SuppressionScope, default=SuppressionScope.APV)
    apv = models.ForeignKey(APV, on_delete=models.CASCADE, null=True, blank=True, related_name="suppressions")
    repository = models.ForeignKey(Repository, on_delete=models.CASCADE, null=True, blank=True, related_name="+")
    ecosystem = models.CharField(_("ecosystem"), max_length=60, blank=True)
    package_name = models.CharField(_("package"), max_length=300, blank=True)
    group = models.ForeignKey(AliasGroup, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    ground = models.CharField(_("ground"), max_length=60, choices=Ground, blank=True)
    reason = models.TextField(_("reason"))
    author = models.ForeignKey(Account, on_delete=models.SET_NULL, null=True, related_name="+")
    source = models.CharField(_("taken from"), max_length=300, blank=True)
    expires_at = models.DateTimeField(_("ends"))
    created_at = models.DateTimeField(_("made"), default=timezone.now)
    ended_at = models.DateTimeField(_("ended"), null=True, blank=True)
    ended_by = models.ForeignKey(Account, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")

    class Meta:
        db_table = "suppressions"
        verbose_name = _("suppression")
        verbose_name_plural = _("suppressions")
        indexes = [
            models.Index(fields=["ended_at", "expires_at"], name="ix_suppressions_holding"),
            models.Index(fields=["repository", "package_name"], name="ix_suppressions_package"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(
                    scope="apv", apv__isnull=False, repository__isnull=True, group__isnull=True, package_name=""
                )
                | (
                    models.Q(scope="package", apv__isnull=True, repository__isnull=False, group__isnull=True)
                    & ~models.Q(package_name="")
                )
                | models.Q(
                    scope="advisory", apv__isnull=True, repository__isnull=True, group__isnull=False, package_name=""
                ),
                name="suppressions_scope_names_what_it_covers",
            ),
            models.CheckConstraint(
                condition=models.Q(ground__in=["", *Ground.values]), name="suppressions_ground_known"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.covers} until {self.expires_at:%Y-%m-%d}"

    @property
    def covers(self) -> str:
        """What it is about, in one line."""
        if self.apv is not None:
            return self.apv.apv_code
        if self.repository is not None:
            return f"{self.ecosystem}:{self.package_name} in {self.repository}"
        return str(self.group)
