"""One server for a whole test run, however many processes it has, and nothing left of it afterwards.

Whoever asks first starts a *keeper*, a process that provides the server, says where it is, and waits for the run's
owner to end, however it ends; then it drops what carries the run's name on a shared server, or kills a private one.
The others read the note the first one left in the run's folder.

A server at its standard local address is used when it answers and lets us in, within databases, virtual hosts and
a Redis database of our own; nothing of anybody else is flushed. `IMMUNE_TEST_PG`, `IMMUNE_TEST_RABBITMQ` and
`IMMUNE_TEST_REDIS` change that: the address of another server, or `private` for one of our own.
"""

from __future__ import annotations

import contextlib
import fcntl
import getpass
import json
import os
import re
import secrets
import select
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import redis
from psycopg import sql

from tests.servers.private import (
    PrivatePostgreSQL,
    PrivateRabbitMQ,
    PrivateRedis,
    PrivateServer,
    amqp_answers,
)
from tests.servers.programs import MissingError

RUN_VARIABLE = "IMMUNE_TEST_RUN"
REDIS_OWNER_KEY = "immune:test:owner"
ROOT = Path(__file__).resolve().parent.parent.parent


@dataclass(frozen=True)
class Lease:
    """A server this run may use. `url` has the rights to make databases or virtual hosts; `private` says it is ours."""

    kind: str
    url: str
    private: bool
    run: str
    control: list[str] = field(default_factory=list)
    control_environment: dict[str, str] = field(default_factory=dict)


# --- the run --------------------------------------------------------------------------------------------------


def begin_run() -> Path:
    """The folder of this test run, made by its first process, which owns it; its children find it in the environment.

    The folder's name holds the owner's process id and the run's name, which everything made on a shared server carries.
    """
    named = os.environ.get(RUN_VARIABLE)
    if named:
        return Path(named)
    for former in Path(tempfile.gettempdir()).glob("immune-run-*-*"):
        # Left by a run that was killed before any keeper could clean up after it.
        if not Path(f"/proc/{owner_of(former)}").exists():
            shutil.rmtree(former, ignore_errors=True)
    folder = Path(tempfile.gettempdir()) / f"immune-run-{os.getpid()}-{secrets.token_hex(4)}"
    folder.mkdir(mode=0o700)
    os.environ[RUN_VARIABLE] = str(folder)
    return folder


def end_run() -> None:
    """Removes the run's folder when this process owns it; keepers notice the owner's end by themselves."""
    folder = Path(os.environ.get(RUN_VARIABLE, ""))
    if folder.name.startswith(f"immune-run-{os.getpid()}-"):
        shutil.rmtree(folder, ignore_errors=True)
        del os.environ[RUN_VARIABLE]


def run_name(folder: Path) -> str:
    return "immune_test_" + folder.name.rpartition("-")[2]


def owner_of(folder: Path) -> int:
    return int(folder.name.split("-")[2])


def lease(kind: str) -> Lease:
    """The run's server of a kind (postgresql, rabbitmq, redis), provided when nobody has yet. MissingError says what lacks."""
    folder = begin_run()
    note = folder / f"{kind}.json"
    with (folder / f"{kind}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not note.exists():
            note.write_text(_start_keeper(kind, folder), encoding="utf-8")
    told = json.loads(note.read_text(encoding="utf-8"))
    if "missing" in told:
        raise MissingError(told["missing"])
    return Lease(**told)


def _start_keeper(kind: str, folder: Path) -> str:
    """Starts a keeper and returns the one line it says when its server is there, or why it is not."""
    with (folder / f"{kind}.log").open("wb") as log:
        keeper = subprocess.Popen(
            [sys.executable, "-m", "tests.servers", "keep", kind, str(folder)],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,
        )
    assert keeper.stdout is not None
    with keeper.stdout as said:
        line = said.readline().decode()
    if not line:
        log_text = (folder / f"{kind}.log").read_text(errors="replace")
        return json.dumps({"missing": f"the keeper of {kind} ended: {log_text[-2000:]}"})
    (folder / f"{kind}.keeper").write_text(str(keeper.pid), encoding="ascii")
    keeper.returncode = 0  # it outlives us by design; without this Popen would warn that it still runs
    return line


def keep(kind: str, folder: Path) -> None:
    """A keeper's life: provide, say so on stdout, wait for the owner's end, clean up."""
    # Ctrl-C reaches the owner; what we do about it is what we do about its end.
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, signal.SIG_IGN)
    owner = os.pidfd_open(owner_of(folder))
    with contextlib.ExitStack() as cleaning:
        try:
            provided = PROVIDERS[kind](run_name(folder), cleaning)
        except MissingError as missing:
            print(json.dumps({"missing": str(missing)}), flush=True)
            return
        print(json.dumps(asdict(provided)), flush=True)
        # Nobody reads this pipe from now on; a late word must not end us before the cleaning.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        select.select([owner], [], [])
    shutil.rmtree(folder, ignore_errors=True)


# --- the three servers ----------------------------------------------------------------------------------------


def _candidates(variable: str, standard: list[str]) -> list[str]:
    """Addresses to try, best first; none when a private server is asked for."""
    wanted = os.environ.get(variable, "")
    if wanted == "private":
        return []
    return [wanted] if wanted else standard


def _refuse_silence(variable: str) -> None:
    """An address somebody named must answer: falling back would test something else than was asked for."""
    wanted = os.environ.get(variable, "")
    if wanted not in ("", "private"):
        raise MissingError(
            f"{variable} names a server that does not answer or does not let us in: {without_password(wanted)}"
        )


def without_password(url: str) -> str:
    return re.sub(r"(//[^:/@]*):[^@/]*@", r"\1:***@", url)


def _private(server: PrivateServer, cleaning: contextlib.ExitStack) -> None:
    cleaning.callback(server.stop)
    server.start()


def provide_postgresql(run: str, cleaning: contextlib.ExitStack) -> Lease:
    users = dict.fromkeys((os.environ.get("PGUSER", "postgres"), "postgres", getpass.getuser()))
    for url in _candidates("IMMUNE_TEST_PG", [f"postgresql://{user}@127.0.0.1:5432/postgres" for user in users]):
        with contextlib.suppress(psycopg.Error), psycopg.connect(url, connect_timeout=3) as connection:
            allowed = connection.execute("SELECT rolcreatedb OR rolsuper FROM pg_roles WHERE rolname = current_user")
            if allowed.fetchone() == (True,):
                cleaning.callback(drop_databases, url, run)
                return Lease("postgresql", url, private=False, run=run)
    _refuse_silence("IMMUNE_TEST_PG")
    server = PrivatePostgreSQL()
    _private(server, cleaning)
    return Lease("postgresql", server.url, private=True, run=run)


def provide_rabbitmq(run: str, cleaning: contextlib.ExitStack) -> Lease:
    # AMQP has no word for making a virtual host, and the broker's own command line obeys root only.
    control = shutil.which("rabbitmqctl") if os.geteuid() == 0 else None
    for url in _candidates("IMMUNE_TEST_RABBITMQ", ["amqp://guest:guest@127.0.0.1:5672//"]):
        if control and amqp_answers(url) and _control([control, "--quiet", "list_vhosts"]):
            offered = Lease("rabbitmq", url, private=False, run=run, control=[control])
            cleaning.callback(delete_vhosts, offered)
            return offered
    _refuse_silence("IMMUNE_TEST_RABBITMQ")
    server = PrivateRabbitMQ()
    _private(server, cleaning)
    command, environment = server.control()
    return Lease("rabbitmq", server.url, private=True, run=run, control=command, control_environment=environment)


def provide_redis(run: str, cleaning: contextlib.ExitStack) -> Lease:
    for url in _candidates("IMMUNE_TEST_REDIS", ["redis://127.0.0.1:6379/0"]):
        with contextlib.suppress(redis.RedisError), redis.Redis.from_url(url, socket_timeout=3) as client:
            client.ping()
            return Lease("redis", url, private=False, run=run)
    _refuse_silence("IMMUNE_TEST_REDIS")
    server = PrivateRedis()
    _private(server, cleaning)
    return Lease("redis", server.url, private=True, run=run)


PROVIDERS: dict[str, Callable[[str, contextlib.ExitStack], Lease]] = {
    "postgresql": provide_postgresql,
    "rabbitmq": provide_rabbitmq,
    "redis": provide_redis,
}

# --- rooms of our own on a server ------------------------------------------------------------------------------


def with_path(url: str, path: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path="/" + path))


@contextlib.contextmanager
def database(server: Lease, name: str) -> Iterator[str]:
    """An empty PostgreSQL database of one's own; yields its address and drops it afterwards."""
    full = f"{server.run}_{name}"
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(full)))
    try:
        yield with_path(server.url, full)
    finally:
        with psycopg.connect(server.url, autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(full)))


def drop_databases(url: str, run: str) -> None:
    """Drops what a run left: its own databases and those Django derived from their names."""
    with psycopg.connect(url, autocommit=True) as connection:
        names = connection.execute(
            "SELECT datname FROM pg_database WHERE position(%s in datname) > 0", [run]
        ).fetchall()
        for (name,) in names:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def _control(command: list[str], environment: dict[str, str] | None = None) -> str:
    """Runs the broker's command line; its output, or nothing when it failed."""
    done = subprocess.run(
        command, env=environment or None, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False
    )
    return done.stdout if done.returncode == 0 else ""


@contextlib.contextmanager
def vhost(server: Lease, name: str) -> Iterator[str]:
    """A RabbitMQ virtual host of one's own; yields its address and deletes it afterwards."""
    full = f"{server.run}_{name}"
    control, environment = [*server.control, "--quiet"], server.control_environment or None
    user = urlsplit(server.url).username or "guest"
    for words in (["add_vhost", full], ["set_permissions", "-p", full, user, ".*", ".*", ".*"]):
        done = subprocess.run([*control, *words], env=environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise MissingError(f"rabbitmqctl {words[0]} failed: {done.stdout} {done.stderr}")
    try:
        yield with_path(server.url, full)
    finally:
        _control([*control, "delete_vhost", full], environment)


def delete_vhosts(server: Lease) -> None:
    for name in _control([*server.control, "--quiet", "list_vhosts"]).split():
        if name.startswith(server.run):
            _control([*server.control, "--quiet", "delete_vhost", name])


@contextlib.contextmanager
def redis_database(server: Lease) -> Iterator[str]:
    """One of the server's numbered databases, empty when taken and nobody else's until given back.

    Publish and subscribe know no databases: channel names need a prefix of their own as well.
    """
    with redis.Redis.from_url(server.url) as client:
        total = int(client.config_get("databases")["databases"])
    for number in range(total - 1, 0, -1):
        url = with_path(server.url, str(number))
        with redis.Redis.from_url(url) as client:
            # Taken by one command, so two runs cannot both believe it is theirs; the time is for runs cut off hard.
            if client.dbsize() > 0 or not client.set(REDIS_OWNER_KEY, server.run, nx=True, ex=3 * 3600):
                continue
            try:
                yield url
            finally:
                for key in client.scan_iter(count=1000):
                    client.delete(key)
            return
    raise MissingError(f"all {total - 1} numbered databases of the Redis at {without_password(server.url)} hold keys")
