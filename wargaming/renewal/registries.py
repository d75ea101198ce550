"""Which registries are asked, and with what credentials. They are known out here only: what runs in the sandbox sees neither."""

from __future__ import annotations

import base64
from collections.abc import Generator
from dataclasses import dataclass

import httpx


@dataclass(frozen=True, slots=True)
class Registry:
    """One configured registry: its address, and the value of the Authorization header ("" for none)."""

    address: str
    authorization: str = ""


_configured: dict[str, Registry] = {}


def configure(ecosystem: str, address: str, *, basic: str = "", token: str = "") -> None:
    """Sets the registry of an ecosystem (PyPI, npm); an empty address leaves it to the installers' own configuration."""
    if not address:
        _configured.pop(ecosystem, None)
        return
    said = f"Basic {base64.b64encode(basic.encode()).decode()}" if basic else f"Bearer {token}" if token else ""
    _configured[ecosystem] = Registry(address, said)


def address_of(ecosystem: str) -> str:
    """The configured address, "" where there is none."""
    found = _configured.get(ecosystem)
    return found.address if found else ""


class Credentials(httpx.Auth):
    """Sends a registry's credentials to that registry's scheme, host and port alone; httpx drops them on a redirect elsewhere."""

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        for registry in _configured.values():
            if registry.authorization and _origin(request.url) == _origin(httpx.URL(registry.address)):
                request.headers["Authorization"] = registry.authorization
        yield request


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port or {"http": 80, "https": 443}.get(url.scheme)
