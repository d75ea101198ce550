"""Channels people are told through, the notices owed to them, and every attempt to send one."""

from __future__ import annotations

import uuid

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from immune.models import Account, Team
from immune.models.work import Work


class ChannelKind(models.TextChoices):
    WEBHOOK = "webhook", _("signed webhook")
    SLACK = "slack", "Slack"
    MAIL = "mail", _("mail")
    PAGERDUTY = "pagerduty", "PagerDuty"


class Pace(models.TextChoices):
    AT_ONCE = "at_once", _("at once")
    DIGEST = "digest", _("once a day, together")
    OVERDUE = "overdue", _("once a day, what is overdue")


class NoticeChannel(models.Model):
    """One way to tell one person, or one team. ``address`` and ``secret`` are sealed; ``shown`` is what people may see of them."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(_("name"), max_length=120)
    account = models.ForeignKey(
        Account, on_delete=models.CASCADE, null=True, blank=True, related_name="notice_channels"
    )
    team = models.ForeignKey(Team, on_delete=models.CASCADE, null=True, blank=True, related_name="notice_channels")
    kind = models.CharField(_("kind"), max_length=10, choices=ChannelKind)
    address = models.TextField(blank=True, editable=False)
    secret = models.TextField(blank=True, editable=False)
    shown = models.CharField(_("leads to"), max_length=255, blank=True)
    topics = models.JSONField(_("topics"), default=list)
    pace = models.CharField(_("when"), max_length=10, choices=Pace, default=Pace.AT_ONCE)
    hour = models.PositiveSmallIntegerField(
        _("hour (UTC)"), default=8, help_text=_("From which on, each day, digests and what is overdue are told")
    )
    told_on = models.DateField(null=True, blank=True, help_text=_("The day (UTC) of the last digest or list"))
    language = models.CharField(_("language"), max_length=10, blank=True, default="", help_text=_("Empty: the site's"))
    is_on = models.BooleanField(_("on"), default=True)
    told_to = models.BigIntegerField(default=0, help_text=_("Position of the log up to which digests have told"))
    created_by = models.ForeignKey(Account, on_delete=models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(_("created"), default=timezone.now)
    removed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "notice_channels"
        verbose_name = _("channel")
        verbose_name_plural = _("channels")
        constraints = [
            models.CheckConstraint(
                condition=models.Q(account__isnull=True) ^ models.Q(team__isnull=True), name="notice_channels_one_owner"
            ),
            models.CheckConstraint(condition=models.Q(kind__in=ChannelKind.values), name="notice_channels_kind_known"),
            models.CheckConstraint(condition=models.Q(pace__in=Pace.values), name="notice_channels_pace_known"),
            models.CheckConstraint(condition=models.Q(hour__lte=23), name="notice_channels_hour_of_a_day"),
        ]

    def __str__(self) -> str:
        return self.name


class NoticeState(models.TextChoices):
    PENDING = "pending", _("pending")
    RUNNING = "running", _("running")
    DONE = "done", _("sent")
    PARKED = "parked", _("parked")
    CANCELLED = "cancelled", _("cancelled")


class Notice(Work):
    """One notice owed to one channel: about events by their position, or what was overdue. Its text is made when it is sent."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    channel = models.ForeignKey(NoticeChannel, on_delete=models.CASCADE, related_name="notices")
    key = models.CharField(_("about"), max_length=80)
    positions = models.JSONField(default=list)
    state = models.CharField(_("state"), max_length=10, choices=NoticeState, default=NoticeState.PENDING)
    created_at = models.DateTimeField(_("created"), default=timezone.now)
    finished_at = models.DateTimeField(_("finished"), null=True, blank=True)

    class Meta:
        db_table = "notices"
        verbose_name = _("notice")
        verbose_name_plural = _("notices")
        indexes = [
            models.Index(fields=["state", "due_at"], name="ix_notices_due"),
            models.Index(fields=["-created_at", "-id"], name="ix_notices_latest"),
            models.Index(fields=["finished_at"], name="ix_notices_finished"),
        ]
        constraints = [
            models.UniqueConstraint(fields=["channel", "key"], name="notices_once"),
            models.CheckConstraint(condition=models.Q(state__in=NoticeState.values), name="notices_state_known"),
        ]

    def __str__(self) -> str:
        return f"{self.key} to {self.channel_id}"


class NoticeAttempt(models.Model):
    """One attempt to send a notice: what the other side said, in its first words, and how long it took."""

    notice = models.ForeignKey(Notice, on_delete=models.CASCADE, related_name="log")
    at = models.DateTimeField(_("at"), default=timezone.now)
    outcome = models.CharField(_("outcome"), max_length=40)
    status = models.PositiveIntegerField(_("status"), null=True, blank=True)
    said = models.CharField(_("answer"), max_length=300, blank=True)
    milliseconds = models.PositiveIntegerField(default=0)

    class Meta:
        db_table = "notice_attempts"

    def __str__(self) -> str:
        return f"{self.outcome} at {self.at:%Y-%m-%d %H:%M}"
