"""Jobs: what was asked for with a file, or to get one. How far each has come, what came of it, and its document."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

from django.http import Http404, StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import status
from rest_framework.exceptions import APIException
from rest_framework.request import Request
from rest_framework.response import Response

from immune.events.actors import Actor
from immune.jobs import selectors, services
from immune.models import Job
from immune.models.jobs import JobKind
from immune.people.selectors import visible_repositories
from reviews.api import shapes
from reviews.api.access import account, viewer
from reviews.api.base import ERRORS, PAGING, WRITE_ERRORS, View, answers, given, only, text_parameter, valid
from reviews.api.pages import Order, page
from reviews.api.parsing import Untouched

SOURCE = text_parameter("source", "name of the file; it tells what kind of manifest a single one is")
FILE = {"application/octet-stream": OpenApiTypes.BINARY}


class Jobs(View):
    """The reports sent for repositories in sight and what one asked for oneself, newest first."""

    @extend_schema(
        operation_id="jobs_list",
        parameters=[*PAGING, OpenApiParameter("kind", str, enum=JobKind.values)],
        responses={200: shapes.JobPage, **ERRORS},
    )
    def get(self, request: Request) -> Response:
        only(request, "kind", "limit", "cursor")
        rows = selectors.jobs(viewer(request))
        if kind := given(request, "kind", JobKind.values):
            rows = rows.filter(kind=kind)
        items, following = page(request, rows, Order(("-created_at", "-id")))
        return Response({"items": shapes.JobShape(items, many=True).data, "next": following})


class JobDetail(View):
    """How far a job has come; what came of it and what was refused once it ended."""

    @extend_schema(operation_id="jobs_detail", responses={200: shapes.JobShape, **ERRORS})
    def get(self, request: Request, pk: Any) -> Response:
        return Response(shapes.JobShape(_job(request, pk)).data)


class NoDocument(APIException):
    status_code = status.HTTP_409_CONFLICT
    default_code = "no_document"
    default_detail = "There is no document: the job has not ended, has failed, or is of a kind that leaves none."


class Expired(APIException):
    status_code = status.HTTP_410_GONE
    default_code = "expired"


class JobDocument(View):
    """The document a job left: of a scan all of what `manage.py scan --format json` prints, of an export the VEX document."""

    @extend_schema(
        operation_id="jobs_document",
        responses={(200, "application/json"): OpenApiTypes.BINARY, **ERRORS, **answers(409, 410)},
    )
    def get(self, request: Request, pk: Any) -> StreamingHttpResponse:
        job = _job(request, pk)
        if job.expired_at is not None:
            raise Expired(f"It was removed on {job.expired_at:%Y-%m-%d}; ask for it again.")
        if not selectors.has_document(job):
            raise NoDocument()
        if not selectors.still_in_sight(viewer(request), job):
            raise Http404
        return StreamingHttpResponse(
            selectors.document(job),
            content_type="application/json",
            headers={
                "Content-Disposition": f'attachment; filename="{job.kind}-{str(job.pk)[:8]}.json"',
                "X-Content-Type-Options": "nosniff",
                "Cache-Control": "private, no-store",
            },
        )


class SendScan(View):
    """Takes a manifest, a lock file or an archive (ZIP, tar, tar.gz, tar.xz) of them as the body and matches it with the
    advisories. Nothing of it enters the inventory. The job's `outcome` is what the command says by its exit code."""

    parser_classes = [Untouched]

    @extend_schema(
        operation_id="jobs_scan",
        parameters=[SOURCE],
        request=FILE,
        responses={202: shapes.JobShape, **WRITE_ERRORS},
    )
    def post(self, request: Request) -> Response:
        return _sent(request, services.submit_scan)


class SendAdvisories(View):
    """Takes OSV records as the body: one, JSON Lines, YAML, or an archive of them. The rest is taken where one is broken."""

    parser_classes = [Untouched]

    @extend_schema(
        operation_id="jobs_advisories",
        parameters=[SOURCE],
        request=FILE,
        responses={202: shapes.JobShape, **WRITE_ERRORS},
    )
    def post(self, request: Request) -> Response:
        return _sent(request, services.submit_advisories)


class RequestExport(View):
    """Asks for the state of everything in sight, or of one repository, as a VEX document."""

    @extend_schema(
        operation_id="jobs_export",
        request=shapes.ExportRequest,
        responses={202: shapes.JobShape, **WRITE_ERRORS},
    )
    def post(self, request: Request) -> Response:
        data = valid(shapes.ExportRequest, request)
        repository = None
        if "repository_id" in data:
            repository = visible_repositories(viewer(request)).filter(pk=data["repository_id"]).first()
            if repository is None:
                raise Http404
        person = account(request)
        job = services.request_export(
            actor=Actor.of(person),
            viewer=viewer(request),
            kind=data["kind"],
            repository=repository,
            requested_by=person,
        )
        return _accepted(job)


def _job(request: Request, pk: Any) -> Job:
    found = selectors.jobs(viewer(request)).filter(pk=pk).first()
    if found is None:
        raise Http404
    return found


def _sent(request: Request, submit: Callable[..., Job]) -> Response:
    only(request, "source")
    person = account(request)
    job = submit(
        actor=Actor.of(person),
        viewer=viewer(request),
        stream=request.data if hasattr(request.data, "read") else io.BytesIO(),
        source=given(request, "source") or "",
        requested_by=person,
    )
    return _accepted(job)


def _accepted(job: Job) -> Response:
    return Response(shapes.JobShape(job).data, status=202, headers={"Location": f"/hitl/jobs/{job.pk}"})
