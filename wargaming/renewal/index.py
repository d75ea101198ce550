"""The configured Python index as a resolver in the sandbox gets to see it: pages and metadata, under the public addresses.

A resolver can be shown some versions of a project only. So "the highest that fits" becomes the version that is to be taken, and
what is locked stays locked also for a resolver that knows no preferences.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from email.parser import Parser
from urllib.parse import urlsplit

import httpx
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from immune.formats import limits
from immune.renewal import CannotRenew
from wargaming.renewal import pypi

PUBLIC_FILES = "https://files.pythonhosted.org/"
AT_ONCE = 8
_PAGE = re.compile(r"/simple/([A-Za-z0-9][A-Za-z0-9._-]*)/")
_FILE = re.compile(r"/files/(packages/[A-Za-z0-9._+/!%-]+)\.metadata")
_RELEASE = re.compile(r"/pypi/([A-Za-z0-9][A-Za-z0-9._-]*)/([A-Za-z0-9.!+_-]+)/json")

# The versions of a project that are shown, by its normalised name; a project that is not in it is shown whole.
Shown = Mapping[str, frozenset[Version]]


# METADATA by the hash of its wheel: it never changes, and the same wheels are asked for again and again.
_known: dict[str, str] = {}
_KEPT = 2048


class Index:
    """What the index says, asked for once and kept for the length of one renewal. Shared between threads."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client
        self._lock = threading.Lock()
        self._files: dict[str, list[pypi.File]] = {}
        self._wheels: dict[str, pypi.File] = {}
        self.shown: Shown = {}
        # METADATA of releases without a wheel, by name and version, as a lock that is not to change tells it: nothing is built to ask.
        self.told: Mapping[tuple[str, Version], str] = {}

    def answer(self, path: str) -> bytes | None:
        """The document behind a path asked for from inside, or None. Raises RegistryUnreachable, CannotRenew."""
        if page := _PAGE.fullmatch(path):
            return self._page(page[1])
        if (file := _FILE.fullmatch(path)) and (wheel := self._wheels.get(file[1])):
            return self._metadata_of(wheel).encode()
        if release := _RELEASE.fullmatch(path):
            return self._release(release[1], release[2])
        return None

    def files(self, name: str) -> list[pypi.File]:
        """Every file of a project that is shown and whose place and hash are known. Raises CannotRenew, RegistryUnreachable."""
        name = canonicalize_name(name)
        with self._lock:
            known = self._files.get(name)
        if known is None:
            known = [file for file in pypi.files(self._client, name) if _public_place(file.address) and file.sha256]
            with self._lock:
                self._files[name] = known
        shown = self.shown.get(name)
        return known if shown is None else [file for file in known if file.version in shown]

    def versions(self, name: str) -> list[Version]:
        """The versions of a project that have a wheel and are not yanked, lowest first. Raises as ``files`` does."""
        return sorted({file.version for file in self.files(name) if file.wheel and not file.yanked})

    def release(self, name: str, version: str | Version) -> list[pypi.File]:
        """The files of one version, none when there are none. Raises as ``files`` does."""
        try:
            wanted = Version(str(version))
        except InvalidVersion as error:
            raise CannotRenew(f"{limits.shown(str(version))} is not a version") from error
        return [file for file in self.files(name) if file.version == wanted]

    def requires(self, name: str, version: str | Version) -> list[Requirement]:
        """What a version requires, extras aside. Raises CannotRenew when it has no wheel, RegistryUnreachable."""
        return pypi.requirements(f"{name} {version}", self._metadata(name, version))

    def prefetch(self, pins: Iterable[tuple[str, str]]) -> None:
        """Asks for pages and metadata of many pins side by side; what goes wrong is said when it is needed."""

        def one(pin: tuple[str, str]) -> None:
            try:
                self.requires(*pin)
            except CannotRenew:
                return

        with ThreadPoolExecutor(max_workers=AT_ONCE) as beside:
            list(beside.map(one, pins))

    def _metadata(self, name: str, version: str | Version) -> str:
        found = self.release(name, version)
        wheels = [file for file in found if file.wheel]
        if wheels:
            return self._metadata_of(min(wheels, key=lambda file: (len(file.name), file.name)))
        told = self.told.get((canonicalize_name(name), found[0].version)) if found else None
        if told is None:
            raise CannotRenew(f"{limits.shown(name)} {version} has no wheel; nothing is built from source here")
        return told

    def _metadata_of(self, wheel: pypi.File) -> str:
        known = _known.get(wheel.sha256)
        if known is None:
            known = pypi.metadata(self._client, wheel)
            if len(_known) >= _KEPT:
                _known.clear()
            _known[wheel.sha256] = known
        return known

    def _page(self, name: str) -> bytes:
        listed = []
        # What is shown by name was chosen: a version that is locked stays although it was yanked since.
        chosen = canonicalize_name(name) in self.shown
        for file in self.files(name):
            place = _public_place(file.address)
            if file.wheel:
                self._wheels[place] = file
            listed.append(
                {
                    "filename": file.name,
                    "url": PUBLIC_FILES + place,
                    "hashes": {"sha256": file.sha256},
                    "yanked": file.yanked and not chosen,
                    "core-metadata": file.wheel,
                    **file.said,
                }
            )
        meta = {"api-version": "1.1"}
        return json.dumps({"meta": meta, "name": canonicalize_name(name), "files": listed, "versions": []}).encode()

    def _release(self, name: str, version: str) -> bytes | None:
        """A release as PyPI's JSON interface describes it, made of its files and the metadata of one of its wheels."""
        found = self.release(name, version)
        if not found:
            return None
        said = Parser().parsestr(self._metadata(name, version), headersonly=True)
        info = {
            "name": said.get("Name", name),
            "version": said.get("Version", version),
            "summary": said.get("Summary", ""),
            "requires_dist": said.get_all("Requires-Dist") or [],
            "requires_python": said.get("Requires-Python"),
            "yanked": all(file.yanked for file in found),
        }
        urls = [
            {
                "packagetype": "bdist_wheel" if file.wheel else "sdist",
                "filename": file.name,
                "url": PUBLIC_FILES + _public_place(file.address),
                "digests": {"sha256": file.sha256},
                "yanked": file.yanked,
            }
            for file in found
        ]
        return json.dumps({"info": info, "urls": urls}).encode()


def _public_place(address: str) -> str:
    """Where the public index keeps a file, below its address for files; "" where a mirror keeps them some other way."""
    _, found, place = urlsplit(address).path.partition("/packages/")
    return f"packages/{place}" if found else ""
