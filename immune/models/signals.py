"""Signals of exploitation, by CVE: the latest EPSS score of each and what CISA's catalogue of known exploitation says."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class EpssRow(models.Model):
    """FIRST's probability that a CVE is exploited in the next 30 days. ``day``: of the file that gave this value first."""

    cve = models.CharField(primary_key=True, max_length=28)
    probability = models.FloatField(_("probability"))
    percentile = models.FloatField(_("percentile"), null=True, blank=True)
    day = models.DateField(_("day"))

    class Meta:
        db_table = "epss_scores"

    def __str__(self) -> str:
        return f"{self.cve} {self.probability}"


class KevRow(models.Model):
    """One entry of CISA's catalogue of vulnerabilities known to be exploited."""

    cve = models.CharField(primary_key=True, max_length=28)
    added = models.DateField(_("added"))
    due = models.DateField(_("to be remedied by"), null=True, blank=True)
    ransomware = models.BooleanField(_("used by ransomware"), null=True)
    name = models.TextField(_("name"), blank=True)

    class Meta:
        db_table = "kev_entries"

    def __str__(self) -> str:
        return self.cve


class SignalFeed(models.Model):
    """The file of a signal that was read last: "epss" or "kev", its day and version."""

    name = models.CharField(primary_key=True, max_length=10)
    day = models.DateField(_("day"))
    version = models.CharField(_("version"), max_length=64, blank=True)

    class Meta:
        db_table = "signal_feeds"

    def __str__(self) -> str:
        return f"{self.name} of {self.day}"
