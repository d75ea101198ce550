"""The list of remedies and the page of one, with the change itself."""

from __future__ import annotations

from collections.abc import Sequence

from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display

from immune.models import Remedy
from immune.people.selectors import Viewer, within_sight
from reviews.console import untrusted
from reviews.console.base import Fact, ReadOnlyAdmin, Section, badge, to
from reviews.console.queue import SeenRepository
from reviews.console.said import translated
from reviews.templatetags.console import shown_line


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
                    Fact(_("reason"), translated(row.reason), "text"),
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
                        Fact("", translated(job.message) or job.reason),
                        Fact("", job.finished_at, "when"),
                    ]
                    for job in row.jobs.all()
                ],
            ),
            Section(_("The change"), (Fact(_("patch"), row.patch, "code"),)),
        )
