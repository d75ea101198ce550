"""Campaigns in the console: what waits about one advisory, starting one, following it, and ending it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta
from uuid import UUID

from django.contrib import messages
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern
from django.utils import timezone
from django.utils.dateparse import parse_date
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display

from immune.advisories.selectors import advisory_named
from immune.models import Advisory
from immune.models.apvs import APVStatus
from immune.models.remedies import ForgeJobState
from immune.people.selectors import Viewer
from reviews import bulk, campaigns, selectors
from reviews.bulk import Foreseen, Seen
from reviews.console import untrusted
from reviews.console.base import (
    Button,
    Fact,
    ReadOnlyAdmin,
    Section,
    account,
    allowed,
    badge,
    nothing,
    report,
    to,
    viewer,
)
from reviews.console.bulk import number_of
from reviews.console.queue import change_words, share_bar
from reviews.console.said import translated
from reviews.decisions import Asked
from reviews.errors import BadDecision
from reviews.models import Campaign, CampaignItem, CampaignItemState, Review
from reviews.templatetags.console import shown_line

SHOWN = 200
TONES = {"waiting": "pending", "decided": "done", "noted": "running", "refused": "refused", "shown": "cancelled"}
REASONS = {
    "not_asked_for": _("its author did not ask for later ones"),
    "asked_again": _("this change is asked about again"),
    "other_evidence": _("its evidence is of another kind"),
    "less_confidence": _("its confidence is lower"),
}


class CampaignAdmin(ReadOnlyAdmin):
    list_display = ("seen_advisory", "said", "seen_author", "state", "takes_later", "created_at")
    list_display_links = ("seen_advisory",)
    list_filter = ("decision",)
    search_fields = ("advisory__id", "author_name")
    sortable_by = ("created_at",)
    ordering = ("-created_at", "pk")

    def rows(self, viewer: Viewer) -> QuerySet[Campaign]:
        return selectors.campaigns(viewer)

    def own_urls(self) -> list[URLPattern]:
        return [
            self.changing("prepare/", self.prepare_view, "prepare"),
            self.changing("create/", self.create_view, "create"),
            self.changing("<uuid:object_id>/end/", self.end_view, "end"),
        ]

    # -- starting one ------------------------------------------------------------------------------------------------

    def prepare_view(self, request: HttpRequest) -> HttpResponse:
        """Shows what waits about the advisory and what approving each would meet. Nothing changes."""
        allowed(request, "decide")
        return self._prepared(request, _advisory(request))

    def create_view(self, request: HttpRequest) -> HttpResponse:
        who = allowed(request, "decide")
        record = _advisory(request)
        data = request.POST
        until = _end_of_day(data.get("until", ""))
        try:
            made = campaigns.start(
                account=account(request),
                viewer=who,
                advisory=record,
                asked=Asked(data.get("decision", ""), data.get("justification", "")),
                seen=self._seen(request, record),
                takes_later=data.get("takes_later") == "on",
                until=until,
            )
        except BadDecision as error:
            return self._prepared(request, record, complaint=str(error))
        report(request, messages.SUCCESS, gettext("The campaign has begun; each review is decided on its own."))
        return redirect(self.url("change", made.pk))

    def _seen(self, request: HttpRequest, record: Advisory) -> list[Seen]:
        data = request.POST
        wanted = set()
        for text in data.getlist("review")[: campaigns.MOST + 1]:
            try:
                wanted.add(UUID(text))
            except ValueError:
                continue
        rows = selectors.reviews_about(viewer(request), record).filter(pk__in=wanted)
        return [
            Seen(
                row,
                data.get(f"head_{row.pk}", "-"),
                data.get(f"patch_{row.pk}", "-"),
                number_of(data.get(f"version_{row.pk}", "")),
            )
            for row in rows
        ]

    def _prepared(self, request: HttpRequest, record: Advisory, *, complaint: str = "") -> HttpResponse:
        waiting = selectors.with_rows(selectors.reviews_about(viewer(request), record))
        rows = list(waiting[: bulk.MOST])
        foreseen = bulk.foresee_each(
            account=account(request), viewer=viewer(request), reviews=rows, asked=Asked("approve", "")
        )
        context = {
            "title": gettext("Campaign about %(name)s") % {"name": untrusted.plain(record.pk, 80)},
            "record": record,
            "rows": rows,
            "waiting": waiting.count() if len(rows) == bulk.MOST else len(rows),
            "sections": [_foreseen(foreseen)],
            "choices": [(choice.value, choice.label) for choice in bulk.OFFERED],
            "create_url": self.url("create"),
            "complaint": complaint,
            "justification": request.POST.get("justification", ""),
            "takes_later": request.POST.get("takes_later") == "on",
            "until": request.POST.get("until", "") or f"{timezone.now() + timedelta(days=14):%Y-%m-%d}",
        }
        return self.page(request, "console/campaign.html", context, status=400 if complaint else 200)

    def end_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row: Campaign = self.found(request, object_id)
        campaigns.end(account=account(request), viewer=viewer(request), campaign=row)
        report(request, messages.SUCCESS, gettext("The campaign takes no later ones any more."))
        return redirect(self.url("change", row.pk))

    def buttons(self, request: HttpRequest, row: Campaign) -> Sequence[Button]:
        who = viewer(request)
        mine = who.may("decide") and (row.author_id == request.user.pk or who.may("lead"))
        return (Button(_("Take no later ones"), self.url("end", row.pk)),) if mine and _runs(row) else ()

    # -- showing them ------------------------------------------------------------------------------------------------

    @display(description=_("vulnerability"))
    def seen_advisory(self, row: Campaign) -> SafeString:
        return shown_line(row.advisory_id, 60)

    @display(description=_("decision"))
    def said(self, row: Campaign) -> SafeString:
        return badge(row.decision, row.get_decision_display(), "choice")

    @display(description=_("author"))
    def seen_author(self, row: Campaign) -> SafeString:
        return shown_line(row.author_name, 60)

    @display(description=_("state"))
    def state(self, row: Campaign) -> SafeString:
        return badge("running", _("running"), "job") if _runs(row) else badge("done", _("ended"), "job")

    def heading(self, row: Campaign) -> str:
        return untrusted.plain(str(row), 100)

    def sections(self, request: HttpRequest, row: Campaign) -> Sequence[Section]:
        progress = selectors.campaign_progress(viewer(request), row)
        return (
            Section(
                self.heading(row),
                (
                    Fact(_("vulnerability"), row.advisory_id, "link", to("immune_advisory", row.advisory_id)),
                    Fact(_("decision"), self.said(row), "html"),
                    Fact(_("state"), self.state(row), "html"),
                    Fact(_("author"), row.author_name),
                    Fact(_("justification"), row.justification, "text"),
                    Fact(_("decides later ones too"), _("yes") if row.takes_later else _("no")),
                    Fact(_("takes later ones until"), row.until, "when"),
                    Fact(_("started"), row.created_at, "when"),
                    Fact(_("ended"), row.ended_at, "when"),
                ),
            ),
            Section(
                _("How far it has come"),
                columns=(_("what"), _("state"), _("count")),
                rows=[
                    [Fact("", name), Fact("", states(state).label), Fact("", number)]
                    for name, found, states in (
                        (_("reviews"), progress["reviews"], CampaignItemState),
                        (_("forge jobs"), progress["jobs"], ForgeJobState),
                        (_("APVs of the vulnerability"), progress["apvs"], APVStatus),
                    )
                    for state, number in found.items()
                    if number
                ],
            ),
            Section(
                _("Reviews"),
                columns=(_("review"), _("repository"), _("outcome"), _("reason"), _("came later"), _("forge job")),
                rows=[_line(item) for item in selectors.campaign_rows(viewer(request), row).order_by("pk")[:SHOWN]],
            ),
        )


def _line(item: CampaignItem) -> list[Fact]:
    job = item.decision.job if item.decision else None
    why = REASONS.get(item.reason) or translated(item.message)
    return [
        Fact("", _codes(item.review), "link", to("reviews_review", item.review_id)),
        Fact("", item.review.repository.name),
        Fact("", badge(TONES[item.state], item.get_state_display(), "job"), "html"),
        Fact("", why, "text"),
        Fact("", _("yes") if item.is_late else _("no")),
        Fact("", badge(job.state, job.get_state_display(), "job") if job else nothing(), "html"),
    ]


def _foreseen(rows: Sequence[Foreseen]) -> Section:
    return Section(
        _("What waits for a person"),
        columns=(_("change"), _("repository"), _("weakest verdict"), _("confidence"), "APVs", _("approving it now")),
        rows=[
            [
                Fact("", change_words(row.review), "html"),
                Fact("", row.review.repository.name),
                Fact("", row.review.get_weakest_verdict_display() or _("none")),
                Fact("", share_bar(row.review.confidence), "html"),
                Fact("", _codes(row.review)),
                Fact("", translated(str(row.refusal)) if row.refusal else _("would be taken")),
            ]
            for row in rows
        ],
    )


def _codes(review: Review) -> str:
    return ", ".join(item.apv.apv_code for item in review.items.all())


def _runs(row: Campaign) -> bool:
    return row.ended_at is None and row.until > timezone.now()


def _advisory(request: HttpRequest) -> Advisory:
    name = request.POST.get("advisory", "")
    found = advisory_named(viewer(request), name) if name and "\x00" not in name else None
    if found is None:
        raise Http404
    return found


def _end_of_day(text: str) -> datetime | None:
    try:
        day = parse_date(text.strip())
    except ValueError:
        return None
    return datetime.combine(day, time(23, 59, 59), UTC) if day else None


def offer(request: HttpRequest, address: str, row: Advisory) -> Sequence[Button]:
    """The button on an advisory's page, for those who may decide."""
    if not viewer(request).may("decide"):
        return ()
    return (Button(_("Decide everywhere: a campaign"), address, hidden={"advisory": row.pk}),)
