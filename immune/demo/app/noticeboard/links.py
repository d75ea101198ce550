"""Links in notices: which hosts they name, and whether the pages answer."""

import re
from urllib.parse import urlsplit

import idna
import requests

_LINK = re.compile(r"https?://[^\s)>\]]+")


def links_in(text: str) -> list[str]:
    """Every web address in the text, in order, each once."""
    return list(dict.fromkeys(_LINK.findall(text)))


def host_of(link: str) -> str:
    """The host as it is asked for on the wire; empty when the address has none.

    Raises ``idna.IDNAError`` for a name that cannot be one.
    """
    host = urlsplit(link).hostname or ""
    return idna.encode(host, uts46=True).decode("ascii") if host else ""


def answers(link: str, session: requests.Session) -> bool:
    """Whether the page can be fetched; a failure to reach it is a no."""
    try:
        return session.get(link, timeout=5, allow_redirects=True).ok
    except requests.RequestException:
        return False
