"""Freezes: spans of time in which nothing is merged, and nothing is approved without people."""

from __future__ import annotations

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from immune.models.people import Account
from immune.models.repositories import Repository


class Freeze(models.Model):
    """Holds from ``starts_at`` to ``ends_at`` unless it was ended before; in one repository, in all that carry a label while it
    holds, or everywhere without either."""

    repository = models.ForeignKey(Repository, on_delete=models.CASCADE, null=True, blank=True, related_name="freezes")
    label = models.CharField(_("label"), max_length=100, blank=True, default="")
    reason = models.TextField(_("reason"))
    starts_at = models.DateTimeField(_("from"))
    ends_at = models.DateTimeField(_("until"))
    author = models.ForeignKey(Account, on_delete=models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(_("made"), default=timezone.now)
    ended_at = models.DateTimeField(_("ended"), null=True, blank=True)
    ended_by = models.ForeignKey(Account, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")

    class Meta:
        db_table = "freezes"
        verbose_name = _("freeze")
        verbose_name_plural = _("freezes")
        indexes = [models.Index(fields=["ended_at", "ends_at"], name="ix_freezes_holding")]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(starts_at__lt=models.F("ends_at")), name="freezes_end_after_start"
            ),
            models.CheckConstraint(
                condition=models.Q(label="") | models.Q(repository__isnull=True), name="freezes_of_one_kind"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.repository or self.label or '*'} until {self.ends_at:%Y-%m-%d %H:%M}"
