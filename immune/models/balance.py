"""How the whole was doing when it was last looked at: one row, for every process to read."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from immune.homeostasis.states import State


class BalanceState(models.TextChoices):
    """The six states of ``immune.homeostasis.states``, with words for people."""

    REST = State.REST, _("rest")
    VIGILANCE = State.VIGILANCE, _("vigilance")
    ATTENTION = State.ATTENTION, _("attention")
    ACTIVATION = State.ACTIVATION, _("activation")
    INFLAMMATION = State.INFLAMMATION, _("inflammation")
    EMERGENCY = State.EMERGENCY, _("emergency")


class Balance(models.Model):
    """The one row. ``since`` is when the state began, ``figures`` what was measured, ``reasons`` the figures that asked for it.

    ``immune.homeostasis.balance`` is the only code that writes it.
    """

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    state = models.CharField(_("state"), max_length=12, choices=BalanceState)
    since = models.DateTimeField(_("since"))
    looked_at = models.DateTimeField(_("looked at"))
    figures = models.JSONField(default=dict)
    reasons = models.JSONField(default=list)

    class Meta:
        db_table = "balance"
        constraints = [
            models.CheckConstraint(condition=models.Q(id=1), name="balance_one_row"),
            models.CheckConstraint(condition=models.Q(state__in=BalanceState.values), name="balance_state_known"),
        ]

    def __str__(self) -> str:
        return str(self.state)
