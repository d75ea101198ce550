"""What every page of the console rests on: who looks, lists and details that only show, changes that are POSTs of their own.

The admin shows and asks. No form of Django's admin edits a row here: a change goes to ``change`` views, which parse, call one
service and report. Rights come from the account's role and teams, never from Django's permission tables.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.functional import Promise
from django.utils.html import format_html
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.views.decorators.csrf import csrf_protect
from unfold.admin import ModelAdmin

from immune.models import Account
from immune.people.selectors import Viewer, viewer_of
from immune.people.services import NotPermitted
from reviews.console.said import translated
from reviews.errors import NotAllowed
from wargaming.errors import OrderNotAllowed

type_of_text = str | Promise


def viewer(request: HttpRequest) -> Viewer:
    return viewer_of(request.user if isinstance(request.user, Account) else None)


def account(request: HttpRequest) -> Account:
    """The signed-in account. Raises PermissionDenied for anybody else."""
    if not isinstance(request.user, Account):
        raise PermissionDenied
    return request.user


@dataclass(frozen=True, slots=True)
class Fact:
    """One line of a detail page. ``kind``: text (many lines), line, when, badge, share, rows, link, or html already safe."""

    label: type_of_text
    value: Any
    kind: str = "line"
    link: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    title: type_of_text
    facts: Sequence[Fact] = ()
    columns: Sequence[type_of_text] = ()
    rows: Sequence[Sequence[Fact]] = ()


@dataclass(frozen=True, slots=True)
class Button:
    """One change that may be asked for from a detail page: a POST form with one button, and a field for the reason it ``asks``."""

    label: type_of_text
    action: str
    hidden: dict[str, str] = field(default_factory=dict)
    tone: str = "plain"
    asks: type_of_text = ""


def badge(value: str, label: object, group: str) -> SafeString:
    """A coloured word. The colour never speaks alone: the word is always there."""
    return format_html('<span class="c-badge c-{}-{}">{}</span>', group, value.lower() or "none", label)


def nothing() -> SafeString:
    """A cell that says that there is nothing to say."""
    return format_html('<span class="c-nothing">{}</span>', "—")


def to(model: str, pk: object) -> str:
    """The address of a row's page; empty without a row."""
    return reverse(f"admin:{model}_change", args=(pk,)) if pk else ""


class ReadOnlyAdmin(ModelAdmin):
    """A model's list and detail page: narrowed to the viewer's sight, showing only."""

    right: ClassVar[str] = "read"
    actions = None
    show_full_result_count = False
    list_per_page = 50
    list_max_show_all = 0
    list_fullwidth = True
    list_filter_submit = True
    detail_template = "console/detail.html"

    def has_module_permission(self, request: HttpRequest) -> bool:
        return viewer(request).may(self.right)

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return viewer(request).may(self.right)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def rows(self, viewer: Viewer) -> QuerySet[Any]:
        """What this viewer may see of the model. Each page says it itself: there is no default that shows all."""
        raise NotImplementedError

    def detail_rows(self, viewer: Viewer) -> QuerySet[Any]:
        return self.rows(viewer)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return self.rows(viewer(request))

    def sections(self, request: HttpRequest, row: Any) -> Sequence[Section]:
        return ()

    def buttons(self, request: HttpRequest, row: Any) -> Sequence[Button]:
        return ()

    def forms(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        """What the forms of the detail page need, where its template has any."""
        return {}

    # -- addresses ---------------------------------------------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        """Only what this console offers: Django's add, change, delete and history pages do not exist here."""
        return [
            path("", self.admin_site.admin_view(self.changelist_view), name=self.address("changelist")),
            *self.own_urls(),
            path("<path:object_id>/change/", self.admin_site.admin_view(self.detail_view), name=self.address("change")),
        ]

    def own_urls(self) -> list[URLPattern]:
        return []

    def address(self, name: str) -> str:
        return f"{self.opts.app_label}_{self.opts.model_name}_{name}"

    def url(self, name: str, *args: object) -> str:
        return reverse(f"admin:{self.address(name)}", args=args)

    def changing(self, route: str, view: Callable[..., HttpResponse], name: str) -> URLPattern:
        """A change: POST only, with a CSRF token, for signed-in people; 403 for those without the right."""

        def posted(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            if request.method != "POST":
                return HttpResponseNotAllowed(["POST"])
            try:
                return view(request, *args, **kwargs)
            except (NotAllowed, NotPermitted, OrderNotAllowed) as error:
                # What a service says of rights beyond the role: somebody else's claim, decision or scenario.
                context = {"title": gettext("Not permitted"), "message": translated(str(error))}
                return self.page(request, "console/refused.html", context, status=403)

        return path(route, self.admin_site.admin_view(csrf_protect(posted)), name=self.address(name))

    # -- pages -------------------------------------------------------------------------------------------------------

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        if request.method not in ("GET", "HEAD"):
            return HttpResponseNotAllowed(["GET", "HEAD"])
        return super().changelist_view(request, extra_context)

    def detail_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        if request.method not in ("GET", "HEAD"):
            return HttpResponseNotAllowed(["GET", "HEAD"])
        if not self.has_view_permission(request):
            raise PermissionDenied
        row = self.found(request, object_id)
        return self.page(
            request,
            self.detail_template,
            {
                "title": self.heading(row),
                "row": row,
                "sections": self.sections(request, row),
                "buttons": self.buttons(request, row),
                **self.forms(request, row),
            },
        )

    def heading(self, row: Any) -> str:
        return str(row)

    def page(
        self, request: HttpRequest, template: str, context: dict[str, Any], *, status: int = 200
    ) -> TemplateResponse:
        request.current_app = self.admin_site.name
        found = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "list_url": self.url("changelist"),
            "viewer": viewer(request),
            **context,
        }
        return TemplateResponse(request, template, found, status=status)

    def found(self, request: HttpRequest, object_id: str) -> Any:
        """The row, when it exists and is within sight. What is out of sight does not exist: 404 either way."""
        return found_in(self.detail_rows(viewer(request)), object_id)


def found_in(rows: QuerySet[Any], pk: object) -> Any:
    try:
        return rows.get(pk=pk)
    except (rows.model.DoesNotExist, ValidationError, ValueError, OverflowError):
        raise Http404 from None


def back(request: HttpRequest, default: str) -> HttpResponseRedirect:
    """To where the form says the person came from, when that is on this site."""
    wanted = request.POST.get("next", "")
    fits = url_has_allowed_host_and_scheme(wanted, {request.get_host()}, require_https=request.is_secure())
    return redirect(wanted if wanted and fits else default)


def report(request: HttpRequest, level: int, text: str) -> None:
    messages.add_message(request, level, text)


def allowed(request: HttpRequest, right: str) -> Viewer:
    """The viewer, when the role has the right. Raises PermissionDenied."""
    found = viewer(request)
    if not found.may(right):
        raise PermissionDenied
    return found
