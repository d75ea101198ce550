"""Lists and details of what the system knows and does: APVs, repositories, advisories, remedies, wargames, decisions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.admin import EmptyFieldListFilter
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display

from immune.models import APV, Advisory, Remedy, Sighting
from immune.models.apvs import LIVE
from immune.people.selectors import Viewer, within_sight
from immune.questions import is_asked
from immune.suppression.selectors import about, suppressions
from immune.vex.selectors import statements_about
from reviews import selectors
from reviews.console import asked, untrusted
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
    viewer,
)
from reviews.console.downloads import attachment
from reviews.console.queue import SeenRepository, share_bar
from reviews.models import Decision
from reviews.templatetags.console import due_words, past, shown_line
from wargaming import orders
from wargaming.errors import OrderRefused
from wargaming.models import Run, Wargame


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
                    Fact(_("reason"), row.reason, "text"),
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


class RemedyAdmin(ReadOnlyAdmin):
    list_display = ("change", "seen_repository", "status", "strategy", "bump", "pull_request_number", "created_at")
    list_display_links = ("change",)
    list_filter = ("state", "strategy", "bump", SeenRepository)
    search_fields = ("package_name", "repository__name", "branch", "apvs__apv_code", "head_commit")
    sortable_by = ("created_at",)
    ordering = ("-created_at", "pk")

    def rows(self, viewer: Viewer) -> QuerySet[Remedy]:
        return Remedy.objects.filter(within_sight(viewer)).select_related("repository").defer("patch")

    def detail_rows(self, viewer: Viewer) -> QuerySet[Remedy]:
        rows = Remedy.objects.filter(within_sight(viewer)).select_related("repository")
        return rows.prefetch_related("apvs", "reviews", "jobs", "wargames__apv")

    @display(description=_("change"))
    def change(self, row: Remedy) -> SafeString:
        return shown_line(f"{row.package_name} {row.from_version} → {row.target_version}", 120)

    @display(description=_("repository"))
    def seen_repository(self, row: Remedy) -> SafeString:
        return shown_line(row.repository.name, 60)

    @display(description=_("state"))
    def status(self, row: Remedy) -> SafeString:
        return badge(row.state, row.get_state_display(), "state")

    def heading(self, row: Remedy) -> str:
        return untrusted.plain(str(row), 100)

    def sections(self, request: HttpRequest, row: Remedy) -> Sequence[Section]:
        return (
            Section(
                untrusted.plain(str(row), 100),
                (
                    Fact(_("state"), self.status(row), "html"),
                    Fact(_("reason"), row.reason, "text"),
                    Fact(_("repository"), row.repository.name, "link", to("immune_repository", row.repository_id)),
                    Fact(_("strategy"), row.strategy),
                    Fact(_("branch"), row.branch),
                    Fact(_("pull request"), row.pull_request_url or row.pull_request_number, "external"),
                    Fact(_("base"), row.base_commit),
                    Fact(_("head"), row.head_commit),
                    Fact(_("patch digest"), row.patch_digest),
                ),
            ),
            Section(
                "APVs",
                columns=(_("code"), _("status"), _("severity")),
                rows=[
                    [
                        Fact("", apv.apv_code, "link", to("immune_apv", apv.pk)),
                        Fact("", badge(apv.status, apv.get_status_display(), "state"), "html"),
                        Fact("", badge(apv.severity, apv.get_severity_display(), "severity"), "html"),
                    ]
                    for apv in row.apvs.all()
                ],
            ),
            Section(
                _("Reviews"),
                columns=(_("round"), _("state"), _("opened")),
                rows=[
                    [
                        Fact("", review.round, "link", to("reviews_review", review.pk)),
                        Fact("", badge(review.state, review.get_state_display(), "state"), "html"),
                        Fact("", review.opened_at, "when"),
                    ]
                    for review in row.reviews.all()
                ],
            ),
            Section(
                _("Wargames"),
                columns=("APV", _("scenario"), _("verdict")),
                rows=[
                    [
                        Fact("", game.apv.apv_code, "link", to("wargaming_wargame", game.pk)),
                        Fact("", game.scenario or _("no scenario")),
                        Fact(
                            "",
                            badge(game.verdict, game.get_verdict_display() or game.get_state_display(), "verdict"),
                            "html",
                        ),
                    ]
                    for game in row.wargames.all()
                ],
            ),
            Section(
                _("Forge jobs"),
                columns=(_("job"), _("state"), _("what the forge said"), _("finished")),
                rows=[
                    [
                        Fact("", job.get_kind_display(), "link", to("immune_forgejob", job.pk)),
                        Fact("", badge(job.state, job.get_state_display(), "job"), "html"),
                        Fact("", job.message or job.reason),
                        Fact("", job.finished_at, "when"),
                    ]
                    for job in row.jobs.all()
                ],
            ),
            Section(_("The change"), (Fact(_("patch"), row.patch, "code"),)),
        )


class WargameAdmin(ReadOnlyAdmin):
    list_display = ("code", "seen_scenario", "seen_repository", "status", "verdict", "sureness", "driver", "created_at")
    list_filter = ("state", "verdict", "trust", "driver")
    search_fields = ("apv__apv_code", "scenario", "apv__package_name", "apv__repository__name")
    sortable_by = ("created_at",)
    ordering = ("-created_at", "pk")

    def rows(self, viewer: Viewer) -> QuerySet[Wargame]:
        return Wargame.objects.filter(within_sight(viewer, "apv__repository")).select_related("apv__repository")

    def detail_rows(self, viewer: Viewer) -> QuerySet[Wargame]:
        return self.rows(viewer).select_related("remedy", "retry_of").prefetch_related("runs", "orders")

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
                    Fact(_("explanation"), row.explanation, "text"),
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


class DecisionAdmin(ReadOnlyAdmin):
    list_display = ("code", "said", "seen_reviewer", "seen_repository", "job_state", "created_at")
    list_filter = ("decision", "is_final")
    search_fields = ("apv_code", "reviewer_name", "review__repository__name", "review__items__apv__apv_code")
    sortable_by = ("created_at",)
    ordering = ("-created_at", "pk")

    def rows(self, viewer: Viewer) -> QuerySet[Decision]:
        return selectors.decisions(viewer).select_related("review__repository", "job", "apv")

    @display(description=_("code"))
    def code(self, row: Decision) -> str:
        return row.apv_code

    @display(description=_("decision"))
    def said(self, row: Decision) -> SafeString:
        return badge(row.decision, row.get_decision_display(), "choice")

    @display(description=_("reviewer"))
    def seen_reviewer(self, row: Decision) -> SafeString:
        return shown_line(row.reviewer_name, 60)

    @display(description=_("repository"))
    def seen_repository(self, row: Decision) -> SafeString:
        return shown_line(row.review.repository.name, 60)

    @display(description=_("forge job"))
    def job_state(self, row: Decision) -> SafeString:
        if row.withdrawn_at is not None:
            return badge("cancelled", _("withdrawn"), "job")
        if row.job is None:
            return nothing()
        return badge(row.job.state, row.job.get_state_display(), "job")

    def sections(self, request: HttpRequest, row: Decision) -> Sequence[Section]:
        job = row.job
        return (
            Section(
                str(row),
                (
                    Fact(_("decision"), self.said(row), "html"),
                    Fact(_("reviewer"), row.reviewer_name),
                    Fact(_("decided"), row.created_at, "when"),
                    Fact(_("justification"), row.justification, "text"),
                    Fact(_("comments"), row.comments, "text"),
                    Fact(_("review"), _("open it"), "link", to("reviews_review", row.review_id)),
                    Fact(_("head"), row.head_commit),
                    Fact(_("patch digest"), row.patch_digest),
                    Fact(
                        _("forge job"), job.get_kind_display() if job else "", "link", to("immune_forgejob", row.job_id)
                    ),
                    Fact(_("what the forge said"), job.message if job else "", "text"),
                ),
            ),
        )


def to(model: str, pk: object) -> str:
    return reverse(f"admin:{model}_change", args=(pk,)) if pk else ""


def _manifest(found: Any) -> str:
    if isinstance(found, dict):
        return ":".join(str(found[key]) for key in ("path", "manifest", "line") if found.get(key))
    return str(found)


def _vector(found: Any) -> str:
    return " ".join(str(value) for value in found.values()) if isinstance(found, dict) else str(found)
