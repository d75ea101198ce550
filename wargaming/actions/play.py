"""What runs on GitHub's machine: builds both sides from their locks, runs the scenario's scripts, writes down what was seen.

Copied as it is onto the wargame's branch, beside the order, and started by the workflow: the standard library and a Linux with
util-linux are all it has. It draws no conclusion. Every script runs as ``nobody`` in namespaces of its own: no network, no other
processes, no new privileges, a scratch folder in memory. Where that cannot be had nothing is run.

    python play.py ORDER_FOLDER EVIDENCE_FOLDER
"""

from __future__ import annotations

import ctypes
import fcntl
import hashlib
import json
import os
import platform
import resource
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import IO, Any

FORMAT = 1
NOBODY = 65534
INSTALL_S = 300
# Twice what is allowed stops what is too fast to be looked at; what lies between was seen in the peak, and does not count.
HEADROOM = 2
_UNSHARE = ["--net", "--pid", "--ipc", "--uts", "--mount", "--fork", "--kill-child", "--mount-proc", "--"]
_MS_RDONLY, _MS_NOSUID, _MS_NODEV, _MS_REMOUNT, _MS_BIND = 1, 2, 4, 32, 4096
_PR_SET_NO_NEW_PRIVS = 38


# -- inside: root of its own namespaces, until the script is started -------------------------------------------------------------


def inside(spec: dict[str, Any]) -> int:
    """Makes the place, starts the script as nobody, waits for it, and writes ``spec["status"]``. When it ends, all ends."""
    libc = ctypes.CDLL(None, use_errno=True)
    # Opened while it still can be: below, what everybody may write to becomes read-only, so that no run leaves anything to the next.
    status_file = os.open(spec["status"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    for shared in ("/tmp", "/var/tmp"):
        if os.path.isdir(shared):
            _mount(libc, shared, shared, "", _MS_BIND)
            _mount(libc, "", shared, "", _MS_BIND | _MS_REMOUNT | _MS_RDONLY | _MS_NOSUID | _MS_NODEV)
    if os.path.isdir("/dev/shm"):
        _mount(libc, "tmpfs", "/dev/shm", "tmpfs", _MS_NOSUID | _MS_NODEV, "size=16m,mode=1777")
    if spec["prefix"]:
        # The interpreter's own place may be one that nobody may enter.
        _mount(libc, spec["prefix"], spec["shown_prefix"], "", _MS_BIND)
        _mount(libc, "", spec["shown_prefix"], "", _MS_BIND | _MS_REMOUNT | _MS_RDONLY | _MS_NOSUID)
    scratch = spec["scratch"]
    size = f"size={spec['disk_mb']}m,nr_inodes={spec['files']},mode=0755"
    _mount(libc, "tmpfs", scratch, "tmpfs", _MS_NOSUID | _MS_NODEV, size)
    for hidden in ("/home", "/root"):
        if os.path.isdir(hidden) and not spec["arguments"][0].startswith(hidden):
            _mount(libc, "tmpfs", hidden, "tmpfs", _MS_NOSUID | _MS_NODEV, "size=64k,mode=0755")
    for name in ("work", "home", "tmp"):
        os.mkdir(f"{scratch}/{name}")
        os.chown(f"{scratch}/{name}", NOBODY, NOBODY)
    if spec["loopback"]:
        _loopback_up()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    started = time.monotonic()
    child = os.fork()
    if child == 0:
        _become(libc, spec)
    ending, status = _waited(child, started + spec["wall_s"])
    seconds = time.monotonic() - started
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    signalled = status is not None and os.WIFSIGNALED(status)
    said = {
        "ending": ending if status is None else "signalled" if signalled else "exited",
        "exit_code": os.WEXITSTATUS(status) if status is not None and not signalled else None,
        "signal": os.WTERMSIG(status) if status is not None and signalled else None,
        "seconds": seconds,
        "cpu_s": used.ru_utime + used.ru_stime,
        "memory_mb": used.ru_maxrss / 1024,
    }
    os.write(status_file, json.dumps(said).encode())
    return 0


def _mount(libc: ctypes.CDLL, what: str, where: str, kind: str, flags: int, options: str = "") -> None:
    if libc.mount(what.encode(), where.encode(), kind.encode() or None, flags, options.encode() or None) != 0:
        raise OSError(ctypes.get_errno(), f"could not mount {what} at {where}")


def _loopback_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
        fcntl.ioctl(handle, 0x8914, struct.pack("16sh", b"lo", 0x1 | 0x40))  # SIOCSIFFLAGS: up, running


def _become(libc: ctypes.CDLL, spec: dict[str, Any]) -> None:
    """In the child: limits, no privileges, then the script. Never returns."""
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
        data = int(HEADROOM * spec["memory_mb"]) << 20
        cpu = int(spec["cpu_s"]) + 1
        for what, limit in (
            (resource.RLIMIT_DATA, data),
            (resource.RLIMIT_CPU, cpu),
            (resource.RLIMIT_NPROC, spec["processes"]),
            (resource.RLIMIT_NOFILE, spec["open_files"]),
            (resource.RLIMIT_CORE, 0),
        ):
            resource.setrlimit(what, (limit, limit))
        os.setsid()
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
        if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
            os._exit(125)
        os.chdir(f"{spec['scratch']}/work")
        os.execve(spec["arguments"][0], spec["arguments"], spec["environment"])
    finally:
        os._exit(125)


def _waited(child: int, until: float) -> tuple[str, int | None]:
    """("", status) of the child, or ("wall_time", None) when it did not end in time. Orphans are reaped beside it."""
    while True:
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == child:
                return "", status
            if pid == 0:
                break
        left = until - time.monotonic()
        if left <= 0:
            return "wall_time", None
        signal.sigtimedwait({signal.SIGCHLD}, left)


# -- outside: the workflow's step ------------------------------------------------------------------------------------------------


class Stream(threading.Thread):
    """Reads one pipe to its end and keeps at most ``limit`` bytes: what is more is counted and dropped."""

    def __init__(self, pipe: IO[bytes], limit: int) -> None:
        super().__init__(daemon=True)
        self.pipe, self.limit = pipe, limit
        self.kept = b""
        self.total = 0
        self.start()

    def run(self) -> None:
        """Until the other end is closed."""
        while block := self.pipe.read1(1 << 16):  # type: ignore[attr-defined]  # a buffered reader has it
            self.total += len(block)
            self.kept += block[: max(0, self.limit - len(self.kept))]


class Player:
    """One order, one place below the temporary folder."""

    def __init__(self, folder: Path, order: dict[str, Any]) -> None:
        self.order, self.limits = order, order["limits"]
        self.files = self._checked_files(folder)
        # Everyone may pass through, and nobody but us may write.
        self.place = Path(tempfile.mkdtemp(prefix="immune-wargame-", dir="/tmp"))
        self.place.chmod(0o755)
        for name in ("scenario", "prefix", "scratch", "status"):
            (self.place / name).mkdir()
        for name, content in self.files.items():
            if name.startswith("scenario/"):
                target = self.place / name
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content)
        self.prefix, self.interpreter = self._interpreter()

    def _checked_files(self, folder: Path) -> dict[str, bytes]:
        found = {name: (folder / name).read_bytes() for name in self.order["files"]}
        wrong = [name for name, data in found.items() if hashlib.sha256(data).hexdigest() != self.order["files"][name]]
        if wrong:
            raise SystemExit(f"not as ordered: {', '.join(wrong)}")
        return found

    def _interpreter(self) -> tuple[str, str]:
        """(folder to be shown inside, or "" where it is reachable anyway; the interpreter's path inside)."""
        if self.order["ecosystem"] == "npm":
            found = os.path.realpath(shutil.which("node") or "node")
            prefix = os.path.dirname(os.path.dirname(found))
        else:
            found, prefix = os.path.realpath(sys.executable), sys.base_prefix
        if prefix == "/usr" or not found.startswith(prefix + "/"):
            return "", found
        return prefix, f"{self.place}/prefix/{found.removeprefix(prefix + '/')}"

    def runtime(self) -> str:
        """What evidence says of the interpreter and the machine."""
        if self.order["ecosystem"] == "npm":
            asked = ["node", "-p", "`node-${process.version}-${process.arch}-abi${process.versions.modules}`"]
            said = subprocess.run(asked, capture_output=True, text=True, timeout=60, check=False)
            return said.stdout.strip()[:200]
        libc = "-".join(platform.libc_ver())
        return f"cpython-{platform.python_version()}-{sys.implementation.cache_tag}-{platform.machine()}-{libc}"

    def build(self, phase: str) -> str:
        """Installs one side: wheels only, by hash, no install scripts. Returns why it could not, "" when it could."""
        layer = self.place / "layers" / phase
        layer.mkdir(parents=True)
        lock = self.files[f"locks/{phase}"]
        if self.order["ecosystem"] == "npm":
            (layer / "package.json").write_bytes(self.files[f"locks/{phase}.package"])
            (layer / "package-lock.json").write_bytes(lock)
            command = ["npm", "ci", *self.order["npm_flags"]]
        else:
            (self.place / f"{phase}.lock").write_bytes(lock)
            command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]
            command += ["--no-deps", "--only-binary", ":all:", "--require-hashes"]
            command += ["--target", str(layer), "--requirement", str(self.place / f"{phase}.lock")]
        try:
            done = subprocess.run(
                command, cwd=layer, capture_output=True, text=True, errors="replace", timeout=INSTALL_S, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return str(error)[:1000]
        return "" if done.returncode == 0 else " ".join(done.stderr.split())[-1000:] or f"exit {done.returncode}"

    def run(
        self, phase: str, arguments: list[str], stdin: bytes, flags: list[str]
    ) -> tuple[dict[str, Any], bytes, bytes]:
        """Runs one script on one side: what was seen of it, its output and its errors."""
        status = self.place / "status" / "last.json"
        status.unlink(missing_ok=True)
        spec = {
            "arguments": [self.interpreter, *flags, *arguments],
            "environment": self._environment(phase),
            "prefix": self.prefix,
            "shown_prefix": str(self.place / "prefix"),
            "scratch": str(self.place / "scratch"),
            "loopback": "loopback" in self.order["needs"],
            "status": str(status),
            **self.limits,
        }
        # To become root empties the environment; an interpreter outside /usr may need to be told where its own library lies.
        library = ["env", f"LD_LIBRARY_PATH={sys.base_prefix}/lib"] if sys.base_prefix != "/usr" else []
        command = [
            *as_root(),
            *library,
            "unshare",
            *_UNSHARE,
            sys.executable,
            "-I",
            os.path.abspath(__file__),
            "--inside",
        ]
        with subprocess.Popen(
            [*command, json.dumps(spec)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process:
            assert process.stdin and process.stdout and process.stderr
            streams = [Stream(pipe, self.limits["output_bytes"]) for pipe in (process.stdout, process.stderr)]
            try:
                process.stdin.write(stdin)
                process.stdin.close()
            except BrokenPipeError:
                pass  # it did not wait for its nonce: its own loss
            process.wait(timeout=self.limits["wall_s"] + 60)
            for stream in streams:
                stream.join(timeout=60)
        said: dict[str, Any] = {"ending": "not_started", "exit_code": None, "signal": None}
        said |= {"seconds": 0.0, "cpu_s": 0.0, "memory_mb": 0.0}
        if status.is_file() and status.stat().st_size:
            said = json.loads(status.read_text())
        said["output_bytes"] = sum(stream.total for stream in streams)
        if any(stream.total > stream.limit for stream in streams):
            said |= {"ending": "output", "exit_code": None, "signal": None}
        return said, streams[0].kept, streams[1].kept

    def _environment(self, phase: str) -> dict[str, str]:
        scratch, layer = self.place / "scratch", self.place / "layers" / phase
        paths = [os.path.dirname(self.interpreter)]
        if {"git", "shell"} & set(self.order["needs"]):
            paths = ["/usr/bin", "/bin", *paths]
        plain = {"HOME": f"{scratch}/home", "TMPDIR": f"{scratch}/tmp", "PATH": ":".join(paths)}
        plain |= {"LANG": "C.UTF-8", "TZ": "UTC"}
        if self.order["ecosystem"] == "npm":
            return plain | {"NODE_PATH": f"{layer}/node_modules"}
        quiet = {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONUTF8": "1", "PYTHONNOUSERSITE": "1"}
        if self.prefix:
            plain["LD_LIBRARY_PATH"] = f"{self.place}/prefix/lib"
        return plain | quiet | {"PYTHONPATH": str(layer)}

    def observe(self, phase: str) -> list[list[str]]:
        """(name, version) of what an interpreter inside sees of a side; empty when it could not be told."""
        (self.place / "observe").mkdir(exist_ok=True)
        name = "observe.js" if self.order["ecosystem"] == "npm" else "observe.py"
        (self.place / "observe" / name).write_bytes(self.files[name])
        flags = [] if self.order["ecosystem"] == "npm" else ["-I", "-S"]
        arguments = [str(self.place / "observe" / name), str(self.place / "layers" / phase)]
        said, out, _ = self.run(phase, arguments, b"", flags)
        try:
            found: list[list[str]] = json.loads(out) if said["exit_code"] == 0 else []
        except ValueError:
            return []
        return found


def as_root() -> list[str]:
    """How to become root: not needed, or by sudo without a password, as GitHub's own machines have it."""
    return [] if os.geteuid() == 0 else ["sudo", "--non-interactive"]


def isolated() -> str:
    """Why namespaces cannot be made here; "" when they can."""
    try:
        done = subprocess.run(
            [*as_root(), "unshare", *_UNSHARE, "true"], capture_output=True, text=True, timeout=60, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)[:500]
    return "" if done.returncode == 0 else done.stderr.strip()[:500] or f"unshare ended with {done.returncode}"


def play(folder: Path, evidence: Path) -> None:
    """Carries the order out and writes the evidence, whatever was seen."""
    whole = (folder / "order.json").read_bytes()
    order = json.loads(whole)
    (evidence / "outputs").mkdir(parents=True)
    said: dict[str, Any] = {
        "format": FORMAT,
        "correlation": order["correlation"],
        "nonce": order["nonce"],
        "order": hashlib.sha256(whole).hexdigest(),
        "commit": os.environ.get("GITHUB_SHA", ""),
        "run_id": os.environ.get("GITHUB_RUN_ID", ""),
        "runtime": "",
        "not_isolated": isolated(),
        "sides": {},
        "runs": [],
    }
    kept: dict[str, bytes] = {}
    if not said["not_isolated"]:
        player = Player(folder, order)
        try:
            said["runtime"] = player.runtime()
            for phase in ("before", "after"):
                wrong = player.build(phase)
                said["sides"][phase] = {"wrong": wrong, "observed": [] if wrong else player.observe(phase)}
            _rounds(player, said, kept)
        finally:
            shutil.rmtree(player.place, ignore_errors=True)
    for name, data in kept.items():
        (evidence / name).write_bytes(data)
    said["files"] = {name: hashlib.sha256(data).hexdigest() for name, data in kept.items()}
    (evidence / "evidence.json").write_text(json.dumps(said, indent=1, sort_keys=True))


def _rounds(player: Player, said: dict[str, Any], kept: dict[str, bytes]) -> None:
    order = player.order
    again = order["steps"]
    flags = [] if order["ecosystem"] == "npm" else ["-S"]
    for number in range(1, order["repeats"] + 1):
        cheap = []
        for step in again:
            if said["sides"][step["phase"]]["wrong"]:
                continue
            nonce = order["nonces"].get(f"{step['phase']}:{step['step']}:{step['variant']}:{number}", "")
            script = str(player.place / "scenario" / step["script"])
            seen, out, err = player.run(step["phase"], [script], f"{nonce}\n".encode() if nonce else b"", flags)
            stem = f"outputs/{len(said['runs']):03d}"
            kept[f"{stem}.out"], kept[f"{stem}.err"] = out, err
            named = {name: step[name] for name in ("phase", "step", "variant")}
            said["runs"].append({**named, "round": number, **seen})
            if seen["seconds"] < order["cheap"]["seconds"] and seen["cpu_s"] < order["cheap"]["cpu_s"]:
                cheap.append(step)
        again = cheap


if __name__ == "__main__":
    if sys.argv[1] == "--inside":
        sys.exit(inside(json.loads(sys.argv[2])))
    play(Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve())
