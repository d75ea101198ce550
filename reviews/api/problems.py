"""Errors as RFC 9457 problem documents: every error of the API has one shape, with a machine-readable ``reason``."""

from __future__ import annotations

from typing import Any

import structlog
from django.core.exceptions import PermissionDenied
from django.core.signals import got_request_exception
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.views import defaults
from django.views.decorators.csrf import csrf_exempt
from rest_framework import exceptions, status
from rest_framework.response import Response
from rest_framework.views import set_rollback

from immune.jobs.services import TooLarge, TooManyWaiting
from immune.people.services import NotPermitted, PeopleError
from immune.services import Refused
from reviews import errors
from wargaming.errors import OrderNotAllowed, OrderRefused, OrderTooLate, ScenarioRefused

log = structlog.get_logger(__name__)

MEDIA_TYPE = "application/problem+json"

_STATUS: dict[type[errors.ReviewError], int] = {
    errors.NotAllowed: status.HTTP_403_FORBIDDEN,
    errors.AlreadyDecided: status.HTTP_409_CONFLICT,
    errors.ClaimedByAnother: status.HTTP_409_CONFLICT,
    errors.SecondPersonNeeded: status.HTTP_409_CONFLICT,
    errors.TooLate: status.HTTP_409_CONFLICT,
    errors.IdempotencyConflict: status.HTTP_409_CONFLICT,
    errors.StaleEvidence: status.HTTP_412_PRECONDITION_FAILED,
    errors.NotOfTheGroup: status.HTTP_409_CONFLICT,
    errors.NotAutomatic: status.HTTP_409_CONFLICT,
    errors.StalePolicy: status.HTTP_412_PRECONDITION_FAILED,
    errors.BadPolicy: status.HTTP_422_UNPROCESSABLE_ENTITY,
    errors.BadDecision: status.HTTP_422_UNPROCESSABLE_ENTITY,
}


def problem(code: int, reason: str, detail: str, **more: Any) -> dict[str, Any]:
    """The document. ``type`` is about:blank since ``reason`` says more than a page would. ``more`` never hides a member."""
    return {
        **more,
        "type": "about:blank",
        "title": _title(code),
        "status": code,
        "detail": detail,
        "reason": reason,
    }


def _title(code: int) -> str:
    return next((name[9:].replace("_", " ").capitalize() for name in _NAMES if getattr(status, name) == code), "Error")


_NAMES = [name for name in dir(status) if name.startswith("HTTP_")]


def handler(error: Exception, context: dict[str, Any]) -> Response:
    """DRF's exception handler. What is not known here is a fault of ours: logged, and answered without its inside."""
    document, headers = _known(error) or _fault(error, context)
    set_rollback()
    return Response(document, status=document["status"], headers=headers, content_type=MEDIA_TYPE)


def _known(error: Exception) -> tuple[dict[str, Any], dict[str, str]] | None:
    headers: dict[str, str] = {}
    if isinstance(error, errors.ReviewError):
        return problem(_STATUS.get(type(error), 409), error.reason, str(error), **error.details), headers
    if isinstance(error, (NotPermitted, Refused, PeopleError)):
        code = 403 if isinstance(error, NotPermitted) else 413 if isinstance(error, TooLarge) else 422
        if isinstance(error, TooManyWaiting):
            code, headers["Retry-After"] = 429, "60"
        return problem(code, error.reason, str(error)), headers
    if isinstance(error, ScenarioRefused):
        problems = [{"where": where, "what": what} for where, what in error.problems]
        return problem(422, error.reason, "It is not a scenario for this APV.", problems=problems), headers
    if isinstance(error, OrderRefused):
        code = 403 if isinstance(error, OrderNotAllowed) else 409 if isinstance(error, OrderTooLate) else 422
        return problem(code, error.reason, str(error), **error.details), headers
    if isinstance(error, Http404):
        return problem(404, "not_found", "There is nothing here, or it is not yours to see."), headers
    if isinstance(error, PermissionDenied):
        return problem(403, "not_allowed", "Your role or token does not permit it."), headers
    if isinstance(error, exceptions.ValidationError):
        fields = error.detail if isinstance(error.detail, dict) else {"": error.detail}
        return problem(400, "invalid", "The request has fields that cannot be taken.", fields=fields), headers
    if isinstance(error, exceptions.APIException):
        if isinstance(error, (exceptions.NotAuthenticated, exceptions.AuthenticationFailed)):
            headers["WWW-Authenticate"] = 'Bearer realm="immune"'
        if (wait := getattr(error, "wait", None)) is not None:
            headers["Retry-After"] = str(int(wait) + 1)
        codes = error.get_codes()
        reason = codes if isinstance(codes, str) else error.default_code
        return problem(error.status_code, reason, str(error.detail)), headers
    if isinstance(error, (OperationalError, InterfaceError)):
        log.warning("api.database_away", exc_info=error)
        return problem(503, "unavailable", "The database does not answer; try again."), {"Retry-After": "5"}
    return None


def _fault(error: Exception, context: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    log.error("api.failed", view=type(context.get("view")).__name__, exc_info=error)
    request = context.get("request")
    # What Django would have told: error reporters and the test client listen to it.
    got_request_exception.send(sender=handler, request=getattr(request, "_request", None))
    return problem(500, "server_error", _SERVER_ERROR), {}


_SERVER_ERROR = "Something went wrong here; it was logged."


@csrf_exempt
def not_found(request: HttpRequest) -> JsonResponse:
    """For addresses below /hitl/ that nothing answers."""
    return _answer(404, "not_found", "There is nothing at this address.")


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """The site's answer to requests refused before any view: a wrong Host, a body that cannot be read."""
    if not request.path.startswith("/hitl/"):
        return defaults.bad_request(request, exception)
    return _answer(400, "bad_request", "The request cannot be taken.")


def server_error(request: HttpRequest) -> HttpResponse:
    """The site's answer to faults outside the API's views."""
    if not request.path.startswith("/hitl/"):
        return defaults.server_error(request)
    return _answer(500, "server_error", _SERVER_ERROR)


def _answer(code: int, reason: str, detail: str) -> JsonResponse:
    return JsonResponse(problem(code, reason, detail), status=code, content_type=MEDIA_TYPE)
