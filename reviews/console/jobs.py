"""Imports and exports in the console: files that were sent and documents that were asked for, and what came of each."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from django.contrib import messages
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, path
from django.utils.functional import Promise
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display

from immune.events.actors import Actor
from immune.jobs import selectors, services
from immune.models import Job
from immune.models.advisories import Severity
from immune.models.jobs import JobKind
from immune.people.selectors import Viewer, visible_repositories
from immune.services import Refused
from immune.vex.documents import KINDS
from reviews.console import untrusted
from reviews.console.base import (
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
from reviews.console.downloads import attachment
from reviews.console.queue import SeenRepository
from reviews.templatetags.console import shown_line

OUTCOMES: dict[str, str | Promise] = {
    "clean": _("nothing found"),
    "findings": _("vulnerable versions found"),
    "unreadable": _("something could not be read or decided"),
}
_OUTCOME_TONES = {"clean": "done", "findings": "escalated", "unreadable": "failed"}


class JobAdmin(ReadOnlyAdmin):
    """Who may immunize has files looked through without registering anything; who sees something exports what is said of it."""

    list_display = ("sent", "seen_kind", "seen_repository", "seen_source", "status", "changes", "finished_at")
    list_display_links = ("sent",)
    list_filter = ("kind", "state", SeenRepository)
    search_fields = ("repository__name", "source", "part")
    sortable_by = ("sent",)
    ordering = ("-created_at", "pk")
    list_before_template = "console/jobs.html"
    detail_template = "console/job.html"

    def rows(self, viewer: Viewer) -> QuerySet[Job]:
        return selectors.jobs(viewer)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        who = viewer(request)
        context = {
            "scan_url": self.url("scan") if who.may("immunize") else "",
            "advisories_url": self.url("advisories") if who.may("operate") else "",
            "export_url": self.url("export"),
            "document_kinds": sorted(KINDS),
            "repositories": visible_repositories(who).order_by("name")[:500],
        }
        return super().changelist_view(request, {**(extra_context or {}), **context})

    def own_urls(self) -> list[URLPattern]:
        document = self.admin_site.admin_view(self.document_view)
        return [
            self.changing("scan/", self.scan_view, "scan"),
            self.changing("advisories/", self.advisories_view, "advisories"),
            self.changing("export/", self.export_view, "export"),
            path("<uuid:object_id>/document/", document, name=self.address("document")),
        ]

    def scan_view(self, request: HttpRequest) -> HttpResponse:
        allowed(request, "immunize")
        return self._sent(request, services.submit_scan, gettext("The file was received; it is being looked through."))

    def advisories_view(self, request: HttpRequest) -> HttpResponse:
        allowed(request, "operate")
        return self._sent(request, services.submit_advisories, gettext("The file was received; it is being taken in."))

    def _sent(self, request: HttpRequest, submit: Callable[..., Job], done: str) -> HttpResponse:
        sent = request.FILES.get("file")
        if sent is None:
            report(request, messages.ERROR, gettext("Choose a file."))
            return redirect(self.url("changelist"))
        person = account(request)
        try:
            job = submit(
                actor=Actor.of(person),
                viewer=viewer(request),
                stream=sent,
                source=sent.name or "",
                requested_by=person,
            )
        except Refused as error:
            report(request, messages.ERROR, untrusted.plain(str(error), 400))
            return redirect(self.url("changelist"))
        report(request, messages.SUCCESS, done)
        return redirect(self.url("change", job.pk))

    def export_view(self, request: HttpRequest) -> HttpResponse:
        who = allowed(request, "read")
        person = account(request)
        chosen = request.POST.get("repository", "")
        repository = {str(row.pk): row for row in visible_repositories(who)}.get(chosen)
        if chosen and repository is None:
            raise Http404
        try:
            job = services.request_export(
                actor=Actor.of(person),
                viewer=who,
                kind=request.POST.get("kind", ""),
                repository=repository,
                requested_by=person,
            )
        except Refused as error:
            report(request, messages.ERROR, untrusted.plain(str(error), 400))
            return redirect(self.url("changelist"))
        report(request, messages.SUCCESS, gettext("The document is being written."))
        return redirect(self.url("change", job.pk))

    def document_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        who = allowed(request, "read")
        job = self.found(request, object_id)
        if job.expired_at is not None:
            gone = gettext("It was removed on %(day)s; ask for it again.") % {"day": f"{job.expired_at:%Y-%m-%d}"}
            return HttpResponse(gone, status=410, content_type="text/plain; charset=utf-8")
        if not selectors.has_document(job) or not selectors.still_in_sight(who, job):
            raise Http404
        return attachment(b"".join(selectors.document(job)), f"{job.kind}-{str(job.pk)[:8]}.json")

    @display(description=_("sent"), ordering="created_at")
    def sent(self, row: Job) -> str:
        return f"{row.created_at:%Y-%m-%d %H:%M} UTC"

    @display(description=_("kind"))
    def seen_kind(self, row: Job) -> str:
        return str(row.get_kind_display())

    @display(description=_("repository"))
    def seen_repository(self, row: Job) -> SafeString:
        return shown_line(row.repository.name, 60) if row.repository else nothing()

    @display(description=_("file"))
    def seen_source(self, row: Job) -> SafeString:
        return shown_line(f"{row.source} {row.part}".strip(), 80)

    @display(description=_("state"))
    def status(self, row: Job) -> SafeString:
        return badge(row.state, row.get_state_display(), "job")

    @display(description=_("what came of it"))
    def changes(self, row: Job) -> str:
        return _in_short(row)

    def heading(self, row: Job) -> str:
        return untrusted.plain(str(row), 100)

    def forms(self, request: HttpRequest, row: Job) -> dict[str, Any]:
        there = selectors.has_document(row) and selectors.still_in_sight(viewer(request), row)
        return {"document_url": self.url("document", row.pk) if there else ""}

    def sections(self, request: HttpRequest, row: Job) -> Sequence[Section]:
        counts = {name: value for name, value in row.result.items() if not isinstance(value, list)}
        facts = Section(
            untrusted.plain(str(row), 100),
            (
                Fact(_("kind"), row.get_kind_display()),
                Fact(
                    _("repository"),
                    row.repository.name if row.repository else "",
                    "link",
                    to("immune_repository", row.repository_id),
                ),
                Fact(_("state"), self.status(row), "html"),
                Fact(_("outcome"), _outcome(row), "html"),
                Fact(_("reason"), row.reason),
                Fact(_("part"), row.part),
                Fact(_("bytes"), row.size or ""),
                Fact(_("asked by"), row.requested_by.shown_name if row.requested_by else ""),
                Fact(_("progress"), _json(row.progress), "code"),
                Fact(_("result"), _json(counts), "code"),
                Fact(_("finished"), row.finished_at, "when"),
                Fact(_("result removed"), row.expired_at, "when"),
                Fact(_("last error"), row.last_error, "text"),
            ),
        )
        return (facts, *(_scanned(row) if row.kind == JobKind.SCAN else ()), _refusals(row))


def _scanned(row: Job) -> Sequence[Section]:
    severities = dict(Severity.choices)
    return (
        Section(
            _("Vulnerable versions"),
            columns=(_("manifest"), _("package"), _("version"), _("advisory"), _("severity"), _("fixed versions")),
            rows=[
                [
                    Fact("", one["manifest"]),
                    Fact("", one["package"]),
                    Fact("", one["version"]),
                    Fact("", one["advisory"], "link", to("immune_advisory", one["advisory"])),
                    Fact("", badge(one["severity"], severities.get(one["severity"], ""), "severity"), "html"),
                    Fact("", one["fixed_versions"], "list"),
                ]
                for one in row.result.get("findings", [])
            ],
        ),
        Section(
            _("Unresolved: neither affected nor not"),
            columns=(_("manifest"), _("package"), _("reason")),
            rows=[
                [Fact("", one["manifest"]), Fact("", one["package"]), Fact("", one["reason"])]
                for one in row.result.get("unresolved", [])
            ],
        ),
    )


def _refusals(row: Job) -> Section:
    found = [*row.result.get("refused", []), *row.result.get("unreadable", [])]
    return Section(
        _("Refused"),
        columns=(_("source"), _("reason")),
        rows=[[Fact("", one.get("source", "")), Fact("", one.get("reason", ""))] for one in found[:200]],
    )


def _outcome(row: Job) -> SafeString | str:
    outcome = row.result.get("outcome", "")
    return badge(_OUTCOME_TONES[outcome], OUTCOMES[outcome], "state") if outcome in OUTCOMES else ""


def _in_short(row: Job) -> str:
    """The counts that tell of a job of its kind, in a few words."""
    named = {
        JobKind.REPORT: (("opened", _("opened")), ("closed", _("closed")), ("refused_count", _("refused"))),
        JobKind.SCAN: (
            ("findings_count", _("findings")),
            ("unresolved_count", _("unresolved")),
            ("unreadable_count", _("unreadable")),
        ),
        JobKind.ADVISORIES: (("added", _("added")), ("updated", _("updated")), ("refused_count", _("refused"))),
        JobKind.EXPORT: (("statements", _("statements")), ("refused_count", _("refused"))),
    }[JobKind(row.kind)]
    return ", ".join(f"{label} {row.result[name]}" for name, label in named if name in row.result)


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True) if value else ""
