"""Who may open a socket and what it may see: the origin, the session or token, and the repositories in sight.

A token travels in the ``Authorization: Bearer`` header or, from browsers, as the second of two offered subprotocols
(``immune.bearer, <token>``); never in the address, which servers log. The same check runs again while the socket is open.
"""

from __future__ import annotations

from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from importlib import import_module
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from django.conf import settings
from django.contrib.auth import HASH_SESSION_KEY, SESSION_KEY
from django.http.request import validate_host
from django.utils.crypto import constant_time_compare

from immune.models import Account
from immune.people.selectors import Viewer, viewer_of, visible_repository_ids
from immune.people.services import find_token

BEARER = "immune.bearer"


@dataclass(frozen=True, slots=True)
class Credential:
    """What a client showed: a session key or a token's text."""

    kind: str
    secret: str


@dataclass(frozen=True, slots=True)
class Sight:
    """What one viewer may see now. ``repositories`` None means all."""

    viewer: Viewer
    repositories: frozenset[UUID] | None

    def covers(self, repository: UUID | None, everyone: bool) -> bool:
        if everyone or self.repositories is None:
            return True
        return repository is not None and repository in self.repositories


def credential_in(scope: dict[str, Any]) -> Credential | None:
    """The credential of a WebSocket scope. A token stands before a session; a malformed one counts as none."""
    headers = _headers(scope)
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return Credential("token", token.strip())
    offered = list(scope.get("subprotocols") or ())
    if len(offered) == 2 and offered[0] == BEARER:
        return Credential("token", offered[1])
    try:
        morsel = SimpleCookie(headers.get("cookie", "")).get(settings.SESSION_COOKIE_NAME)
    except CookieError:
        return None
    return Credential("session", morsel.value) if morsel and morsel.value else None


def origin_allowed(scope: dict[str, Any], credential: Credential) -> bool:
    """Whether the page that opened the socket may use it.

    A browser always says its origin, and sends the session's cookie by itself: so a session needs an origin that is this site
    or listed. Programs with a token need not say one, but one they say must be allowed.
    """
    headers = _headers(scope)
    host, origin = headers.get("host", ""), headers.get("origin")
    if not validate_host(_without_port(host), settings.ALLOWED_HOSTS):
        return False
    if origin is None:
        return credential.kind == "token"
    if origin in (*settings.CORS_ALLOWED_ORIGINS, *settings.CSRF_TRUSTED_ORIGINS):
        return True
    parts = urlsplit(origin)
    return parts.scheme in ("http", "https") and parts.netloc.lower() == host.lower()


def sight_of(credential: Credential) -> Sight | None:
    """What the credential lets its holder see now, None when it does not hold (any more). Asks the database."""
    viewer = _token_viewer(credential.secret) if credential.kind == "token" else _session_viewer(credential.secret)
    if viewer is None or not viewer.may("read"):
        return None
    return Sight(viewer, visible_repository_ids(viewer))


def _token_viewer(text: str) -> Viewer | None:
    token = find_token(text)
    return viewer_of(token.account, token.scopes) if token else None


def _session_viewer(key: str) -> Viewer | None:
    store = import_module(settings.SESSION_ENGINE).SessionStore(key)
    account_id = store.get(SESSION_KEY)
    if account_id is None:
        return None
    account = Account.objects.filter(pk=account_id, is_active=True).first()
    # The hash changes with the password, which is what ends the other sessions of an account.
    if account is None or not constant_time_compare(store.get(HASH_SESSION_KEY, ""), account.get_session_auth_hash()):
        return None
    return viewer_of(account)


def _headers(scope: dict[str, Any]) -> dict[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope.get("headers", ())}


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return (name if colon and port.isdigit() else host).lower()
