"""What came after a merge of ours: watched for a while, and an alarm when the default branch is worse for it."""

from __future__ import annotations

import uuid

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from immune.models.remedies import Remedy
from immune.models.repositories import Repository


class AftermathState(models.TextChoices):
    WATCHING = "watching", _("watching")
    CLEAR = "clear", _("nothing came after it")
    ALARMED = "alarmed", _("alarm")
    REVERTING = "reverting", _("revert proposed")
    REVERTED = "reverted", _("reverted")


class AlarmCause(models.TextChoices):
    CHECKS_RED = "checks_red", _("checks turned red")
    REVERTED = "reverted", _("it was undone")
    VULNERABLE_AGAIN = "vulnerable_again", _("the vulnerable version is back")


# The change did not stay.
BACK = (AlarmCause.REVERTED, AlarmCause.VULNERABLE_AGAIN)


class Aftermath(models.Model):
    """One merge and what was seen of it since. ``detail`` holds names the forge gave (untrusted)."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    repository = models.ForeignKey(Repository, on_delete=models.CASCADE, related_name="aftermaths")
    remedy = models.OneToOneField(Remedy, on_delete=models.CASCADE, related_name="aftermath")
    state = models.CharField(_("state"), max_length=10, choices=AftermathState, default=AftermathState.WATCHING)
    cause = models.CharField(_("cause"), max_length=20, choices=AlarmCause, blank=True)
    detail = models.TextField(_("what was seen"), blank=True)
    began_at = models.DateTimeField(_("merged"), default=timezone.now)
    until = models.DateTimeField(_("watched until"))
    alarmed_at = models.DateTimeField(_("alarm"), null=True, blank=True)
    revert_number = models.PositiveIntegerField(_("pull request of the revert"), null=True, blank=True)
    revert_url = models.CharField(max_length=1000, blank=True)

    class Meta:
        db_table = "aftermaths"
        verbose_name = _("aftermath")
        verbose_name_plural = _("aftermaths")
        indexes = [models.Index(fields=["state", "until"], name="ix_aftermaths_watched")]
        constraints = [
            models.CheckConstraint(condition=models.Q(state__in=AftermathState.values), name="aftermaths_state_known"),
        ]

    def __str__(self) -> str:
        return f"{self.state} {self.remedy_id}"
