"""The list of decisions and the page of one, with what became of it at the forge."""

from __future__ import annotations

from collections.abc import Sequence

from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display

from immune.people.selectors import Viewer
from reviews import selectors
from reviews.console.base import Fact, ReadOnlyAdmin, Section, badge, nothing, to
from reviews.console.said import translated
from reviews.models import Decision
from reviews.templatetags.console import shown_line


class DecisionAdmin(ReadOnlyAdmin):
    list_display = ("code", "said", "seen_reviewer", "seen_repository", "job_state", "created_at")
    list_filter = ("decision", "is_final")
    search_fields = ("apv_code", "reviewer_name", "review__repository__name", "review__items__apv__apv_code")
    sortable_by = ("created_at",)
    ordering = ("-created_at", "pk")

    def rows(self, viewer: Viewer) -> QuerySet[Decision]:
        return selectors.decisions(viewer).select_related("review__repository", "job", "apv")

    @display(description=_("code"))
    def code(self, row: Decision) -> str:
        return row.apv_code

    @display(description=_("decision"))
    def said(self, row: Decision) -> SafeString:
        return badge(row.decision, row.get_decision_display(), "choice")

    @display(description=_("reviewer"))
    def seen_reviewer(self, row: Decision) -> SafeString:
        return shown_line(row.reviewer_name, 60)

    @display(description=_("repository"))
    def seen_repository(self, row: Decision) -> SafeString:
        return shown_line(row.review.repository.name, 60)

    @display(description=_("forge job"))
    def job_state(self, row: Decision) -> SafeString:
        if row.withdrawn_at is not None:
            return badge("cancelled", _("withdrawn"), "job")
        if row.job is None:
            return nothing()
        return badge(row.job.state, row.job.get_state_display(), "job")

    def sections(self, request: HttpRequest, row: Decision) -> Sequence[Section]:
        job = row.job
        return (
            Section(
                str(row),
                (
                    Fact(_("decision"), self.said(row), "html"),
                    Fact(_("reviewer"), row.reviewer_name),
                    Fact(_("decided"), row.created_at, "when"),
                    Fact(_("justification"), row.justification, "text"),
                    Fact(_("comments"), row.comments, "text"),
                    Fact(_("review"), _("open it"), "link", to("reviews_review", row.review_id)),
                    Fact(_("policy that spoke"), [f"{one['name']} {one['number']}" for one in row.policies], "list"),
                    Fact(_("head"), row.head_commit),
                    Fact(_("patch digest"), row.patch_digest),
                    Fact(
                        _("forge job"), job.get_kind_display() if job else "", "link", to("immune_forgejob", row.job_id)
                    ),
                    Fact(_("what the forge said"), translated(job.message) if job else "", "text"),
                ),
            ),
        )
