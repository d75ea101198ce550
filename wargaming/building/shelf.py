"""What a build may ask for: pages and wheels of the configured index, and the one source distribution that is to be built.

Pages list wheels only, so what a build needs is never itself built. Every file is compared with the index's hash out here. Places in
the addresses are numbers of ours: which hosts keep the files does not go in.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from urllib.parse import quote

import httpx
from packaging.utils import canonicalize_name

from immune.renewal import CannotRenew
from wargaming.renewal import fetch, pypi

_PAGE = re.compile(r"/simple/([A-Za-z0-9][A-Za-z0-9._-]*)/")
_FILE = re.compile(r"/simple/[A-Za-z0-9._-]+/([0-9]{1,6})/[A-Za-z0-9._+!%-]+?(\.metadata)?")
MAX_PAGES = 300


class Shelf:
    """Answers the gateway's questions about one build."""

    def __init__(self, client: httpx.Client, source: pypi.File) -> None:
        self._client = client
        self._source = source
        self._lock = threading.Lock()
        self._wheels: list[pypi.File] = []
        self._pages: dict[str, bytes] = {}

    def answer(self, path: str) -> bytes | None:
        """A document, or None. Raises CannotRenew, RegistryUnreachable."""
        if path == "/source":
            return whole(self._client, self._source)
        if page := _PAGE.fullmatch(path):
            return self._page(canonicalize_name(page[1]))
        if file := _FILE.fullmatch(path):
            with self._lock:
                wheel = self._wheels[int(file[1])] if int(file[1]) < len(self._wheels) else None
            if wheel is not None:
                return pypi.metadata(self._client, wheel).encode() if file[2] else whole(self._client, wheel)
        return None

    def _page(self, name: str) -> bytes:
        with self._lock:
            if name in self._pages:
                return self._pages[name]
            if len(self._pages) >= MAX_PAGES:
                raise CannotRenew("more projects were asked about than a build needs")
        found = [file for file in pypi.files(self._client, name) if file.wheel and file.sha256]
        with self._lock:
            listed = [
                {
                    "filename": file.name,
                    "url": f"{len(self._wheels) + number}/{quote(file.name)}",
                    "hashes": {"sha256": file.sha256},
                    "yanked": file.yanked,
                    "core-metadata": True,
                    **file.said,
                }
                for number, file in enumerate(found)
            ]
            self._wheels += found
            meta = {"api-version": "1.1"}
            page = json.dumps({"meta": meta, "name": name, "files": listed, "versions": []}).encode()
            return self._pages.setdefault(name, page)


def whole(client: httpx.Client, file: pypi.File) -> bytes:
    """A file with the hash that the index gave. Raises CannotRenew, RegistryUnreachable."""
    answer = fetch.get(client, file.address)
    if answer is None:
        raise CannotRenew(f"the index lists {file.name} and does not have it")
    if hashlib.sha256(answer.content).hexdigest() != file.sha256:
        raise CannotRenew(f"{file.name} is not what the index says it is")
    return answer.content
