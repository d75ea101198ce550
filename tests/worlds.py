"""Databases of their own with product processes beside them: what tests of races and kills need.

A world's database is a copy of one that this run migrated once. Its processes are forked from one that has Django set up
(``tests.agent``); each is a real process with its own connections, and may be killed.
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import json
import os
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from tests.environment import ROOT, worker
from tests.servers import lease
from tests.servers.leases import begin_run, with_path

numbers = itertools.count()


class Child:
    """A forked process. ``result`` waits for it; ``kill`` is a SIGKILL to all of its session."""

    def __init__(self, pid: int, folder: Path) -> None:
        self.pid = pid
        self.folder = folder
        try:
            self._fd: int | None = os.pidfd_open(pid)
        except ProcessLookupError:
            self._fd = None  # ended before we looked

    def output(self) -> str:
        path = self.folder / "out"
        return path.read_text(errors="replace") if path.exists() else ""

    def wait(self, timeout: float) -> None:
        if self._fd is None:
            return
        assert select.select([self._fd], [], [], timeout)[0], (
            f"still running after {timeout} s: {self.output()[-3000:]}"
        )
        os.close(self._fd)
        self._fd = None

    @property
    def running(self) -> bool:
        return self._fd is not None and not select.select([self._fd], [], [], 0)[0]

    def result(self, timeout: float = 60) -> Any:
        self.wait(timeout)
        path = self.folder / "result"
        assert path.exists(), self.output()[-5000:]
        return json.loads(path.read_text())

    def signal(self, number: int) -> None:
        if self._fd is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._fd, number)

    def kill(self) -> None:
        if self.running:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
        self.wait(10)


class World:
    """One migrated database and the processes that use it."""

    def __init__(self, database_url: str, folder: Path, **more: str) -> None:
        self.database_url = database_url
        self.folder = folder
        self.more = more
        self._agent: subprocess.Popen[str] | None = None
        self._children: list[Child] = []

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "config.settings",
            "DATABASE_URL": self.database_url,
            "WORK_DIR": str(self.folder / "work"),
            "LOG_LEVEL": "WARNING",
            **self.more,
        }

    def start(self, target: str, *arguments: Any) -> Child:
        """Calls ``module:function`` in a process of its own."""
        if self._agent is None:
            self._agent = subprocess.Popen(
                [sys.executable, "-m", "tests.agent"],
                cwd=ROOT,
                env=self.environment,
                text=True,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
            self._read("ready")
        assert self._agent.stdin is not None
        folder = self.folder / f"child-{next(numbers)}"
        folder.mkdir(parents=True)
        self._agent.stdin.write(json.dumps({"target": target, "arguments": arguments, "folder": str(folder)}) + "\n")
        self._agent.stdin.flush()
        child = Child(json.loads(self._read())["pid"], folder)
        self._children.append(child)
        return child

    def call(self, target: str, *arguments: Any) -> Any:
        """What ``module:function`` returns in a process of this world."""
        return self.start(target, *arguments).result()

    def _read(self, expected: str | None = None) -> str:
        assert self._agent is not None
        assert self._agent.stdout is not None
        line = self._agent.stdout.readline().strip()
        assert line, "the agent ended"
        assert expected in (None, line), f"the agent said {line!r}"
        return line

    def manage(self, *words: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """Runs ``manage.py`` as a person would. ``timeout``: seconds it may take."""
        return subprocess.run(
            [sys.executable, "manage.py", *words],
            cwd=ROOT,
            env=self.environment,
            text=True,
            capture_output=True,
            timeout=timeout,
            check=False,
        )

    def close(self) -> None:
        for child in self._children:
            child.kill()
        if self._agent is not None:
            assert self._agent.stdin is not None
            assert self._agent.stdout is not None
            self._agent.stdin.close()
            self._agent.stdout.close()
            self._agent.wait(120)  # it ends at once, but a busy machine may not let it


def _template(kind: str, make: Callable[[Path], str]) -> str:
    """The run's migrated database of a kind, made by whoever asks first."""
    folder = begin_run()
    note = folder / f"template-{kind}"
    with (folder / f"template-{kind}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not note.exists():
            url = make(folder)
            # All of the run waits for this, however busy the machine.
            done = World(url, folder / f"template-{kind}-work").manage("migrate", "-v0", timeout=900)
            assert done.returncode == 0, done.stderr
            note.write_text(url)
    return note.read_text()


def sqlite_copy(path: Path) -> str:
    """Puts a migrated database there; its address."""
    source = _template("sqlite", lambda folder: f"sqlite:///{folder / 'template.sqlite3'}").removeprefix("sqlite:///")
    path.parent.mkdir(parents=True, exist_ok=True)
    # The last connection to the template was closed, which folded its write-ahead log into it.
    shutil.copy(source, path)
    return f"sqlite:///{path}"


def postgresql_copy(name: str) -> str:
    """Makes a migrated database of this name on the run's server; its address."""
    server = lease("postgresql")
    template = f"{server.run}_template"

    def make(_folder: Path) -> str:
        _execute(server.url, "CREATE DATABASE {}", template)
        return with_path(server.url, template)

    _template("postgresql", make)
    _execute(server.url, "CREATE DATABASE {} TEMPLATE {}", name, template)
    return with_path(server.url, name)


@contextlib.contextmanager
def _postgresql_world() -> Iterator[str]:
    server = lease("postgresql")
    name = f"{server.run}_world_{worker()}_{os.getpid()}_{next(numbers)}"
    try:
        yield postgresql_copy(name)
    finally:
        _execute(server.url, "DROP DATABASE IF EXISTS {} WITH (FORCE)", name)


def _execute(url: str, statement: str, *names: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


@contextlib.contextmanager
def worlds(folder: Path) -> Iterator[Callable[..., World]]:
    """Makes worlds below ``folder``; their processes end with the block."""
    with contextlib.ExitStack() as rooms:

        def make(database: str, **more: str) -> World:
            place = folder / f"world-{next(numbers)}"
            sqlite = database == "sqlite"
            url = sqlite_copy(place / "world.sqlite3") if sqlite else rooms.enter_context(_postgresql_world())
            made = World(url, place, **more)
            rooms.callback(made.close)
            return made

        yield make


@pytest.fixture
def new_world(tmp_path: Path) -> Iterator[Callable[..., World]]:
    """Makes worlds: ``new_world("sqlite" | "postgresql", NAME=value…)``; their processes end with the test."""
    with worlds(tmp_path) as make:
        yield make
