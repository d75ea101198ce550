"""What the system holds: repositories and readings of them, wargames with their evidence, advisories."""

from __future__ import annotations

from typing import Any

from django.http import Http404, HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import status
from rest_framework.exceptions import APIException
from rest_framework.request import Request
from rest_framework.response import Response

from immune.advisories.selectors import advisories, advisory
from immune.events.actors import Actor
from immune.models import Repository, Scan, Team
from immune.models.advisories import Severity
from immune.people.selectors import visible_repositories, within_sight
from immune.services import Refused, may_register, register_remote, request_scan, set_merging
from reviews import selectors
from reviews.api import shapes
from reviews.api.access import account, viewer
from reviews.api.base import (
    ERRORS,
    PAGING,
    WRITE_ERRORS,
    View,
    answers,
    flag,
    given,
    named,
    only,
    text_parameter,
    valid,
)
from reviews.api.pages import Order, page
from reviews.errors import NotAllowed
from wargaming import orders
from wargaming.models import Evidence, Wargame


class Repositories(View):
    """The repositories in sight, and registering one."""

    @extend_schema(
        operation_id="repositories_list", parameters=PAGING, responses={200: shapes.RepositoryPage, **ERRORS}
    )
    def get(self, request: Request) -> Response:
        only(request, "limit", "cursor")
        items, following = page(request, visible_repositories(viewer(request)), Order(("name", "id")))
        return Response({"items": shapes.RepositoryShape(items, many=True).data, "next": following})

    @extend_schema(
        operation_id="repositories_register",
        request=shapes.RepositoryRequest,
        responses={201: shapes.RepositoryShape, **WRITE_ERRORS},
        description="For those who see all repositories: operators and admins. One that is registered already is answered as it is.",
    )
    def post(self, request: Request) -> Response:
        person = account(request)
        if not may_register(viewer(request)):
            raise NotAllowed("Your role or token does not permit it.")
        data = valid(shapes.RepositoryRequest, request)
        teams = list(person.teams.all())
        if (wanted := data.get("team_ids")) is not None:
            teams = list(Team.objects.filter(pk__in=wanted))
            if len(teams) != len(set(wanted)):
                raise Refused("unknown_team", "There is no such team.")
        repository = register_remote(actor=Actor.of(person), url=data["url"], name=data.get("name"), teams=teams)
        return Response(shapes.RepositoryShape(repository).data, status=201)


class Immunize(View):
    """Asks for the default branch to be read: inventory, matching, remedies."""

    @extend_schema(
        operation_id="repositories_immunize",
        request=shapes.ImmunizeRequest,
        responses={202: shapes.ScanShape, **WRITE_ERRORS},
    )
    def post(self, request: Request, pk: Any) -> Response:
        repository = _repository(request, pk)
        if not viewer(request).may("immunize"):
            raise NotAllowed("Your role or token does not permit it.")
        person = account(request)
        data = valid(shapes.ImmunizeRequest, request)
        scan = request_scan(
            actor=Actor.of(person), repository=repository, cause="asked", requested_by=person, again=data["again"]
        )
        return Response(shapes.ScanShape(scan).data, status=202, headers={"Location": f"/hitl/scans/{scan.pk}"})


class Merging(View):
    """How approved pull requests are merged there."""

    @extend_schema(
        operation_id="repositories_merging",
        request=shapes.MergingRequest,
        responses={200: shapes.RepositoryShape, **WRITE_ERRORS},
    )
    def post(self, request: Request, pk: Any) -> Response:
        repository = _repository(request, pk)
        if not viewer(request).may("operate"):
            raise NotAllowed("Your role or token does not permit it.")
        data = valid(shapes.MergingRequest, request)
        set_merging(
            actor=Actor.of(account(request)),
            repository=repository,
            method=data["merge_method"],
            queue=data["merge_queue"],
        )
        return Response(shapes.RepositoryShape(_repository(request, pk)).data)


def _repository(request: Request, pk: Any) -> Repository:
    found = visible_repositories(viewer(request)).filter(pk=pk).first()
    if found is None:
        raise Http404
    return found


class ScanDetail(View):
    """How far a reading has come."""

    @extend_schema(operation_id="scans_detail", responses={200: shapes.ScanShape, **ERRORS})
    def get(self, request: Request, pk: Any) -> Response:
        found = Scan.objects.filter(within_sight(viewer(request)), pk=pk).first()
        if found is None:
            raise Http404
        return Response(shapes.ScanShape(found).data)


class WargameDetail(View):
    """One wargame with each of its runs."""

    @extend_schema(operation_id="wargames_detail", responses={200: shapes.WargameShape, **ERRORS})
    def get(self, request: Request, pk: Any) -> Response:
        return Response(shapes.WargameShape(_wargame(request, pk)).data)


class CancelWargame(View):
    """Ends a wargame that has not ended: INCONCLUSIVE, ``cancelled``. A running one is killed."""

    @extend_schema(
        operation_id="wargames_cancel",
        request=shapes.OrderRequest,
        responses={200: shapes.WargameShape, **WRITE_ERRORS},
    )
    def post(self, request: Request, pk: Any) -> Response:
        wargame = _wargame(request, pk)
        data = valid(shapes.OrderRequest, request)
        orders.cancel(account=account(request), viewer=viewer(request), wargame=wargame, reason=data["reason"])
        return Response(shapes.WargameShape(_wargame(request, pk)).data)


class RetryWargame(View):
    """Queues an ended wargame once more, as a new one beside it; an open review of the change opens again when it has ended."""

    @extend_schema(
        operation_id="wargames_retry",
        request=shapes.OrderRequest,
        responses={201: shapes.WargameShape, **WRITE_ERRORS},
    )
    def post(self, request: Request, pk: Any) -> Response:
        wargame = _wargame(request, pk)
        data = valid(shapes.OrderRequest, request)
        again = orders.retry(account=account(request), viewer=viewer(request), wargame=wargame, reason=data["reason"])
        return Response(
            shapes.WargameShape(_wargame(request, again.pk)).data,
            status=201,
            headers={"Location": f"/hitl/wargames/{again.pk}"},
        )


class EvidenceRemoved(APIException):
    status_code = status.HTTP_410_GONE
    default_code = "evidence_removed"


class WargameEvidence(View):
    """What a wargame observed, as the archive its digest names."""

    @extend_schema(
        operation_id="wargames_evidence",
        responses={(200, "application/zip"): OpenApiTypes.BINARY, **ERRORS, **answers(410)},
    )
    def get(self, request: Request, pk: Any) -> HttpResponse:
        digest = _wargame(request, pk).evidence_id
        found = Evidence.objects.filter(pk=digest).first() if digest else None
        if found is None:
            raise Http404
        if found.removed_at is not None:
            raise EvidenceRemoved(f"It was removed on {found.removed_at:%Y-%m-%d}; no decision rested on it.")
        return HttpResponse(
            bytes(found.archive),
            content_type="application/zip",
            headers={
                "Content-Disposition": f'attachment; filename="evidence-{found.digest[:16]}.zip"',
                "X-Content-Type-Options": "nosniff",
            },
        )


def _wargame(request: Request, pk: Any) -> Wargame:
    rows = Wargame.objects.filter(within_sight(viewer(request), "apv__repository")).prefetch_related("runs", "orders")
    found = rows.filter(pk=pk).first()
    if found is None:
        raise Http404
    return found


class Advisories(View):
    """Published vulnerability records. They are public knowledge: everybody who may read sees all of them."""

    @extend_schema(
        operation_id="advisories_list",
        parameters=[
            *PAGING,
            text_parameter("name", "an id or alias, whole"),
            text_parameter("ecosystem"),
            text_parameter("package", "name of an affected package, whole, as its ecosystem writes it"),
            OpenApiParameter("severity", str, enum=Severity.values),
            OpenApiParameter("withdrawn", bool),
        ],
        responses={200: shapes.AdvisoryPage, **ERRORS},
    )
    def get(self, request: Request) -> Response:
        only(request, "name", "ecosystem", "package", "severity", "withdrawn", "limit", "cursor")
        rows = advisories(
            viewer(request),
            name=given(request, "name"),
            ecosystem=given(request, "ecosystem"),
            package=given(request, "package"),
            severity=given(request, "severity", Severity.values),
            withdrawn=flag(request, "withdrawn"),
        )
        items, following = page(request, rows, Order(("id",)))
        return Response({"items": shapes.AdvisoryItem(items, many=True).data, "next": following})


class AdvisoryDetail(View):
    """One record, what it affects, and the APVs in sight that stand on it or on an alias of it."""

    @extend_schema(operation_id="advisories_detail", responses={200: shapes.AdvisoryDetail, **ERRORS})
    def get(self, request: Request, pk: str) -> Response:
        found = advisory(viewer(request), named(pk))
        if found is None:
            raise Http404
        found.apvs = selectors.apvs_of_group(viewer(request), found.group_id)  # type: ignore[attr-defined]
        return Response(shapes.AdvisoryDetail(found).data)
