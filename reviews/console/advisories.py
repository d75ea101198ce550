"""The list of published records and the page of one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.contrib.admin import EmptyFieldListFilter
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path, reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display

from immune.models import Advisory
from immune.people.selectors import Viewer
from reviews.console import untrusted
from reviews.console.base import Button, Fact, ReadOnlyAdmin, Section, allowed, badge
from reviews.console.campaigns import offer
from reviews.console.downloads import attachment
from reviews.templatetags.console import shown_line


class AdvisoryAdmin(ReadOnlyAdmin):
    """Published records are public knowledge: everybody who may read sees all of them."""

    list_display = ("seen_id", "seen_summary", "grade", "published", "modified", "withdrawn")
    list_display_links = ("seen_id",)
    list_filter = ("severity", ("withdrawn", EmptyFieldListFilter))
    search_fields = ("id", "group__canonical_id", "summary", "affected__name")
    sortable_by = ("published", "modified", "grade")
    ordering = ("-modified", "pk")

    def rows(self, viewer: Viewer) -> QuerySet[Advisory]:
        return Advisory.objects.all() if viewer.may("read") else Advisory.objects.none()

    def detail_rows(self, viewer: Viewer) -> QuerySet[Advisory]:
        return self.rows(viewer).select_related("group").prefetch_related("affected")

    def own_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.details_view)
        return [path("<path:object_id>/details/", view, name=self.address("details"))]

    def buttons(self, request: HttpRequest, row: Advisory) -> Sequence[Button]:
        return offer(request, reverse("admin:reviews_campaign_prepare"), row)

    def details_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        allowed(request, "read")
        row = self.found(request, object_id)
        return attachment(row.details, f"{row.pk}-details.txt")

    @display(description=_("id"))
    def seen_id(self, row: Advisory) -> SafeString:
        return shown_line(row.pk, 60)

    @display(description=_("summary"))
    def seen_summary(self, row: Advisory) -> SafeString:
        return shown_line(row.summary, 140)

    @display(description=_("severity"), ordering="score")
    def grade(self, row: Advisory) -> SafeString:
        label = row.get_severity_display() if row.score is None else f"{row.get_severity_display()} {row.score:.1f}"
        return badge(row.severity, label, "severity")

    def heading(self, row: Advisory) -> str:
        return untrusted.plain(row.pk, 80)

    def sections(self, request: HttpRequest, row: Advisory) -> Sequence[Section]:
        urls = [found.get("url", "") if isinstance(found, dict) else str(found) for found in row.references[:100]]
        return (
            Section(
                untrusted.plain(row.pk, 80),
                (
                    Fact(_("summary"), row.summary, "text"),
                    Fact(_("aliases"), row.aliases, "list"),
                    Fact(_("folded into"), row.group.canonical_id),
                    Fact(_("severity"), self.grade(row), "html"),
                    Fact(_("severity vectors"), [_vector(found) for found in row.vectors], "list"),
                    Fact(_("weaknesses"), row.cwes, "list"),
                    Fact(_("published"), row.published, "when"),
                    Fact(_("modified"), row.modified, "when"),
                    Fact(_("withdrawn"), row.withdrawn, "when"),
                    Fact(_("source"), row.source),
                ),
            ),
            Section(_("Description"), (Fact(_("text"), row.details, "text"),)),
            Section(
                _("Affected packages"),
                columns=(_("ecosystem"), _("package")),
                rows=[
                    [
                        Fact("", found.ecosystem),
                        Fact("", found.name),
                    ]
                    for found in row.affected.all()
                ],
            ),
            Section(_("References"), columns=(_("address"),), rows=[[Fact("", url, "external")] for url in urls]),
        )


def _vector(found: Any) -> str:
    return " ".join(str(value) for value in found.values()) if isinstance(found, dict) else str(found)
