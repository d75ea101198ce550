"""The only way out for notices that go by HTTP: one POST, to the address that was checked, without redirects or proxies.

The host is looked up once; every address it has must be public or stand in NOTICE_PRIVATE_NETWORKS, and the connection is made to the one
that was checked, so a second answer of the name server leads nowhere else. The certificate is checked for the name.
"""

from __future__ import annotations

import http.client
import re
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import ip_address
from urllib.parse import urlsplit

from django.conf import settings

from immune.forges.urls import Resolver, UrlError, UrlReason, pinned_address, system_resolver

TIMEOUT = 10.0
MOST_READ = 2048
LONGEST_WAIT = timedelta(hours=1)
_HOST = re.compile(r"[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\]")


@dataclass(frozen=True, slots=True)
class Answered:
    """What came back. ``outcome``: done, or a machine-readable reason; ``again``: trying again can help, not before ``wait``."""

    outcome: str
    status: int | None = None
    said: str = ""
    again: bool = False
    wait: timedelta = timedelta()


@dataclass(frozen=True, slots=True)
class Place:
    scheme: str
    host: str
    port: int
    path: str


def place_of(url: str) -> Place:
    """The parts of an address that may be posted to. Raises UrlError, whose text never repeats the address.

    https only; http where the setting NOTICE_PRIVATE_NETWORKS allows the address it leads to (checked on sending).
    """
    if len(url) > 2048 or not url.isascii() or re.search(r"[\x00-\x20\x7f\\#<>\"`{}|^]", url):
        raise UrlError(UrlReason.MALFORMED, "the address holds characters that addresses do not need")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as odd:
        raise UrlError(UrlReason.MALFORMED, "not an address") from odd
    schemes = ("https", "http") if settings.NOTICE_PRIVATE_NETWORKS else ("https",)
    if parts.scheme.lower() not in schemes:
        raise UrlError(UrlReason.SCHEME, "only https addresses are accepted")
    if parts.username is not None or parts.password is not None:
        raise UrlError(UrlReason.CREDENTIALS, "the address holds a user name or password")
    host = (parts.hostname or "").rstrip(".")
    if not host or len(host) > 253 or not (_HOST.fullmatch(host) or ":" in host):
        raise UrlError(UrlReason.MALFORMED, "not a host name")
    scheme = parts.scheme.lower()
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Place(scheme, host, port or (443 if scheme == "https" else 80), path)


def checked(url: str, resolver: Resolver = system_resolver) -> tuple[Place, str]:
    """The parts of the address and the network address to connect to. Raises UrlError."""
    place = place_of(url)
    address = pinned_address(place.host, place.port, settings.NOTICE_PRIVATE_NETWORKS, resolver)
    if place.scheme == "http" and not any(ip_address(address) in net for net in settings.NOTICE_PRIVATE_NETWORKS):
        raise UrlError(UrlReason.SCHEME, "only https addresses are accepted")
    return place, address


def post(url: str, body: bytes, headers: Mapping[str, str], resolver: Resolver = system_resolver) -> Answered:
    """Sends one body. Never raises for what the other side or the network does; a refused address is an outcome too."""
    try:
        place, address = checked(url, resolver)
    except UrlError as error:
        return Answered(str(error.reason), said=error.message, again=error.reason is UrlReason.UNRESOLVED)
    connection = _Pinned(place, address)
    try:
        connection.request("POST", place.path, body, {"User-Agent": "Immune", **headers})
        answer = connection.getresponse()
        said = answer.read(MOST_READ).decode("utf-8", "replace")
    except (OSError, http.client.HTTPException) as error:
        return Answered("unreachable", said=type(error).__name__, again=True)
    finally:
        connection.close()
    return _judged(answer.status, said, answer.getheader("Retry-After"))


def _judged(status: int, said: str, retry_after: str | None) -> Answered:
    if 200 <= status < 300:
        return Answered("done", status, said)
    again = status in (408, 425, 429) or status >= 500
    seconds = (
        int(retry_after)
        if retry_after and retry_after.isascii() and retry_after.isdigit() and len(retry_after) < 7
        else 0
    )
    return Answered(
        "try_again" if again else "refused", status, said, again, min(timedelta(seconds=seconds), LONGEST_WAIT)
    )


def _context() -> ssl.SSLContext:
    """Trusts the machine's authorities, and the house's own where one is configured."""
    context = ssl.create_default_context()
    if settings.NOTICE_CA_FILE:
        context.load_verify_locations(cafile=settings.NOTICE_CA_FILE)
    return context


class _Pinned(http.client.HTTPConnection):
    """A connection to the address that was checked, whatever the name says by now."""

    def __init__(self, place: Place, address: str) -> None:
        super().__init__(place.host, place.port, timeout=TIMEOUT)
        self._place, self._address = place, address

    def connect(self) -> None:
        plain = socket.create_connection((self._address, self._place.port), TIMEOUT)
        if self._place.scheme == "http":
            self.sock = plain
            return
        try:
            self.sock = _context().wrap_socket(plain, server_hostname=self._place.host)
        except BaseException:
            plain.close()
            raise
