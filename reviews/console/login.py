"""Signing in, slowed down: who guesses passwords is told to wait before the next guess is even looked at."""

from __future__ import annotations

import hashlib
from typing import Any

from django.conf import settings
from django.contrib import admin
from django.contrib.auth.signals import user_login_failed
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache

from reviews import pace

WINDOW = 300
# One address may be a whole office: it has more tries than one name from it.
NAMES_PER_ADDRESS = 5


@never_cache
def login(request: HttpRequest) -> HttpResponse:
    """The console's log-in page; 429 while there were too many wrong passwords for this name or from this address."""
    if request.method == "POST" and _too_many(request, request.POST.get("username", "")):
        wait = pace.until_next(WINDOW)
        text = _("Too many wrong passwords. Try again in %(seconds)s seconds.") % {"seconds": wait}
        return HttpResponse(text, status=429, content_type="text/plain; charset=utf-8", headers={"Retry-After": wait})
    return admin.site.login(request)


@receiver(user_login_failed, dispatch_uid="reviews.console.login")
def failed(sender: Any, credentials: dict[str, Any], request: HttpRequest | None = None, **more: Any) -> None:
    if request is not None:
        for key in _keys(request, str(credentials.get("username", ""))):
            pace.count(key, WINDOW)


def _too_many(request: HttpRequest, name: str) -> bool:
    most: int = settings.LOGIN_FAILURES
    own, address = _keys(request, name)
    return bool(most) and (
        pace.counted(own, WINDOW) >= most or pace.counted(address, WINDOW) >= most * NAMES_PER_ADDRESS
    )


def _keys(request: HttpRequest, name: str) -> tuple[str, str]:
    """Per name and address together, so that nobody locks a colleague out from afar; and per address."""
    address = pace.client_address(request)
    digest = hashlib.sha256(name.casefold().encode("utf-8", "replace")).hexdigest()[:32]
    return f"login:{address}:{digest}", f"login:{address}"
