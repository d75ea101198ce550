"""One wheel from one source distribution: fetched and checked out here, built in the sandbox, its outcome checked like a stranger's.

A build runs code of the package and of what it needs to be built, so it happens where a wargame happens: no network but the
gateway's socket, no secrets, no host files, limits on time, memory, processes, disk and output. A driver that isolates nothing refuses.
"""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from packaging.version import InvalidVersion, Version

from immune.formats import limits
from immune.renewal import CannotRenew, RegistryUnreachable
from wargaming.building.shelf import Shelf
from wargaming.environments.tools import Cancelled, refuse_cancelled
from wargaming.environments.wheels import MAX_WHEEL_BYTES, BuiltWheel, Wheelhouse, WheelRefused, checked_wheel
from wargaming.environments.workshop import MakesBuilder
from wargaming.errors import EnvironmentFailed
from wargaming.renewal import fetch, gateway, pypi, sandboxed
from wargaming.renewal.uv import uv_folder
from wargaming.sandbox.base import Driver, Runtime

RECIPE = "1"  # part of what a build is remembered by: raise it when the way of building changes


@dataclass(frozen=True, slots=True)
class Builder:
    """Builds in ``driver`` and keeps under ``work``. One wargame asks for its environments several times; what failed once is not
    tried again in it."""

    driver: Driver
    work: Path
    cancelled: Cancelled | None = None
    _failed: dict[tuple[str, str], EnvironmentFailed] = field(default_factory=dict, init=False)

    @property
    def wheelhouse(self) -> Wheelhouse:
        return Wheelhouse(self.work / "wheels")

    def wheel(self, name: str, version: str, runtime: Runtime) -> BuiltWheel:
        """The wheel of exactly this release, built now or before.

        Raises ``EnvironmentFailed``: ``build_failed`` with the builder's last words or with what is wrong with the wheel,
        ``network_down``, ``cancelled``.
        """
        refuse_cancelled(f"the build of {name}", self.cancelled)
        if (known := self._failed.get((name, version))) is not None:
            raise known
        try:
            with fetch.client() as client:
                source = _source(client, name, version)
                build = _build_name(source, runtime)
                return self.wheelhouse.kept(build) or self._built(client, source, build, name, version, runtime)
        except RegistryUnreachable as error:
            raise EnvironmentFailed("network_down", str(error)) from error
        except (CannotRenew, WheelRefused) as error:
            refuse_cancelled(f"the build of {name}", self.cancelled)
            failed = EnvironmentFailed("build_failed", f"{name} {version}: {error}")
            self._failed[name, version] = failed
            raise failed from error

    def _built(
        self, client: httpx.Client, source: pypi.File, build: str, name: str, version: str, runtime: Runtime
    ) -> BuiltWheel:
        taken = gateway.Taken(MAX_WHEEL_BYTES)
        tool = sandboxed.Tool("uv", runtime, uv_folder(self.work), _script(), sandboxed.beside_index())
        answer = Shelf(client, source).answer
        order = {"source": source.name}
        sandboxed.run(tool, order, answer, driver=self.driver, work=self.work, taken=taken, cancelled=self.cancelled)
        if taken.name is None:
            raise CannotRenew("the build gave no wheel")
        python = tuple(int(part) for part in runtime.version.split(".")[:2])
        content = checked_wheel(taken.name, taken.content, name=name, version=version, python=(python[0], python[1]))
        return self.wheelhouse.keep(build, taken.name, content, source=source.name, source_sha256=source.sha256)


def builds(policy: str) -> MakesBuilder | None:
    """What WARGAME_BUILDS stands for: ``sandbox`` builds what has no wheel, anything else never does."""
    return Builder if policy == "sandbox" else None


def _source(client: httpx.Client, name: str, version: str) -> pypi.File:
    """The release's source distribution. Raises CannotRenew, RegistryUnreachable."""
    try:
        wanted = Version(version)
    except InvalidVersion as error:
        raise CannotRenew(f"{limits.shown(version)} is not a version") from error
    found = [file for file in pypi.files(client, name) if not file.wheel and file.version == wanted and file.sha256]
    if not found:
        raise CannotRenew("the index has no source distribution of it with a hash")
    return min(found, key=lambda file: (not file.name.endswith(".tar.gz"), file.name))


def _build_name(source: pypi.File, runtime: Runtime) -> str:
    facts = (RECIPE, runtime.describe, source.name, source.sha256)
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:40]


@functools.cache
def _script() -> bytes:
    return Path(__file__).with_name("inside.py").read_bytes()
