"""The list of wargames and the page of one, with what people may order of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display

from immune.people.selectors import Viewer, within_sight
from reviews.console import untrusted
from reviews.console.base import Button, Fact, ReadOnlyAdmin, Section, account, allowed, back, badge, report, to, viewer
from reviews.console.queue import share_bar
from reviews.console.said import translated
from reviews.templatetags.console import shown_line
from wargaming import orders
from wargaming.errors import OrderNotAllowed, OrderRefused
from wargaming.models import ActionsRun, Run, Wargame


class WargameAdmin(ReadOnlyAdmin):
    list_display = ("code", "seen_scenario", "seen_repository", "status", "verdict", "sureness", "driver", "created_at")
    list_filter = ("state", "verdict", "trust", "driver")
    search_fields = ("apv__apv_code", "scenario", "apv__package_name", "apv__repository__name")
    sortable_by = ("created_at",)
    ordering = ("-created_at", "pk")

    def rows(self, viewer: Viewer) -> QuerySet[Wargame]:
        return Wargame.objects.filter(within_sight(viewer, "apv__repository")).select_related("apv__repository")

    def detail_rows(self, viewer: Viewer) -> QuerySet[Wargame]:
        return self.rows(viewer).select_related("remedy", "retry_of", "actions_run").prefetch_related("runs", "orders")

    def own_urls(self) -> list[URLPattern]:
        return [
            self.changing("<uuid:object_id>/cancel/", self.cancel_view, "cancel"),
            self.changing("<uuid:object_id>/retry/", self.retry_view, "retry"),
        ]

    def buttons(self, request: HttpRequest, row: Wargame) -> Sequence[Button]:
        if not viewer(request).may("immunize"):
            return ()
        if row.state in orders.ENDED:
            return (Button(_("Run once more"), self.url("retry", row.pk), asks=_("Why?")),)
        return (Button(_("Cancel"), self.url("cancel", row.pk), asks=_("Why?")),)

    def cancel_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._ordered(request, object_id, orders.cancel, gettext("Cancelled."))

    def retry_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._ordered(request, object_id, orders.retry, gettext("It is run once more."))

    def _ordered(self, request: HttpRequest, object_id: str, order: Callable[..., Wargame], done: str) -> HttpResponse:
        allowed(request, "immunize")
        row: Wargame = self.found(request, object_id)
        try:
            row = order(
                account=account(request), viewer=viewer(request), wargame=row, reason=request.POST.get("reason", "")
            )
        except OrderNotAllowed:
            raise
        except OrderRefused as error:
            report(request, messages.ERROR, str(error))
        else:
            report(request, messages.SUCCESS, done)
        return back(request, self.url("change", row.pk))

    @display(description="APV")
    def code(self, row: Wargame) -> str:
        return row.apv.apv_code

    @display(description=_("scenario"))
    def seen_scenario(self, row: Wargame) -> SafeString:
        return shown_line(row.scenario or _("no scenario"), 80)

    @display(description=_("repository"))
    def seen_repository(self, row: Wargame) -> SafeString:
        return shown_line(row.apv.repository.name, 60)

    @display(description=_("state"))
    def status(self, row: Wargame) -> SafeString:
        return badge(row.state, row.get_state_display(), "state")

    @display(description=_("verdict"))
    def verdict(self, row: Wargame) -> SafeString:
        return badge(row.verdict, row.get_verdict_display() or "—", "verdict")

    @display(description=_("confidence"))
    def sureness(self, row: Wargame) -> SafeString:
        return share_bar(row.confidence)

    def sections(self, request: HttpRequest, row: Wargame) -> Sequence[Section]:
        return (
            Section(
                untrusted.plain(str(row), 100),
                (
                    Fact(_("state"), self.status(row), "html"),
                    Fact(_("verdict"), row.get_verdict_display()),
                    Fact(_("confidence"), share_bar(row.confidence), "html"),
                    Fact(_("reason"), row.reason),
                    Fact(_("explanation"), translated(row.explanation), "text"),
                    Fact("APV", row.apv.apv_code, "link", to("immune_apv", row.apv_id)),
                    Fact(_("remedy"), row.remedy, "link", to("immune_remedy", row.remedy_id)),
                    Fact(_("base"), row.base_commit),
                    Fact(_("head"), row.head_commit),
                    Fact(_("scenario digest"), row.scenario_digest),
                    Fact(_("driver"), row.driver),
                    Fact(_("started"), row.started_at, "when"),
                    Fact(_("finished"), row.finished_at, "when"),
                    Fact(_("attempts"), row.attempts),
                    Fact(_("last error"), row.last_error, "text"),
                    *self._line_of_retries(row),
                ),
            ),
            *self._at_github(row),
            Section(
                _("Asked for by people"),
                columns=(_("at"), _("what"), _("by"), _("reason")),
                rows=[
                    [
                        Fact("", order.created_at, "when"),
                        Fact("", order.get_kind_display()),
                        Fact("", order.by_name),
                        Fact("", order.reason, "text"),
                    ]
                    for order in row.orders.all()
                ],
            ),
            Section(
                _("Runs"),
                columns=(
                    "#",
                    _("step"),
                    _("side"),
                    _("outcome"),
                    _("exit code"),
                    _("seconds"),
                    _("last line"),
                    _("output"),
                ),
                rows=[self._run(run) for run in row.runs.all()],
            ),
        )

    def _at_github(self, row: Wargame) -> list[Section]:
        at: ActionsRun | None = getattr(row, "actions_run", None)
        if at is None:
            return []
        facts = (
            Fact(_("state"), at.get_state_display()),
            Fact(_("step"), at.get_step_display()),
            Fact(_("run at GitHub"), at.run_url, "external"),
            Fact(_("branch"), at.branch),
            Fact(_("commit"), at.commit),
            Fact(_("correlation id"), at.correlation),
            Fact(_("ordered"), at.created_at, "when"),
            Fact(_("pushed"), at.pushed_at, "when"),
            Fact(_("last error"), at.last_error, "text"),
        )
        return [Section(_("At GitHub Actions"), facts)]

    def _line_of_retries(self, row: Wargame) -> list[Fact]:
        after = Wargame.objects.filter(retry_of=row.pk).first()
        return [
            Fact(label, f"{other.created_at:%Y-%m-%d %H:%M} UTC", "link", to("wargaming_wargame", other.pk))
            for label, other in ((_("run before as"), row.retry_of), (_("run once more as"), after))
            if other is not None
        ]

    def _run(self, run: Run) -> list[Fact]:
        address = reverse("admin:reviews_review_output", args=(run.pk, "stdout"))
        return [
            Fact("", run.number),
            Fact("", run.step),
            Fact("", run.phase),
            Fact("", run.outcome),
            Fact("", run.exit_code),
            Fact("", f"{run.seconds:.2f}"),
            Fact("", run.last_line),
            Fact("", _("download"), "link", address),
        ]
