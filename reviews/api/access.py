"""Who calls the API: a session of the console or a token, and what the caller may see and do."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework import exceptions
from rest_framework.authentication import BaseAuthentication, SessionAuthentication, get_authorization_header
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from immune.models import Account, ApiToken
from immune.people.selectors import Viewer, viewer_of
from immune.people.services import find_token
from reviews import pace
from reviews.api.throttles import WINDOW


class TokenAuthentication(BaseAuthentication):
    """``Authorization: Bearer imm_…``. Unknown, expired and revoked tokens are refused alike."""

    def authenticate(self, request: Request) -> tuple[Account, ApiToken] | None:
        words = get_authorization_header(request).split()
        if not words or words[0].lower() != b"bearer":
            return None
        try:
            token = find_token(words[1].decode("ascii")) if len(words) == 2 else None
        except UnicodeDecodeError:
            token = None
        if token is None:
            most = settings.API_ANONYMOUS_RATE_PER_MINUTE
            if most and pace.count(f"api:address:{pace.client_address(request._request)}", WINDOW) > most:
                raise exceptions.Throttled(pace.until_next(WINDOW))
            raise exceptions.AuthenticationFailed("The token is not valid: unknown, expired or revoked.")
        return token.account, token

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="immune"'


class TokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """How the OpenAPI document names it."""

    target_class = TokenAuthentication
    name = "token"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer"}


AUTHENTICATION = [TokenAuthentication, SessionAuthentication]


def viewer(request: Request) -> Viewer:
    """The viewer behind a request, narrowed by the token's scopes when there is one."""
    user = request.user
    if not isinstance(user, Account):
        return viewer_of(AnonymousUser() if user is None else user)
    return viewer_of(user, request.auth.scopes if isinstance(request.auth, ApiToken) else None)


def account(request: Request) -> Account:
    """The account behind a request. Raises NotAuthenticated."""
    if not isinstance(request.user, Account):
        raise exceptions.NotAuthenticated()
    return request.user


class MayRead(BasePermission):
    """Signed in, active, and (for a token) with the scope to read. Other rights are asked for by the services."""

    message = "Your role or token does not permit it."

    def has_permission(self, request: Request, view: Any) -> bool:
        return isinstance(request.user, Account) and viewer(request).may("read")
