"""What a sandbox promises, each point tried on this machine by an attack. docs/sandbox.md explains them in the same order."""

from __future__ import annotations

import json
import os
import secrets
import socket
import tempfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from wargaming.errors import SandboxUnavailable, WargameError
from wargaming.sandbox import attacks, drivers
from wargaming.sandbox.base import SCENARIO_DIR, Driver, Ending, Limits, Need, RunResult, RunSpec, Trust
from wargaming.sandbox.runtimes import python_runtime

# Small, so that reaching a limit takes no time.
LIMITS = Limits(
    wall_s=15, cpu_s=10, memory_mb=128, processes=32, disk_mb=16, files=2000, output_bytes=4 << 20, open_files=128
)
DECLARED = {"HOME", "LANG", "PATH", "PWD", "TMPDIR", "TZ", "PYTHONDONTWRITEBYTECODE", "PYTHONUTF8", "PYTHONNOUSERSITE"}


@dataclass(frozen=True, slots=True)
class Finding:
    """``holds`` is ``None`` where it was not tried; ``how_tried`` says what was done and what came of it."""

    name: str
    holds: bool | None
    how_tried: str


@dataclass(slots=True)
class _Range:
    """Where the attacks are fired: a driver, a layer to tamper with, a secret file and a listening port on the host."""

    driver: Driver
    layer: Path
    secret: Path
    port: int

    def fire(
        self, program: str, *arguments: object, limits: Limits = LIMITS, needs: frozenset[Need] = frozenset()
    ) -> RunResult:
        files = {name: program.encode() for name in ("attack.py", "reproduce.py", "control.py")}
        words = (f"{SCENARIO_DIR}/attack.py", *map(str, arguments))
        # The programs are this product's own; that is what lets the weakest driver be shown for what it is.
        spec = RunSpec(python_runtime(), words, self.layer, files, Trust.SHIPPED, needs, limits)
        return self.driver.run(spec)


def _said(result: RunResult) -> dict[str, Any]:
    """The attack's own report; empty when it was ended before it could give one."""
    try:
        report = json.loads(result.last_line)
    except ValueError:
        return {}
    return report if isinstance(report, dict) else {}


def _ended(result: RunResult) -> str:
    return f"{result.ending} after {result.seconds:.1f} s"


def _host_files(field: _Range) -> tuple[bool, str]:
    report = _said(field.fire(attacks.HOST_FILES, field.secret))
    return report.get("reached") == [], f"read a file beside the work folder, /etc/shadow and homes: {report}"


def _environment(field: _Range) -> tuple[bool, str]:
    report = _said(field.fire(attacks.ENVIRONMENT))
    names = set(report.get("names", ["?"]))
    return names <= DECLARED, f"read every /proc/N/environ, pid 1 included: {len(names - DECLARED)} undeclared names"


def _network(field: _Range) -> tuple[bool, str]:
    with closing(socket.socket(socket.AF_UNIX)) as listening:
        abstract = f"immune-{secrets.token_hex(8)}"
        listening.bind(f"\0{abstract}")
        listening.listen()
        report = _said(field.fire(attacks.NETWORK, field.port, abstract, needs=frozenset({Need.LOOPBACK})))
    held = (report.get("reached"), report.get("interfaces"), report.get("routes")) == ([], ["lo"], [])
    how = "connected to the host's loopback, an abstract socket and the metadata addresses, listed interfaces and routes, made a raw socket"
    return held, f"{how}: {report}"


def _no_loopback(field: _Range) -> tuple[bool, str]:
    report = _said(field.fire(attacks.LOOPBACK, field.port))
    held = (report.get("worked"), report.get("interfaces")) == ([], ["lo"])
    return (
        held,
        f"without asking for it listened on loopback and connected, also to the host and the metadata addresses: {report}",
    )


def _no_sockets(field: _Range) -> tuple[bool, str]:
    report = _said(field.fire(attacks.NO_SOCKETS))
    return report.get("made") == [], f"made internet, netlink, packet and vsock sockets without asking: {report}"


def _processes(field: _Range) -> tuple[bool, str]:
    report = _said(field.fire(attacks.HOST_PROCESSES, os.getpid()))
    # A pid of the host may exist inside by chance only while it is small; so few are shown that it cannot.
    return report.get("processes", 999) <= 4, f"listed /proc and signalled the engine: {report}"


def _fork_bomb(field: _Range) -> tuple[bool, str]:
    report = _said(field.fire(attacks.FORKS, 4 * LIMITS.processes))
    forks = report.get("forks", 10**6)
    return forks < LIMITS.processes, f"forked {4 * LIMITS.processes} times with a limit of {LIMITS.processes}: {report}"


def _namespaces(field: _Range) -> tuple[bool, str]:
    report = _said(field.fire(attacks.NAMESPACES))
    return report.get("made") == [], f"unshared user and mount namespaces, mounted a tmpfs: {report}"


def _system_calls(field: _Range) -> tuple[bool, str]:
    report = _said(field.fire(attacks.SYSTEM_CALLS))
    held = (report.get("allowed"), report.get("seccomp"), report.get("capabilities")) == ([], "2", 0)
    return held and report.get("no_new_privileges") == "1", f"called what reaches deep into the kernel: {report}"


def _memory(field: _Range) -> tuple[bool, str]:
    result = field.fire(attacks.MEMORY, 4 * LIMITS.memory_mb)
    return result.ending is Ending.MEMORY, f"took {4 * LIMITS.memory_mb} MB of {LIMITS.memory_mb}: {_ended(result)}"


def _memory_of_tree(field: _Range) -> tuple[bool, str]:
    share = LIMITS.memory_mb * 6 // 10
    result = field.fire(attacks.MEMORY_OF_A_TREE, share)
    return result.ending is Ending.MEMORY, f"four processes took {share} MB each: {_ended(result)}"


def _disk(field: _Range) -> tuple[bool, str]:
    result = field.fire(attacks.DISK, 2 * LIMITS.disk_mb)
    written = _said(result).get("written_mb", 10**6)
    return written <= LIMITS.disk_mb + 1, f"wrote {2 * LIMITS.disk_mb} MB of {LIMITS.disk_mb} in files: {written} MB"


def _files(field: _Range) -> tuple[bool, str]:
    result = field.fire(attacks.MANY_FILES, 4 * LIMITS.files)
    made = _said(result).get("made", 0)
    held = result.ending is Ending.DISK or 0 < made <= LIMITS.files
    return held, f"made {4 * LIMITS.files} empty files of {LIMITS.files}: {_ended(result)}"


def _output(field: _Range) -> tuple[bool, str]:
    result = field.fire(attacks.OUTPUT, 4 * (LIMITS.output_bytes >> 16))
    kept = len(result.stdout_head) + len(result.stdout_tail) + len(result.stdout_zlib)
    return result.ending is Ending.OUTPUT, f"wrote four times the limit: {_ended(result)}, {kept} bytes kept"


def _survivors(field: _Range) -> tuple[bool, str]:
    token = f"survivor-{secrets.token_hex(8)}"
    result = field.fire(attacks.SURVIVORS, token)
    left = _processes_with(token)
    for pid in left:
        os.kill(pid, 9)
    held = not left and result.seconds < 5
    return held, f"left three double-forked children that ignore signals: {len(left)} alive, {_ended(result)}"


def _processes_with(token: str) -> list[int]:
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                command = Path(f"/proc/{name}/cmdline").read_bytes()
            except OSError:
                continue
            if token.encode() in command:
                found.append(int(name))
    return found


def _fresh_scratch(field: _Range) -> tuple[bool, str]:
    left = _said(field.fire(attacks.LEAVE_TRAPS)).get("left")
    found = _said(field.fire(attacks.LOOK_FOR_TRAPS)).get("found")
    return left is True and found == [], f"left links and a pipe in scratch, home and tmp; the next run found: {found}"


def _read_only(field: _Range) -> tuple[bool, str]:
    runtime = python_runtime()
    inside = field.driver.layer_place(runtime, field.layer)
    report = _said(
        field.fire(attacks.TAMPER, inside, runtime.executable, str(Path(os.__file__).parent), "/usr/lib", "/etc")
    )
    planted = (field.layer / "planted").exists()
    return report.get("changed") == [] and not planted, f"wrote to scripts and layer, asked for the rest: {report}"


def _wall_time(field: _Range) -> tuple[bool, str]:
    result = field.fire(attacks.WAIT, limits=replace(LIMITS, wall_s=1.0))
    return result.ending is Ending.WALL_TIME and result.seconds < 4, f"slept and ignored signals: {_ended(result)}"


def _cpu_time(field: _Range) -> tuple[bool, str]:
    result = field.fire(attacks.BUSY, limits=replace(LIMITS, cpu_s=1.0))
    return result.ending is Ending.CPU_TIME, f"two busy processes with 1 s together: {_ended(result)}"


GUARANTEES: dict[str, Callable[[_Range], tuple[bool, str]]] = {
    "no_host_files": _host_files,
    "no_environment_but_the_declared": _environment,
    "no_network": _network,
    "no_loopback_unless_asked": _no_loopback,
    "no_sockets_unless_asked": _no_sockets,
    "no_host_processes": _processes,
    "process_limit": _fork_bomb,
    "no_nested_namespaces": _namespaces,
    "seccomp_and_no_capabilities": _system_calls,
    "memory_limit": _memory,
    "memory_limit_over_the_tree": _memory_of_tree,
    "disk_limit": _disk,
    "file_count_limit": _files,
    "output_limit": _output,
    "nothing_survives": _survivors,
    "fresh_scratch": _fresh_scratch,
    "read_only_scenario_layer_and_interpreter": _read_only,
    "wall_time_limit": _wall_time,
    "cpu_time_limit": _cpu_time,
}


def try_guarantees(driver: Driver, work: Path, names: tuple[str, ...] = tuple(GUARANTEES)) -> tuple[Finding, ...]:
    """Fire the attacks of ``names`` at ``driver`` and tell what held."""
    work.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(dir=work, prefix="range-") as folder,
        closing(socket.create_server(("127.0.0.1", 0))) as host,
    ):
        os.chmod(folder, 0o755)  # noqa: S103
        secret, layer = Path(folder, "secret"), Path(folder, "layers", "layer")
        secret.write_text("not for the sandbox")
        layer.mkdir(parents=True)
        layer.chmod(0o777)  # what guards it must be the sandbox, not its mode
        field = _Range(driver, layer, secret, host.getsockname()[1])
        findings = []
        for name in names:
            try:
                holds, how = GUARANTEES[name](field)
            except WargameError as error:
                findings.append(Finding(name, None, f"not tried: {error.reason}: {error}"))
                continue
            findings.append(Finding(name, holds, how))
    return tuple(findings)


def sandbox_report(work: Path, driver: str = "") -> dict[str, Any]:
    """``{driver, guarantees: [{name, holds, how_tried}]}`` of the driver that would be used (or the named one)."""
    try:
        with drivers.opened(driver, work) as opened:
            name, findings = opened.name, try_guarantees(opened, work)
    except SandboxUnavailable as error:
        if error.reason == "unknown_driver":
            raise
        name = driver
        findings = tuple(Finding(each, None, f"not tried: {error}") for each in GUARANTEES)
    listed = [{"name": each.name, "holds": each.holds, "how_tried": each.how_tried} for each in findings]
    return {"driver": name, "guarantees": listed}
