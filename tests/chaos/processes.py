"""The processes of `deploy/Procfile`, each killed as a machine, the kernel or an operator kills, and started again."""

from __future__ import annotations

import contextlib
import os
import random
import shlex
import signal
import socket
import subprocess
import time
from collections import Counter
from pathlib import Path

from deploy.stack import read_procfile
from tests.environment import ROOT
from tests.servers.private import family_of, kill_family

NOT_HERE = ("release", "front")  # release ends by itself; front is no part of what is promised
START_SECONDS = 90


class Process:
    """One line of the Procfile. Its output goes to a file that all its lives share."""

    def __init__(self, name: str, command: str, environment: dict[str, str], folder: Path) -> None:
        self.name = name
        self.command = command
        self.environment = environment
        self.log = folder / f"{name}.log"
        self.lives: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.lives.append(
                subprocess.Popen(
                    ["/bin/sh", "-c", f"exec {self.command}"],
                    cwd=ROOT,
                    env=self.environment,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            )

    @property
    def now(self) -> subprocess.Popen[bytes]:
        return self.lives[-1]

    @property
    def ended(self) -> bool:
        return self.now.poll() is not None

    def kill_tree(self) -> None:
        kill_family(self.now)

    def kill_parent(self) -> None:
        """Its children go on for a moment, beside those of the next life."""
        self.now.kill()
        self.now.wait()

    def kill_child(self, choose: random.Random) -> None:
        """One of its children, as soon as it has one."""
        deadline = time.monotonic() + START_SECONDS
        while not (children := family_of(self.now.pid)[1:]):
            assert time.monotonic() < deadline, (
                f"{self.name} never had a child: {self.log.read_text(errors='replace')[-3000:]}"
            )
            assert not self.ended, f"{self.name} ended: {self.log.read_text(errors='replace')[-3000:]}"
            time.sleep(0.1)  # between two looks; nobody tells that a child was made
        with contextlib.suppress(ProcessLookupError):
            os.kill(choose.choice(children), signal.SIGKILL)

    def sweep_away(self) -> None:
        """Every process of every life: each life has a session of its own."""
        for life in self.lives:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(life.pid, signal.SIGKILL)
            life.wait()


class Processes:
    """All of them, and what a supervisor does: start again what is gone."""

    def __init__(self, environment: dict[str, str], folder: Path) -> None:
        lines = read_procfile((ROOT / "deploy" / "Procfile").read_text(encoding="utf-8"))
        self.by_name = {
            line.name: Process(line.name, line.command, environment, folder)
            for line in lines
            if line.name not in NOT_HERE
        }
        self.ports = {"web": int(environment["WEB_PORT"]), "live": int(environment["LIVE_PORT"])}
        self.ended_by_themselves: Counter[str] = Counter()

    @property
    def workers(self) -> list[Process]:
        return [process for name, process in self.by_name.items() if name.startswith("worker")]

    def start(self) -> None:
        for process in self.by_name.values():
            process.start()
        deadline = time.monotonic() + START_SECONDS
        for name, port in self.ports.items():
            while not _listens(port):
                assert time.monotonic() < deadline, self.by_name[name].log.read_text(errors="replace")[-3000:]
                assert not self.by_name[name].ended, self.by_name[name].log.read_text(errors="replace")[-3000:]
                time.sleep(0.05)  # between two looks; a server tells nobody that it listens

    def start_again(self) -> None:
        """Whatever ended without being killed here is started as a supervisor would, and counted."""
        for name, process in self.by_name.items():
            if process.ended:
                self.ended_by_themselves[name] += 1
                process.start()

    def retire(self, name: str) -> None:
        """Ends one for good."""
        process = self.by_name.pop(name)
        process.kill_tree()
        process.sweep_away()

    def stop(self) -> None:
        for process in self.by_name.values():
            if process.lives:
                if not process.ended:
                    process.kill_tree()
                process.sweep_away()


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def environment_of(base: dict[str, str], programs: Path, **more: str) -> dict[str, str]:
    return {
        **base,
        "PATH": f"{shlex.quote(str(programs))}:{base.get('PATH', os.defpath)}",
        "PYTHONUNBUFFERED": "1",
        # A game decides in minutes what a team decides in weeks.
        **dict.fromkeys(("OPEN_PULL_REQUESTS_PER_REPOSITORY", "OPEN_PULL_REQUESTS"), "0"),
        **dict.fromkeys(("MERGES_PER_HOUR_PER_REPOSITORY", "MERGES_PER_HOUR"), "0"),
        **more,
    }
