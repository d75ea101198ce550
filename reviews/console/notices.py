"""Notices in the console: channels of one's own and one's teams, and the log of what was sent through them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern
from django.utils.safestring import SafeString
from django.utils.translation import get_language, gettext
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display

from immune.models import Team
from immune.people.selectors import Viewer
from immune.services import Refused
from reviews.console import untrusted
from reviews.console.base import Button, Fact, ReadOnlyAdmin, Section, account, badge, report, to, viewer
from reviews.notices import services
from reviews.notices.models import ChannelKind, Notice, NoticeChannel, NoticeState, Pace
from reviews.templatetags.console import shown_line

TOPICS = {
    "threats": _("new threats"),
    "reviews": _("reviews to decide"),
    "decisions": _("decisions"),
    "refusals": _("what was refused or failed"),
    "alarms": _("alarms"),
}


class ChannelAdmin(ReadOnlyAdmin):
    list_display = ("seen_name", "owner", "its_kind", "seen_place", "its_topics", "its_pace", "state")
    list_display_links = ("seen_name",)
    list_filter = ("kind", "pace", "is_on")
    search_fields = ("name", "team__name", "account__username")
    ordering = ("-created_at", "pk")
    list_before_template = "console/channel.html"

    def rows(self, viewer: Viewer) -> QuerySet[NoticeChannel]:
        return services.channels(viewer)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        who = viewer(request)
        outward = any(who.may(right) for right in services.OUTWARD)
        offers = {
            "kinds": [pair for pair in ChannelKind.choices if outward or pair[0] == ChannelKind.MAIL],
            "paces": Pace.choices,
            "topics": list(TOPICS.items()),
            "hours": [(hour, f"{hour:02}:00") for hour in range(24)],
            "usual_hour": services.USUAL_HOUR,
            "languages": settings.LANGUAGES,
            "language": get_language(),
            "teams": _teams(who) if who.may("lead") or who.may("administer") else [],
            "create_url": self.url("create"),
        }
        return super().changelist_view(request, {**(extra_context or {}), **offers})

    def own_urls(self) -> list[URLPattern]:
        return [
            self.changing("create/", self.create_view, "create"),
            *(
                self.changing(f"<uuid:object_id>/{name}/", view, name)
                for name, view in (
                    ("switch", self.switch_view),
                    ("rotate", self.rotate_view),
                    ("try", self.try_view),
                    ("remove", self.remove_view),
                )
            ),
        ]

    def create_view(self, request: HttpRequest) -> HttpResponse:
        who, data = viewer(request), request.POST
        team = None
        if data.get("team"):
            team = next((row for row in _teams(who) if str(row.pk) == data["team"]), None)
            if team is None:
                return self.refused(request, gettext("There is no such team."))
        try:
            made, text = services.create_channel(
                account=account(request),
                viewer=who,
                team=team,
                name=data.get("name", ""),
                kind=data.get("kind", ""),
                address=data.get("address", ""),
                secret=data.get("secret", ""),
                topics=data.getlist("topic"),
                pace=data.get("pace", ""),
                hour=_hour(data.get("hour", "")),
                language=data.get("language", ""),
            )
        except Refused as error:
            return self.refused(request, str(error))
        report(request, messages.SUCCESS, gettext("The channel was made."))
        return self.secret_page(request, made, text) if text else redirect(self.url("change", made.pk))

    def secret_page(self, request: HttpRequest, row: NoticeChannel, text: str) -> HttpResponse:
        page = self.page(request, "console/secret.html", {"title": row.name, "row": row, "text": text})
        page["Cache-Control"] = "no-store"
        return page

    def switch_view(self, request: HttpRequest, object_id: Any) -> HttpResponse:
        row = self.found(request, str(object_id))
        return self.changed(
            request,
            row,
            lambda who: services.change_channel(account=account(request), viewer=who, channel=row, is_on=not row.is_on),
        )

    def try_view(self, request: HttpRequest, object_id: Any) -> HttpResponse:
        row = self.found(request, str(object_id))
        return self.changed(
            request, row, lambda who: services.try_channel(account=account(request), viewer=who, channel=row)
        )

    def rotate_view(self, request: HttpRequest, object_id: Any) -> HttpResponse:
        row = self.found(request, str(object_id))
        try:
            text = services.rotate_secret(account=account(request), viewer=viewer(request), channel=row)
        except Refused as error:
            return self.refused(request, str(error))
        return self.secret_page(request, row, text)

    def remove_view(self, request: HttpRequest, object_id: Any) -> HttpResponse:
        row = self.found(request, str(object_id))
        try:
            services.remove_channel(account=account(request), viewer=viewer(request), channel=row)
        except Refused as error:
            return self.refused(request, str(error))
        report(request, messages.SUCCESS, gettext("The channel was removed; its address and secret are forgotten."))
        return redirect(self.url("changelist"))

    def changed(self, request: HttpRequest, row: NoticeChannel, ask: Any) -> HttpResponse:
        try:
            ask(viewer(request))
        except Refused as error:
            report(request, messages.ERROR, untrusted.plain(str(error), 400))
        else:
            report(request, messages.SUCCESS, gettext("Done."))
        return redirect(self.url("change", row.pk))

    def refused(self, request: HttpRequest, text: str) -> HttpResponse:
        report(request, messages.ERROR, untrusted.plain(text, 400))
        return redirect(self.url("changelist"))

    @display(description=_("name"))
    def seen_name(self, row: NoticeChannel) -> SafeString:
        return shown_line(row.name, 80)

    @display(description=_("for"))
    def owner(self, row: NoticeChannel) -> SafeString:
        return shown_line(row.team.name if row.team else row.account.username if row.account else "", 60)

    @display(description=_("kind"))
    def its_kind(self, row: NoticeChannel) -> str:
        return str(row.get_kind_display())

    @display(description=_("leads to"))
    def seen_place(self, row: NoticeChannel) -> SafeString:
        return shown_line(row.shown, 80)

    @display(description=_("topics"))
    def its_topics(self, row: NoticeChannel) -> str:
        return ", ".join(str(TOPICS.get(topic, topic)) for topic in row.topics)

    @display(description=_("when"))
    def its_pace(self, row: NoticeChannel) -> str:
        return str(row.get_pace_display())

    @display(description=_("state"))
    def state(self, row: NoticeChannel) -> SafeString:
        return badge("done" if row.is_on else "cancelled", _("on") if row.is_on else _("off"), "job")

    def heading(self, row: NoticeChannel) -> str:
        return untrusted.plain(row.name, 80)

    def buttons(self, request: HttpRequest, row: NoticeChannel) -> Sequence[Button]:
        if not services.may_change(viewer(request), row):
            return ()
        found = [
            Button(_("Switch off") if row.is_on else _("Switch on"), self.url("switch", row.pk)),
            Button(_("Send a test"), self.url("try", row.pk)),
        ]
        if row.kind == ChannelKind.WEBHOOK:
            found.append(Button(_("New secret"), self.url("rotate", row.pk)))
        return (*found, Button(_("Remove"), self.url("remove", row.pk), tone="danger"))

    def sections(self, request: HttpRequest, row: NoticeChannel) -> Sequence[Section]:
        return (
            Section(
                self.heading(row),
                (
                    Fact(_("for"), self.owner(row), "html"),
                    Fact(_("kind"), self.its_kind(row)),
                    Fact(_("leads to"), row.shown),
                    Fact(_("topics"), self.its_topics(row)),
                    Fact(_("when"), self.its_pace(row)),
                    Fact(_("hour (UTC)"), f"{row.hour:02}:00" if row.pace != Pace.AT_ONCE else ""),
                    Fact(_("language"), dict(settings.LANGUAGES).get(row.language, "")),
                    Fact(_("state"), self.state(row), "html"),
                    Fact(_("created"), row.created_at, "when"),
                ),
            ),
        )


class NoticeAdmin(ReadOnlyAdmin):
    """What was owed to channels, with every attempt."""

    list_display = ("about", "seen_channel", "status", "attempts", "seen_error", "created_at")
    list_display_links = ("about",)
    list_filter = ("state",)
    search_fields = ("channel__name", "key")
    sortable_by = ("created_at",)
    ordering = ("-created_at", "-pk")

    def rows(self, viewer: Viewer) -> QuerySet[Notice]:
        return services.notices(viewer)

    def own_urls(self) -> list[URLPattern]:
        return [self.changing("<uuid:object_id>/redeliver/", self.redeliver_view, "redeliver")]

    def redeliver_view(self, request: HttpRequest, object_id: Any) -> HttpResponse:
        row = self.found(request, str(object_id))
        try:
            services.redeliver(account=account(request), viewer=viewer(request), notice=row)
        except Refused as error:
            report(request, messages.ERROR, untrusted.plain(str(error), 400))
        else:
            report(request, messages.SUCCESS, gettext("It is back in line."))
        return redirect(self.url("change", row.pk))

    @display(description=_("about"))
    def about(self, row: Notice) -> str:
        return row.key

    @display(description=_("channel"))
    def seen_channel(self, row: Notice) -> SafeString:
        return shown_line(row.channel.name, 80)

    @display(description=_("state"))
    def status(self, row: Notice) -> SafeString:
        return badge(row.state, row.get_state_display(), "job")

    @display(description=_("last error"))
    def seen_error(self, row: Notice) -> SafeString:
        return shown_line(row.last_error, 120)

    def heading(self, row: Notice) -> str:
        return row.key

    def buttons(self, request: HttpRequest, row: Notice) -> Sequence[Button]:
        ended = row.state not in (NoticeState.PENDING, NoticeState.RUNNING)
        if not ended or not services.may_change(viewer(request), row.channel):
            return ()
        return (Button(_("Send once more"), self.url("redeliver", row.pk)),)

    def sections(self, request: HttpRequest, row: Notice) -> Sequence[Section]:
        return (
            Section(
                row.key,
                (
                    Fact(_("channel"), row.channel.name, "link", to("reviews_noticechannel", row.channel_id)),
                    Fact(_("state"), self.status(row), "html"),
                    Fact(_("attempts"), row.attempts),
                    Fact(_("due"), row.due_at, "when"),
                    Fact(_("last error"), row.last_error, "text"),
                    Fact(_("finished"), row.finished_at, "when"),
                ),
            ),
            Section(
                _("Attempts"),
                columns=(_("at"), _("outcome"), _("status"), _("answer"), _("milliseconds")),
                rows=[
                    (
                        Fact("", one.at, "when"),
                        Fact("", one.outcome),
                        Fact("", one.status),
                        Fact("", one.said),
                        Fact("", one.milliseconds),
                    )
                    for one in row.log.order_by("-at", "-pk")[:100]
                ],
            ),
        )


def _teams(who: Viewer) -> list[Team]:
    rows = Team.objects.order_by("name")
    return list(rows if who.may("administer") else rows.filter(members=who.account_id))[:500]


def _hour(text: str) -> int:
    """The usual one where none was chosen; -1, which is refused, for what is no number of an hour's length."""
    if not text:
        return services.USUAL_HOUR
    return int(text) if text.isascii() and text.isdigit() and len(text) < 3 else -1
