"""Which repository addresses may be contacted, and at which network address. Pure but for one name look-up. No Django.

For everything that comes from outside the command line (API, console, tasks). The name must be configured, is looked up
once, every address it has must be public (or allowed by settings), and the first is pinned, so that a second answer of
the name server cannot lead elsewhere. Registries of special addresses: RFC 6890, RFC 5156; IANA special-purpose tables.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit

from immune.git_process import Source

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
# (host, port) -> addresses as text; raises OSError when the name is unknown.
Resolver = Callable[[str, int], list[str]]

_DEFAULT_PORTS = {"https": 443, "ssh": 22}
_SCP_LIKE = re.compile(r"(?P<user>[A-Za-z0-9_.-]+)@(?P<host>[A-Za-z0-9.-]+):(?P<path>[^/:].*)")
_HOST = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*")
_PATH = re.compile(r"(?:/[A-Za-z0-9_~.+@-]+)+/?")

# What `is_global` of this Python may call public but is no place to fetch from.
_NEVER_PUBLIC: tuple[Network, ...] = tuple(
    ip_network(text)
    for text in (
        "0.0.0.0/8", "100.64.0.0/10", "169.254.0.0/16", "192.0.0.0/24", "192.88.99.0/24", "198.18.0.0/15",
        "224.0.0.0/4", "240.0.0.0/4", "::/128", "::1/128", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32",
        "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8",
    )
)  # fmt: skip
_NAT64 = ip_network("64:ff9b::/96")


class UrlReason(StrEnum):
    """Why an address is refused."""

    MALFORMED = "malformed_url"
    SCHEME = "forbidden_scheme"
    CREDENTIALS = "credentials_in_url"
    HOST = "host_not_allowed"
    PORT = "port_not_allowed"
    PRIVATE = "private_address"
    UNRESOLVED = "unresolved"


class UrlError(Exception):
    """An address that will not be contacted. The text never repeats the URL: it may hold a secret."""

    def __init__(self, reason: UrlReason, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


@dataclass(frozen=True, slots=True)
class UrlPolicy:
    """What the settings allow. ``hosts``: exact names, lower case, ``name`` or ``name:port`` for an unusual port."""

    hosts: frozenset[str]
    schemes: frozenset[str] = frozenset({"https", "ssh"})
    private_networks: tuple[Network, ...] = ()
    ssh_known_hosts: str = ""
    ca_file: str = ""


@dataclass(frozen=True, slots=True)
class CheckedUrl:
    """An address that passed, as it will be used: normalised URL and the one network address that was checked."""

    url: str
    scheme: str
    host: str
    port: int
    path: str
    address: str
    policy: UrlPolicy = field(repr=False)

    def source(self, *, token: str = "", ssh_identity: str = "") -> Source:
        """What git is given. The token is for https only; it is refused for other schemes rather than left out."""
        if token and self.scheme != "https":
            raise UrlError(UrlReason.SCHEME, "a token can only be used over https")
        shown = f"[{self.address}]" if ":" in self.address else self.address
        return Source(
            url=self.url,
            protocols=frozenset({self.scheme}),
            resolve=f"{self.host}:{self.port}:{shown}",
            token=token,
            ca_file=self.policy.ca_file,
            ssh_known_hosts=self.policy.ssh_known_hosts,
            ssh_identity=ssh_identity,
        )


def system_resolver(host: str, port: int) -> list[str]:
    """The machine's own look-up, each address once."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(item[4][0]) for item in found))


def check_repository_url(url: str, policy: UrlPolicy, resolver: Resolver = system_resolver) -> CheckedUrl:
    """The URL in the form it will be used, with its address pinned. Raises ``UrlError``."""
    scheme, user, host, port, path = _take_apart(url)
    if scheme not in policy.schemes:
        raise UrlError(UrlReason.SCHEME, "only https and ssh addresses are accepted")
    if f"{host}:{port}" not in policy.hosts and not (host in policy.hosts and port == _DEFAULT_PORTS[scheme]):
        named = host in policy.hosts
        reason = UrlReason.PORT if named else UrlReason.HOST
        raise UrlError(reason, "this port is not configured" if named else "this host is not configured")
    address = pinned_address(host, port, policy.private_networks, resolver)
    at = f"{user}@" if user else ""
    suffix = "" if port == _DEFAULT_PORTS[scheme] else f":{port}"
    return CheckedUrl(f"{scheme}://{at}{host}{suffix}{path}", scheme, host, port, path, address, policy)


def _take_apart(url: str) -> tuple[str, str, str, int, str]:
    if len(url) > 2048 or not url.isascii() or re.search(r"[\x00-\x20\x7f\\%?#<>\"'`{}|^]", url):
        raise UrlError(UrlReason.MALFORMED, "the address holds characters that repository addresses do not need")
    if "://" not in url and (short := _SCP_LIKE.fullmatch(url)):
        url = f"ssh://{short['user']}@{short['host']}/{short['path']}"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as odd:
        raise UrlError(UrlReason.MALFORMED, "not an address") from odd
    scheme = parts.scheme.lower()
    if scheme not in _DEFAULT_PORTS:
        raise UrlError(UrlReason.SCHEME, "only https and ssh addresses are accepted")
    user = parts.username or ""
    # ssh needs a login name; anything that could be a secret is refused.
    if parts.password is not None or (user and scheme != "ssh"):
        raise UrlError(UrlReason.CREDENTIALS, "the address holds a user name or password; configure a token instead")
    if user and not re.fullmatch(r"[a-z_][a-z0-9_-]{0,31}", user):
        raise UrlError(UrlReason.MALFORMED, "not an ssh login name")
    host = (parts.hostname or "").rstrip(".")
    if not _HOST.fullmatch(host) or len(host) > 253:
        raise UrlError(UrlReason.MALFORMED, "not a host name")
    segments = parts.path.split("/")
    if not _PATH.fullmatch(parts.path) or any(part in (".", "..") or part.startswith("-") for part in segments):
        raise UrlError(UrlReason.MALFORMED, "not a path of a repository")
    return scheme, user, host, port or _DEFAULT_PORTS[scheme], parts.path.rstrip("/")


def pinned_address(host: str, port: int, allowed: Iterable[Network] = (), resolver: Resolver = system_resolver) -> str:
    """The first address of ``host``, when every one of them may be contacted. Also for notices sent out.

    One private address among public ones refuses the name: which one is used would be a matter of luck.
    Raises ``UrlError``: unresolved, private_address.
    """
    try:
        texts = resolver(host, port)
    except OSError as unknown:
        raise UrlError(UrlReason.UNRESOLVED, "the host name could not be looked up") from unknown
    if not texts:
        raise UrlError(UrlReason.UNRESOLVED, "the host name has no address")
    allowed = tuple(allowed)
    for text in texts:
        try:
            address = ip_address(text)
        except ValueError as odd:  # a zone (fe80::1%eth0) is a link-local address by its nature
            raise UrlError(UrlReason.PRIVATE, "the host name leads to an address of this network") from odd
        if not any(address in network for network in allowed) and not is_public(address):
            raise UrlError(UrlReason.PRIVATE, "the host name leads to an address that is not public")
    return str(ip_address(texts[0]))


def is_public(address: Address) -> bool:
    """Whether an address belongs to the public internet, also when it is wrapped in another (mapped, 6to4, NAT64)."""
    if isinstance(address, IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if address in _NAT64:
            inner = IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(inner)
    if any(address in network for network in _NEVER_PUBLIC):
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved
