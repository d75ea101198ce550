"""One work folder with everything an engine needs to make environments: interpreters, resolved locks, layers, wheels built here."""

from __future__ import annotations

import copy
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from wargaming.environments.layers import Layer, LayerStore
from wargaming.environments.resolve import NoWheel, Resolver
from wargaming.environments.spec import EnvironmentSpec, Lock, same_name, split_pin
from wargaming.environments.tools import Cancelled
from wargaming.environments.wheels import BuiltWheel, Wheelhouse
from wargaming.errors import EnvironmentFailed
from wargaming.sandbox.base import Driver, Runtime
from wargaming.sandbox.runtimes import node_runtime, python_runtime

MAX_BUILDS = 10  # of one environment


class WheelBuilder(Protocol):
    """Builds one release in the sandbox (``wargaming.building``)."""

    def wheel(self, name: str, version: str, runtime: Runtime) -> BuiltWheel: ...


# Given where builds are allowed: how to come by a builder for a driver, the work folder and what cancels it.
MakesBuilder = Callable[[Driver, Path, Cancelled | None], WheelBuilder]


@dataclass(frozen=True, slots=True)
class Built:
    """One side: its layer, or why there is none. ``from_source`` are those of its distributions that were built here."""

    layer: Layer | None
    reason: str = ""
    detail: str = ""
    from_source: tuple[BuiltWheel, ...] = ()


class Workshop:
    """Makes environments under ``work``. Safe to share between threads and processes. With ``builds`` what has no wheel is built."""

    def __init__(
        self, work: Path, *, python: str | None = None, node: str | None = None, builds: MakesBuilder | None = None
    ) -> None:
        self._python, self._node = python, node
        self._work, self._builds = work, builds
        self._builder: WheelBuilder | None = None
        self._cancelled: Cancelled | None = None
        self.resolver = Resolver(work / "locks")
        self.layers = LayerStore(work / "layers")
        self.wheelhouse = Wheelhouse(work / "wheels")

    def during(self, driver: Driver, cancelled: Cancelled | None) -> Workshop:
        """The same workshop for one wargame: it builds in that wargame's sandbox, and its tools stop when it is cancelled."""
        mine = copy.copy(self)
        mine._cancelled = cancelled
        mine._builder = self._builds(driver, self._work, cancelled) if self._builds is not None else None
        return mine

    def runtime(self, ecosystem: str) -> Runtime:
        """The interpreter for an ecosystem. Raises ``EnvironmentFailed``."""
        return node_runtime(self._node) if ecosystem == "npm" else python_runtime(self._python)

    def from_locks(self, base: Lock, head: Lock) -> tuple[Built, Built]:
        """Both sides as they were resolved before, for a replay."""
        return self._locked(base), self._locked(head)

    def _locked(self, lock: Lock) -> Built:
        try:
            return self._installed(lock, self.runtime(lock.ecosystem))
        except EnvironmentFailed as error:
            return _failed(error)

    def build(self, base: EnvironmentSpec, head: EnvironmentSpec) -> tuple[Built, Built]:
        """Both sides: the base resolved first, the head keeping what it can of it; installed side by side."""
        try:
            runtime = self.runtime(base.ecosystem)
            base_lock = self._resolved(base, runtime)
        except EnvironmentFailed as error:
            # The head alone can still be built, and says whether it is the pin or the network.
            return _failed(error), self._one(head)
        with ThreadPoolExecutor(max_workers=1) as beside:
            installing = beside.submit(self._installed, base_lock, runtime)
            try:
                built_head = self._installed(self._resolved(head, runtime, base_lock), runtime)
            except EnvironmentFailed as error:
                built_head = _failed(error)
            try:
                built_base = installing.result()
            except EnvironmentFailed as error:
                built_base = _failed(error)
        return built_base, built_head

    def locks(self, base: EnvironmentSpec, head: EnvironmentSpec) -> tuple[Lock, Lock]:
        """Both sides resolved as ``build`` does, and not installed. Raises ``EnvironmentFailed``."""
        runtime = self.runtime(base.ecosystem)
        base_lock = self._resolved(base, runtime)
        return base_lock, self._resolved(head, runtime, base_lock)

    def _one(self, spec: EnvironmentSpec) -> Built:
        try:
            runtime = self.runtime(spec.ecosystem)
            return self._installed(self._resolved(spec, runtime), runtime)
        except EnvironmentFailed as error:
            return _failed(error)

    def _installed(self, lock: Lock, runtime: Runtime) -> Built:
        wheels = self.wheelhouse.among(lock.text) if self._builds is not None else ()
        return Built(self.layers.layer(lock, runtime, wheels=wheels, cancelled=self._cancelled), from_source=wheels)

    def _resolved(self, spec: EnvironmentSpec, runtime: Runtime, base: Lock | None = None) -> Lock:
        """The lock; where wheels are missing and building is allowed, with wheels built here for what is asked for exactly."""
        wheels: dict[str, BuiltWheel] = {}
        for wheel in self.wheelhouse.among(base.text) if base is not None and self._builder is not None else ():
            wheels[same_name("PyPI", wheel.name)] = wheel
        while True:
            try:
                return self.resolver.resolve(
                    spec, runtime, base, wheels=tuple(wheels.values()), cancelled=self._cancelled
                )
            except NoWheel as error:
                if self._builder is None:
                    raise
                wanted = exact_pins(spec, base)
                names = [same_name("PyPI", name) for name in error.packages]
                missing = next((name for name in names if name in wanted and not _has(wheels, name, wanted)), None)
                if missing is None or len(wheels) >= MAX_BUILDS:
                    raise
                wheels[missing] = self._builder.wheel(missing, wanted[missing], runtime)


def exact_pins(spec: EnvironmentSpec, base: Lock | None) -> dict[str, str]:
    """Name → version of everything that is asked for by exact version; what is required counts before what is preferred."""
    pins: dict[str, str] = {}
    preferred = base.pins if base is not None else tuple(split_pin("PyPI", text) for text in spec.preferences)
    for name, version in (*(split_pin("PyPI", text) for text in spec.requirements), *preferred):
        bare = same_name("PyPI", name.partition("[")[0].strip())
        version = version.partition(";")[0].strip()  # noqa: PLW2901 - a marker may stand behind it
        if version and not version.endswith("*"):
            pins.setdefault(bare, version)
    return pins


def _has(wheels: dict[str, BuiltWheel], name: str, wanted: dict[str, str]) -> bool:
    return name in wheels and wheels[name].version == wanted[name]


def _failed(error: EnvironmentFailed) -> Built:
    return Built(None, error.reason, str(error))
