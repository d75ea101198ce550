"""What a forge told us: each delivery once, stored before it is answered, worked on later."""

from __future__ import annotations

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from immune.models.work import Work


class WebhookState(models.TextChoices):
    PENDING = "pending", _("queued")
    RUNNING = "running", _("running")
    DONE = "done", _("done")
    FAILED = "failed", _("failed")


class WebhookDelivery(Work):
    """One genuine delivery of GitHub's. ``id`` is GitHub's own; ``raw`` is emptied when it was worked on."""

    id = models.CharField(primary_key=True, max_length=64)
    event = models.CharField(max_length=60)
    raw = models.BinaryField()
    state = models.CharField(max_length=10, choices=WebhookState, default=WebhookState.PENDING)
    outcome = models.CharField(max_length=200, blank=True)
    received_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "webhook_deliveries"
        verbose_name = _("webhook delivery")
        verbose_name_plural = _("webhook deliveries")
        indexes = [models.Index(fields=["state", "due_at"], name="ix_webhooks_due")]
        constraints = [
            models.CheckConstraint(condition=models.Q(state__in=WebhookState.values), name="webhooks_state_known"),
        ]

    def __str__(self) -> str:
        return f"{self.event} {self.pk}"
