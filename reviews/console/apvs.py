"""The list of APVs and the page of one: what it is, why it is urgent, who sees it, what was said of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display

from immune.models import APV, Sighting
from immune.models.apvs import LIVE
from immune.people.selectors import Viewer, within_sight
from immune.questions import is_asked
from immune.suppression.selectors import about, suppressions
from immune.vex.selectors import statements_about
from reviews import selectors
from reviews.console import asked
from reviews.console.base import Button, Fact, ReadOnlyAdmin, Section, badge, nothing, to, viewer
from reviews.console.queue import SeenRepository, share_bar
from reviews.console.said import translated
from reviews.templatetags.console import due_words, past, shown_line


class ApvAdmin(ReadOnlyAdmin):
    list_display = ("apv_code", "threat", "package", "seen_repository", "urgency", "state", "verdict", "due")
    list_filter = ("status", "priority", "severity", "wargame_verdict", asked.Questioned, SeenRepository)
    search_fields = ("apv_code", "cve_id", "advisory_id", "package_name", "repository__name")
    search_help_text = _("Code, CVE, advisory, package or repository")
    sortable_by = ("apv_code", "urgency", "due")
    ordering = ("priority", "due_at", "pk")

    def rows(self, viewer: Viewer) -> QuerySet[APV]:
        rows = APV.objects.filter(within_sight(viewer)).select_related("repository")
        return rows.annotate(questioned=is_asked())

    def detail_rows(self, viewer: Viewer) -> QuerySet[APV]:
        return selectors.apvs(viewer)

    @display(description=_("vulnerability"))
    def threat(self, apv: APV) -> SafeString:
        name = shown_line(apv.cve_id or apv.advisory_id, 60)
        return format_html("{} {}", badge(apv.severity, apv.get_severity_display(), "severity"), name)

    @display(description=_("package"))
    def package(self, apv: APV) -> SafeString:
        return shown_line(f"{apv.package_name} {', '.join(map(str, apv.versions))}", 80)

    @display(description=_("repository"))
    def seen_repository(self, apv: APV) -> SafeString:
        return shown_line(apv.repository.name, 60)

    @display(description=_("priority"), ordering="priority")
    def urgency(self, apv: APV) -> SafeString:
        return badge(apv.priority, apv.priority, "priority")

    @display(description=_("status"))
    def state(self, apv: APV) -> SafeString:
        return asked.marked(apv, badge(apv.status, apv.get_status_display(), "state"))

    def own_urls(self) -> list[URLPattern]:
        def settle(request: HttpRequest, object_id: UUID, number: int) -> HttpResponse:
            return asked.settle(self, request, object_id, number)

        return [self.changing("<uuid:object_id>/questions/<int:number>/settle/", settle, "settle")]

    def buttons(self, request: HttpRequest, row: APV) -> Sequence[Button]:
        return asked.buttons(self, request, row)

    @display(description=_("verdict"))
    def verdict(self, apv: APV) -> SafeString:
        return badge(apv.wargame_verdict, apv.get_wargame_verdict_display() or "—", "verdict")

    @display(description=_("due"), ordering="due_at")
    def due(self, apv: APV) -> SafeString:
        if apv.status not in LIVE:
            return nothing()
        late = "c-late" if past(apv.due_at) else "c-soon"
        return format_html(
            '<time class="{}" datetime="{}">{}</time>', late, apv.due_at.isoformat(), due_words(apv.due_at)
        )

    def sections(self, request: HttpRequest, row: APV) -> Sequence[Section]:
        review = getattr(row, "review_id", None)
        aside = reverse("admin:immune_suppression_changelist")
        return (
            Section(
                row.apv_code,
                (
                    Fact(_("status"), badge(row.status, row.get_status_display(), "state"), "html"),
                    Fact(_("reason"), translated(row.reason), "text"),
                    Fact(_("repository"), row.repository.name, "link", to("immune_repository", row.repository_id)),
                    Fact(_("package"), f"{row.package_name} ({row.ecosystem})"),
                    Fact(_("affected versions present"), row.versions, "list"),
                    Fact(_("fixed versions"), row.fixed_versions, "list"),
                    Fact(_("severity"), badge(row.severity, row.get_severity_display(), "severity"), "html"),
                    Fact(_("priority"), badge(row.priority, row.priority, "priority"), "html"),
                    Fact(_("due"), row.due_at, "when"),
                    Fact(_("verdict"), row.get_wargame_verdict_display()),
                    Fact(_("confidence"), share_bar(row.wargame_confidence), "html"),
                    Fact(_("remedy"), row.remedy, "link", to("immune_remedy", row.remedy_id)),
                    Fact(_("review"), _("open it") if review else "", "link", to("reviews_review", review)),
                    Fact(_("manifests"), [_manifest(found) for found in row.manifests], "list"),
                    Fact(_("suppress"), _("set it aside"), "link", f"{aside}?q={row.apv_code}"),
                ),
            ),
            asked.section(row),
            Section(
                _("Why this priority"),
                columns=(_("factor"), _("value"), _("adds")),
                rows=[
                    [Fact("", factor.get("name")), Fact("", factor.get("value")), Fact("", factor.get("weight"))]
                    for factor in row.priority_factors
                    if isinstance(factor, dict)
                ],
            ),
            Section(
                _("Who sees it"),
                columns=(_("tool"), _("id it gives"), _("versions"), _("our own matching"), _("since")),
                rows=[
                    *(
                        [
                            [
                                Fact("", _("our own scan")),
                                Fact("", row.advisory_id),
                                Fact("", row.versions, "list"),
                                Fact("", ""),
                                Fact("", ""),
                            ]
                        ]
                        if row.scan_sees
                        else []
                    ),
                    *(
                        [
                            Fact("", f"{one.stream}{_seen_how(one)}"),
                            Fact("", one.advisory),
                            Fact("", one.versions, "list"),
                            Fact("", one.get_confirmation_display()),
                            Fact("", one.first_at, "when"),
                        ]
                        for one in selectors.sources_of(row)
                    ),
                ],
            ),
            Section(_("Exploitation"), _exploitation(row)),
            Section(
                _("Published records"),
                columns=(_("id"), _("summary"), _("published")),
                rows=[
                    [
                        Fact("", advisory.pk, "link", to("immune_advisory", advisory.pk)),
                        Fact("", advisory.summary),
                        Fact("", advisory.published, "when"),
                    ]
                    for advisory in row.group.advisories.all()
                ],
            ),
            Section(
                _("Suppressions"),
                columns=(_("scope"), _("ground"), _("reason"), _("author"), _("ends"), _("ended")),
                rows=[
                    [
                        Fact("", found.get_scope_display(), "link", to("immune_suppression", found.pk)),
                        Fact("", found.get_ground_display()),
                        Fact("", found.reason, "text"),
                        Fact("", found.author.shown_name if found.author else found.source),
                        Fact("", found.expires_at, "when"),
                        Fact("", found.ended_at, "when"),
                    ]
                    for found in suppressions(viewer(request)).filter(about(row)).order_by("-created_at")[:50]
                ],
            ),
            Section(
                _("What VEX documents say"),
                columns=(_("state"), _("impact"), _("action"), _("taken from"), _("taken")),
                rows=[
                    [
                        Fact("", found.get_status_display()),
                        Fact("", found.impact, "text"),
                        Fact("", found.action, "text"),
                        Fact("", found.source),
                        Fact("", found.created_at, "when"),
                    ]
                    for found in statements_about(viewer(request), row)[:50]
                ],
            ),
            Section(
                _("Decisions"),
                columns=(_("decision"), _("reviewer"), _("decided"), _("justification")),
                rows=[
                    [
                        Fact("", badge(decision.decision, decision.get_decision_display(), "choice"), "html"),
                        Fact("", decision.reviewer_name),
                        Fact("", decision.created_at, "when"),
                        Fact("", decision.justification, "text"),
                    ]
                    for decision in selectors.decision_history(viewer(request), row)[:50]
                ],
            ),
        )


def _seen_how(sighting: Sighting) -> str:
    words = [gettext("no longer in the tree")] * sighting.gone + [
        gettext("suppressed by the report")
    ] * sighting.suppressed
    return f" ({', '.join(words)})" if words else ""


def _exploitation(apv: APV) -> Sequence[Fact]:
    """EPSS and KEV with the days they are of; what is not known is shown as such."""
    known = selectors.signals_shown(apv)
    epss = "" if known["epss"] is None else f"{known['epss']:.3f} ({known['epss_day']})"
    return (
        Fact(_("probability in the next 30 days (EPSS)"), epss),
        Fact(_("known to be exploited since (KEV)"), known["kev_added"] or ""),
        Fact(_("to be remedied by (KEV)"), known["kev_due"] or ""),
    )


def _manifest(found: Any) -> str:
    if isinstance(found, dict):
        return ":".join(str(found[key]) for key in ("path", "manifest", "line") if found.get(key))
    return str(found)
