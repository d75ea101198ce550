"""`make stack`: the production processes of `deploy/Procfile`, without containers, against local servers.

    python deploy/stack.py                 starts them all; Ctrl-C stops them all
    python deploy/stack.py -- COMMAND …    runs one command in the same environment, e.g. -- python manage.py doctor

Addresses come from the environment, then from `.env`, then from the servers' standard local addresses; a missing
PostgreSQL database is created, secrets are made once and kept in the work folder. A process that ends is reported and the others go
on (so that losing one can be tried); the exit code then is 1.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
from dotenv import dotenv_values
from psycopg import sql

ROOT = Path(__file__).resolve().parent.parent
STOP_SECONDS = 20
LINE_LIMIT = 64 * 1024
LOCAL = {
    "DATABASE_URL": "postgresql://postgres@127.0.0.1:5432/immune",
    "RABBITMQ_URL": "amqp://guest:guest@127.0.0.1:5672//",
    "REDIS_URL": "redis://127.0.0.1:6379/0",
}


@dataclass(frozen=True)
class Line:
    """One process: its name and the command sh is to run."""

    name: str
    command: str


# Who tries the stack needs an account and something to see; servers that are set up by other means do without.
FIRST_START = Line("first-start", "python manage.py first_start")
# These run to their end, in this order, before the others start.
BEFORE = ("release", FIRST_START.name)


def read_procfile(text: str) -> list[Line]:
    """The processes of a Procfile, in its order. ValueError names a line that is none."""
    lines: list[Line] = []
    for number, written in enumerate(text.splitlines(), 1):
        if not written.strip() or written.startswith("#"):
            continue
        found = re.fullmatch(r"([a-z][a-z-]*):\s*(\S.*)", written)
        if found is None or any(line.name == found[1] for line in lines):
            raise ValueError(f"deploy/Procfile line {number}: not `name: command`, or a name given twice")
        lines.append(Line(found[1], found[2].strip()))
    return lines


def settings(environment: dict[str, str], dotenv: dict[str, str | None]) -> dict[str, str]:
    """The environment of the processes: what is given stays, what is missing gets its local value."""
    given = {name for source in (environment, dotenv) for name, value in source.items() if value}
    result = dict(environment)
    for name, address in LOCAL.items():
        if not {name, f"{name}_FILE"} & given:
            result[name] = address
    work = Path(environment.get("WORK_DIR") or dotenv.get("WORK_DIR") or "var")
    result["WORK_DIR"] = str(ROOT / work)
    result.setdefault("PROMETHEUS_MULTIPROC_DIR", str(ROOT / work / "metrics"))
    for name in ("SECRET_KEY", "CHECKPOINT_KEY"):
        if not {name, f"{name}_FILE"} & given:
            result[f"{name}_FILE"] = str(kept_secret(ROOT / work / f"stack-{name.lower()}"))
    # `front` is no Django process and reads no .env.
    for name in ("HOST", "PORT"):
        if name not in result and dotenv.get(name):
            result[name] = str(dotenv[name])
    result["PATH"] = f"{ROOT / '.venv' / 'bin'}{os.pathsep}{result.get('PATH', os.defpath)}"
    result["PYTHONUNBUFFERED"] = "1"
    return result


def kept_secret(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with (
        contextlib.suppress(FileExistsError),
        open(path, "x", opener=lambda p, flags: os.open(p, flags, 0o600)) as file,
    ):
        file.write(secrets.token_urlsafe(48))
    return path


def create_database(url: str) -> None:
    """Creates the database an address names when its server has none. psycopg.Error when the server does not let us."""
    name = urlsplit(url).path.lstrip("/")
    with psycopg.connect(
        urlsplit(url)._replace(path="/postgres").geturl(), autocommit=True, connect_timeout=5
    ) as server:
        if server.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone() is None:
            server.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
            say("stack", f"created the database {name}")


def say(name: str, text: str) -> None:
    print(f"{name:>15} | {text}", flush=True)


def die_with_parent() -> None:
    """Asks the kernel to end this child when the stack itself is killed."""
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM)


async def run(line: Line, environment: dict[str, str]) -> tuple[subprocess.Popen[bytes], asyncio.Task[int]]:
    """Starts one process in a session of its own; the task copies its output and ends with its exit code."""
    process = subprocess.Popen(
        # One command is executed in the shell's place, so that signals reach it; a list of commands needs the shell.
        ["/bin/sh", "-c", line.command if "&&" in line.command else f"exec {line.command}"],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        preexec_fn=die_with_parent,  # noqa: PLW1509 - no threads here
    )
    return process, asyncio.create_task(follow(line.name, process))


async def follow(name: str, process: subprocess.Popen[bytes]) -> int:
    """Copies a process's output until it ends. Its children may hold the pipe longer: they are not waited for."""
    loop = asyncio.get_running_loop()
    output = asyncio.StreamReader()
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(output), process.stdout)
    copying = asyncio.create_task(copy(name, output))
    ended = asyncio.Event()
    handle = os.pidfd_open(process.pid)
    loop.add_reader(handle, ended.set)
    try:
        await ended.wait()
        await asyncio.wait({copying}, timeout=1)
        return process.wait()
    finally:
        loop.remove_reader(handle)
        os.close(handle)
        copying.cancel()
        transport.close()


async def copy(name: str, output: asyncio.StreamReader) -> None:
    """Line by line; a line without an end is cut rather than kept, or the pipe would fill and hold the process up."""
    rest = b""
    while chunk := await output.read(LINE_LIMIT):
        *lines, rest = (rest + chunk).split(b"\n")
        if len(rest) > LINE_LIMIT:
            lines, rest = [*lines, rest], b""
        for line in lines:
            say(name, line.decode(errors="replace").rstrip())
    if rest:
        say(name, rest.decode(errors="replace"))


async def stop(running: dict[str, subprocess.Popen[bytes]], tasks: dict[str, asyncio.Task[int]]) -> None:
    """SIGTERM to each, then SIGKILL to what is left of its session. The front goes first, so that nobody meets a closed door."""
    for name in sorted(running, key=lambda name: name != "front"):
        if not tasks[name].done():
            running[name].send_signal(signal.SIGTERM)
    await asyncio.wait(tasks.values(), timeout=STOP_SECONDS)
    for process in running.values():
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    await asyncio.gather(*tasks.values())


async def supervise(lines: list[Line], environment: dict[str, str]) -> int:
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    asked = asyncio.create_task(ended.wait())
    for line in [line for line in lines if line.name in BEFORE]:
        process, task = await run(line, environment)
        await asyncio.wait({task, asked}, return_when=asyncio.FIRST_COMPLETED)
        if asked.done():
            await stop({line.name: process}, {line.name: task})
            return 0
        if task.result() != 0:
            say("stack", f"{line.name} failed with {task.result()}; nothing was started")
            return 1
    running: dict[str, subprocess.Popen[bytes]] = {}
    tasks: dict[str, asyncio.Task[int]] = {}
    for line in lines:
        if line.name not in BEFORE:
            running[line.name], tasks[line.name] = await run(line, environment)
    address = f"http://{environment.get('HOST') or '127.0.0.1'}:{environment.get('PORT') or '8003'}"
    say(
        "stack",
        f"open {address} in a moment; commands beside it: .venv/bin/python deploy/stack.py -- python manage.py doctor",
    )
    failed = False
    watched = set(tasks.values())
    while watched and not asked.done():
        done, _ = await asyncio.wait({*watched, asked}, return_when=asyncio.FIRST_COMPLETED)
        for name, task in tasks.items():
            if task in done and not asked.done():
                failed = True
                say("stack", f"{name} ended with {task.result()}; the others go on, Ctrl-C stops them")
        watched -= done
    say("stack", "stopping")
    await stop(running, tasks)
    asked.cancel()
    return 1 if failed else 0


def main(words: list[str]) -> int:
    dotenv = dotenv_values(ROOT / ".env", interpolate=False) if (ROOT / ".env").is_file() else {}
    environment = settings(dict(os.environ), dotenv)
    if words[:1] == ["--"] and words[1:]:
        os.chdir(ROOT)
        os.execvpe(words[1], words[1:], environment)  # noqa: S606 - the point of the command
    if words:
        print(__doc__, file=sys.stderr)
        return 2
    database = environment.get("DATABASE_URL") or dotenv.get("DATABASE_URL") or ""
    try:
        if database.startswith("postgres"):
            create_database(database)
    except psycopg.Error as error:
        say("stack", f"PostgreSQL: {str(error).strip()}; set DATABASE_URL, or start the server")
        return 1
    shutil.rmtree(environment["PROMETHEUS_MULTIPROC_DIR"], ignore_errors=True)
    Path(environment["PROMETHEUS_MULTIPROC_DIR"]).mkdir(parents=True)
    lines = read_procfile((ROOT / "deploy" / "Procfile").read_text(encoding="utf-8"))
    return asyncio.run(supervise([*lines, FIRST_START], environment))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
