"""The commands an operator types, on servers of our own: the journey from a repository to a resolved threat, and the doctor beside it.

Web, live, one worker a queue group and two beats run as processes; one beat is killed on the way.
"""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from kombu import Connection

from tests.environment import ROOT
from tests.reviews.journeys import commit, git
from tests.reviews.test_proved_journey import BUMPS
from tests.servers import private_postgresql, private_rabbitmq, private_redis
from tests.servers.private import PrivateServer, free_port, kill_family
from tests.worlds import World

HERE = "tests.deploy.operators"
TYPED = {
    "web": "gunicorn --config deploy/gunicorn.conf.py config.wsgi:application",
    "live": "uvicorn config.asgi:application --host 127.0.0.1 --port $LIVE_PORT --no-access-log",
    "wargame": "celery -A config worker -n wargame@%h -Q wargame --concurrency 1 --without-gossip --without-mingle",
    "forge": "celery -A config worker -n forge@%h -Q forge --concurrency 1 --without-gossip --without-mingle",
    "default": "celery -A config worker -n default@%h -Q ingest,remedy,notify,events --concurrency 2"
    " --without-gossip --without-mingle",
    "beat": "celery -A config beat --schedule $WORK_DIR/beat-1 --pidfile=",
    "other-beat": "celery -A config beat --schedule $WORK_DIR/beat-2 --pidfile=",
}
pytestmark = pytest.mark.xdist_group("operations")


class Installation:
    """Three private servers, one world on them, and the processes typed above."""

    def __init__(self, world: World, servers: dict[str, PrivateServer]) -> None:
        self.world = world
        self.servers = servers
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str) -> None:
        words = TYPED[name]
        for variable in ("LIVE_PORT", "WORK_DIR"):
            words = words.replace(f"${variable}", self.world.environment[variable])
        program, *arguments = shlex.split(words)
        with self.log(name).open("wb") as log:
            self.processes[name] = subprocess.Popen(
                [str(Path(sys.executable).with_name(program)), *arguments],
                cwd=ROOT,
                env=self.world.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def log(self, name: str) -> Path:
        return self.world.folder / f"{name}.log"

    def kill(self, name: str) -> None:
        """SIGKILL to a process and its children."""
        kill_family(self.processes.pop(name))

    def close(self) -> None:
        for name in list(self.processes):
            self.kill(name)

    def until(self, ready: Callable[[], bool], what: str, seconds: float = 240, *, watched: bool = True) -> None:
        deadline = time.monotonic() + seconds
        while not ready():
            for name, process in self.processes.items() if watched else ():
                assert process.poll() is None, f"{name} ended: {self.log(name).read_text()[-3000:]}"
            if time.monotonic() > deadline:
                logs = "\n".join(f"--- {name}\n{self.log(name).read_text()[-1500:]}" for name in self.processes)
                pytest.fail(f"never: {what}\n{logs}")
            time.sleep(0.3)

    def call(self, name: str, *arguments: object) -> object:
        return self.world.call(f"{HERE}:{name}", *arguments)

    def state_of(self, package: str) -> str:
        found = self.call("states")
        assert isinstance(found, dict)
        return str(found.get(package, ""))

    def document(self, *words: str, code: int = 0) -> dict[str, object]:
        done = self.world.manage(*words, "--format", "json")
        assert done.returncode == code, (words, done.stdout, done.stderr)
        found: dict[str, object] = json.loads(done.stdout)
        return found

    def complains_of(self, missing: set[str]) -> dict[str, dict[str, str]]:
        """What the doctor says once it complains of exactly these; a worker on a busy machine may be slow to answer."""
        self.until(
            lambda: set(self.examined()) == missing, f"the doctor complains of {sorted(missing)} alone", watched=False
        )
        return self.examined()

    def examined(self) -> dict[str, dict[str, str]]:
        """Every part the doctor complains of."""
        done = self.world.manage("doctor", "--format", "json")
        parts = {part["name"]: part for part in json.loads(done.stdout)["parts"]}
        ill = {name: part for name, part in parts.items() if part["state"] == "fail"}
        assert done.returncode == (1 if ill else 0)
        return ill


def answers(port: str, path: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with ExitStack() as rooms:
        servers: dict[str, PrivateServer] = {
            "postgresql": rooms.enter_context(private_postgresql()),
            "rabbitmq": rooms.enter_context(private_rabbitmq()),
            "redis": rooms.enter_context(private_redis()),
        }
        world = World(
            servers["postgresql"].url,
            tmp_path_factory.mktemp("operations"),
            RABBITMQ_URL=servers["rabbitmq"].url,
            REDIS_URL=servers["redis"].url,
            SWEEP_SECONDS="2",
            WEB_PORT=str(free_port()),
            WEB_WORKERS="1",
            LIVE_PORT=str(free_port()),
        )
        rooms.callback(world.close)
        made = Installation(world, servers)
        rooms.callback(made.close)
        yield made


def demonstration(folder: Path) -> Path:
    """The demonstration with one vulnerable pin left, in git."""
    shutil.copytree(ROOT / "immune" / "demo" / "app", folder)
    pins = (folder / "requirements.txt").read_text()
    for old, new in BUMPS:
        pins = pins.replace(old, new)
    (folder / "requirements.txt").write_text(pins)
    git(folder, "init", "--quiet", "--initial-branch=main")
    return commit(folder)


def test_the_typed_commands_take_a_repository_to_a_resolved_threat(installation: Installation, tmp_path: Path) -> None:
    assert installation.world.manage("migrate", "--noinput").returncode == 0
    declared = installation.document("setup_queues")["queues"]
    assert {made["outcome"] for made in declared} == {"made"}  # type: ignore[attr-defined]
    assert set(installation.examined()) == {"workers", "beat"}, "nothing runs yet, and the rest is well"

    for name in TYPED:
        installation.start(name)
    environment = installation.world.environment
    installation.until(lambda: answers(environment["WEB_PORT"], "/hitl/health/ready"), "web answers")
    installation.until(lambda: answers(environment["LIVE_PORT"], "/hitl/health/live"), "live answers")
    installation.until(lambda: not installation.examined(), "the doctor finds everything well")
    assert {made["outcome"] for made in installation.document("setup_queues")["queues"]} == {"there"}, (  # type: ignore[attr-defined]
        "workers declare what set-up declares"
    )

    assert installation.world.manage("sync_advisories", "immune/demo/advisories.jsonl").returncode == 0
    app = demonstration(tmp_path / "app")
    registered = installation.world.manage("immunize", str(app), "--no-wait", "--format", "json")
    assert registered.returncode in (0, 1), registered.stderr
    installation.until(lambda: installation.state_of("sqlparse") == "in_review", "its review opens")

    installation.kill("beat")
    sweeps = installation.call("sweeps")
    assert isinstance(sweeps, int)
    installation.call("approve", "sqlparse")
    installation.until(lambda: installation.state_of("sqlparse") == "resolved", "it is resolved")
    assert installation.call("merges") == 1
    installation.until(lambda: int(str(installation.call("sweeps"))) > sweeps, "the other beat goes on", 60)
    assert installation.document("verify_audit")["ok"] is True
    assert installation.document("dead_letters", "list")["dead_letters"] == []


def test_the_doctor_is_right_about_each_part_taken_away(installation: Installation) -> None:
    """Taken away one after another, so that each only adds to what is missing."""
    installation.kill("forge")
    missing = {"workers"}
    ill = installation.complains_of(missing)
    assert ill["workers"]["fix"] == "celery -A config worker -Q forge"

    with Connection(installation.servers["rabbitmq"].url) as connection:
        connection.channel().queue_delete("forge")
    missing |= {"queues"}
    ill = installation.complains_of(missing)
    assert ill["queues"]["message"] == "missing: forge"

    installation.servers["redis"].kill()
    missing |= {"doorbell"}
    installation.complains_of(missing)

    installation.kill("other-beat")
    installation.call("an_hour_passes")
    missing |= {"beat"}
    ill = installation.complains_of(missing)
    assert ill["beat"]["fix"] == "celery -A config beat"

    installation.servers["rabbitmq"].kill()
    missing |= {"broker"}
    ill = installation.complains_of(missing)
    assert "start RabbitMQ" in ill["broker"]["fix"]

    installation.servers["postgresql"].kill()
    missing |= {"database", "migrations", "clock"}
    installation.complains_of(missing)
