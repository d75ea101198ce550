"""PostgreSQL, RabbitMQ and Redis of our own: on free ports, in a folder of their own, as an ordinary user.

Each can be killed as a power cut would (`kill`) and started again with its data on the same port (`restart`).
Nothing here touches a server that somebody else runs.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import random
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, TypeVar

import amqp
import psycopg

from tests.servers.programs import MissingError, program

START_SECONDS = 180  # seconds on an idle machine; minutes on one that is busy with everything else
# Above 32768 the kernel hands ports to clients, and one of them may sit on ours when we restart.
PORTS = range(20000, 32000)


def free_port() -> int:
    """A port below the ephemeral range on which nobody listens on the loopback address."""
    for port in random.sample(PORTS, 200):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return port
    raise MissingError("no free port between 20000 and 32000")


def unprivileged() -> pwd.struct_passwd | None:
    """The account to run servers as when we are root: PostgreSQL refuses root, and the others need not be it."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise MissingError("running as root, and there is no account `postgres` or `nobody` to run servers as")


def family_of(pid: int) -> list[int]:
    """A process and all its descendants. PostgreSQL's and Erlang's children leave their parent's process group."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                # "pid (name with anything) state ppid …"
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                children.setdefault(parent, []).append(int(entry.name))
    family = [pid]
    for member in family:
        family.extend(children.get(member, []))
    return family


def kill_family(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL to a process and all its descendants; returns when every one of them is gone."""
    watched: list[int] = []
    for pid in family_of(process.pid):
        with contextlib.suppress(ProcessLookupError):
            watched.append(os.pidfd_open(pid))
    for fd in watched:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(fd, signal.SIGKILL)
    process.wait()
    for fd in watched:
        select.select([fd], [], [], 10)
        os.close(fd)


def listening(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=2):
        return True
    return False


def wait_until(
    ready: Callable[[], bool], process: subprocess.Popen[bytes], what: str, log: Path, seconds: float = START_SECONDS
) -> None:
    """Returns when the server says it is ready; MissingError, with its last words, when it ends or takes too long.

    No server here tells its parent that it is ready, so asking it is the signal.
    """
    deadline = time.monotonic() + seconds
    while not ready():
        if process.poll() is not None or time.monotonic() > deadline:
            raise MissingError(f"{what} did not start: {log.read_text(errors='replace')[-2000:]}")
        time.sleep(0.02)


class PrivateServer(ABC):
    """One server of our own. `start` returns when it answers; data survive `kill` and `restart`, not `stop`."""

    name: str

    def __init__(self) -> None:
        self.account = unprivileged()
        self.folder = Path(tempfile.mkdtemp(prefix=f"immune-{self.name}-"))
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self._give_away(self.folder)

    @property
    @abstractmethod
    def url(self) -> str:
        """Address with full rights on this server."""

    @abstractmethod
    def command(self) -> list[str]:
        """What to execute, in the foreground."""

    @abstractmethod
    def answers(self) -> bool:
        """Whether the server serves its protocol now."""

    def environment(self) -> dict[str, str]:
        """A clean environment: settings of the developer's own servers must not reach ours."""
        return {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(self.folder), "LC_ALL": "C.UTF-8"}

    def prepare(self) -> None:  # noqa: B027 - most need nothing
        """What must be done once, before the first start."""

    def start_companions(self) -> None:  # noqa: B027 - most have none
        """Processes the server needs beside it; `kill` ends them too."""

    def start(self) -> None:
        self.prepare()
        self.restart()

    def restart(self) -> None:
        """Starts the server on the same port with the same data, killing it first when it runs."""
        self.kill()
        self.start_companions()
        with self.log.open("ab") as log:
            self.process = self.spawn(self.command(), log)
        try:
            wait_until(self.answers, self.process, f"a private {self.name} on port {self.port}", self.log)
        except MissingError:
            self.kill()
            raise

    def kill(self) -> None:
        """Ends the server and all its processes at once, as a power cut would; returns when they are gone."""
        if self.process is not None:
            kill_family(self.process)
            self.process = None

    def stop(self) -> None:
        """Ends the server and forgets its data."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def log(self) -> Path:
        return self.folder / "server.log"

    def spawn(self, command: list[str], output: IO[bytes]) -> subprocess.Popen[bytes]:
        account = self.account
        return subprocess.Popen(
            command,
            env=self.environment(),
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            user=account.pw_uid if account else None,
            group=account.pw_gid if account else None,
            extra_groups=[] if account else None,
        )

    def _give_away(self, path: Path) -> None:
        if self.account:
            os.chown(path, self.account.pw_uid, self.account.pw_gid)

    def _write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        self._give_away(path)
        return path


class PrivatePostgreSQL(PrivateServer):
    """`settings` go to the server's command line. fsync is off unless asked for: killed processes lose nothing by it."""

    name = "postgresql"

    def __init__(self, settings: Mapping[str, str] | None = None) -> None:
        self.settings = {"fsync": "off", "max_connections": "200", **(settings or {})}
        super().__init__()
        self.data = self.folder / "data"

    @property
    def url(self) -> str:
        return f"postgresql://immune@127.0.0.1:{self.port}/postgres"

    def prepare(self) -> None:
        with self.log.open("ab") as log:
            words = ["-D", str(self.data), "-U", "immune", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"]
            if self.spawn([str(program("initdb")), *words], log).wait() != 0:
                raise MissingError(f"initdb failed: {self.log.read_text(errors='replace')[-2000:]}")

    def command(self) -> list[str]:
        settings = {"listen_addresses": "127.0.0.1", "unix_socket_directories": "", **self.settings}
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        return [str(program("postgres")), "-D", str(self.data), "-p", str(self.port), *options]

    def answers(self) -> bool:
        try:
            psycopg.connect(self.url, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True


class PrivateRedis(PrivateServer):
    """Keeps nothing on disk, like the doorbell it is: a killed one comes back empty."""

    name = "redis"

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def command(self) -> list[str]:
        where = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder)]
        return [str(program("redis-server")), *where, "--save", "", "--appendonly", "no"]

    def answers(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=2) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
        return False


class PrivateRabbitMQ(PrivateServer):
    """`settings` are lines of rabbitmq.conf, such as {"consumer_timeout": "5000"}.

    RabbitMQ 3.10 writes the names of new quorum queues to disk about a second late: one declared just before `kill` is
    known after `restart` but never finds a leader. Fault tests declare their queues well before the first kill.
    """

    name = "rabbitmq"

    def __init__(self, settings: Mapping[str, str] | None = None) -> None:
        self.settings = dict(settings or {})
        super().__init__()
        self.distribution_port = free_port()
        self.epmd_port = free_port()
        self.epmd: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self.port}//"

    def prepare(self) -> None:
        lines = {
            "listeners.tcp.default": f"127.0.0.1:{self.port}",
            "disk_free_limit.absolute": "100MB",
            **self.settings,
        }
        self._write("rabbitmq.conf", "".join(f"{name} = {value}\n" for name, value in lines.items()))
        self._write("plugins", "[].\n")

    def environment(self) -> dict[str, str]:
        # The busy waiting of Erlang's schedulers would take a core from the code under test.
        quiet = "+sbwt none +sbwtdcpu none +sbwtdio none"
        return {
            **super().environment(),
            "RABBITMQ_NODENAME": f"immune{self.port}@localhost",
            "RABBITMQ_DIST_PORT": str(self.distribution_port),
            "RABBITMQ_MNESIA_BASE": str(self.folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self.folder / "log"),
            "RABBITMQ_CONFIG_FILE": str(self.folder / "rabbitmq.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "plugins"),
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            # Without this the distribution port listens on every address of the machine.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": f"-kernel inet_dist_use_interface {{127,0,0,1}} {quiet}",
            "ERL_EPMD_PORT": str(self.epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
        }

    def command(self) -> list[str]:
        return [str(program("rabbitmq-server"))]

    def start_companions(self) -> None:
        # Erlang would start its name server by itself, as a daemon that outlives everything; as our child it does not.
        with self.log.open("ab") as log:
            self.epmd = self.spawn([str(program("epmd"))], log)
        wait_until(lambda: listening(self.epmd_port), self.epmd, "Erlang's name server", self.log)

    def kill(self) -> None:
        super().kill()
        if self.epmd is not None:
            kill_family(self.epmd)
            self.epmd = None

    def answers(self) -> bool:
        return amqp_answers(self.url)

    def control(self) -> tuple[list[str], dict[str, str]]:
        """Command and environment of this broker's command line, for whoever adds virtual hosts."""
        return [str(program("rabbitmq-server").with_name("rabbitmqctl"))], self.environment()


def amqp_answers(url: str) -> bool:
    """Whether a broker lets us in at an amqp:// address with a virtual host."""
    rest, _, vhost = url.removeprefix("amqp://").partition("/")
    login, _, host = rest.rpartition("@")
    user, _, password = login.partition(":")
    try:
        connection = amqp.Connection(
            host=host,
            userid=user or "guest",
            password=password or "guest",
            virtual_host=vhost or "/",
            connect_timeout=2,
        )
        with connection:
            return True
    except (OSError, amqp.AMQPError):
        return False


Server = TypeVar("Server", bound=PrivateServer)


@contextlib.contextmanager
def running(server: Server) -> Iterator[Server]:
    try:
        server.start()
        yield server
    finally:
        server.stop()


def private_postgresql(
    settings: Mapping[str, str] | None = None,
) -> contextlib.AbstractContextManager[PrivatePostgreSQL]:
    """A PostgreSQL of one's own while the block runs, e.g. `with private_postgresql() as server: server.kill()`."""
    return running(PrivatePostgreSQL(settings))


def private_rabbitmq(settings: Mapping[str, str] | None = None) -> contextlib.AbstractContextManager[PrivateRabbitMQ]:
    """A RabbitMQ of one's own while the block runs."""
    return running(PrivateRabbitMQ(settings))


def private_redis() -> contextlib.AbstractContextManager[PrivateRedis]:
    """A Redis of one's own while the block runs."""
    return running(PrivateRedis())
