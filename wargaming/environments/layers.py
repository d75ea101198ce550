"""Read-only folders of installed distributions, one per resolved lock and interpreter, built once and never changed.

Built under a file lock into a temporary name, with bytecode compiled (unchecked-hash: the files never change, so
nothing need be looked up again), made read-only, then renamed: what has the right name is whole. Files are copied
rather than hard-linked out of the installer's cache, since a link shares its bytes with every other environment on
the machine.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from wargaming.environments.resolve import NPM_FLAGS, classify_npm, classify_uv, package_json
from wargaming.environments.spec import Lock
from wargaming.environments.tools import LOOK_EVERY_S, Cancelled, refuse_cancelled, run_tool, uv_program
from wargaming.environments.wheels import BuiltWheel
from wargaming.errors import EnvironmentFailed
from wargaming.sandbox.base import Runtime

INSTALL_TIMEOUT_S = 300
_COUNTERS = "counters.json"
RECIPE = "1"  # part of every name: raise it when the way of building changes


@dataclass(frozen=True, slots=True)
class Layer:
    """A finished layer: mount it, never write to it. ``built`` is False when it was already there."""

    path: Path
    key: str
    lock: Lock
    built: bool


@dataclass(frozen=True, slots=True)
class Counters:
    """What all processes together asked of the cache since it was made."""

    hits: int = 0
    misses: int = 0
    evictions: int = 0


class LayerStore:
    """The layers under ``root``; several processes may share it."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @property
    def counters(self) -> Counters:
        """Kept in a file beside the layers: what is scraped for metrics is another process than those that build."""
        try:
            found = json.loads((self.root / _COUNTERS).read_text())
            return Counters(*(int(found[name]) for name in ("hits", "misses", "evictions")))
        except (OSError, ValueError, KeyError, TypeError):
            return Counters()

    def _count(self, **more: int) -> None:
        with _held(self.root / f"{_COUNTERS}.lock"):
            known = asdict(self.counters)
            fd, temporary = tempfile.mkstemp(dir=self.root, prefix=".note-")
            with os.fdopen(fd, "w") as out:
                json.dump({name: value + more.get(name, 0) for name, value in known.items()}, out)
            os.chmod(temporary, 0o644)
            os.replace(temporary, self.root / _COUNTERS)

    def key_of(self, lock: Lock, runtime: Runtime) -> str:
        """The name of the layer: the same lock on the same interpreter, built in the same way."""
        return hashlib.sha256(f"{RECIPE}\n{runtime.describe}\n{lock.digest}".encode()).hexdigest()[:40]

    def layer(
        self,
        lock: Lock,
        runtime: Runtime,
        *,
        wheels: tuple[BuiltWheel, ...] = (),
        cancelled: Cancelled | None = None,
    ) -> Layer:
        """The layer of ``lock`` for ``runtime``, built if need be. ``wheels`` are those of the lock that were built here. Raises
        ``EnvironmentFailed``."""
        key = self.key_of(lock, runtime)
        path = self.root / key
        if path.is_dir():
            self._mark_used(key)
            self._count(hits=1)
            return Layer(path, key, lock, built=False)
        self.root.mkdir(parents=True, exist_ok=True)
        self._count(misses=1)
        # The sandbox's unprivileged user passes through here.
        self.root.chmod(0o755)
        with _held(self.root / f"{key}.lock", cancelled=cancelled):
            if path.is_dir():
                return Layer(path, key, lock, built=False)
            building = Path(tempfile.mkdtemp(dir=self.root, prefix=".building-"))
            try:
                self._install(lock, runtime, building, wheels, cancelled)
                size = _make_read_only(building)
                facts = {"lock": lock.text, "runtime": runtime.describe, "bytes": size}
                (self.root / f"{key}.json").write_text(json.dumps(facts))
                self._mark_used(key)
                os.rename(building, path)
            except BaseException:
                remove_tree(building)
                raise
        return Layer(path, key, lock, built=True)

    def _install(
        self,
        lock: Lock,
        runtime: Runtime,
        target: Path,
        wheels: tuple[BuiltWheel, ...],
        cancelled: Cancelled | None,
    ) -> None:
        if lock.ecosystem == "npm":
            self._install_npm(lock, target, cancelled)
            return
        with tempfile.TemporaryDirectory(dir=self.root, prefix=".lock-") as folder:
            requirements = Path(folder, "lock.txt")
            requirements.write_text(lock.text)
            command = [uv_program(), "pip", "install", "--quiet", "--target", str(target), "--no-deps"]
            command += ["--only-binary", ":all:", "--require-hashes", "--link-mode", "copy", "--compile-bytecode"]
            for wheel in wheels:
                command += ["--find-links", str(wheel.path.parent)]
            command += ["--python", runtime.executable, "-r", str(requirements)]
            extra = {"PYC_INVALIDATION_MODE": "UNCHECKED_HASH"}
            done = run_tool(command, cwd=Path(folder), timeout_s=INSTALL_TIMEOUT_S, extra=extra, cancelled=cancelled)
        if done.returncode != 0:
            reason = classify_uv(done.stderr)
            raise EnvironmentFailed(
                "install_failed" if reason == "resolve_failed" else reason, " ".join(done.stderr.split())[:1000]
            )

    def _install_npm(self, lock: Lock, target: Path, cancelled: Cancelled | None) -> None:
        wanted = json.loads(lock.text).get("packages", {}).get("", {}).get("dependencies", {})
        (target / "package.json").write_text(package_json(tuple(f"{name}@{v}" for name, v in wanted.items())))
        (target / "package-lock.json").write_text(lock.text)
        done = run_tool(["npm", "ci", *NPM_FLAGS], cwd=target, timeout_s=INSTALL_TIMEOUT_S, cancelled=cancelled)
        if done.returncode != 0:
            reason = classify_npm(done.stderr)
            raise EnvironmentFailed(
                "install_failed" if reason == "resolve_failed" else reason, " ".join(done.stderr.split())[:1000]
            )

    def _mark_used(self, key: str) -> None:
        (self.root / f"{key}.used").touch()

    @contextmanager
    def in_use(self, *layers: Layer | None) -> Iterator[None]:
        """Keeps ``layers`` from being evicted for the length of the block.

        Raises ``EnvironmentFailed`` (``layer_evicted``) for one that went between being built and being held.
        """
        with ExitStack() as held:
            for key in sorted({layer.key for layer in layers if layer is not None}):
                held.enter_context(_held(self.root / f"{key}.lock", shared=True))
                if not (self.root / key).is_dir():
                    raise EnvironmentFailed("layer_evicted", "an environment was removed before it was used")
                self._mark_used(key)
            yield

    def stored(self) -> list[tuple[str, int, float]]:
        """(key, bytes, last use as a POSIX time) of every finished layer, longest unused first."""
        found = []
        for path in self.root.iterdir() if self.root.is_dir() else ():
            if path.suffix or path.name.startswith(".") or not path.is_dir():
                continue
            with contextlib.suppress(OSError, ValueError, KeyError):
                size = int(json.loads((self.root / f"{path.name}.json").read_text())["bytes"])
                found.append((path.name, size, (self.root / f"{path.name}.used").stat().st_mtime))
        return sorted(found, key=lambda entry: entry[2])

    def evict(self, limit_bytes: int, *, unused_for_s: float = 600.0) -> list[str]:
        """Remove the longest unused layers until at most ``limit_bytes`` are stored; gives the keys removed.

        A layer in use, or used within the last ``unused_for_s`` seconds (somebody may be about to mount it), stays, so
        the limit can be exceeded for a while. Also clears what a killed builder left.
        """
        layers = self.stored()
        total = sum(size for _, size, _ in layers)
        newest = time.time() - unused_for_s
        removed = []
        for key, size, used in layers:
            if total <= limit_bytes or used > newest:
                break
            if self._remove(key):
                total -= size
                removed.append(key)
        if removed:
            self._count(evictions=len(removed))
        for leftover in self.root.glob(".*-*") if self.root.is_dir() else ():
            with contextlib.suppress(OSError):
                if leftover.stat().st_mtime < newest - INSTALL_TIMEOUT_S:
                    remove_tree(leftover) if leftover.is_dir() else leftover.unlink()
        return removed

    def _remove(self, key: str) -> bool:
        lock = self.root / f"{key}.lock"
        fd = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Out of the way in one step: half a layer must never bear the name of a whole one.
            gone = Path(tempfile.mkdtemp(dir=self.root, prefix=".evicted-"))
            os.rename(self.root / key, gone / "layer")
        except OSError:
            return False
        finally:
            os.close(fd)
        for beside in self.root.glob(f"{key}.*"):
            # The lock file stays: removing it under somebody who waits for it would make two locks of one name.
            if beside != lock:
                beside.unlink(missing_ok=True)
        remove_tree(gone)
        return True

    def note(self, layer: Layer, name: str, value: object) -> None:
        """Keep a fact about a layer beside it (never in it)."""
        fd, temporary = tempfile.mkstemp(dir=self.root, prefix=".note-")
        with os.fdopen(fd, "w") as out:
            json.dump(value, out)
        os.replace(temporary, self.root / f"{layer.key}.{name}.json")

    def noted(self, layer: Layer, name: str) -> object | None:
        try:
            return json.loads((self.root / f"{layer.key}.{name}.json").read_text())
        except (OSError, ValueError):
            return None


@contextmanager
def _held(path: Path, *, shared: bool = False, cancelled: Cancelled | None = None) -> Iterator[None]:
    """The lock of ``path``. Another may build below it for minutes: who waits with ``cancelled`` gives up when that says so."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    try:
        while cancelled is not None:
            try:
                fcntl.flock(fd, kind | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                # A lock on a file cannot be waited for together with anything else.
                refuse_cancelled("waiting for an environment", cancelled)
                time.sleep(LOOK_EVERY_S)
        else:
            fcntl.flock(fd, kind)
        yield
    finally:
        os.close(fd)


def _make_read_only(folder: Path) -> int:
    """Readable by everyone, writable by no one; gives the bytes in it."""
    total = 0
    for place, folders, files in os.walk(folder):
        for name in files:
            path = os.path.join(place, name)
            if not os.path.islink(path):
                total += os.stat(path).st_size
                os.chmod(path, 0o555 if os.stat(path).st_mode & 0o100 else 0o444)
        for name in folders:
            if not os.path.islink(os.path.join(place, name)):
                os.chmod(os.path.join(place, name), 0o755)  # noqa: S103
    for place, _, _ in os.walk(folder, topdown=False):
        os.chmod(place, 0o555)  # noqa: S103
    return total


def remove_tree(folder: Path) -> None:
    """Remove a layer or half-built one, whose folders may already be read-only."""
    for place, _, _ in os.walk(folder):
        with contextlib.suppress(OSError):
            os.chmod(place, 0o700)
    shutil.rmtree(folder, ignore_errors=True)
