"""Published vulnerability records, folded by their aliases, and the packages each one names."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class Severity(models.TextChoices):
    """CVSS's qualitative bands. Unknown is a band of its own: unknown is not low."""

    CRITICAL = "CRITICAL", _("critical")
    HIGH = "HIGH", _("high")
    MEDIUM = "MEDIUM", _("medium")
    LOW = "LOW", _("low")
    NONE = "NONE", _("none")
    UNKNOWN = "UNKNOWN", _("unknown")


# Worst first. Unknown stands beside high: nobody has said it is mild.
SEVERITY_RANKS = {
    severity: rank
    for rank, severity in enumerate(
        (Severity.CRITICAL, Severity.HIGH, Severity.UNKNOWN, Severity.MEDIUM, Severity.LOW, Severity.NONE)
    )
}


def severity_rank(path: str = "severity") -> models.Case:
    """Rank of a severity, worst first: the names themselves would sort by letter. Indexed, so it does not change."""
    cases = (
        models.When(**{path: severity.value}, then=models.Value(rank)) for severity, rank in SEVERITY_RANKS.items()
    )
    return models.Case(*cases, default=models.Value(0), output_field=models.IntegerField())


class AliasGroup(models.Model):
    """One vulnerability, whatever its names: the records that call each other aliases."""

    canonical_id = models.CharField(_("canonical id"), max_length=120, unique=True)

    class Meta:
        db_table = "alias_groups"

    def __str__(self) -> str:
        return self.canonical_id


class Advisory(models.Model):
    """One OSV record as its source published it."""

    id = models.CharField(primary_key=True, max_length=120)
    group = models.ForeignKey(AliasGroup, on_delete=models.PROTECT, related_name="advisories")
    aliases = models.JSONField(_("aliases"), default=list)
    related = models.JSONField(_("related"), default=list)
    summary = models.TextField(_("summary"), blank=True)
    details = models.TextField(_("details"), blank=True)
    vectors = models.JSONField(_("severity vectors"), default=list)
    record = models.TextField(help_text=_("The record as published, as JSON"))
    severity = models.CharField(_("severity"), max_length=10, choices=Severity, default=Severity.UNKNOWN)
    score = models.FloatField(_("score"), null=True, blank=True)
    cwes = models.JSONField(_("weaknesses"), default=list)
    references = models.JSONField(_("references"), default=list)
    published = models.DateTimeField(_("published"), null=True, blank=True)
    modified = models.DateTimeField(_("modified"), null=True, blank=True)
    withdrawn = models.DateTimeField(_("withdrawn"), null=True, blank=True)
    digest = models.CharField(max_length=64)
    matching_digest = models.CharField(max_length=64)
    # Of the bytes it was read from and of the reader that read them: the same again needs no second reading.
    raw_digest = models.CharField(max_length=64, blank=True, db_index=True)
    source = models.CharField(_("source"), max_length=300, blank=True)

    class Meta:
        db_table = "advisories"
        verbose_name = _("advisory")
        verbose_name_plural = _("advisories")

    def __str__(self) -> str:
        return self.id


class AdvisoryName(models.Model):
    """A name a record goes by, its own id or an alias: what folding joins on."""

    advisory = models.ForeignKey(Advisory, on_delete=models.CASCADE, related_name="names")
    name = models.CharField(max_length=120, db_index=True)

    class Meta:
        db_table = "advisory_names"
        constraints = [models.UniqueConstraint(fields=["advisory", "name"], name="advisory_names_once")]

    def __str__(self) -> str:
        return self.name


class AffectedPackage(models.Model):
    """A package a record names: where to look when a repository holds it. Ranges stay in the record."""

    advisory = models.ForeignKey(Advisory, on_delete=models.CASCADE, related_name="affected")
    ecosystem = models.CharField(max_length=60)
    name = models.CharField(max_length=300)

    class Meta:
        db_table = "affected_packages"
        indexes = [models.Index(fields=["ecosystem", "name"], name="ix_affected_package")]
        constraints = [models.UniqueConstraint(fields=["advisory", "ecosystem", "name"], name="affected_packages_once")]

    def __str__(self) -> str:
        return f"{self.ecosystem}:{self.name} in {self.advisory_id}"
