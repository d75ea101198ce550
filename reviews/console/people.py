"""Accounts and teams, seen and made by admins, and tokens, which are their owners' too: all through the people services."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django.contrib import messages
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import IntegrityError
from django.db.models import Count, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display

from immune.events.actors import Actor
from immune.models import Account, ApiToken, Repository, Role, Team
from immune.people import services
from immune.people.selectors import RIGHTS, SCOPES, Viewer, visible_tokens
from reviews.console import untrusted
from reviews.console.base import Button, Fact, ReadOnlyAdmin, Section, account, allowed, badge, report, to, viewer
from reviews.templatetags.console import shown_line

OVERLAP = timedelta(hours=1)


class PeopleAdmin(ReadOnlyAdmin):
    """Who may do what. Each page has a form above its list that makes one more."""

    right = "administer"
    list_before_template = "console/people.html"

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        return super().changelist_view(
            request,
            {
                **(extra_context or {}),
                "create_url": self.url("create"),
                "form": self.opts.model_name,
                **self.offers_to(request),
            },
        )

    def own_urls(self) -> list[URLPattern]:
        return [self.changing("create/", self.create_view, "create")]

    def offers_to(self, request: HttpRequest) -> dict[str, Any]:
        """What the form offers for choice."""
        return {}

    def create_view(self, request: HttpRequest) -> HttpResponse:
        raise NotImplementedError

    def refused(self, request: HttpRequest, text: str) -> HttpResponse:
        report(request, messages.ERROR, untrusted.plain(text, 400))
        return redirect(self.url("changelist"))


class AccountAdmin(PeopleAdmin):
    list_display = ("seen_username", "seen_name", "email", "its_role", "active", "last_login")
    list_display_links = ("seen_username",)
    list_filter = ("role", "is_active")
    search_fields = ("username", "first_name", "last_name", "email")
    ordering = ("username",)

    def rows(self, viewer: Viewer) -> QuerySet[Account]:
        return Account.objects.all() if viewer.may("administer") else Account.objects.none()

    def offers_to(self, request: HttpRequest) -> dict[str, Any]:
        return {"roles": Role.choices}

    def own_urls(self) -> list[URLPattern]:
        return [*super().own_urls(), self.changing("<int:object_id>/password/", self.password_view, "password")]

    def create_view(self, request: HttpRequest) -> HttpResponse:
        allowed(request, "administer")
        data = request.POST
        try:
            made = services.create_account(
                actor=Actor.of(account(request)),
                username=Account.normalize_username(data.get("username", "").strip()),
                password=data.get("password", "") or None,
                role=data.get("role", ""),
                email=data.get("email", "").strip(),
                full_name=data.get("full_name", "").strip(),
            )
        except ValidationError as error:
            return self.refused(request, " ".join(error.messages))
        except services.PeopleError as error:
            return self.refused(request, str(error))
        except IntegrityError:
            return self.refused(request, gettext("There is an account of that name already."))
        report(request, messages.SUCCESS, gettext("The account was made."))
        return redirect(self.url("change", made.pk))

    def password_view(self, request: HttpRequest, object_id: int) -> HttpResponse:
        allowed(request, "administer")
        row = self.found(request, str(object_id))
        password = request.POST.get("password", "")
        try:
            validate_password(password, row)
            services.set_password(actor=Actor.of(account(request)), account=row, password=password)
        except ValidationError as error:
            report(request, messages.ERROR, " ".join(error.messages))
        else:
            report(request, messages.SUCCESS, gettext("The password was set; the account's sessions have ended."))
        return redirect(self.url("change", row.pk))

    @display(description=_("user name"), ordering="username")
    def seen_username(self, row: Account) -> SafeString:
        return shown_line(row.username, 60)

    @display(description=_("name"))
    def seen_name(self, row: Account) -> SafeString:
        return shown_line(row.get_full_name(), 60)

    @display(description=_("role"), ordering="role")
    def its_role(self, row: Account) -> SafeString:
        return badge(row.role, row.get_role_display(), "role")

    @display(description=_("active"))
    def active(self, row: Account) -> str:
        return gettext("yes") if row.is_active else gettext("no")

    def sections(self, request: HttpRequest, row: Account) -> Sequence[Section]:
        return (
            Section(
                untrusted.plain(row.shown_name, 80),
                (
                    Fact(_("user name"), row.username),
                    Fact(_("name"), row.get_full_name()),
                    Fact(_("mail"), row.email),
                    Fact(_("role"), self.its_role(row), "html"),
                    Fact(_("active"), self.active(row)),
                    Fact(_("last login"), row.last_login, "when"),
                    Fact(_("teams"), [team.name for team in row.teams.all()], "list"),
                ),
            ),
        )


class TeamAdmin(PeopleAdmin):
    list_display = ("seen_name", "people", "owned")
    list_display_links = ("seen_name",)
    search_fields = ("name",)
    ordering = ("name",)

    def rows(self, viewer: Viewer) -> QuerySet[Team]:
        if not viewer.may("administer"):
            return Team.objects.none()
        return Team.objects.annotate(
            member_count=Count("members", distinct=True), repository_count=Count("repositories", distinct=True)
        )

    def offers_to(self, request: HttpRequest) -> dict[str, Any]:
        return {
            "accounts": Account.objects.filter(is_active=True).order_by("username")[:500],
            "repositories": Repository.objects.order_by("name")[:500],
        }

    def create_view(self, request: HttpRequest) -> HttpResponse:
        allowed(request, "administer")
        name = request.POST.get("name", "").strip()
        if not name or len(name) > 120:
            return self.refused(request, gettext("A team needs a name of at most 120 characters."))
        try:
            made = services.create_team(
                actor=Actor.of(account(request)),
                name=name,
                members=list(Account.objects.filter(pk__in=_numbers(request.POST.getlist("members")))),
                repositories=[
                    repository
                    for repository in Repository.objects.all()
                    if str(repository.pk) in request.POST.getlist("repositories")
                ],
            )
        except IntegrityError:
            return self.refused(request, gettext("There is a team of that name already."))
        report(request, messages.SUCCESS, gettext("The team was made."))
        return redirect(self.url("change", made.pk))

    @display(description=_("name"), ordering="name")
    def seen_name(self, row: Team) -> SafeString:
        return shown_line(row.name, 80)

    @display(description=_("members"))
    def people(self, row: Any) -> int:
        return int(row.member_count)

    @display(description=_("repositories"))
    def owned(self, row: Any) -> int:
        return int(row.repository_count)

    def sections(self, request: HttpRequest, row: Team) -> Sequence[Section]:
        return (
            Section(
                untrusted.plain(row.name, 80),
                (
                    Fact(_("members"), [member.shown_name for member in row.members.order_by("username")], "list"),
                    Fact(_("repositories"), [found.name for found in row.repositories.order_by("name")], "list"),
                ),
            ),
        )


class TokenAdmin(PeopleAdmin):
    """One's own tokens; for those who administer, everybody's."""

    right = "read"
    list_display = ("seen_name", "prefix", "whose", "its_scopes", "valid", "expires_at", "last_used_at")
    list_display_links = ("seen_name",)
    search_fields = ("name", "prefix", "account__username")
    ordering = ("-created_at", "pk")

    def rows(self, viewer: Viewer) -> QuerySet[ApiToken]:
        return visible_tokens(viewer).defer("digest")

    def offers_to(self, request: HttpRequest) -> dict[str, Any]:
        who = viewer(request)
        if not who.may("administer"):
            return {"accounts": [request.user], "scopes": sorted(SCOPES & RIGHTS.get(who.role, frozenset()))}
        return {"accounts": Account.objects.filter(is_active=True).order_by("username")[:500], "scopes": sorted(SCOPES)}

    def own_urls(self) -> list[URLPattern]:
        return [
            *super().own_urls(),
            self.changing("<uuid:object_id>/revoke/", self.revoke_view, "revoke"),
            self.changing("<uuid:object_id>/rotate/", self.rotate_view, "rotate"),
        ]

    def create_view(self, request: HttpRequest) -> HttpResponse:
        """Makes a token and shows its text on this one answer; it is not stored and cannot be shown again."""
        who = allowed(request, "read")
        owner = Account.objects.filter(pk__in=_numbers([request.POST.get("account", "")]), is_active=True).first()
        if owner is not None and owner.pk != account(request).pk:
            allowed(request, "administer")
        days = _numbers([request.POST.get("days", "")])
        name = request.POST.get("name", "").strip()
        if owner is None or not days or not name or len(name) > 120:
            return self.refused(request, gettext("A token needs a name, an account and a number of days."))
        try:
            asked: dict[str, Any] = {
                "name": name,
                "scopes": request.POST.getlist("scopes"),
                "lifetime": timedelta(days=min(days[0], 100_000)),
            }
            if owner.pk == account(request).pk:
                token, text = services.create_own_token(account=owner, viewer=who, **asked)
            else:
                token, text = services.create_token(actor=Actor.of(account(request)), account=owner, **asked)
        except services.NotPermitted:
            raise
        except services.PeopleError as error:
            return self.refused(request, str(error))
        return self._made(request, token, text)

    def _made(self, request: HttpRequest, token: ApiToken, text: str) -> HttpResponse:
        answer = self.page(
            request, "console/token.html", {"title": gettext("New API token"), "token": token, "text": text}, status=201
        )
        answer["Cache-Control"] = "no-store"
        return answer

    def rotate_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ends one's own token after an hour and shows its successor's text on this one answer."""
        who = allowed(request, "read")
        try:
            made = services.rotate_token(
                account=account(request), viewer=who, token=self.found(request, object_id), overlap=OVERLAP
            )
        except services.NotLive as error:
            return self.refused(request, str(error))
        return self._made(request, *made)

    def revoke_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        allowed(request, "read")
        token = self.found(request, object_id)
        if services.revoke_token(actor=Actor.of(account(request)), token=token):
            report(request, messages.SUCCESS, gettext("The token was revoked."))
        else:
            report(request, messages.WARNING, gettext("It was revoked already."))
        return redirect(self.url("change", token.pk))

    def buttons(self, request: HttpRequest, row: ApiToken) -> Sequence[Button]:
        if row.revoked_at or row.expires_at <= timezone.now():
            return ()
        revoke = Button(_("Revoke"), self.url("revoke", row.pk), tone="reject")
        if row.account_id != request.user.pk or row.replaced_at:
            return (revoke,)
        return (Button(_("Rotate; the old text holds for an hour"), self.url("rotate", row.pk)), revoke)

    @display(description=_("name"))
    def seen_name(self, row: ApiToken) -> SafeString:
        return shown_line(row.name, 80)

    @display(description=_("account"))
    def whose(self, row: ApiToken) -> SafeString:
        return shown_line(row.account.shown_name, 60)

    @display(description=_("scopes"))
    def its_scopes(self, row: ApiToken) -> str:
        return ", ".join(row.scopes)

    @display(description=_("state"))
    def valid(self, row: ApiToken) -> SafeString:
        if row.revoked_at:
            return badge("failed", _("revoked"), "job")
        if row.expires_at <= timezone.now():
            return badge("cancelled", _("expired"), "job")
        return badge("done", _("valid"), "job")

    def sections(self, request: HttpRequest, row: ApiToken) -> Sequence[Section]:
        return (
            Section(
                untrusted.plain(row.name, 80),
                (
                    Fact(_("prefix"), row.prefix),
                    Fact(_("account"), row.account.shown_name, "link", to("immune_account", row.account_id)),
                    Fact(_("scopes"), row.scopes, "list"),
                    Fact(_("state"), self.valid(row), "html"),
                    Fact(_("created"), row.created_at, "when"),
                    Fact(_("expires"), row.expires_at, "when"),
                    Fact(_("last used"), row.last_used_at, "when"),
                    Fact(_("revoked"), row.revoked_at, "when"),
                    Fact(_("replaced"), row.replaced_at, "when"),
                ),
            ),
        )


def _numbers(texts: list[str]) -> list[int]:
    return [int(text) for text in texts if text.isascii() and text.isdigit() and len(text) < 10]
