"""Lists and details of repositories and of the work done on them: scans, forge jobs, events, deliveries; and what may be asked."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db.models import Count, Exists, OuterRef, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display

from immune import services
from immune.events.actors import Actor
from immune.freezes import frozen
from immune.jobs.services import submit_report
from immune.models import Event, ForgeJob, Repository, Scan, Team
from immune.models.apvs import LIVE
from immune.models.remedies import ForgeJobKind, ForgeJobState
from immune.models.repositories import MergeMethod, ScanState
from immune.people.selectors import Viewer, visible_repositories, within_sight
from reviews.console import freezes, untrusted
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
    viewer,
)
from reviews.console.queue import SeenRepository
from reviews.console.said import translated
from reviews.templatetags.console import shown_line

BUSY = (ScanState.PENDING, ScanState.RUNNING)


class RepositoryAdmin(ReadOnlyAdmin):
    """Repositories; who may immunize may ask for one to be read again, and register another by its address."""

    list_display = ("seen_name", "forge", "threats", "reading", "read_at", "seen_problem", "ask")
    list_display_links = ("seen_name",)
    list_filter = ("forge",)
    search_fields = ("name", "location")
    sortable_by = ("seen_name", "read_at", "threats")
    ordering = ("name",)
    list_before_template = "console/register.html"

    def rows(self, viewer: Viewer) -> QuerySet[Repository]:
        live = Count("apvs", filter=Q(apvs__status__in=LIVE), distinct=True)
        busy = Scan.objects.filter(repository=OuterRef("pk"), state__in=BUSY)
        return visible_repositories(viewer).annotate(live_apvs=live, busy=Exists(busy))

    def get_list_display(self, request: HttpRequest) -> list[str]:
        columns = list(super().get_list_display(request))
        return columns if viewer(request).may("immunize") else columns[:-1]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        who = viewer(request)
        context = {
            "may_register": services.may_register(who),
            "teams": _teams(who),
            "register_url": self.url("register"),
        }
        return super().changelist_view(request, {**(extra_context or {}), **context})

    def own_urls(self) -> list[URLPattern]:
        return [
            self.changing("register/", self.register_view, "register"),
            self.changing("<uuid:object_id>/immunize/", self.immunize_view, "immunize"),
            self.changing("<uuid:object_id>/merging/", self.merging_view, "merging"),
            self.changing("<uuid:object_id>/report/", self.report_view, "report"),
            self.changing("<uuid:object_id>/labels/", partial(freezes.label, self), "labels"),
        ]

    def report_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """A report, SBOM or VEX document as an upload; a worker takes it in."""
        allowed(request, "immunize")
        repository = self.found(request, object_id)
        sent = request.FILES.get("report")
        if sent is None:
            report(request, messages.ERROR, gettext("Choose a file."))
            return redirect(self.url("change", repository.pk))
        person = account(request)
        try:
            job = submit_report(
                actor=Actor.of(person),
                viewer=viewer(request),
                repository=repository,
                stream=sent,
                source=sent.name or "report",
                part=request.POST.get("part", "").strip(),
                requested_by=person,
            )
        except services.Refused as error:
            report(request, messages.ERROR, untrusted.plain(str(error), 400))
            return redirect(self.url("change", repository.pk))
        report(request, messages.SUCCESS, gettext("The report was received; it is being taken in."))
        return redirect(reverse("admin:immune_job_change", args=(job.pk,)))

    def immunize_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        allowed(request, "immunize")
        repository = self.found(request, object_id)
        person = account(request)
        scan = services.request_scan(
            actor=Actor.of(person), repository=repository, cause=f"console:{person.pk}", requested_by=person, again=True
        )
        words = {"name": untrusted.plain(repository.name, 60)}
        text = gettext("%(name)s will be read, and what is found is put to the proof.") % words
        report(request, messages.SUCCESS, text)
        return back(request, self.url("change", scan.repository_id))

    def merging_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        allowed(request, "operate")
        repository = self.found(request, object_id)
        try:
            services.set_merging(
                actor=Actor.of(account(request)),
                repository=repository,
                method=request.POST.get("merge_method", ""),
                queue=request.POST.get("merge_queue") == "on",
            )
        except services.Refused as error:
            report(request, messages.ERROR, untrusted.plain(str(error), 400))
        else:
            report(request, messages.SUCCESS, gettext("It is merged this way from now on."))
        return redirect(self.url("change", repository.pk))

    def register_view(self, request: HttpRequest) -> HttpResponse:
        who = allowed(request, "immunize")
        if not services.may_register(who):
            raise PermissionDenied
        person = account(request)
        chosen = [team for team in _teams(who) if str(team.pk) in request.POST.getlist("team")]
        try:
            repository = services.register_remote(
                actor=Actor.of(person), url=request.POST.get("url", "").strip(), teams=chosen
            )
        except services.Refused as error:
            report(request, messages.ERROR, untrusted.plain(str(error), 400))
            return redirect(self.url("changelist"))
        services.request_scan(
            actor=Actor.of(person), repository=repository, cause=f"console:{person.pk}", requested_by=person
        )
        report(request, messages.SUCCESS, gettext("Registered; it is being read."))
        return redirect(self.url("change", repository.pk))

    @display(description=_("name"), ordering="name")
    def seen_name(self, row: Repository) -> SafeString:
        return shown_line(row.name, 80)

    @display(description=_("live APVs"), ordering="live_apvs")
    def threats(self, row: Any) -> int:
        return int(row.live_apvs)

    @display(description=_("scan"))
    def reading(self, row: Any) -> SafeString:
        return badge("running", _("under way"), "job") if row.busy else nothing()

    @display(description=_("why it could not be read"))
    def seen_problem(self, row: Repository) -> SafeString:
        return shown_line(row.problem, 100) if row.problem else nothing()

    @display(description="")
    def ask(self, row: Repository) -> SafeString:
        # The list stands inside a POST form with the CSRF token; this button only sends it elsewhere.
        return format_html(
            '<button type="submit" class="c-button c-button-small" formaction="{}" formmethod="post">{}</button>',
            self.url("immunize", row.pk),
            _("Immunize"),
        )

    detail_template = "console/repository.html"

    def heading(self, row: Repository) -> str:
        return untrusted.plain(row.name, 80)

    def forms(self, request: HttpRequest, row: Repository) -> dict[str, Any]:
        who = viewer(request)
        return {
            "report_url": self.url("report", row.pk) if who.may("immunize") else "",
            "labels_url": self.url("labels", row.pk) if who.may("administer") else "",
            "merging_url": self.url("merging", row.pk) if who.may("operate") else "",
            "merge_methods": MergeMethod.choices,
            "repository": row,
        }

    def buttons(self, request: HttpRequest, row: Repository) -> Sequence[Button]:
        if not viewer(request).may("immunize"):
            return ()
        return (Button(_("Immunize"), self.url("immunize", row.pk), tone="primary"),)

    def sections(self, request: HttpRequest, row: Repository) -> Sequence[Section]:
        apvs = row.apvs.filter(status__in=LIVE).order_by("priority", "due_at")[:100]
        return (
            Section(
                untrusted.plain(row.name, 80),
                (
                    Fact(_("forge"), row.get_forge_display()),
                    Fact(_("location"), row.location),
                    Fact(_("default branch"), row.default_branch),
                    Fact(_("head"), row.head_commit),
                    Fact(_("last read"), row.read_at, "when"),
                    Fact(_("why it could not be read"), row.problem, "text"),
                    Fact(_("labels"), row.labels, "list"),
                    Fact(_("merge method"), row.get_merge_method_display()),
                    Fact(_("merges through the merge queue"), _("yes") if row.merge_queue else _("no")),
                    Fact(_("owning teams"), [team.name for team in row.owners.all()], "list"),
                ),
            ),
            Section(
                _("Live APVs"),
                columns=(_("code"), _("package"), _("severity"), _("priority"), _("status")),
                rows=[
                    [
                        Fact("", apv.apv_code, "link", to("immune_apv", apv.pk)),
                        Fact("", apv.package_name),
                        Fact("", badge(apv.severity, apv.get_severity_display(), "severity"), "html"),
                        Fact("", badge(apv.priority, apv.priority, "priority"), "html"),
                        Fact("", badge(apv.status, apv.get_status_display(), "state"), "html"),
                    ]
                    for apv in apvs
                ],
            ),
            Section(
                _("Scans"),
                columns=(_("asked"), _("state"), _("cause")),
                rows=[
                    [
                        Fact("", f"{scan.created_at:%Y-%m-%d %H:%M} UTC", "link", to("immune_scan", scan.pk)),
                        Fact("", badge(scan.state, scan.get_state_display(), "job"), "html"),
                        Fact("", scan.cause),
                    ]
                    for scan in row.scans.order_by("-created_at")[:20]
                ],
            ),
        )


class ScanAdmin(ReadOnlyAdmin):
    list_display = ("asked", "seen_repository", "status", "cause", "attempts", "finished_at")
    list_display_links = ("asked",)
    list_filter = ("state", SeenRepository)
    search_fields = ("repository__name", "cause")
    sortable_by = ("asked",)
    ordering = ("-created_at", "pk")

    def rows(self, viewer: Viewer) -> QuerySet[Scan]:
        return Scan.objects.filter(within_sight(viewer)).select_related("repository", "requested_by")

    @display(description=_("asked"), ordering="created_at")
    def asked(self, row: Scan) -> str:
        return f"{row.created_at:%Y-%m-%d %H:%M} UTC"

    @display(description=_("repository"))
    def seen_repository(self, row: Scan) -> SafeString:
        return shown_line(row.repository.name, 60)

    @display(description=_("state"))
    def status(self, row: Scan) -> SafeString:
        return badge(row.state, row.get_state_display(), "job")

    def heading(self, row: Scan) -> str:
        return untrusted.plain(str(row), 100)

    def sections(self, request: HttpRequest, row: Scan) -> Sequence[Section]:
        return (
            Section(
                untrusted.plain(str(row), 100),
                (
                    Fact(_("repository"), row.repository.name, "link", to("immune_repository", row.repository_id)),
                    Fact(_("state"), self.status(row), "html"),
                    Fact(_("cause"), row.cause),
                    Fact(_("asked by"), row.requested_by.shown_name if row.requested_by else ""),
                    Fact(_("head"), row.head_commit),
                    Fact(_("attempts"), row.attempts),
                    Fact(_("finished"), row.finished_at, "when"),
                    Fact(_("last error"), row.last_error, "text"),
                    Fact(_("result"), _json(row.result), "code"),
                ),
            ),
        )


def _waits(row: ForgeJob) -> str:
    """Why a job is not begun, in words; empty when nothing holds it."""
    return str(row.get_held_display()) if row.held and row.state == ForgeJobState.PENDING else ""


class ForgeJobAdmin(ReadOnlyAdmin):
    list_display = ("what", "seen_remedy", "seen_repository", "status", "seen_message", "attempts", "created_at")
    list_display_links = ("what",)
    list_filter = ("state", "kind", "held")
    search_fields = ("remedy__package_name", "remedy__repository__name", "head_commit", "cause")
    sortable_by = ("created_at",)
    ordering = ("-created_at", "pk")

    def rows(self, viewer: Viewer) -> QuerySet[ForgeJob]:
        rows = ForgeJob.objects.filter(within_sight(viewer, "remedy__repository"))
        return rows.select_related("remedy__repository").defer("remedy__patch")

    @display(description=_("job"))
    def what(self, row: ForgeJob) -> str:
        return str(row.get_kind_display())

    @display(description=_("remedy"))
    def seen_remedy(self, row: ForgeJob) -> SafeString:
        return shown_line(str(row.remedy), 100)

    @display(description=_("repository"))
    def seen_repository(self, row: ForgeJob) -> SafeString:
        return shown_line(row.remedy.repository.name, 60)

    @display(description=_("state"))
    def status(self, row: ForgeJob) -> SafeString:
        return badge(row.state, row.get_state_display(), "job")

    @display(description=_("what the forge said"))
    def seen_message(self, row: ForgeJob) -> SafeString:
        return shown_line(_waits(row) or translated(row.message) or row.reason, 120)

    def heading(self, row: ForgeJob) -> str:
        return untrusted.plain(f"{row.get_kind_display()} · {row.remedy}", 100)

    def sections(self, request: HttpRequest, row: ForgeJob) -> Sequence[Section]:
        return (
            Section(
                self.heading(row),
                (
                    Fact(_("remedy"), row.remedy, "link", to("immune_remedy", row.remedy_id)),
                    Fact(_("state"), self.status(row), "html"),
                    Fact(_("waits for the end of a freeze"), _held_until(row), "when"),
                    Fact(_("waits because"), _waits(row)),
                    Fact(_("reason"), row.reason),
                    Fact(_("what the forge said"), translated(row.message), "text"),
                    Fact(_("head"), row.head_commit),
                    Fact(_("round"), row.round),
                    Fact(_("cause"), row.cause),
                    Fact(_("attempts"), row.attempts),
                    Fact(_("last error"), row.last_error, "text"),
                    Fact(_("finished"), row.finished_at, "when"),
                    Fact(_("arguments"), _json(row.arguments), "code"),
                    Fact(_("result"), _json(row.result), "code"),
                ),
            ),
        )


class EventAdmin(ReadOnlyAdmin):
    """The log, read-only here as everywhere. Events of no repository are for those who see everything."""

    list_display = ("position", "occurred_at", "kind", "subject", "actor")
    search_fields = ("kind__startswith", "subject__startswith", "actor__exact")
    search_help_text = _("Beginning of a kind or subject, or an actor")
    sortable_by = ("position",)
    ordering = ("-position",)
    list_per_page = 100

    def rows(self, viewer: Viewer) -> QuerySet[Event]:
        if viewer.may("read") and viewer.sees_all:
            return Event.objects.all()
        return Event.objects.filter(repository_id__in=visible_repositories(viewer).values("pk"))

    def get_queryset(self, request: HttpRequest) -> QuerySet[Event]:
        # The chain's own texts are long and shown on the detail page only.
        return super().get_queryset(request).defer("body", "previous_hash", "hash")

    def sections(self, request: HttpRequest, row: Event) -> Sequence[Section]:
        return (
            Section(
                f"{row.position} · {row.kind}",
                (
                    Fact(_("at"), row.occurred_at, "when"),
                    Fact(_("actor"), row.actor),
                    Fact(_("subject"), row.subject),
                    Fact(_("repository"), row.repository_id),
                    Fact(_("hash before"), row.previous_hash),
                    Fact(_("hash"), row.hash),
                    Fact(_("canonical text"), row.body, "code"),
                ),
            ),
        )


def _teams(viewer: Viewer) -> list[Team]:
    """The teams a person may hand a repository to: their own, or any for who sees everything."""
    if viewer.account_id is None:
        raise PermissionDenied
    rows = Team.objects.order_by("name")
    return list(rows if viewer.sees_all else rows.filter(members=viewer.account_id))


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True) if value else ""


def _held_until(job: ForgeJob) -> Any:
    """When the freeze ends that a merge waits for; None for one that waits for none."""
    if job.kind != ForgeJobKind.MERGE or job.state != ForgeJobState.PENDING:
        return None
    found = frozen(job.remedy.repository_id)
    return found.ends_at if found is not None else None
