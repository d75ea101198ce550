"""Questions to people about an APV in the console: the filter of the list, the section of the page, and settling one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.contrib import messages
from django.contrib.admin import SimpleListFilter
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from immune import questions
from immune.events.actors import Actor
from immune.models import APV
from immune.services import Refused
from reviews.console import untrusted
from reviews.console.base import Button, Fact, ReadOnlyAdmin, Section, account, back, badge, found_in, report, viewer

if TYPE_CHECKING:
    from reviews.console.apvs import ApvAdmin


class Questioned(SimpleListFilter):
    """What only a person can settle."""

    title = _("question to people")
    parameter_name = "questioned"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("yes", _("open")), ("no", _("none"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[APV]) -> QuerySet[APV]:
        conditions = {"yes": questions.is_asked(), "no": ~questions.is_asked()}
        chosen = conditions.get(self.value() or "")
        return queryset if chosen is None else queryset.filter(chosen)


def marked(apv: APV, state: SafeString) -> SafeString:
    """The state, and beside it that a question is open."""
    if not getattr(apv, "questioned", False):
        return state
    return format_html("{} {}", state, badge("escalated", _("asks a person"), "state"))


def section(apv: APV) -> Section:
    return Section(
        _("Questions to people"),
        columns=(_("question"), _("about"), _("asked"), _("settled"), _("by")),
        rows=[
            [
                Fact("", one.get_kind_display(), "text"),
                Fact("", one.about),
                Fact("", one.asked_at, "when"),
                Fact("", one.settled_at, "when"),
                Fact("", one.settled_by.shown_name if one.settled_by else ""),
            ]
            for one in questions.questions_about(apv)
        ],
    )


def buttons(page: ReadOnlyAdmin, request: HttpRequest, apv: APV) -> Sequence[Button]:
    """One for each open question, for those who decide."""
    if not viewer(request).may("decide"):
        return ()
    waiting = apv.questions.filter(settled_at__isnull=True).order_by("asked_at", "pk")[:10]
    return [
        Button(
            gettext("I have looked: %(what)s") % {"what": untrusted.plain(one.about, 120)},
            page.url("settle", apv.pk, one.pk),
        )
        for one in waiting
    ]


def settle(page: ApvAdmin, request: HttpRequest, object_id: UUID, number: int) -> HttpResponse:
    row = page.found(request, str(object_id))
    question = found_in(row.questions.all(), number)
    person = account(request)
    try:
        questions.settle(actor=Actor.of(person), viewer=viewer(request), question=question, account=person)
    except Refused as error:
        report(request, messages.ERROR, str(error))
    else:
        report(request, messages.SUCCESS, gettext("The question is settled."))
    return back(request, page.url("change", object_id))
