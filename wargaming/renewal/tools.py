"""The resolvers that are no part of the application's own environment: pinned by version and hash, fetched once, shown to the sandbox.

Python tools are layers as a wargame's environments are (wheels only, every hash checked): their requirements would otherwise have
to fit those of the application, and their code would lie beside its own. Yarn is the two archives named here.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import io
import os
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import httpx

from immune.renewal import CannotRenew, RegistryUnreachable
from wargaming.environments.layers import LayerStore
from wargaming.environments.spec import Lock
from wargaming.errors import EnvironmentFailed
from wargaming.renewal import fetch
from wargaming.sandbox.runtimes import python_runtime

_PINNED = Path(__file__).with_name("pinned")
_UNREACHABLE = frozenset({"network_down", "tool_timeout"})


@dataclass(frozen=True, slots=True)
class Archive:
    """A package of npm's registry, by the hash it publishes."""

    name: str
    version: str
    integrity: str


YARN = Archive(
    "yarn",
    "1.22.22",
    "sha512-prL3kGtyG7o9Z9Sv8IPfBNrWTDmXB4Qbes8A9rEzt6wkJV8mUvoirjU0Mp3GGAU06Y0XQyA3/2/RQFVuK7MTfg==",
)
# The same ordering that npm decides by, for choosing what yarn is shown.
SEMVER = Archive(
    "semver", "7.7.2", "sha512-RF0Fw+rO5AMf9MAyaRXI4AV0Ulj5lMHqVxxdSgiVbixSCXoEmmX/jk0CuJw4+3SqroYO9VoUh+HcuJivvtJemA=="
)


def python_tool(name: str, work: Path) -> Path:
    """The folder with the tool ``pinned/NAME.txt`` pins, built if need be. Raises CannotRenew, RegistryUnreachable."""
    lock = Lock("PyPI", (), (_PINNED / f"{name}.txt").read_text())
    try:
        return LayerStore(work / "tools").layer(lock, python_runtime()).path
    except EnvironmentFailed as error:
        if error.reason in _UNREACHABLE:
            raise RegistryUnreachable(f"{name} could not be fetched: {error}") from error
        raise CannotRenew(f"{name} cannot be installed here: {error}") from error


def yarn_folder(work: Path, client: httpx.Client, registry: str) -> Path:
    """A folder with ``node_modules/yarn`` and ``node_modules/semver``. Raises CannotRenew, RegistryUnreachable."""
    archives = (YARN, SEMVER)
    key = hashlib.sha256("\n".join(one.integrity for one in archives).encode()).hexdigest()[:40]
    tools = work / "tools"
    folder = tools / f"yarn-{key}"
    if folder.is_dir():
        return folder
    tools.mkdir(parents=True, exist_ok=True)
    tools.chmod(0o755)
    with tempfile.TemporaryDirectory(dir=tools, prefix=".yarn-") as name:
        made = Path(name, "made")
        for one in archives:
            _unpack(_fetched(one, client, registry), made / "node_modules" / one.name)
        for place, _, _ in os.walk(made):
            os.chmod(place, 0o755)  # noqa: S103 - the sandbox's unprivileged user passes through here
        try:
            made.rename(folder)
        except OSError:
            if not folder.is_dir():  # else somebody else was first, with the same bytes
                raise
    return folder


def _fetched(one: Archive, client: httpx.Client, registry: str) -> bytes:
    answer = fetch.get(client, f"{registry}{one.name}/-/{one.name}-{one.version}.tgz")
    if answer is None:
        raise CannotRenew(f"the registry has no {one.name} {one.version}, which is needed to renew the file")
    check_integrity(one, answer.content)
    return answer.content


def check_integrity(one: Archive, content: bytes) -> None:
    """Raises CannotRenew unless the bytes are those that were pinned."""
    algorithm, _, wanted = one.integrity.partition("-")
    try:
        digest = base64.b64decode(wanted, validate=True)
    except binascii.Error as error:
        raise CannotRenew(f"{one.name} is pinned by no hash") from error
    if algorithm != "sha512" or hashlib.sha512(content).digest() != digest:
        raise CannotRenew(f"the registry's {one.name} {one.version} is not the one that is pinned")


def _unpack(content: bytes, folder: Path) -> None:
    """The files of an npm archive (everything below its one folder), without links and without modes of its own."""
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as archive:
        for member in archive:
            place = PurePosixPath(*PurePosixPath(member.name).parts[1:])
            source = archive.extractfile(member) if member.isfile() else None
            if source is None or ".." in place.parts or place.is_absolute():
                continue
            target = folder / place
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.read())
            target.chmod(0o444)
