"""Freezes in the console: what is frozen until when, freezing, ending one; and the labels of a repository that policies ask."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display

from immune import freezes, services
from immune.models import ForgeJob, Freeze
from immune.people.selectors import Viewer, visible_repositories, within_sight
from immune.people.services import NotPermitted
from immune.services import Refused
from reviews.console import policy_forms, untrusted
from reviews.console.base import Button, Fact, ReadOnlyAdmin, Section, account, allowed, badge, report, to, viewer
from reviews.templatetags.console import shown_line

if TYPE_CHECKING:
    from reviews.console.work import RepositoryAdmin


class FreezeAdmin(ReadOnlyAdmin):
    """Spans in which nothing is merged. Leads freeze what their teams own, operators everything."""

    list_display = ("where", "status", "seen_reason", "starts_at", "ends_at", "seen_author")
    list_display_links = ("where",)
    search_fields = ("repository__name", "label", "reason")
    sortable_by = ("starts_at", "ends_at")
    ordering = ("-created_at", "pk")
    list_before_template = "console/freeze.html"

    def rows(self, viewer: Viewer) -> QuerySet[Freeze]:
        return freezes.freezes(viewer)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        who = viewer(request)
        context = {
            "may_freeze": who.may("lead") or who.may("operate"),
            "may_everywhere": who.may("operate"),
            "repositories": visible_repositories(who).order_by("name")[:500],
            "longest_label": services.LONGEST_LABEL,
            "create_url": self.url("create"),
        }
        return super().changelist_view(request, {**(extra_context or {}), **context})

    def own_urls(self) -> list[URLPattern]:
        return [
            self.changing("create/", self.create_view, "create"),
            self.changing("<int:object_id>/end/", self.end_view, "end"),
        ]

    def create_view(self, request: HttpRequest) -> HttpResponse:
        who = viewer(request)
        chosen = request.POST.get("repository", "")
        repository = {str(row.pk): row for row in visible_repositories(who)}.get(chosen)
        starts = policy_forms.moment(request.POST.get("starts_at", "")) or timezone.now()
        ends = policy_forms.moment(request.POST.get("ends_at", ""))
        if (chosen and repository is None) or ends is None:
            report(request, messages.ERROR, gettext("A freeze needs a repository in sight, or all, and an end."))
            return redirect(self.url("changelist"))
        try:
            row = freezes.freeze(
                account=account(request),
                viewer=who,
                repository=repository,
                label=request.POST.get("label", "") if who.may("operate") else "",
                reason=request.POST.get("reason", "").replace("\x00", ""),
                starts_at=starts,
                ends_at=ends,
            )
        except Refused as error:
            report(request, messages.ERROR, untrusted.plain(str(error), 400))
            return redirect(self.url("changelist"))
        report(request, messages.SUCCESS, gettext("Frozen: decisions are taken, and their merges wait."))
        return redirect(self.url("change", row.pk))

    def end_view(self, request: HttpRequest, object_id: int) -> HttpResponse:
        row = self.found(request, str(object_id))
        try:
            freezes.end_freeze(account=account(request), viewer=viewer(request), row=row)
        except Refused as error:
            report(request, messages.ERROR, untrusted.plain(str(error), 400))
        else:
            report(request, messages.SUCCESS, gettext("The freeze has ended; what it held starts."))
        return redirect(self.url("change", row.pk))

    def buttons(self, request: HttpRequest, row: Freeze) -> Sequence[Button]:
        try:
            freezes.may_change(viewer(request), row.repository)
        except NotPermitted:
            return ()
        over = row.ended_at is not None or row.ends_at <= timezone.now()
        return () if over else (Button(_("End it now"), self.url("end", row.pk), tone="reject"),)

    @display(description=_("repository"))
    def where(self, row: Freeze) -> SafeString:
        return shown_line(_place(row), 80)

    @display(description=_("state"))
    def status(self, row: Freeze) -> SafeString:
        now = timezone.now()
        if row.ended_at is not None or row.ends_at <= now:
            return badge("cancelled", _("ended"), "job")
        return badge("running", _("holds"), "job") if row.starts_at <= now else badge("pending", _("to come"), "job")

    @display(description=_("reason"))
    def seen_reason(self, row: Freeze) -> SafeString:
        return shown_line(row.reason, 120)

    @display(description=_("author"))
    def seen_author(self, row: Freeze) -> SafeString:
        return shown_line(row.author.shown_name if row.author else "", 60)

    def heading(self, row: Freeze) -> str:
        return untrusted.plain(_place(row), 80)

    def sections(self, request: HttpRequest, row: Freeze) -> Sequence[Section]:
        held = ForgeJob.objects.filter(freezes.held_merges(), within_sight(viewer(request), "remedy__repository"))
        if row.repository_id is not None:
            held = held.filter(remedy__repository=row.repository_id)
        return (
            Section(
                self.heading(row),
                (
                    Fact(_("state"), self.status(row), "html"),
                    Fact(_("reason"), row.reason, "text"),
                    Fact(_("author"), row.author.shown_name if row.author else ""),
                    Fact(_("from"), row.starts_at, "when"),
                    Fact(_("until"), row.ends_at, "when"),
                    Fact(_("ended"), row.ended_at, "when"),
                    Fact(_("ended by"), row.ended_by.shown_name if row.ended_by else ""),
                ),
            ),
            Section(
                _("Merges that wait"),
                columns=(_("change"), _("repository"), _("decided")),
                rows=[
                    [
                        Fact("", str(job.remedy), "link", to("immune_forgejob", job.pk)),
                        Fact("", job.remedy.repository.name),
                        Fact("", job.created_at, "when"),
                    ]
                    for job in held.select_related("remedy__repository").order_by("created_at")[:100]
                ],
            ),
        )


def _place(row: Freeze) -> str:
    if row.label:
        return gettext("all with the label %(label)s") % {"label": row.label}
    return row.repository.name if row.repository else gettext("everywhere")


def label(page: RepositoryAdmin, request: HttpRequest, object_id: str) -> HttpResponse:
    """Says which labels a repository has, separated by commas."""
    who = allowed(request, "administer")
    repository = page.found(request, object_id)
    labels = [one for one in request.POST.get("labels", "").split(",") if one.strip()]
    try:
        services.label_repository(account=account(request), viewer=who, repository=repository, labels=labels)
    except Refused as error:
        report(request, messages.ERROR, untrusted.plain(str(error), 400))
    else:
        report(request, messages.SUCCESS, gettext("The labels were set."))
    return redirect(page.url("change", repository.pk))
