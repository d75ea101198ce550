"""Rules a site writes (policies and reflexes) with their versions, and the switch for what is approved without people.

A version never changes once it was made: who edits makes the next one, and switching on names the version that was looked at.
``digest`` stands in the event log as well, so that content altered in the table is noticed and no longer believed.
"""

from __future__ import annotations

import uuid

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from immune.models import APV, Account, Team


class RuleKind(models.TextChoices):
    POLICY = "policy", _("policy")
    REFLEX = "reflex", _("reflex")


class Rule(models.Model):
    """One rule through all its versions. ``active``: the version that is switched on; none is off. Policies are asked by ``position``."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    kind = models.CharField(_("kind"), max_length=10, choices=RuleKind, default=RuleKind.POLICY)
    name = models.CharField(_("name"), max_length=120)
    position = models.PositiveIntegerField(_("place"))
    active = models.ForeignKey(
        "reviews.RuleVersion",
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("switched on"),
    )
    created_at = models.DateTimeField(_("created"), default=timezone.now)

    class Meta:
        db_table = "rules"
        verbose_name = _("policy")
        verbose_name_plural = _("policies")
        constraints = [
            models.UniqueConstraint(fields=["kind", "name"], name="rules_name_once"),
            models.CheckConstraint(condition=models.Q(kind__in=RuleKind.values), name="rules_kind_known"),
        ]

    def __str__(self) -> str:
        return self.name


class ReflexRule(Rule):
    """The same table, for the console's page of reflexes."""

    class Meta:
        proxy = True
        verbose_name = _("reflex")
        verbose_name_plural = _("reflexes")


class RuleVersion(models.Model):
    """What a rule said from one edit to the next. ``content``: as ``reviews.policy.content`` or ``reviews.policy.reflex`` writes it."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    rule = models.ForeignKey(Rule, on_delete=models.PROTECT, related_name="versions")
    number = models.PositiveIntegerField(_("version"))
    content = models.JSONField()
    digest = models.CharField(max_length=64)
    team = models.ForeignKey(Team, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    note = models.TextField(_("why"), blank=True)
    made_by = models.ForeignKey(Account, on_delete=models.SET_NULL, null=True, related_name="+")
    made_by_name = models.CharField(_("by"), max_length=200, blank=True)
    created_at = models.DateTimeField(_("made"), default=timezone.now)

    class Meta:
        db_table = "rule_versions"
        constraints = [models.UniqueConstraint(fields=["rule", "number"], name="rule_versions_number_once")]

    def __str__(self) -> str:
        return f"{self.rule} v{self.number}"


class ReflexFiring(models.Model):
    """That a version of a reflex answered to an APV: once, however often it is looked at."""

    version = models.ForeignKey(RuleVersion, on_delete=models.PROTECT, related_name="firings")
    apv = models.ForeignKey(APV, on_delete=models.CASCADE, related_name="reflexes")
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        db_table = "reflex_firings"
        constraints = [models.UniqueConstraint(fields=["version", "apv"], name="reflex_firings_once")]

    def __str__(self) -> str:
        return f"{self.version} on {self.apv}"


class SwitchState(models.TextChoices):
    DISARMED = "disarmed", _("disarmed")
    ARMED = "armed", _("armed")


class AutomaticSwitch(models.Model):
    """Whether anything may be approved without people at all. One row; before it was ever armed there is none, which is disarmed."""

    state = models.CharField(_("state"), max_length=10, choices=SwitchState, default=SwitchState.DISARMED)
    reason = models.TextField(_("reason"), blank=True)
    changed_by = models.ForeignKey(Account, on_delete=models.SET_NULL, null=True, related_name="+")
    changed_at = models.DateTimeField(_("changed"), default=timezone.now)

    class Meta:
        db_table = "automatic_switch"
        constraints = [
            models.CheckConstraint(
                condition=models.Q(state__in=SwitchState.values), name="automatic_switch_state_known"
            ),
            models.CheckConstraint(condition=models.Q(pk=1), name="automatic_switch_one_row"),
        ]

    def __str__(self) -> str:
        return self.state
