"""What scanners and SBOMs say about a repository: who said it, and what was seen."""

from __future__ import annotations

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from immune.models.advisories import AliasGroup, Severity
from immune.models.apvs import APV
from immune.models.repositories import Repository


class ReportStream(models.Model):
    """The reports of one tool on one part of a repository: each says what stands now, in place of the one before."""

    repository = models.ForeignKey(Repository, on_delete=models.CASCADE, related_name="report_streams")
    tool = models.CharField(_("tool"), max_length=100)
    part = models.CharField(_("part"), max_length=200, blank=True)
    source = models.CharField(_("last report"), max_length=300, blank=True)
    # Who takes a report in now. A later taker overwrites it, and the earlier one stops at its next step.
    taker = models.CharField(max_length=64, blank=True)
    components_digest = models.CharField(max_length=64, blank=True)

    class Meta:
        db_table = "report_streams"
        constraints = [models.UniqueConstraint(fields=["repository", "tool", "part"], name="report_streams_once")]

    def __str__(self) -> str:
        return f"{self.tool} {self.part}".strip()


class Confirmation(models.TextChoices):
    """What our own matching says about a version a tool calls affected."""

    CONFIRMED = "confirmed", _("our own matching agrees")
    UNKNOWN_ADVISORY = "unknown_advisory", _("we hold no such record")
    NOT_AFFECTED = "not_affected", _("our records do not call this version affected")
    WITHDRAWN = "withdrawn", _("every record was withdrawn")
    COULD_NOT_TELL = "could_not_tell", _("our own matching could not tell")


class Sighting(models.Model):
    """One tool's word that a problem is there: a source of an APV, beside our own scan and other tools."""

    stream = models.ForeignKey(ReportStream, on_delete=models.CASCADE, related_name="sightings")
    apv = models.ForeignKey(APV, on_delete=models.CASCADE, related_name="sightings")
    ecosystem = models.CharField(max_length=60, blank=True)
    package_name = models.CharField(max_length=300)
    advisory = models.CharField(_("id the tool gives"), max_length=120)
    aliases = models.JSONField(default=list)
    versions = models.JSONField(_("versions"), default=list)
    fixed_versions = models.JSONField(_("fixed versions"), default=list)
    severity = models.CharField(_("severity"), max_length=10, choices=Severity, default=Severity.UNKNOWN)
    score = models.FloatField(_("score"), null=True, blank=True)
    targets = models.JSONField(_("seen in"), default=list)
    state = models.CharField(_("the tool's state"), max_length=100, blank=True)
    confirmation = models.CharField(_("our own matching"), max_length=20, choices=Confirmation)
    suppressed = models.BooleanField(_("suppressed by the report"), default=False)
    # Whether our last reading of the tree held what the tool names; once it no longer does, ``gone`` is set.
    in_tree = models.BooleanField(default=False)
    gone = models.BooleanField(_("no longer in the tree"), default=False)
    # Of everything the report says about the package: the same again means that nothing is to be done.
    digest = models.CharField(max_length=64)
    first_at = models.DateTimeField(_("first seen"), default=timezone.now)
    changed_at = models.DateTimeField(_("changed"), default=timezone.now)

    class Meta:
        db_table = "sightings"
        verbose_name = _("sighting")
        verbose_name_plural = _("sightings")
        indexes = [models.Index(fields=["stream", "ecosystem", "package_name"], name="ix_sightings_package")]
        constraints = [
            models.UniqueConstraint(fields=["stream", "apv"], name="sightings_once"),
            models.CheckConstraint(
                condition=models.Q(confirmation__in=Confirmation.values), name="sightings_confirmation_known"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.advisory} by {self.stream}"


class ReportedName(models.Model):
    """A name that a report gives to a vulnerability of which we hold no record, so that the next report finds the same group."""

    name = models.CharField(max_length=120, primary_key=True)
    group = models.ForeignKey(AliasGroup, on_delete=models.CASCADE, related_name="reported_names")

    class Meta:
        db_table = "reported_names"

    def __str__(self) -> str:
        return self.name
