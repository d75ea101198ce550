"""What every row that stands for something still to be done has in common: who holds it, until when, and how often it was tried.

``immune.claims`` is the only code that writes these columns after the row was made.
"""

from __future__ import annotations

from django.db import models
from django.utils import timezone


class Work(models.Model):
    """A row any process may claim by a conditional UPDATE and finish by an UPDATE that still names its owner."""

    due_at = models.DateTimeField(default=timezone.now)
    lease_until = models.DateTimeField(null=True, blank=True)
    owner = models.CharField(max_length=80, blank=True, default="")
    attempts = models.PositiveIntegerField(default=0)
    last_error = models.TextField(blank=True, default="")

    class Meta:
        abstract = True


class Turn(models.Model):
    """When a repository last had its turn at a kind of work: the higher ``served``, the later. No row: never.

    ``immune.claims`` is the only code that writes it.
    """

    kind = models.CharField(max_length=30)
    repository = models.ForeignKey("immune.Repository", on_delete=models.CASCADE, related_name="+")
    served = models.BigIntegerField()

    class Meta:
        db_table = "turns"
        constraints = [models.UniqueConstraint(fields=["kind", "repository"], name="turns_once")]

    def __str__(self) -> str:
        return f"{self.kind} {self.repository_id} #{self.served}"


class Lease(models.Model):
    """Who does a periodic duty now, until when, and when it is due again. ``token`` grows by one with every holder, and never shrinks.

    ``immune.leases`` is the only code that writes it.
    """

    name = models.CharField(max_length=60, primary_key=True)
    holder = models.CharField(max_length=80, blank=True, default="")
    token = models.BigIntegerField(default=0)
    until = models.DateTimeField(null=True, blank=True)
    due_at = models.DateTimeField(null=True, blank=True)
    began_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    last_error = models.TextField(blank=True, default="")

    class Meta:
        db_table = "leases"

    def __str__(self) -> str:
        return f"{self.name} #{self.token}"
