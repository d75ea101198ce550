"""The recommended sandbox: bubblewrap as an unprivileged user with a root folder built up from nothing.

What it holds, and how each point is attacked in the tests, is listed in docs/sandbox.md. Four things are easily left
open and closed here on purpose: bubblewrap itself starts with an *empty environment* (its pid 1 shows what it was
given at /proc/1/environ); started by root it first becomes *a user of its own* (root is not bound by RLIMIT_NPROC);
*nested user namespaces* are off (``--unshare-user --disable-userns``, both words); and its options travel through a
descriptor, so that host paths stand on no command line inside.
"""

from __future__ import annotations

import contextlib
import functools
import json
import math
import os
import platform
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from wargaming.errors import SandboxUnavailable
from wargaming.sandbox import seccomp, tree
from wargaming.sandbox.base import REPOSITORY_DIR, SCENARIO_DIR, SCRATCH_DIR, Limits, Need, RunResult, RunSpec, Runtime
from wargaming.sandbox.stage import Stage, reachable
from wargaming.sandbox.supervise import supervise
from wargaming.sandbox.tree import Sample
from wargaming.sandbox.uids import own_uid

LAYER_DIR = "/layer"
_MB = 1024 * 1024
_INSIDE_ID = "1000"
_HOSTS = b"127.0.0.1 localhost\n::1 localhost ip6-localhost\n"
_PASSWD = b"sandbox:x:1000:1000::/scratch/home:/bin/sh\n"
_GROUP = b"sandbox:x:1000:\n"
_NSSWITCH = b"passwd: files\ngroup: files\nhosts: files\n"
_LIBRARIES = ("/usr/lib", "/usr/lib64", "/usr/lib32", "/lib", "/lib64", "/lib32")
_PROGRAMS = ("/usr/bin", "/bin", "/usr/share/git-core")
# Package folders inside /usr/lib that belong to the host's own programs.
_HOST_PACKAGES = ("/usr/lib/node_modules", "/usr/lib/python3/dist-packages")


class BubblewrapDriver:
    """Runs programs under bubblewrap. Safe to share between threads; ``work`` holds the locks of the uid pool."""

    name = "bubblewrap"

    def __init__(self, work: Path, *, bwrap: str | None = None, root_uids: Path | None = None) -> None:
        found = bwrap or shutil.which("bwrap", path="/usr/local/bin:/usr/bin:/bin")
        if found is None:
            raise SandboxUnavailable("not_installed", "bubblewrap (bwrap) is not installed")
        prlimit = shutil.which("prlimit", path="/usr/bin:/bin")
        if prlimit is None:
            raise SandboxUnavailable("not_installed", "prlimit (util-linux) is not installed")
        if platform.machine() not in seccomp.AUDIT_ARCH:
            raise SandboxUnavailable("no_seccomp_program", f"no seccomp program for {platform.machine()}")
        self._bwrap, self._prlimit = found, prlimit
        self._root = os.geteuid() == 0
        self._uids = root_uids or work / "uids"
        self._stage: Stage | None = None
        self._stage_lock = threading.Lock()
        # An ordinary user's runs share one uid, so two of them can see each other's process count, nothing more.
        self.strength = 1.0 if self._root else 0.95

    def run(self, spec: RunSpec, cancelled: Callable[[], bool] | None = None) -> RunResult:
        with ExitStack() as held:
            uid = held.enter_context(own_uid(self._uids)) if self._root else None
            place, enter = self._way_in(spec, uid, held)
            descriptors: list[int] = []
            held.callback(_close_all, descriptors)
            status_read, status_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
            held.callback(os.close, status_read)
            options = self._options(spec, place, descriptors)
            options += ["--json-status-fd", str(status_write)]
            descriptors.append(status_write)
            arguments_fd = _memory_file(b"".join(word.encode() + b"\0" for word in options))
            descriptors.append(arguments_fd)
            command = [*enter, self._bwrap, "--args", str(arguments_fd), "--", *_limited(spec)]
            started = time.monotonic()
            process = subprocess.Popen(  # noqa: S603
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={},
                cwd="/",
                pass_fds=descriptors,
            )
            _close_all(descriptors)
            watch = _BubblewrapWatch(process, status_read)
            held.callback(watch.close)
            return supervise(
                process,
                watch,
                limits=spec.limits,
                stdin=spec.stdin,
                driver=self.name,
                cancelled=cancelled,
                started=started,
            )

    def layer_place(self, runtime: Runtime, layer: Path) -> str:
        return runtime.site if runtime.kind == "python" else LAYER_DIR

    def close(self) -> None:
        """Let go of the mount namespace; runs under way keep theirs until they end."""
        with self._stage_lock:
            self._retire()

    def _way_in(self, spec: RunSpec, uid: int | None, held: ExitStack) -> tuple[Callable[[str], str], list[str]]:
        """How the mounted paths are named for bwrap, and the command that makes it an ordinary user."""
        if uid is None:
            return (lambda path: path), []
        sources = set(spec.runtime.mounts)
        # The parent of a layer or checkout, so that those made later are seen through the same stage.
        sources |= {str(folder.parent) for folder in (spec.layer, spec.repository) if folder is not None}
        hidden = {source for source in sources if not _reachable(source)}
        drop = ["-S", str(uid), "-G", str(uid), "--"]
        if not hidden:
            return (lambda path: path), ["nsenter", *drop]
        with self._stage_lock:
            wanted = {os.path.realpath(source) for source in hidden}
            if self._stage is None or not wanted <= self._stage.places.keys():
                before = self._stage.places if self._stage is not None else {}
                # What is gone from the host (a finished run's own folder) cannot be mounted again.
                stage = Stage(sorted(wanted | {source for source in before if os.path.exists(source)}))
                self._retire()
                self._stage = stage
            stage = self._stage
            stage.users += 1
        held.callback(self._leave, stage)
        # Named through this process, not inherited: the descriptor must not reach the sandboxed program.
        return stage.place, ["nsenter", f"--mount=/proc/{os.getpid()}/fd/{stage.namespace}", *drop]

    def _leave(self, stage: Stage) -> None:
        with self._stage_lock:
            stage.users -= 1
            if stage is not self._stage and stage.users == 0:
                stage.close()

    def _retire(self) -> None:
        """Let go of the present stage; the last run that uses it closes it."""
        stage, self._stage = self._stage, None
        if stage is not None and stage.users == 0:
            stage.close()

    def _options(self, spec: RunSpec, place: Callable[[str], str], descriptors: list[int]) -> list[str]:
        def data(content: bytes) -> str:
            descriptors.append(_memory_file(content))
            return str(descriptors[-1])

        runtime, limits = spec.runtime, spec.limits
        options = ["--unshare-all", "--unshare-user", "--disable-userns", "--die-with-parent", "--new-session"]
        options += ["--uid", _INSIDE_ID, "--gid", _INSIDE_ID, "--hostname", "sandbox"]
        programs = _PROGRAMS if spec.needs & {Need.GIT, Need.SHELL} else ()
        for path in (*_LIBRARIES, *programs):
            options += _show_system(path)
        for path in ("/etc/ld.so.cache", "/usr/share/zoneinfo"):
            if os.path.exists(path):
                options += ["--ro-bind", path, path]
        for path in runtime.mounts:
            if not path.startswith("/usr/lib/"):
                options += ["--ro-bind", place(path), path]
        hidden = {*runtime.hidden, *_HOST_PACKAGES} - {runtime.site}
        for path in sorted(hidden):
            if path.startswith("/usr/lib/") and os.path.isdir(path):
                options += ["--tmpfs", path, "--remount-ro", path]
        options += self._show_layer(spec, place)
        options += ["--ro-bind", self._prlimit, "/run/prlimit"]
        for name, content in (("passwd", _PASSWD), ("group", _GROUP), ("nsswitch.conf", _NSSWITCH), ("hosts", _HOSTS)):
            options += ["--perms", "0444", "--file", data(content), f"/etc/{name}"]
        options += ["--dir", SCENARIO_DIR]
        for name, content in sorted(spec.files.items()):
            options += ["--perms", "0444", "--file", data(content), f"{SCENARIO_DIR}/{name}"]
        if spec.repository is not None:
            options += ["--ro-bind", place(str(spec.repository)), REPOSITORY_DIR]
        options += ["--proc", "/proc", "--dev", "/dev"]
        options += ["--size", str(min(limits.disk_mb, 16) * _MB), "--tmpfs", "/dev/shm", "--remount-ro", "/dev"]  # noqa: S108
        options += ["--size", str(limits.disk_mb * _MB), "--perms", "0755", "--tmpfs", SCRATCH_DIR]
        for name in ("work", "home", "tmp"):
            options += ["--perms", "0700", "--dir", f"{SCRATCH_DIR}/{name}"]
        options += ["--symlink", f"{SCRATCH_DIR}/tmp", "/tmp", "--chdir", f"{SCRATCH_DIR}/work"]  # noqa: S108
        options += ["--remount-ro", "/"]
        for name, value in environment(spec).items():
            options += ["--setenv", name, value]
        filter_program = seccomp.program(platform.machine(), loopback=Need.LOOPBACK in spec.needs)
        return [*options, "--seccomp", data(filter_program)]

    @staticmethod
    def _show_layer(spec: RunSpec, place: Callable[[str], str]) -> list[str]:
        runtime = spec.runtime
        if runtime.kind == "node":
            return [] if spec.layer is None else ["--ro-bind", place(str(spec.layer)), LAYER_DIR]
        if spec.layer is None:
            return ["--tmpfs", runtime.site, "--remount-ro", runtime.site]
        return ["--ro-bind", place(str(spec.layer)), runtime.site]


def environment(spec: RunSpec, *, scratch: str = SCRATCH_DIR, layer: str = LAYER_DIR) -> dict[str, str]:
    """The few plain variables a program inside sees: nothing of the engine's own environment."""
    paths = [str(Path(spec.runtime.executable).parent)]
    if spec.needs & {Need.GIT, Need.SHELL}:
        paths = ["/usr/bin", "/bin", *paths]
    variables = {
        "HOME": f"{scratch}/home",
        "LANG": "C.UTF-8",
        "PATH": ":".join(dict.fromkeys(paths)),
        "TMPDIR": f"{scratch}/tmp",  # noqa: S108
        "TZ": "UTC",
    }
    if spec.runtime.kind == "python":
        variables |= {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONUTF8": "1", "PYTHONNOUSERSITE": "1"}
    else:
        variables["NODE_PATH"] = f"{layer}/node_modules"
    return {**variables, **spec.environment}


@functools.lru_cache(maxsize=256)
def _reachable(path: str) -> bool:
    return reachable(path)


def _show_system(path: str) -> list[str]:
    """A system folder as it is on the host: a link stays a link, an absent one absent."""
    if os.path.islink(path):
        return ["--symlink", os.readlink(path), path]
    return ["--ro-bind", path, path] if os.path.isdir(path) else []


def resource_limits(limits: Limits, *, processes: bool = True) -> list[str]:
    """Options of ``prlimit``.

    RLIMIT_DATA is twice the memory limit: it only stops a process faster than the sampling of the tree can. At the
    limit itself the tree is *killed*, visibly; a program merely refused memory may turn that into an ordinary answer.
    ``processes`` is left out where they would be counted together with everything else the user runs.
    """
    return [
        f"--data={(2 * limits.memory_mb + 64) * _MB}",
        *([f"--nproc={limits.processes}"] if processes else []),
        f"--nofile={limits.open_files}",
        f"--fsize={limits.disk_mb * _MB}",
        f"--cpu={math.ceil(limits.cpu_s)}:{math.ceil(limits.cpu_s) + 1}",
        "--core=0",
    ]


def _limited(spec: RunSpec) -> list[str]:
    """The program behind its limits, which are set inside so that an ordinary user's other processes do not count."""
    return ["/run/prlimit", *resource_limits(spec.limits), "--", spec.runtime.executable, *spec.arguments]


def _close_all(descriptors: list[int]) -> None:
    while descriptors:
        os.close(descriptors.pop())


def _memory_file(content: bytes) -> int:
    fd = os.memfd_create("sandbox", os.MFD_CLOEXEC)
    view = memoryview(content)
    while view:
        view = view[os.write(fd, view) :]
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


class _BubblewrapWatch:
    """Looks at the sandbox through its own /proc, found under pid 1's root; kills it by killing that pid 1."""

    def __init__(self, process: subprocess.Popen[bytes], status: int) -> None:
        self._process = process
        self._status = status
        self._said = b""
        self._init: int | None = None
        self._init_fd: int | None = None
        self._in_place = False

    def _listen(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while chunk := os.read(self._status, 4096):
                self._said += chunk
        if self._init is None:
            for document in self._documents():
                if "child-pid" in document:
                    self._init = int(document["child-pid"])
                    with contextlib.suppress(ProcessLookupError):
                        self._init_fd = os.pidfd_open(self._init)

    def _documents(self) -> Iterator[dict[str, int]]:
        for line in self._said.splitlines():
            with contextlib.suppress(ValueError):
                document = json.loads(line)
                if isinstance(document, dict):
                    yield document

    def look(self, limits: Limits) -> Sample | None:
        if self._init is None:
            self._listen()
        if not self._is_in_place():
            return None
        proc = f"/proc/{self._init}/root/proc"
        # pid 1 is bubblewrap's own, of a few hundred kB.
        return tree.sample(proc, tree.pids_in(proc), refine_above_mb=0.8 * limits.memory_mb)

    def disk(self) -> tuple[float, int] | None:
        if not self._is_in_place():
            return None
        return tree.filesystem_use(f"/proc/{self._init}/root{SCRATCH_DIR}")

    def _is_in_place(self) -> bool:
        """Whether the new root is: until then pid 1's /proc would be the host's own. What is in place stays."""
        if not self._in_place and self._init is not None:
            self._in_place = os.path.isdir(f"/proc/{self._init}/root{SCENARIO_DIR}")
        return self._in_place

    def kill(self) -> None:
        self._listen()
        if self._init_fd is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._init_fd, signal.SIGKILL)
        if self._process.poll() is None:
            self._process.kill()

    def exit_status(self, returncode: int) -> tuple[int | None, int | None] | None:
        self._listen()
        code = next((document["exit-code"] for document in self._documents() if "exit-code" in document), None)
        if code is None:
            return None
        # bubblewrap reports a signal as 128 + its number, and cannot be told from a program that exits so.
        return (None, code - 128) if code > 128 and code - 128 <= signal.NSIG else (code, None)

    def close(self) -> None:
        if self._init_fd is not None:
            os.close(self._init_fd)
            self._init_fd = None


@contextmanager
def bubblewrap(work: Path) -> Iterator[BubblewrapDriver]:
    """A driver for the length of a block, as commands use it."""
    driver = BubblewrapDriver(work)
    try:
        yield driver
    finally:
        driver.close()
