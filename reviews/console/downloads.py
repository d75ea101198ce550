"""Handing out what strangers wrote, whole: always as an attachment, never as something a browser would open or run."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from django.http import Http404, HttpRequest, HttpResponse
from django.urls import URLPattern, path
from django.utils.translation import gettext

from immune.people.selectors import within_sight
from reviews.console.base import allowed
from wargaming.models import Evidence, Run

if TYPE_CHECKING:
    from reviews.console.base import ReadOnlyAdmin

STREAMS = ("stdout", "stderr", "last_line")


def attachment(content: str | bytes | memoryview, name: str) -> HttpResponse:
    """``name`` is ours or cut down to harmless characters; nothing in the answer lets a browser show or guess."""
    body = content.encode("utf-8", "backslashreplace") if isinstance(content, str) else bytes(content)
    kind = "text/plain; charset=utf-8" if isinstance(content, str) else "application/octet-stream"
    answer = HttpResponse(body, content_type=kind)
    safe = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip(".-")[:100] or "download"
    answer["Content-Disposition"] = f'attachment; filename="{safe}"'
    answer["X-Content-Type-Options"] = "nosniff"
    answer["Content-Security-Policy"] = "sandbox; default-src 'none'"
    answer["Cache-Control"] = "private, no-store"
    return answer


def urls(page: ReadOnlyAdmin) -> list[URLPattern]:
    view = page.admin_site.admin_view
    return [
        path(
            "<uuid:object_id>/patch/", view(lambda r, object_id: patch(page, r, object_id)), name=page.address("patch")
        ),
        path("runs/<int:run>/<slug:stream>/", view(output), name=page.address("output")),
        path("evidence/<uuid:wargame>/", view(archive), name=page.address("evidence")),
    ]


def patch(page: ReadOnlyAdmin, request: HttpRequest, object_id: str) -> HttpResponse:
    allowed(request, "read")
    review = page.found(request, object_id)
    if review.remedy is None:
        raise Http404
    return attachment(review.remedy.patch, f"{review.remedy.package_name}-{review.remedy.target_version}.patch.txt")


def output(request: HttpRequest, run: int, stream: str) -> HttpResponse:
    viewer = allowed(request, "read")
    if stream not in STREAMS:
        raise Http404
    row = Run.objects.filter(within_sight(viewer, "wargame__apv__repository"), pk=run).first()
    if row is None:
        raise Http404
    return attachment(getattr(row, stream), f"{row.step}-{row.phase}-{row.number}-{stream}.txt")


def archive(request: HttpRequest, wargame: Any) -> HttpResponse:
    viewer = allowed(request, "read")
    row = Evidence.objects.filter(within_sight(viewer, "wargames__apv__repository"), wargames=wargame).first()
    if row is None:
        raise Http404
    if row.removed_at is not None:
        gone = gettext("It was removed on %(day)s; no decision rested on it.") % {"day": f"{row.removed_at:%Y-%m-%d}"}
        return HttpResponse(gone, status=410, content_type="text/plain; charset=utf-8")
    return attachment(row.archive, f"evidence-{row.digest[:16]}.bin")
