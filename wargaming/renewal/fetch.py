"""Asking a registry for its metadata: bounded, over the installers' own configuration, credentials staying in here."""

from __future__ import annotations

import ssl
from urllib.parse import urlsplit

import httpx

from immune.formats import limits
from immune.renewal import CannotRenew, RegistryUnreachable
from wargaming.renewal import registries

MAX_BYTES = 96 * 1024 * 1024  # the largest documents of a registry are some 40 MB
TIMEOUT = httpx.Timeout(30.0, connect=10.0)
_MISSING = frozenset({404, 410})


def get(client: httpx.Client, address: str, *, accept: str = "*/*") -> httpx.Response | None:
    """The answer, read whole; None where the registry has no such thing. Raises RegistryUnreachable, CannotRenew."""
    host = urlsplit(address).hostname or ""
    try:
        url = httpx.URL(address)
        # Not left in the address, which is logged.
        auth = (url.username, url.password) if url.userinfo else httpx.USE_CLIENT_DEFAULT
        plain = url.copy_with(userinfo=b"")
        with client.stream("GET", plain, headers={"Accept": accept}, auth=auth) as answer:
            if answer.status_code in _MISSING:
                return None
            if answer.status_code != httpx.codes.OK:
                raise RegistryUnreachable(f"{host} answered {answer.status_code}")
            body = bytearray()
            for chunk in answer.iter_bytes():
                body += chunk
                if len(body) > MAX_BYTES:
                    raise CannotRenew(f"{host} answered with more than {MAX_BYTES} bytes")
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise RegistryUnreachable(f"{host} could not be reached ({limits.shown(type(error).__name__)})") from error
    headers = {"content-type": answer.headers.get("content-type", "")}
    return httpx.Response(200, content=bytes(body), headers=headers, request=answer.request)


def client() -> httpx.Client:
    """One that believes whom this machine believes, as the installers do: a mirror inside a company has its own authority."""
    trusted = ssl.create_default_context()
    return httpx.Client(
        timeout=TIMEOUT,
        follow_redirects=True,
        verify=trusted,
        auth=registries.Credentials(),
        headers={"User-Agent": "immune"},
    )
