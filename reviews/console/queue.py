"""The list of reviews: most urgent first, what a reviewer needs to choose the next one."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Count, Prefetch, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display

from immune.models.apvs import Priority, Verdict
from immune.people.selectors import Viewer, visible_repositories
from reviews import selectors
from reviews.console import actions, bulk, downloads, review_page
from reviews.console.base import ReadOnlyAdmin, badge, nothing, viewer
from reviews.models import Review, ReviewItem, ReviewState
from reviews.templatetags.console import due_words, hundredth, past, percent, plain_line, shown_line


class Waiting(admin.SimpleListFilter):
    """Without a choice the list shows what waits for a person, which is what it is for."""

    title = _("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("all", _("all")), *ReviewState.choices]

    def choices(self, changelist: Any) -> Any:
        for value, title in ((None, _("waiting")), *self.lookup_choices):
            yield {
                "selected": self.value() == value,
                "query_string": changelist.get_query_string({self.parameter_name: value} if value else {}, [])
                if value
                else changelist.get_query_string(remove=[self.parameter_name]),
                "display": title,
            }

    def queryset(self, request: HttpRequest, queryset: QuerySet[Review]) -> QuerySet[Review]:
        if self.value() == "all":
            return queryset
        if self.value() in ReviewState.values:
            return queryset.filter(state=self.value())
        return queryset.exclude(state=ReviewState.DECIDED)


class Picked(admin.SimpleListFilter):
    """Three questions a person asks of the queue about time and people."""

    title = _("whose and when")
    parameter_name = "pick"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [
            ("mine", _("mine")),
            ("free", _("not claimed")),
            ("overdue", _("overdue")),
            ("escalated", _("escalated")),
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Review]) -> QuerySet[Review]:
        now = timezone.now()
        conditions = {
            "mine": Q(state=ReviewState.CLAIMED, claimed_by=request.user.pk),
            "free": Q(state=ReviewState.PENDING) | Q(claimed_until__lt=now),
            "overdue": Q(due_at__lt=now),
            "escalated": Q(escalated_at__isnull=False),
        }
        condition = conditions.get(self.value() or "")
        return queryset if condition is None else queryset.filter(condition)


class SeenRepository(admin.SimpleListFilter):
    """Offers only repositories within the viewer's sight."""

    title = _("repository")
    parameter_name = "repository"
    field = "repository"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        seen = visible_repositories(viewer(request)).order_by("name").values_list("pk", "name")
        return [(str(pk), shown_line(name, 60)) for pk, name in seen[:200]]

    def has_output(self) -> bool:
        return bool(self.lookup_choices)

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        chosen = self.value()
        return queryset.filter(**{self.field: chosen}) if chosen in dict(self.lookup_choices) else queryset


class ReviewAdmin(ReadOnlyAdmin):
    """The queue and, one click in, the review page."""

    list_display = ("pick", "urgency", "change", "seen_repository", "verdict", "sureness", "holds_for", "due", "whose")
    list_display_links = ("change",)
    list_filter = (Waiting, Picked, "priority", "weakest_verdict", "recommendation", SeenRepository)
    search_fields = (
        "items__apv__apv_code",
        "items__apv__cve_id",
        "items__apv__advisory_id",
        "items__apv__package_name",
        "repository__name",
    )
    search_help_text = _("Code, CVE, advisory, package or repository")
    sortable_by = ("due", "sureness")
    ordering = ("priority", "due_at", "pk")
    list_before_template = "console/queue_chips.html"

    def rows(self, viewer: Viewer) -> QuerySet[Review]:
        # The codes come in one query for the page, not one per row; joining them would multiply rows.
        items = ReviewItem.objects.select_related("apv").only("review_id", "apv__apv_code", "apv__package_name")
        return (
            selectors.reviews(viewer)
            .select_related("repository", "remedy", "apv", "claimed_by")
            .prefetch_related(Prefetch("items", queryset=items.order_by("apv__apv_code")))
        )

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        context = {
            "title": _("Queue"),
            "may_decide": viewer(request).may("decide"),
            "bulk_url": self.url("bulk"),
            **chips(request),
        }
        return super().changelist_view(request, {**(extra_context or {}), **context})

    def get_list_display(self, request: HttpRequest) -> list[str]:
        columns = list(super().get_list_display(request))
        return columns if viewer(request).may("decide") else columns[1:]

    def own_urls(self) -> list[URLPattern]:
        return [*actions.urls(self), *bulk.urls(self), *downloads.urls(self)]

    def detail_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return review_page.show(self, request, object_id)

    @display(description="")
    def pick(self, review: Review) -> SafeString:
        if review.state == ReviewState.DECIDED:
            return format_html("{}", "")
        name = review.remedy.package_name if review.remedy else review.apv.package_name if review.apv else ""
        return format_html(
            '<input type="checkbox" class="c-pick" name="review" value="{}" aria-label="{}">',
            review.pk,
            _("Choose %(name)s") % {"name": plain_line(name, 60)},
        )

    @display(description=_("priority"), ordering="priority")
    def urgency(self, review: Review) -> SafeString:
        return badge(review.priority, review.priority, "priority")

    @display(description=_("change"))
    def change(self, review: Review) -> SafeString:
        return change_words(review)

    @display(description=_("repository"))
    def seen_repository(self, review: Review) -> SafeString:
        return shown_line(review.repository.name, 60)

    @display(description=_("weakest verdict"))
    def verdict(self, review: Review) -> SafeString:
        return badge(review.weakest_verdict, review.get_weakest_verdict_display() or _("none"), "verdict")

    @display(description=_("confidence"), ordering="confidence")
    def sureness(self, review: Review) -> SafeString:
        return share_bar(review.confidence)

    @display(description="APVs")
    def holds_for(self, review: Review) -> SafeString:
        codes = [item.apv.apv_code for item in review.items.all()]
        more = f" +{len(codes) - 1}" if len(codes) > 1 else ""
        return format_html(
            '<span class="c-codes" title="{}"><span class="c-code">{}</span>{}</span>',
            ", ".join(codes),
            codes[0] if codes else "—",
            more,
        )

    @display(description=_("due"), ordering="due_at")
    def due(self, review: Review) -> SafeString:
        late = past(review.due_at) and review.state != ReviewState.DECIDED
        return format_html(
            '<time class="{}" datetime="{}" title="{}">{}</time>',
            "c-late" if late else "c-soon",
            review.due_at.isoformat(),
            f"{review.due_at:%Y-%m-%d %H:%M} UTC",
            due_words(review.due_at),
        )

    @display(description=_("state"))
    def whose(self, review: Review) -> SafeString:
        shown = badge(review.state, review.get_state_display(), "state")
        if review.state == ReviewState.CLAIMED and review.claimed_by is not None:
            return format_html("{} {}", shown, shown_line(review.claimed_by.shown_name, 30))
        return shown


def change_words(review: Review) -> SafeString:
    """What a review is about, in one line."""
    if review.remedy is not None:
        return format_html(
            '<strong class="c-package">{}</strong> <span class="c-versions">{} → {}</span>',
            shown_line(review.remedy.package_name, 60),
            shown_line(review.remedy.from_version, 30),
            shown_line(review.remedy.target_version, 30),
        )
    name = review.apv.package_name if review.apv else "—"
    return format_html(
        '<strong class="c-package">{}</strong> <span class="c-versions">{}</span>',
        shown_line(name, 60),
        _("no fix exists"),
    )


def share_bar(share: float | None, *, figure: bool = True) -> SafeString:
    """A share of one as a bar, with its figure unless that stands elsewhere. Its width is an attribute: no inline style."""
    if share is None:
        return nothing()
    return format_html(
        '<span class="c-share"><svg class="c-bar" viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true">'
        '<rect class="c-bar-room" width="100" height="6"/><rect class="c-bar-fill" width="{}" height="6"/></svg>'
        "<span>{}</span></span>",
        hundredth(share),
        percent(share) if figure else "",
    )


def chips(request: HttpRequest) -> dict[str, Any]:
    """The counts above the queue, in one query."""
    now = timezone.now()
    waiting = selectors.reviews(viewer(request)).exclude(state=ReviewState.DECIDED)
    counted = waiting.aggregate(
        all=Count("pk"),
        mine=Count("pk", filter=Q(state=ReviewState.CLAIMED, claimed_by=request.user.pk)),
        overdue=Count("pk", filter=Q(due_at__lt=now)),
        p1=Count("pk", filter=Q(priority=Priority.P1)),
        proved=Count("pk", filter=Q(weakest_verdict=Verdict.PATCH_EFFECTIVE)),
        unsure=Count("pk", filter=Q(weakest_verdict=Verdict.INCONCLUSIVE)),
        escalated=Count("pk", filter=Q(escalated_at__isnull=False)),
    )
    offered = (
        (_("Waiting"), "", counted["all"]),
        (_("Mine"), "pick=mine", counted["mine"]),
        (_("Overdue"), "pick=overdue", counted["overdue"]),
        ("P1", "priority__exact=P1", counted["p1"]),
        (_("Proved"), "weakest_verdict__exact=PATCH_EFFECTIVE", counted["proved"]),
        (_("Could not tell"), "weakest_verdict__exact=INCONCLUSIVE", counted["unsure"]),
        (_("Escalated"), "pick=escalated", counted["escalated"]),
        (_("Decided"), "state=decided", None),
    )
    here = request.META.get("QUERY_STRING", "")
    return {
        "chips": [{"label": label, "query": query, "count": n, "here": here == query} for label, query, n in offered]
    }
