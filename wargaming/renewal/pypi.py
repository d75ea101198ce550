"""What a Python index says of a release: its files with their hashes, and what it requires.

Sources: PEP 503 (HTML), PEP 691 (JSON), PEP 658 (metadata beside a wheel). An index that has no metadata beside its wheels is
asked for the smallest wheel itself.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from email.parser import Parser
from html.parser import HTMLParser
from urllib.parse import urldefrag, urljoin

import httpx
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    canonicalize_name,
    parse_sdist_filename,
    parse_wheel_filename,
)
from packaging.version import InvalidVersion, Version

from immune.formats import limits
from immune.renewal import CannotRenew
from wargaming.environments.tools import installer_environment
from wargaming.renewal import fetch, registries

PUBLIC_INDEX = "https://pypi.org/simple"
_ACCEPT = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1"
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_MAX_METADATA = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class File:
    """One distribution. ``sha256`` is "" where the index says none; ``wheel`` is False for a source distribution. ``said`` is what
    else the index says of it, by PEP 691's names."""

    address: str
    name: str
    version: Version
    wheel: bool
    sha256: str
    yanked: bool
    said: Mapping[str, str | int] = field(default_factory=dict)


def index_address() -> str:
    """The index that is set, else the one the installers are configured for."""
    if address := registries.address_of("PyPI"):
        return address.rstrip("/")
    known = installer_environment()
    address = known.get("UV_DEFAULT_INDEX") or known.get("UV_INDEX_URL") or PUBLIC_INDEX
    return address.rpartition("=")[2].rstrip("/") if "=" in address.partition("://")[0] else address.rstrip("/")


def release(client: httpx.Client, name: str, version: str) -> list[File]:
    """The wheels and source distributions of a release. Raises CannotRenew: none, yanked, no wheel; RegistryUnreachable."""
    try:
        wanted = Version(version)
    except InvalidVersion as error:
        raise CannotRenew(f"{limits.shown(version)} is not a version") from error
    found = [file for file in files(client, name) if file.version == wanted]
    if not found:
        raise CannotRenew(f"the index has no {limits.shown(name)} {version}")
    if all(file.yanked for file in found):
        raise CannotRenew(f"{name} {version} is yanked")
    if not any(file.wheel for file in found):
        raise CannotRenew(f"{name} {version} has no wheel; nothing is built from source here")
    return found


def files(client: httpx.Client, name: str) -> list[File]:
    """Every wheel and source distribution of a project whose name and version can be read. Raises as ``release`` does."""
    if not _NAME.fullmatch(name):
        raise CannotRenew(f"{limits.shown(name)} is not the name of a project")
    address = f"{index_address()}/{canonicalize_name(name)}/"
    answer = fetch.get(client, address, accept=_ACCEPT)
    if answer is None:
        raise CannotRenew(f"the index has no project {name}")
    listed = _from_json(answer.text) if "json" in answer.headers["content-type"] else _from_html(answer.text)
    return [file for one in listed if (file := _file(address, canonicalize_name(name), *one)) is not None]


def requires(client: httpx.Client, found: Iterable[File]) -> list[Requirement]:
    """What a release requires, extras aside, by the metadata of one of its wheels. Raises CannotRenew, RegistryUnreachable."""
    wheels = sorted((file for file in found if file.wheel), key=lambda file: (len(file.name), file.name))
    return requirements(wheels[0].name, metadata(client, wheels[0]))


def requirements(wheel: str, text: str) -> list[Requirement]:
    """What metadata (the text of METADATA) require, extras aside. Raises CannotRenew."""
    wanted = []
    for line in Parser().parsestr(text, headersonly=True).get_all("Requires-Dist") or ():
        try:
            requirement = Requirement(line)
        except (InvalidRequirement, RecursionError) as error:
            raise CannotRenew(f"{wheel}: not a requirement: {limits.shown(line)}") from error
        if not (requirement.marker and "extra" in str(requirement.marker)):
            wanted.append(requirement)
    return wanted


def metadata(client: httpx.Client, wheel: File) -> str:
    """The METADATA of a wheel. Raises CannotRenew, RegistryUnreachable."""
    beside = fetch.get(client, f"{wheel.address}.metadata")
    if beside is not None and beside.text.startswith("Metadata-Version:"):
        return beside.text
    whole = fetch.get(client, wheel.address)
    if whole is None:
        raise CannotRenew(f"the index lists {wheel.name} and does not have it")
    try:
        with zipfile.ZipFile(io.BytesIO(whole.content)) as archive:
            entry = next(one for one in archive.infolist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", one.filename))
            if entry.file_size > _MAX_METADATA:
                raise CannotRenew(f"{wheel.name}: its metadata are too large")
            return archive.read(entry).decode("utf-8", "replace")
    except (zipfile.BadZipFile, StopIteration, NotImplementedError, RuntimeError) as error:
        raise CannotRenew(f"{wheel.name}: not a wheel with metadata") from error


_Listed = tuple[str, str, str, bool, dict[str, str | int]]  # name, address, sha256, yanked, what else is said
_SAID = ("requires-python", "size", "upload-time")


def _from_json(text: str) -> list[_Listed]:
    try:
        return [
            (
                str(one["filename"]),
                str(one["url"]),
                str(one.get("hashes", {}).get("sha256", "")),
                bool(one.get("yanked")),
                {key: one[key] for key in _SAID if isinstance(one.get(key), str | int)},
            )
            for one in json.loads(text)["files"]
        ]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CannotRenew("the index gave no list of files") from error


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[_Listed] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag != "a" or not (reference := given.get("href")):
            return
        address, fragment = urldefrag(reference)
        name = address.rpartition("/")[2]
        digest = fragment.removeprefix("sha256=") if fragment.startswith("sha256=") else ""
        said: dict[str, str | int] = {key: value for key in _SAID if (value := given.get(f"data-{key}"))}
        self.found.append((name, address, digest, "data-yanked" in given, said))


def _from_html(text: str) -> list[_Listed]:
    links = _Links()
    links.feed(text)
    return links.found


def _file(
    base: str, project: str, name: str, address: str, sha256: str, yanked: bool, said: dict[str, str | int]
) -> File | None:
    try:
        if name.endswith(".whl"):
            owner, version, _, _ = parse_wheel_filename(name)
        else:
            owner, version = parse_sdist_filename(name)
    except (InvalidWheelFilename, InvalidSdistFilename, InvalidVersion):
        return None
    if owner != project:
        return None
    digest = sha256.lower() if _SHA256.fullmatch(sha256.lower()) else ""
    return File(urljoin(base, address), name, version, name.endswith(".whl"), digest, yanked, said)
