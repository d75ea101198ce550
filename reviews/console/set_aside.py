"""Suppressions in the console: the list, one with what it is about, making one and ending it before its time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, time
from typing import Any

from django.contrib import messages
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern
from django.utils import timezone
from django.utils.dateparse import parse_date
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display

from immune.events.actors import Actor
from immune.models import APV, AdvisoryName, Suppression
from immune.models.suppressions import Ground, SuppressionScope
from immune.people.selectors import Viewer, visible_repositories
from immune.services import Refused
from immune.suppression import selectors as seen
from immune.suppression import services
from immune.versions import ECOSYSTEMS
from reviews import selectors
from reviews.console import untrusted
from reviews.console.base import Button, Fact, ReadOnlyAdmin, Section, account, badge, report, to, viewer
from reviews.console.queue import SeenRepository
from reviews.templatetags.console import shown_line


class InRepository(SeenRepository):
    """By repository, those about one of its APVs included."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        chosen = self.value()
        if chosen not in dict(self.lookup_choices):
            return queryset
        return queryset.filter(Q(repository=chosen) | Q(apv__repository=chosen))


class SuppressionAdmin(ReadOnlyAdmin):
    list_display = ("about", "its_scope", "its_ground", "seen_reason", "seen_author", "state", "expires_at")
    list_display_links = ("about",)
    list_filter = ("scope", "ground", InRepository)
    search_fields = ("apv__apv_code", "package_name", "apv__package_name", "group__canonical_id", "repository__name")
    sortable_by = ("expires_at",)
    ordering = ("-created_at", "pk")
    list_before_template = "console/suppress.html"

    def rows(self, viewer: Viewer) -> QuerySet[Suppression]:
        return seen.suppressions(viewer)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        who = viewer(request)
        offers = {
            "scopes": [(value, label) for value, label in SuppressionScope.choices if who.may(services.RIGHTS[value])],
            "grounds": Ground.choices,
            "repositories": visible_repositories(who).order_by("name")[:500],
            "ecosystems": list(ECOSYSTEMS),
            "create_url": self.url("create"),
            "apv_code": untrusted.plain(request.GET.get("q", ""), 32),
        }
        return super().changelist_view(request, {**(extra_context or {}), **offers})

    def own_urls(self) -> list[URLPattern]:
        return [
            self.changing("create/", self.create_view, "create"),
            self.changing("<int:object_id>/end/", self.end_view, "end"),
        ]

    def create_view(self, request: HttpRequest) -> HttpResponse:
        person, who = account(request), viewer(request)
        target = _target(request, who)
        until = _end_of_day(request.POST.get("until", ""))
        if target is None or until is None:
            absent = gettext("There is no such APV, repository or advisory.")
            what = absent if target is None else gettext("A suppression needs the day on which it ends.")
            report(request, messages.ERROR, what)
            return redirect(self.url("changelist"))
        try:
            row = services.suppress(
                actor=Actor.of(person),
                viewer=who,
                target=target,
                ground=request.POST.get("ground", ""),
                reason=request.POST.get("reason", ""),
                until=until,
                author=person,
            )
        except Refused as error:
            report(request, messages.ERROR, untrusted.plain(str(error), 400))
            return redirect(self.url("changelist"))
        report(request, messages.SUCCESS, gettext("Set aside; it comes back by itself."))
        return redirect(self.url("change", row.pk))

    def end_view(self, request: HttpRequest, object_id: int) -> HttpResponse:
        person = account(request)
        row = self.found(request, str(object_id))
        try:
            services.end_suppression(actor=Actor.of(person), viewer=viewer(request), suppression=row, account=person)
        except Refused as error:
            report(request, messages.ERROR, untrusted.plain(str(error), 400))
        else:
            report(request, messages.SUCCESS, gettext("The suppression has ended; what it covered is open again."))
        return redirect(self.url("change", row.pk))

    def buttons(self, request: HttpRequest, row: Suppression) -> Sequence[Button]:
        own = row.author_id == request.user.pk and viewer(request).may("decide")
        if not _holds(row) or not (own or viewer(request).may(services.RIGHTS[row.scope])):
            return ()
        return (Button(_("End it now"), self.url("end", row.pk), tone="reject"),)

    @display(description=_("what is set aside"))
    def about(self, row: Suppression) -> SafeString:
        return shown_line(row.covers, 100)

    @display(description=_("scope"), ordering="scope")
    def its_scope(self, row: Suppression) -> str:
        return str(row.get_scope_display())

    @display(description=_("ground"))
    def its_ground(self, row: Suppression) -> str:
        return str(row.get_ground_display())

    @display(description=_("reason"))
    def seen_reason(self, row: Suppression) -> SafeString:
        return shown_line(row.reason, 120)

    @display(description=_("author"))
    def seen_author(self, row: Suppression) -> SafeString:
        return shown_line(row.author.shown_name if row.author else "", 60)

    @display(description=_("state"))
    def state(self, row: Suppression) -> SafeString:
        if _holds(row):
            return badge("running", _("holds"), "job")
        return badge("cancelled", _("ended"), "job") if row.ended_by_id else badge("done", _("expired"), "job")

    def heading(self, row: Suppression) -> str:
        return untrusted.plain(row.covers, 100)

    def sections(self, request: HttpRequest, row: Suppression) -> Sequence[Section]:
        covered = seen.covered_apvs(viewer(request), row).select_related("repository")[:200]
        return (
            Section(
                self.heading(row),
                (
                    Fact(_("scope"), row.get_scope_display()),
                    Fact(_("state"), self.state(row), "html"),
                    Fact(_("ground"), row.get_ground_display()),
                    Fact(_("reason"), row.reason, "text"),
                    Fact(_("author"), row.author.shown_name if row.author else ""),
                    Fact(_("taken from"), row.source),
                    Fact(_("made"), row.created_at, "when"),
                    Fact(_("ends"), row.expires_at, "when"),
                    Fact(_("ended"), row.ended_at, "when"),
                    Fact(_("ended by"), row.ended_by.shown_name if row.ended_by else ""),
                ),
            ),
            Section(
                _("What it is about"),
                columns=("APV", _("repository"), _("package"), _("state")),
                rows=[[*_line(apv)] for apv in covered],
            ),
        )


def _line(apv: APV) -> tuple[Fact, ...]:
    return (
        Fact("", apv.apv_code, "link", to("immune_apv", apv.pk)),
        Fact("", apv.repository.name),
        Fact("", apv.package_name),
        Fact("", badge(apv.status, apv.get_status_display(), "state"), "html"),
    )


def _holds(row: Suppression) -> bool:
    return row.ended_at is None and row.expires_at > timezone.now()


def _target(request: HttpRequest, who: Viewer) -> services.Target | None:
    """What the form names, None when there is no such thing in sight."""
    data = request.POST
    scope = data.get("scope", "")
    name = data.get("name", "").strip().replace("\x00", "")
    if scope == SuppressionScope.APV:
        apv = selectors.apv_by_code(who, name)
        return services.Target(apv=apv) if apv else None
    if scope == SuppressionScope.ADVISORY:
        known = AdvisoryName.objects.filter(name=name).select_related("advisory__group").first()
        return services.Target(group=known.advisory.group) if known else None
    chosen = {str(row.pk): row for row in visible_repositories(who)}.get(data.get("repository", ""))
    if scope != SuppressionScope.PACKAGE or chosen is None:
        return None
    return services.Target(repository=chosen, ecosystem=data.get("ecosystem", ""), package=name)


def _end_of_day(text: str) -> datetime | None:
    try:
        day = parse_date(text.strip())
    except ValueError:
        return None
    return datetime.combine(day, time(23, 59, 59), UTC) if day else None
