"""Where forges tell us things: ``/hooks/github``. Stored first, answered at once, worked on later."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt

from immune import hints
from immune.forges.webhooks import MAX_BYTES, WebhookError, WebhookReason
from reviews.api.problems import MEDIA_TYPE, problem

_STATUS = {
    WebhookReason.UNSIGNED: 401,
    WebhookReason.WRONG_SIGNATURE: 401,
    WebhookReason.TOO_LARGE: 413,
}


@csrf_exempt
def github(request: HttpRequest) -> HttpResponse:
    """202 when stored, 200 when it was stored before; 401 unsigned or wrongly signed, 413 too large, 400 otherwise refused.

    404 while no secret is configured: an address that believes nobody is not there.
    """
    if not settings.GITHUB_WEBHOOK_SECRETS:
        return _problem(404, "not_found", "There is nothing at this address.")
    if request.method != "POST":
        answer = _problem(405, "method_not_allowed", "Deliveries come by POST.")
        answer["Allow"] = "POST"
        return answer
    # One byte more than may come: the length a sender claims is not believed.
    raw = request.read(MAX_BYTES + 1)
    try:
        made = hints.take(request.headers, raw)
    except WebhookError as error:
        return _problem(_STATUS.get(error.reason, 400), error.reason.value, error.message)
    return JsonResponse({"stored": made}, status=202 if made else 200)


def _problem(status: int, reason: str, detail: str) -> JsonResponse:
    return JsonResponse(problem(status, reason, detail), status=status, content_type=MEDIA_TYPE)
