"""One work folder with everything an engine needs to make environments: interpreters, resolved locks, layers."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from wargaming.environments.layers import Layer, LayerStore
from wargaming.environments.resolve import Resolver
from wargaming.environments.spec import EnvironmentSpec, Lock
from wargaming.errors import EnvironmentFailed
from wargaming.sandbox.base import Runtime
from wargaming.sandbox.runtimes import node_runtime, python_runtime


@dataclass(frozen=True, slots=True)
class Built:
    """One side: its layer, or why there is none."""

    layer: Layer | None
    reason: str = ""
    detail: str = ""


class Workshop:
    """Makes environments under ``work``. Safe to share between threads and processes."""

    def __init__(self, work: Path, *, python: str | None = None, node: str | None = None) -> None:
        self._python, self._node = python, node
        self.resolver = Resolver(work / "locks")
        self.layers = LayerStore(work / "layers")

    def runtime(self, ecosystem: str) -> Runtime:
        """The interpreter for an ecosystem. Raises ``EnvironmentFailed``."""
        return node_runtime(self._node) if ecosystem == "npm" else python_runtime(self._python)

    def from_locks(self, base: Lock, head: Lock) -> tuple[Built, Built]:
        """Both sides as they were resolved before, for a replay."""
        return self._locked(base), self._locked(head)

    def _locked(self, lock: Lock) -> Built:
        try:
            return Built(self.layers.layer(lock, self.runtime(lock.ecosystem)))
        except EnvironmentFailed as error:
            return _failed(error)

    def build(self, base: EnvironmentSpec, head: EnvironmentSpec) -> tuple[Built, Built]:
        """Both sides: the base resolved first, the head keeping what it can of it; installed side by side."""
        try:
            runtime = self.runtime(base.ecosystem)
            base_lock = self.resolver.resolve(base, runtime)
        except EnvironmentFailed as error:
            # The head alone can still be built, and says whether it is the pin or the network.
            return _failed(error), self._one(head)
        with ThreadPoolExecutor(max_workers=1) as beside:
            installing = beside.submit(self.layers.layer, base_lock, runtime)
            try:
                head_lock = self.resolver.resolve(head, runtime, base_lock)
                built_head = Built(self.layers.layer(head_lock, runtime))
            except EnvironmentFailed as error:
                built_head = _failed(error)
            try:
                built_base = Built(installing.result())
            except EnvironmentFailed as error:
                built_base = _failed(error)
        return built_base, built_head

    def _one(self, spec: EnvironmentSpec) -> Built:
        try:
            runtime = self.runtime(spec.ecosystem)
            return Built(self.layers.layer(self.resolver.resolve(spec, runtime), runtime))
        except EnvironmentFailed as error:
            return _failed(error)


def _failed(error: EnvironmentFailed) -> Built:
    return Built(None, error.reason, str(error))
