"""The event log's tables: the chain, and the deliveries that follow from it.

Nothing here is written except by ``immune.events``. On PostgreSQL a trigger refuses UPDATE and DELETE on ``events``.
"""

from __future__ import annotations

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from immune.models.work import Work


class Event(models.Model):
    """One thing that happened. ``body`` is the canonical text the hash covers; the other columns repeat parts of it for
    reading, and verification compares them with it."""

    position = models.BigIntegerField(primary_key=True)
    kind = models.CharField(_("kind"), max_length=60)
    occurred_at = models.DateTimeField(_("at"))
    actor = models.CharField(_("actor"), max_length=80)
    subject = models.CharField(_("subject"), max_length=120)
    repository_id = models.UUIDField(null=True, blank=True)
    body = models.TextField()
    previous_hash = models.CharField(max_length=64)
    hash = models.CharField(max_length=64)

    class Meta:
        db_table = "events"
        verbose_name = _("event")
        verbose_name_plural = _("events")
        indexes = [
            models.Index(fields=["subject", "position"], name="ix_events_subject"),
            models.Index(fields=["kind", "position"], name="ix_events_kind"),
        ]

    def __str__(self) -> str:
        return f"{self.position} {self.kind}"


class DeliveryState(models.TextChoices):
    PENDING = "pending", _("pending")
    RUNNING = "running", _("running")
    DONE = "done", _("done")
    PARKED = "parked", _("parked")


class Delivery(Work):
    """One event owed to one subscribed handler, written with the event, kept when given up."""

    event = models.ForeignKey(Event, on_delete=models.CASCADE, related_name="deliveries")
    handler = models.CharField(max_length=120)
    state = models.CharField(max_length=10, choices=DeliveryState, default=DeliveryState.PENDING)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        db_table = "deliveries"
        verbose_name = _("delivery")
        verbose_name_plural = _("deliveries")
        indexes = [models.Index(fields=["state", "due_at"], name="ix_deliveries_due")]
        constraints = [models.UniqueConstraint(fields=["event", "handler"], name="deliveries_once_per_handler")]

    def __str__(self) -> str:
        return f"{self.event_id} to {self.handler}"
