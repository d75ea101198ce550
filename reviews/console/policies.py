"""Policies and reflexes in the console: their order and versions, writing and switching them, the dry run, and the switch that lets
anything be approved without people."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from django.contrib import messages
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import redirect
from django.urls import URLPattern, path
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display

from immune.people.selectors import Viewer
from reviews import automatic
from reviews.console import policy_forms, untrusted
from reviews.console.base import Button, ReadOnlyAdmin, Section, account, allowed, badge, report, viewer
from reviews.errors import BadPolicy, ReviewError
from reviews.models import AutomaticSwitch, Choice, Recommendation, Rule, RuleKind, RuleVersion, SwitchState
from reviews.policies import services
from reviews.policies.dry_run import dry_run
from reviews.templatetags.console import shown_line

LATEST = 50


class RuleAdmin(ReadOnlyAdmin):
    """The policies in the order in which they are asked. Those who administer write them; everybody reads them."""

    kind: ClassVar[str] = RuleKind.POLICY
    list_display: Sequence[str] = ("place", "seen_name", "status", "says")
    list_display_links = ("seen_name",)
    search_fields = ("name",)
    sortable_by: Sequence[str] = ()
    ordering = ("position", "pk")
    list_before_template = "console/policies.html"
    detail_template = "console/policy.html"

    def rows(self, viewer: Viewer) -> QuerySet[Rule]:
        if not viewer.may("read"):
            return Rule.objects.none()
        latest = RuleVersion.objects.filter(rule=OuterRef("pk")).order_by("-number").values("number")[:1]
        return (
            self.model._default_manager.filter(kind=self.kind)
            .select_related("active__team")
            .annotate(latest=Subquery(latest))
        )

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        context = {
            "may_write": viewer(request).may("administer"),
            "create_url": self.url("create"),
            "fields": policy_forms.fields(self.kind, {}),
            "kind": self.kind,
            **self.switch(request),
        }
        return super().changelist_view(request, {**(extra_context or {}), **context})

    def switch(self, request: HttpRequest) -> dict[str, Any]:
        """What the card of the switch needs."""
        return {
            "switch": AutomaticSwitch.objects.select_related("changed_by").first(),
            "armed": SwitchState.ARMED,
            "may_disarm": any(viewer(request).may(right) for right in ("decide", "operate")),
            "arm_url": self.url("arm"),
            "disarm_url": self.url("disarm"),
        }

    def own_urls(self) -> list[URLPattern]:
        return [
            self.changing("create/", self.create_view, "create"),
            self.changing("<uuid:object_id>/edit/", self.edit_view, "edit"),
            self.changing("<uuid:object_id>/switch-on/", self.on_view, "switch_on"),
            self.changing("<uuid:object_id>/switch-off/", self.off_view, "switch_off"),
            *self.more_urls(),
        ]

    def more_urls(self) -> list[URLPattern]:
        return [
            self.changing("<uuid:object_id>/earlier/", self.earlier_view, "earlier"),
            self.changing("<uuid:object_id>/later/", self.later_view, "later"),
            self.changing("arm/", self.arm_view, "arm"),
            self.changing("disarm/", self.disarm_view, "disarm"),
            path(
                "<uuid:object_id>/dry-run/", self.admin_site.admin_view(self.dry_run_view), name=self.address("dry_run")
            ),
        ]

    # -- changes -----------------------------------------------------------------------------------------------------

    def create_view(self, request: HttpRequest) -> HttpResponse:
        who = allowed(request, "administer")
        content = policy_forms.content_of(self.kind, request.POST)
        try:
            made = services.make_rule(
                account=account(request),
                viewer=who,
                kind=self.kind,
                name=request.POST.get("name", ""),
                content=content,
                note=request.POST.get("note", ""),
            )
        except BadPolicy as error:
            return self.again(request, None, content, error)
        report(request, messages.SUCCESS, gettext("It was made, and is switched off."))
        return redirect(self.url("change", made.rule_id))

    def edit_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        who = allowed(request, "administer")
        rule = self.found(request, object_id)
        content = policy_forms.content_of(self.kind, request.POST)
        try:
            services.edit_rule(
                account=account(request),
                viewer=who,
                rule=rule,
                content=content,
                note=request.POST.get("note", ""),
                seen=_number(request.POST.get("seen", "")) or None,
            )
        except ReviewError as error:
            return self.again(request, rule, content, error)
        report(
            request,
            messages.SUCCESS,
            gettext("The next version was made; what is switched on stays until it is switched."),
        )
        return redirect(self.url("change", rule.pk))

    def again(
        self, request: HttpRequest, rule: Rule | None, content: dict[str, Any], error: ReviewError
    ) -> HttpResponse:
        """The form once more, with what was written still in it and what is wrong with it."""
        context = {
            "title": untrusted.plain(rule.name, 80) if rule else gettext("Not made"),
            "complaints": _complaints(error),
            "fields": policy_forms.fields(self.kind, content),
            "form_url": self.url("edit", rule.pk) if rule else self.url("create"),
            "name": request.POST.get("name", "")[:200],
            "is_new": rule is None,
            "note": request.POST.get("note", "")[:2000],
            "seen": rule.versions.count() if rule else "",
        }
        return self.page(request, "console/policy_again.html", context, status=422)

    def on_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        wanted = _number(request.POST.get("version", ""))
        return self.done(request, object_id, services.switch_on, gettext("It speaks from now on."), number=wanted)

    def off_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self.done(request, object_id, services.switch_off, gettext("It is switched off."))

    def earlier_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self.done(request, object_id, services.move_rule, gettext("The order was changed."), earlier=True)

    def later_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self.done(request, object_id, services.move_rule, gettext("The order was changed."), earlier=False)

    def done(
        self, request: HttpRequest, object_id: str, service: Callable[..., Any], words: str, **more: Any
    ) -> HttpResponse:
        who = allowed(request, "administer")
        rule = self.found(request, object_id)
        try:
            service(account=account(request), viewer=who, rule=Rule.objects.get(pk=rule.pk), **more)
        except ReviewError as error:
            report(request, messages.ERROR, untrusted.plain(str(error), 400))
        else:
            report(request, messages.SUCCESS, words)
        return redirect(self.url("change", rule.pk))

    def arm_view(self, request: HttpRequest) -> HttpResponse:
        who = allowed(request, "administer")
        reason = request.POST.get("reason", "")
        try:
            automatic.arm(account=account(request), viewer=who, reason=reason)
        except ReviewError as error:
            report(request, messages.ERROR, untrusted.plain(str(error), 400))
        else:
            report(request, messages.WARNING, gettext("Policy may approve without people from now on."))
        return redirect(self.url("changelist"))

    def disarm_view(self, request: HttpRequest) -> HttpResponse:
        reason = request.POST.get("reason", "")
        try:
            automatic.disarm_by(account=account(request), viewer=viewer(request), reason=reason)
        except ReviewError as error:
            report(request, messages.ERROR, untrusted.plain(str(error), 400))
        else:
            report(request, messages.SUCCESS, gettext("Nothing is approved without people from now on."))
        return redirect(self.url("changelist"))

    # -- pages -------------------------------------------------------------------------------------------------------

    def dry_run_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """What a version would have said of the past, beside what people decided."""
        if request.method not in ("GET", "HEAD"):
            return HttpResponseNotAllowed(["GET", "HEAD"])
        who = allowed(request, "read")
        rule = self.found(request, object_id)
        versions = RuleVersion.objects.filter(rule=rule.pk).select_related("team").order_by("-number")
        if number := _number(request.GET.get("version", "")):
            versions = versions.filter(number=number)
        version = versions.first()
        if version is None:
            return redirect(self.url("change", rule.pk))
        found = dry_run(who, version)
        choices = [choice for choice in Choice if choice != Choice.ESCALATE]
        context = {
            "title": untrusted.plain(rule.name, 80),
            "rule": rule,
            "version": version,
            "said": policy_forms.said(version.content, version.team),
            "totals": found.totals,
            "choices": [choice.label for choice in choices],
            "table": [
                (said.label, [found.table[said.value][choice.value] for choice in choices]) for said in Recommendation
            ],
            "lines": found.lines,
            "switch_url": self.url("switch_on", rule.pk)
            if who.may("administer") and rule.active_id != version.pk
            else "",
            "back_url": self.url("change", rule.pk),
        }
        return self.page(request, "console/dry_run.html", context)

    def forms(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        versions = list(RuleVersion.objects.filter(rule=row.pk).select_related("team").order_by("-number")[:LATEST])
        latest = versions[0]
        return {
            "may_write": viewer(request).may("administer"),
            "versions": [(version, policy_forms.said(version.content, version.team)) for version in versions],
            "fields": policy_forms.fields(self.kind, latest.content),
            "latest": latest,
            "edit_url": self.url("edit", row.pk),
            "on_url": self.url("switch_on", row.pk),
            "dry_run_url": self.url("dry_run", row.pk) if self.kind == RuleKind.POLICY else "",
        }

    def buttons(self, request: HttpRequest, row: Any) -> Sequence[Button]:
        if not viewer(request).may("administer"):
            return ()
        found = [Button(_("Switch off"), self.url("switch_off", row.pk), tone="reject")] if row.active_id else []
        if self.kind == RuleKind.POLICY:
            found += [
                Button(_("Ask it earlier"), self.url("earlier", row.pk)),
                Button(_("Ask it later"), self.url("later", row.pk)),
            ]
        return found

    def heading(self, row: Any) -> str:
        return untrusted.plain(row.name, 80)

    def sections(self, request: HttpRequest, row: Any) -> Sequence[Section]:
        return ()

    @display(description=_("place"))
    def place(self, row: Rule) -> int:
        return row.position

    @display(description=_("name"))
    def seen_name(self, row: Rule) -> SafeString:
        return shown_line(row.name, 80)

    @display(description=_("state"))
    def status(self, row: Any) -> SafeString:
        if row.active is None:
            return badge("cancelled", _("off"), "job")
        words = gettext("version %(number)s") % {"number": row.active.number}
        if row.latest > row.active.number:
            words = gettext("version %(number)s of %(latest)s") % {"number": row.active.number, "latest": row.latest}
        return badge("done", words, "job")

    @display(description=_("what it says"))
    def says(self, row: Rule) -> SafeString:
        if row.active is None:
            return shown_line("", 1)
        words = policy_forms.said(row.active.content, row.active.team)
        return shown_line(" · ".join(f"{label}: {text}" for label, text in words), 300)


class ReflexAdmin(RuleAdmin):
    """Rules that act at once. They have no order: each answers for itself."""

    kind = RuleKind.REFLEX
    list_display = ("seen_name", "status", "says")
    list_before_template = "console/reflexes.html"

    def more_urls(self) -> list[URLPattern]:
        return []

    def switch(self, request: HttpRequest) -> dict[str, Any]:
        return {}


def _complaints(error: ReviewError) -> dict[str, str]:
    """By the name of the field as the form calls it."""
    fields: dict[str, str] = error.details.get("fields") or {"": str(error)}
    labels = {**policy_forms.LABELS, "name": _("name"), "note": _("why"), "version": _("version")}
    return {str(labels.get(name.removeprefix("conditions."), name)): text for name, text in fields.items()}


def _number(text: str) -> int:
    """A whole number of a form, 0 for what is none."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
