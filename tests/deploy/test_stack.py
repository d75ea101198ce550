"""`make stack`: every process starts, a lost one is said, Ctrl-C leaves none behind; and the one address in front of them."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import psycopg
import pytest

from deploy import front, stack
from tests.environment import ROOT
from tests.servers.private import free_port, listening, wait_until


@contextmanager
def supervised(*lines: tuple[str, str]) -> Iterator[subprocess.Popen[str]]:
    """A stack of small real processes; its output is read line by line."""
    code = (
        "import asyncio, os, sys, json; from deploy import stack\n"
        "stack.STOP_SECONDS = 3\n"
        "lines = [stack.Line(*line) for line in json.loads(sys.argv[1])]\n"
        "sys.exit(asyncio.run(stack.supervise(lines, dict(os.environ))))"
    )
    command = [sys.executable, "-c", code, json.dumps(lines)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def read_until(process: subprocess.Popen[str], words: str) -> str:
    assert process.stdout is not None
    read = ""
    for line in process.stdout:
        read += line
        if words in line:
            return read
    pytest.fail(f"{words!r} was never said:\n{read}")


def gone(pid: int) -> bool:
    """Waits for a process that is not our child to end; False after half a minute."""
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(asyncio.run(_readable(process)))
    finally:
        os.close(process)


async def _readable(fd: int) -> bool:
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(fd, ended.set)
    try:
        async with asyncio.timeout(30):
            return await ended.wait()
    except TimeoutError:
        return False
    finally:
        asyncio.get_running_loop().remove_reader(fd)


def test_release_runs_to_its_end_before_anything_else(tmp_path: Path) -> None:
    lines = [("release", f"echo made > {tmp_path}/table"), ("web", f"cat {tmp_path}/table && sleep 60")]
    with supervised(*lines) as process:
        assert "web | made" in read_until(process, "made")
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0


def test_a_release_that_fails_starts_nothing(tmp_path: Path) -> None:
    with supervised(("release", "sh -c 'exit 3'"), ("web", f"touch {tmp_path}/started")) as process:
        read_until(process, "release failed with 3; nothing was started")
        assert process.wait(30) == 1
    assert not (tmp_path / "started").exists()


def test_a_process_that_ends_is_reported_and_the_others_go_on() -> None:
    with supervised(("beat", "sh -c 'sleep 60 & exit 7'"), ("web", "sleep 60")) as process:
        read_until(process, "beat ended with 7; the others go on")
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 1


def test_ctrl_c_ends_children_of_children_too() -> None:
    with supervised(
        ("worker-forge", "sh -c 'trap : INT TERM HUP; echo child $$; while :; do sleep 60; done' & wait")
    ) as process:
        read = read_until(process, "child")
        child = int(read.split("child ")[1])
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    assert gone(child)


def test_processes_end_with_a_stack_that_is_killed() -> None:
    with supervised(("web", "sh -c 'echo pid $$; exec sleep 60'")) as process:
        pid = int(read_until(process, "pid").split("pid ")[1])
        process.kill()
    assert gone(pid)


@pytest.mark.parametrize("text", ["no colon here", "web:\n", "Web: x", "web: a\nweb: b"])
def test_a_procfile_line_that_is_none_is_refused_with_its_number(text: str) -> None:
    with pytest.raises(ValueError, match=r"deploy/Procfile line \d"):
        stack.read_procfile(text)


def test_what_the_environment_or_the_file_gives_is_not_replaced(tmp_path: Path) -> None:
    given = {
        "DATABASE_URL": "postgresql://elsewhere/x",
        "WORK_DIR": str(tmp_path),
        "SECRET_KEY_FILE": "/run/secrets/key",
    }
    result = stack.settings(given, {"REDIS_URL": "redis://file/1", "PORT": "9000"})
    assert result["DATABASE_URL"] == "postgresql://elsewhere/x"
    assert "REDIS_URL" not in result, "the product reads it from .env itself"
    assert result["RABBITMQ_URL"] == stack.LOCAL["RABBITMQ_URL"]
    assert result["SECRET_KEY_FILE"] == "/run/secrets/key"
    assert result["PORT"] == "9000"


def test_secrets_are_made_once_and_only_their_owner_reads_them(tmp_path: Path) -> None:
    first = stack.settings({"WORK_DIR": str(tmp_path)}, {})["CHECKPOINT_KEY_FILE"]
    made = Path(first).read_text()
    assert stack.settings({"WORK_DIR": str(tmp_path)}, {})["CHECKPOINT_KEY_FILE"] == first
    assert Path(first).read_text() == made
    assert len(made) > 40
    assert Path(first).stat().st_mode & 0o077 == 0


def test_a_database_that_is_missing_is_created_once(postgresql_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    url = f"{postgresql_url}_stack"
    stack.create_database(url)
    stack.create_database(url)
    assert capsys.readouterr().out.count("created the database") == 1
    psycopg.connect(url).close()


# --- the one address ------------------------------------------------------------------------------------------


@asynccontextmanager
async def backend(name: bytes) -> AsyncIterator[int]:
    """A server that says its name and echoes what it was sent."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        writer.write(name + b" " + head)
        while more := await reader.read(1000):
            writer.write(more)
        writer.close()

    port = free_port()
    async with await asyncio.start_server(answer, "127.0.0.1", port):
        yield port


@asynccontextmanager
async def fronted(web: int, live: int) -> AsyncIterator[int]:
    port = free_port()
    async with await asyncio.start_server(
        lambda reader, writer: front.serve(reader, writer, web, live), "127.0.0.1", port, limit=front.HEAD_LIMIT
    ):
        yield port


async def ask(port: int, sent: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)
    writer.write_eof()
    async with asyncio.timeout(10):
        answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


@pytest.mark.parametrize(
    ("target", "behind"),
    [
        (b"/hitl/ws", b"live"),
        (b"/hitl/ws?since=4", b"live"),
        (b"/hitl/ws/", b"live"),
        (b"/hitl/wsx", b"web"),
        (b"/hitl/reviews/", b"web"),
        (b"/?next=/hitl/ws", b"web"),
        (b"/admin/", b"web"),
    ],
)
async def test_the_target_says_which_process_answers(target: bytes, behind: bytes) -> None:
    request = b"GET " + target + b" HTTP/1.1\r\nHost: here\r\n\r\n"
    async with backend(b"web") as web, backend(b"live") as live, fronted(web, live) as port:
        assert await ask(port, request + b"frames") == behind + b" " + request + b"frames"


async def test_a_process_that_is_not_there_is_a_bad_gateway() -> None:
    async with fronted(free_port(), free_port()) as port:
        answer = await ask(port, b"GET / HTTP/1.1\r\n\r\n")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 502 ")
    assert f"Content-Length: {len(body)}".encode() in head


async def test_a_head_without_an_end_is_not_read_for_ever() -> None:
    async with backend(b"web") as web, fronted(web, web) as port:
        assert await ask(port, b"GET / HTTP/1.1\r\n" + b"x: " + b"y" * (2 * front.HEAD_LIMIT)) == b""


def test_a_port_in_use_is_said_in_one_line() -> None:
    port = free_port()
    taken = subprocess.Popen(
        [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"], stderr=subprocess.DEVNULL
    )
    try:
        wait_until(lambda: listening(port), taken, "a server on the port", Path(os.devnull))
        command = [sys.executable, "deploy/front.py"]
        environment = {**os.environ, "PORT": str(port)}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    finally:
        taken.kill()
        taken.wait()
    assert done.returncode == 1
    assert "cannot listen on 127.0.0.1" in done.stderr
    assert len(done.stderr.splitlines()) == 1
