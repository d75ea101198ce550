"""What events owe to their handlers, and everything that was given up, in the database and in the broker."""

from __future__ import annotations

from collections.abc import Sequence

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import redirect
from django.urls import URLPattern, path
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display

from immune import broker, dead_letters
from immune.events.actors import Actor
from immune.models import Delivery
from immune.models.events import DeliveryState
from immune.people.selectors import Viewer
from reviews.console import untrusted
from reviews.console.base import (
    Button,
    Fact,
    ReadOnlyAdmin,
    Section,
    account,
    allowed,
    back,
    badge,
    nothing,
    report,
    to,
)
from reviews.templatetags.console import shown_line


class DeliveryAdmin(ReadOnlyAdmin):
    """What events owe to their handlers. Operators may put what was given up back in line."""

    right = "operate"
    list_display = ("seen_event", "handler", "status", "attempts", "due_at", "seen_error", "ask")
    list_display_links = ("seen_event",)
    list_filter = ("state", "handler")
    search_fields = ("handler", "event__kind", "event__subject")
    sortable_by = ("due_at",)
    ordering = ("-pk",)

    def rows(self, viewer: Viewer) -> QuerySet[Delivery]:
        return (
            Delivery.objects.select_related("event").defer("event__body")
            if viewer.may("operate")
            else Delivery.objects.none()
        )

    def own_urls(self) -> list[URLPattern]:
        letters = self.admin_site.admin_view(self.letters_view)
        return [
            path("dead-letters/", letters, name=self.address("dead_letters")),
            self.changing("dead-letters/replay/", self.replay_letter_view, "replay_letter"),
            self.changing("<int:object_id>/replay/", self.replay_view, "replay"),
        ]

    def replay_view(self, request: HttpRequest, object_id: int) -> HttpResponse:
        allowed(request, "operate")
        delivery = self.found(request, str(object_id))
        _replay(request, f"delivery:{delivery.pk}")
        return back(request, self.url("changelist"))

    def letters_view(self, request: HttpRequest) -> HttpResponse:
        """Everything that was given up, wherever it lies; a broker that does not answer is said, never shown as empty."""
        if request.method not in ("GET", "HEAD"):
            return HttpResponseNotAllowed(["GET", "HEAD"])
        allowed(request, "operate")
        letters, silent = dead_letters.everywhere()
        context = {
            "title": gettext("Dead letters"),
            "letters": letters,
            "silent": silent,
            "replay_url": self.url("replay_letter"),
        }
        return self.page(request, "console/dead_letters.html", context)

    def replay_letter_view(self, request: HttpRequest) -> HttpResponse:
        allowed(request, "operate")
        _replay(request, request.POST.get("letter", ""))
        return redirect(self.url("dead_letters"))

    @display(description=_("event"))
    def seen_event(self, row: Delivery) -> str:
        return f"{row.event_id} {row.event.kind}"

    @display(description=_("state"))
    def status(self, row: Delivery) -> SafeString:
        return badge(row.state, row.get_state_display(), "job")

    @display(description=_("last error"))
    def seen_error(self, row: Delivery) -> SafeString:
        return shown_line(row.last_error, 120)

    @display(description="")
    def ask(self, row: Delivery) -> SafeString:
        if row.state != DeliveryState.PARKED:
            return nothing()
        return format_html(
            '<button type="submit" class="c-button c-button-small" formaction="{}" formmethod="post">{}</button>',
            self.url("replay", row.pk),
            _("Replay"),
        )

    def buttons(self, request: HttpRequest, row: Delivery) -> Sequence[Button]:
        return (Button(_("Replay"), self.url("replay", row.pk)),) if row.state == DeliveryState.PARKED else ()

    def sections(self, request: HttpRequest, row: Delivery) -> Sequence[Section]:
        return (
            Section(
                str(row),
                (
                    Fact(_("event"), self.seen_event(row), "link", to("immune_event", row.event_id)),
                    Fact(_("handler"), row.handler),
                    Fact(_("state"), self.status(row), "html"),
                    Fact(_("attempts"), row.attempts),
                    Fact(_("due"), row.due_at, "when"),
                    Fact(_("last error"), row.last_error, "text"),
                ),
            ),
        )


def _replay(request: HttpRequest, name: str) -> None:
    try:
        dead_letters.replay(name, actor=Actor.of(account(request)))
    except dead_letters.Unknown:
        report(request, messages.WARNING, gettext("It is not parked any more; nothing was done."))
    except (dead_letters.NotReplayable, broker.BrokerDown) as error:
        report(request, messages.ERROR, untrusted.plain(str(error), 400))
    else:
        report(request, messages.SUCCESS, gettext("It is back in line."))
