"""Suppressions: what is set aside, setting aside, and ending it before its time."""

from __future__ import annotations

from typing import Any

from django.db.models import Q
from django.http import Http404
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from immune.events.actors import Actor
from immune.models import AdvisoryName, AliasGroup, Suppression
from immune.models.suppressions import Ground, SuppressionScope
from immune.people.selectors import visible_repositories
from immune.suppression import selectors as seen
from immune.suppression import services
from reviews import selectors
from reviews.api import shapes
from reviews.api.access import account, viewer
from reviews.api.base import ERRORS, PAGING, WRITE_ERRORS, View, flag, given, named, only, text_parameter, valid
from reviews.api.pages import Order, page

FILTERS = ("scope", "ground", "repository", "ecosystem", "package", "advisory", "apv_code", "holding")
# What each scope names, and nothing else.
NAMES = {
    "apv": ("apv_code",),
    "package": ("repository_id", "ecosystem", "package"),
    "advisory": ("advisory_id",),
}


class Suppressions(View):
    """Suppressions in sight, and making one."""

    @extend_schema(
        operation_id="suppressions_list",
        parameters=[
            *PAGING,
            OpenApiParameter("scope", str, enum=SuppressionScope.values),
            OpenApiParameter("ground", str, enum=Ground.values),
            text_parameter("repository", "its name, whole"),
            text_parameter("ecosystem"),
            text_parameter("package", "its name, whole"),
            text_parameter("advisory", "an id or alias, whole"),
            text_parameter("apv_code", "those that are about this APV, by whichever scope"),
            OpenApiParameter("holding", bool, description="whether it has neither expired nor been ended"),
        ],
        responses={200: shapes.SuppressionPage, **ERRORS},
    )
    def get(self, request: Request) -> Response:
        only(request, *FILTERS, "limit", "cursor")
        rows = seen.suppressions(viewer(request)).filter(_wanted(request))
        items, following = page(request, rows, Order(("-created_at", "-id")))
        return Response({"items": shapes.SuppressionShape(items, many=True).data, "next": following})

    @extend_schema(
        operation_id="suppressions_create",
        request=shapes.SuppressionMade,
        responses={201: shapes.SuppressionDetail, **WRITE_ERRORS},
        description="One APV takes the right to decide, a package in a repository that of a lead, an advisory everywhere that of "
        "an operator. It ends by itself.",
    )
    def post(self, request: Request) -> Response:
        data = valid(shapes.SuppressionMade, request)
        row = services.suppress(
            actor=Actor.of(account(request)),
            viewer=viewer(request),
            target=_target(request, data),
            ground=data["ground"],
            reason=data["reason"],
            until=data["expires_at"],
            author=account(request),
        )
        return Response(_shown(request, row.pk), status=201, headers={"Location": f"/hitl/suppressions/{row.pk}"})


class SuppressionDetail(View):
    """One suppression with the codes of what it is about."""

    @extend_schema(operation_id="suppressions_detail", responses={200: shapes.SuppressionDetail, **ERRORS})
    def get(self, request: Request, pk: int) -> Response:
        return Response(_shown(request, pk))


class EndSuppression(View):
    """Ends a suppression before its time; what nothing else covers opens again at once."""

    @extend_schema(
        operation_id="suppressions_end", request=None, responses={200: shapes.SuppressionDetail, **WRITE_ERRORS}
    )
    def post(self, request: Request, pk: int) -> Response:
        person = account(request)
        services.end_suppression(
            actor=Actor.of(person), viewer=viewer(request), suppression=_found(request, pk), account=person
        )
        return Response(_shown(request, pk))


def _wanted(request: Request) -> Q:
    wanted = Q()
    columns = {"repository": "repository__name", "package": "package_name"}
    for name, choices in (
        ("scope", SuppressionScope.values),
        ("ground", Ground.values),
        ("repository", None),
        ("ecosystem", None),
        ("package", None),
    ):
        if (value := given(request, name, choices)) is not None:
            column = columns.get(name, name)
            here = Q(**{column: value})
            # One about an APV is in the APV's repository and about its package.
            wanted &= here if choices else here | Q(**{f"apv__{column}": value})
    if (advisory := given(request, "advisory")) is not None:
        group = _group(advisory)
        wanted &= Q(group=group) | Q(apv__group=group) if group else Q(pk__in=[])
    if (code := given(request, "apv_code")) is not None:
        apv = selectors.apv_by_code(viewer(request), code)
        wanted &= seen.about(apv) if apv else Q(pk__in=[])
    if (holds := flag(request, "holding")) is not None:
        wanted &= seen.holding() if holds else ~seen.holding()
    return wanted


def _target(request: Request, data: dict[str, Any]) -> services.Target:
    scope = data["scope"]
    _only_its_names(scope, data)
    if scope == SuppressionScope.APV:
        apv = selectors.apv_by_code(viewer(request), named(data["apv_code"]))
        if apv is None:
            raise Http404
        return services.Target(apv=apv)
    if scope == SuppressionScope.PACKAGE:
        repository = visible_repositories(viewer(request)).filter(pk=data["repository_id"]).first()
        if repository is None:
            raise Http404
        return services.Target(repository=repository, ecosystem=data["ecosystem"], package=data["package"])
    group = _group(data["advisory_id"])
    if group is None:
        raise Http404
    return services.Target(group=group)


def _only_its_names(scope: str, data: dict[str, Any]) -> None:
    wrong = {name: ["is needed for this scope"] for name in NAMES[scope] if data.get(name) is None}
    others = (name for names in NAMES.values() for name in names if name not in NAMES[scope])
    wrong |= {name: ["does not go with this scope"] for name in others if data.get(name) is not None}
    if wrong:
        raise ValidationError(wrong)


def _group(name: str) -> AliasGroup | None:
    """The vulnerability that goes by this name, canonical or alias."""
    known = AliasGroup.objects.filter(canonical_id=name).first()
    if known is None:
        row = AdvisoryName.objects.filter(name=name).select_related("advisory__group").first()
        known = row.advisory.group if row else None
    return known


def _found(request: Request, pk: int) -> Suppression:
    found = seen.suppressions(viewer(request)).filter(pk=pk).first()
    if found is None:
        raise Http404
    return found


def _shown(request: Request, pk: int) -> dict[str, Any]:
    row = _found(request, pk)
    codes = list(seen.covered_apvs(viewer(request), row).values_list("apv_code", flat=True)[:200])
    return {**shapes.SuppressionShape(row).data, "apvs": codes}
