"""What came after merges, in the console: the list, one merge with what was seen, and the click that opens its revert."""

from __future__ import annotations

from collections.abc import Sequence

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display

from immune.aftermath import order_revert
from immune.models import Aftermath
from immune.models.aftermaths import BACK, AftermathState
from immune.people.selectors import Viewer, within_sight
from immune.services import Refused
from reviews.console import untrusted
from reviews.console.base import Button, Fact, ReadOnlyAdmin, Section, account, badge, nothing, report, to, viewer
from reviews.console.queue import SeenRepository
from reviews.templatetags.console import shown_line


class AftermathAdmin(ReadOnlyAdmin):
    list_display = ("change", "seen_repository", "status", "its_cause", "began_at", "until")
    list_display_links = ("change",)
    list_filter = ("state", SeenRepository)
    search_fields = ("remedy__package_name", "repository__name", "remedy__merge_commit")
    sortable_by = ("began_at", "until")
    ordering = ("-began_at", "pk")

    def rows(self, viewer: Viewer) -> QuerySet[Aftermath]:
        return Aftermath.objects.filter(within_sight(viewer)).select_related("remedy__repository", "repository")

    def own_urls(self) -> list[URLPattern]:
        return [self.changing("<uuid:object_id>/revert/", self.revert_view, "revert")]

    def revert_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = self.found(request, object_id)
        try:
            order_revert(account=account(request), viewer=viewer(request), row=row)
        except Refused as error:
            report(request, messages.ERROR, untrusted.plain(str(error), 400))
        else:
            report(request, messages.SUCCESS, gettext("The revert is being opened as a pull request."))
        return redirect(self.url("change", row.pk))

    def buttons(self, request: HttpRequest, row: Aftermath) -> Sequence[Button]:
        may = row.state == AftermathState.ALARMED and row.cause not in BACK and viewer(request).may("decide")
        return (Button(_("Open the revert"), self.url("revert", row.pk), tone="reject"),) if may else ()

    @display(description=_("change"))
    def change(self, row: Aftermath) -> SafeString:
        return shown_line(str(row.remedy), 100)

    @display(description=_("repository"), ordering="repository__name")
    def seen_repository(self, row: Aftermath) -> SafeString:
        return shown_line(row.repository.name, 60)

    @display(description=_("state"))
    def status(self, row: Aftermath) -> SafeString:
        return badge(row.state, row.get_state_display(), "state")

    @display(description=_("cause"))
    def its_cause(self, row: Aftermath) -> str | SafeString:
        return str(row.get_cause_display()) if row.cause else nothing()

    def heading(self, row: Aftermath) -> str:
        return untrusted.plain(str(row.remedy), 80)

    def sections(self, request: HttpRequest, row: Aftermath) -> Sequence[Section]:
        return (
            Section(
                untrusted.plain(str(row.remedy), 80),
                (
                    Fact(_("repository"), row.repository.name, "link", to("immune_repository", row.repository_id)),
                    Fact(_("remedy"), str(row.remedy), "link", to("immune_remedy", row.remedy_id)),
                    Fact(_("state"), self.status(row), "html"),
                    Fact(_("cause"), str(row.get_cause_display())),
                    Fact(_("what was seen"), row.detail, "text"),
                    Fact(_("merge commit"), row.remedy.merge_commit),
                    Fact(_("pull request"), row.remedy.pull_request_number),
                    Fact(_("merged"), row.began_at, "when"),
                    Fact(_("watched until"), row.until, "when"),
                    Fact(_("alarm"), row.alarmed_at, "when"),
                    Fact(_("pull request of the revert"), row.revert_number),
                ),
            ),
        )
