"""How many requests a minute one account, or one address without one, may send."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from immune.models import Account
from reviews import pace

WINDOW = 60


class PerCaller(BaseThrottle):
    """Counted after authentication: all tokens and sessions of an account share its allowance. 0 in the settings means no limit.

    Requests that show a wrong token never come here; ``access.TokenAuthentication`` counts those by address.
    """

    def allow_request(self, request: Request, view: Any) -> bool:
        if isinstance(request.user, Account):
            most, key = settings.API_RATE_PER_MINUTE, f"api:account:{request.user.pk}"
        else:
            most, key = settings.API_ANONYMOUS_RATE_PER_MINUTE, f"api:address:{pace.client_address(request._request)}"
        return not most or pace.count(key, WINDOW) <= most

    def wait(self) -> float:
        return pace.until_next(WINDOW)
