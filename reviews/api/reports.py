"""Sending scanners' reports, SBOMs and VEX documents, and seeing what came of them: the jobs of that kind."""

from __future__ import annotations

import io
from typing import Any

from django.db.models import QuerySet
from django.http import Http404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from immune.events.actors import Actor
from immune.jobs.selectors import jobs
from immune.jobs.services import submit_report
from immune.models import Job
from immune.models.jobs import JobKind
from immune.people.selectors import visible_repositories
from reviews.api import shapes
from reviews.api.access import account, viewer
from reviews.api.base import ERRORS, PAGING, WRITE_ERRORS, View, given, only, text_parameter
from reviews.api.pages import Order, page
from reviews.api.parsing import Untouched

PART = OpenApiParameter(
    "part",
    {"type": "string", "minLength": 1, "maxLength": 200},
    description="which part of the repository the tool looked at, where it reports on several: each report of a part stands "
    "in place of the one before",
)


class SendReport(View):
    """Takes a report as the body, plain or gzipped; what kind it is, is told by its content. It is taken in by a worker."""

    parser_classes = [Untouched]

    @extend_schema(
        operation_id="repositories_report",
        parameters=[PART, text_parameter("source", "name of the file, for people")],
        request={"application/octet-stream": OpenApiTypes.BINARY},
        responses={202: shapes.ReportShape, **WRITE_ERRORS},
    )
    def post(self, request: Request, pk: Any) -> Response:
        only(request, "part", "source")
        repository = visible_repositories(viewer(request)).filter(pk=pk).first()
        if repository is None:
            raise Http404
        person = account(request)
        job = submit_report(
            actor=Actor.of(person),
            viewer=viewer(request),
            repository=repository,
            stream=request.data if hasattr(request.data, "read") else io.BytesIO(),
            source=given(request, "source") or "report",
            part=given(request, "part") or "",
            requested_by=person,
        )
        return Response(shapes.ReportShape(job).data, status=202, headers={"Location": f"/hitl/reports/{job.pk}"})


class Reports(View):
    """The reports sent for repositories in sight, newest first."""

    @extend_schema(operation_id="reports_list", parameters=PAGING, responses={200: shapes.ReportPage, **ERRORS})
    def get(self, request: Request) -> Response:
        only(request, "limit", "cursor")
        items, following = page(request, _reports(request), Order(("-created_at", "-id")))
        return Response({"items": shapes.ReportShape(items, many=True).data, "next": following})


class ReportDetail(View):
    """How far taking a report in has come; what it changed and what was refused once it ended."""

    @extend_schema(operation_id="reports_detail", responses={200: shapes.ReportShape, **ERRORS})
    def get(self, request: Request, pk: Any) -> Response:
        found = _reports(request).filter(pk=pk).first()
        if found is None:
            raise Http404
        return Response(shapes.ReportShape(found).data)


def _reports(request: Request) -> QuerySet[Job]:
    return jobs(viewer(request)).filter(kind=JobKind.REPORT)
