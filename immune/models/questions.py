"""What only a person can settle about an APV: records that were joined or taken apart by those who publish them."""

from __future__ import annotations

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from immune.models.apvs import APV
from immune.models.people import Account


class QuestionKind(models.TextChoices):
    ALIASES_JOINED = (
        "aliases_joined",
        _("two records turned out to be one problem, and what was decided of them differs"),
    )
    ALIAS_REMOVED = "alias_removed", _("a record no longer gives this problem the name it had")


class Question(models.Model):
    """Open until somebody settled it. ``about``: codes, states and ids, no words of people."""

    apv = models.ForeignKey(APV, on_delete=models.CASCADE, related_name="questions")
    kind = models.CharField(_("question"), max_length=20, choices=QuestionKind)
    about = models.CharField(_("about"), max_length=400)
    asked_at = models.DateTimeField(_("asked"), default=timezone.now)
    settled_at = models.DateTimeField(_("settled"), null=True, blank=True)
    settled_by = models.ForeignKey(Account, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")

    class Meta:
        db_table = "apv_questions"
        verbose_name = _("question")
        verbose_name_plural = _("questions")
        constraints = [
            models.UniqueConstraint(
                fields=["apv", "kind", "about"],
                condition=models.Q(settled_at__isnull=True),
                name="apv_questions_open_once",
            ),
            models.CheckConstraint(condition=models.Q(kind__in=QuestionKind.values), name="apv_questions_kind_known"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.apv_id}"
