"""Whether everything an installation needs is there and works: each part tried, with what to do about it.

Looks and changes nothing, except that it writes and removes one file in the work folder and runs an empty program in the sandbox.
"""

from __future__ import annotations

import shutil
import ssl
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import redis
from celery import current_app
from django.conf import settings
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.db.models.functions import Now
from django.utils import timezone

from immune import broker, queues
from immune.models import Lease
from wargaming.errors import WargameError
from wargaming.sandbox import drivers
from wargaming.sandbox.base import Ending, RunSpec, Trust
from wargaming.sandbox.runtimes import python_runtime

OK, WARN, FAIL = "ok", "warn", "fail"
ASK_SECONDS = 3.0
ASKED_TWICE = 2
SKEW_WARN, SKEW_FAIL = 2.0, 30.0  # seconds between the database's clock and ours
LEAST_FREE = 1024**3
PART = "python manage.py "


@dataclass(frozen=True, slots=True)
class Finding:
    """One part: ``state`` is ok, warn (works, but less than it should) or fail (needed and missing). ``fix`` is empty when ok."""

    name: str
    state: str
    message: str
    fix: str = ""


def examine() -> list[Finding]:
    """Every part in order. What rests on a part that failed is not asked again, and fails with it."""
    found: dict[str, Finding] = {}
    for name, needs, check in CHECKS:
        broken = [part for part in needs if found[part].state == FAIL]
        if broken:
            found[name] = Finding(name, FAIL, f"cannot be checked without the {broken[0]}", found[broken[0]].fix)
            continue
        try:
            state, message, fix = check()
        except Exception as error:  # noqa: BLE001 - a part that cannot even be asked is a finding, not the end of the others
            state, message, fix = FAIL, f"could not be checked: {type(error).__name__}: {error}", "see the message"
        found[name] = Finding(name, state, " ".join(message.split()), fix)
    return list(found.values())


Answer = tuple[str, str, str]


def _settings() -> Answer:
    complaints: list[str] = []
    if settings.DEBUG and not settings.EMBEDDED:
        return FAIL, "DEBUG is on beside a server database", "set DEBUG=false"
    if "*" in settings.ALLOWED_HOSTS:
        complaints.append("ALLOWED_HOSTS lets every host name in")
    if len(settings.SECRET_KEY) < 32:
        complaints.append("SECRET_KEY is short")
    if settings.RABBITMQ_URL and settings.EMBEDDED:
        return (
            FAIL,
            "RABBITMQ_URL is set but the database is SQLite, which several machines cannot share",
            "set DATABASE_URL",
        )
    if not settings.EMBEDDED and not settings.RABBITMQ_URL:
        return (
            FAIL,
            "DATABASE_URL names a server but RABBITMQ_URL is empty: no worker would be told",
            "set RABBITMQ_URL",
        )
    if complaints:
        return WARN, "; ".join(complaints), "see .env.example"
    return OK, "embedded profile" if settings.EMBEDDED else "production profile", ""


def _database() -> Answer:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except (DatabaseError, OSError) as error:
        where = urlsplit(str(settings.ENV["DATABASE_URL"])).hostname or str(settings.WORK_DIR)
        return FAIL, f"does not answer at {where}: {error}", "start the server, or correct DATABASE_URL"
    return OK, f"{connection.vendor} answers", ""


def _migrations() -> Answer:
    executor = MigrationExecutor(connection)
    missing = executor.migration_plan(executor.loader.graph.leaf_nodes())
    if missing:
        return FAIL, f"{len(missing)} migration(s) are missing, {missing[0][0]} first", PART + "migrate"
    return OK, "all are applied", ""


def _clock() -> Answer:
    if connection.vendor == "sqlite":
        return OK, "the database has no clock of its own", ""
    before = timezone.now()
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        there = cursor.fetchone()[0]
    after = timezone.now()
    apart = abs((there - (before + (after - before) / 2)).total_seconds())
    state = FAIL if apart > SKEW_FAIL else WARN if apart > SKEW_WARN else OK
    return state, f"{apart:.1f} s from the database's", "" if state == OK else "synchronise both machines (NTP)"


def _broker() -> Answer:
    if not settings.RABBITMQ_URL:
        return OK, "in process", ""
    try:
        with broker.connected():
            return OK, "RabbitMQ answers", ""
    except broker.BrokerDown as error:
        return FAIL, str(error), "start RabbitMQ, or correct RABBITMQ_URL"


def _queues() -> Answer:
    if not settings.RABBITMQ_URL:
        return OK, "in process", ""
    state = {declared.queue: declared.outcome for declared in broker.look()}
    for outcome, fix in (("missing", "setup_queues"), ("different", "setup_queues --replace")):
        names = [name for name, is_ in state.items() if is_ == outcome]
        if names:
            return FAIL, f"{outcome}: {', '.join(names)}", PART + fix
    dead = broker.waiting()[queues.DEAD.name]
    if dead:
        return WARN, f"{dead} message(s) in the dead letters", PART + "dead_letters list"
    return OK, f"{len(state)} as they should be, no dead letters", ""


def _doorbell() -> Answer:
    if not settings.REDIS_URL:
        if settings.EMBEDDED:
            return OK, "in process", ""
        return WARN, "REDIS_URL is empty: live pages of other processes follow by polling", "set REDIS_URL"
    try:
        with redis.Redis.from_url(
            settings.REDIS_URL, socket_timeout=ASK_SECONDS, socket_connect_timeout=ASK_SECONDS
        ) as client:
            client.ping()
    except redis.RedisError as error:
        return FAIL, f"Redis does not answer: {error}", "start Redis, or correct REDIS_URL"
    return OK, "Redis answers", ""


def _workers() -> Answer:
    if not settings.RABBITMQ_URL:
        return OK, "in process", ""
    answers: dict[str, list[dict[str, str]]] = {}
    idle = list(queues.NAMES)
    for _ in range(ASKED_TWICE):
        # A worker on a busy machine may answer a moment too late; silence once is not absence.
        answers |= current_app.control.inspect(timeout=ASK_SECONDS).active_queues() or {}
        served = {queue["name"] for listened in answers.values() for queue in listened or []}
        idle = [name for name in queues.NAMES if name not in served]
        if not idle:
            break
    if idle:
        fix = f"celery -A config worker -Q {','.join(idle)}"
        return FAIL, f"nobody works on {', '.join(idle)} ({len(answers)} worker(s) answer)", fix
    return OK, f"{len(answers)} worker(s), every queue has one", ""


def _beat() -> Answer:
    fix = "make run" if settings.EMBEDDED else "celery -A config beat"
    longest = timedelta(seconds=60 + 3 * settings.SWEEP_SECONDS)
    if Lease.objects.filter(name="sweep", began_at__gt=Now() - longest).exists():
        failing = Lease.objects.exclude(last_error="").values_list("name", "last_error").first()
        if failing:
            return WARN, f"{failing[0]} failed last time: {failing[1]}", "it is tried again; see the log"
        return OK, "the sweep ran lately", ""
    # Embedded, the process may simply not be running: whoever asks knows.
    return (WARN if settings.EMBEDDED else FAIL), f"no sweep in the last {longest.seconds} s", fix


def _sandbox() -> Answer:
    if not settings.WARGAMING_ENABLED:
        return WARN, "WARGAMING_ENABLED is off: nothing counts as proved", "set WARGAMING_ENABLED=true"
    name = "" if settings.SANDBOX_DRIVER == "auto" else settings.SANDBOX_DRIVER
    fix = "install bubblewrap (apt-get install bubblewrap), or set SANDBOX_DRIVER"
    try:
        with (
            drivers.opened(name, Path(settings.WORK_DIR)) as driver,
            tempfile.TemporaryDirectory(dir=settings.WORK_DIR, prefix="doctor-") as layer,
        ):
            # The user the sandbox runs as is another one than ours.
            Path(layer).chmod(0o755)
            spec = RunSpec(python_runtime(), ("-c", "print('inside')"), Path(layer), trust=Trust.SHIPPED)
            seen = driver.run(spec)
    except (WargameError, OSError) as error:
        return FAIL, str(error), fix
    if seen.ending is not Ending.EXITED or seen.last_line != "inside":
        said = seen.stderr_tail.strip() or seen.ending.value
        return (
            FAIL,
            f"{driver.name} cannot run a program here: {said}",
            "allow unprivileged user namespaces; see docs/sandbox.md",
        )
    if driver.name == "limited":
        return WARN, "only the limited process: what was not shipped cannot be proved", fix
    return OK, f"{driver.name} ran a program", ""


def _forge() -> Answer:
    if shutil.which("git") is None:
        return FAIL, "git is not on PATH", "install git (apt-get install git)"
    if settings.FORGE == "local":
        return OK, "local repositories, git is there", ""
    if not settings.GITHUB_TOKEN and not (settings.GITHUB_APP_ID and settings.GITHUB_APP_PRIVATE_KEY):
        return (
            FAIL,
            "FORGE is github, but no token and no App is given",
            "set GITHUB_TOKEN, or GITHUB_APP_ID and its key",
        )
    headers = {"Authorization": f"Bearer {settings.GITHUB_TOKEN}"} if settings.GITHUB_TOKEN else {}
    try:
        answer = httpx.get(
            f"{settings.GITHUB_API_URL.rstrip('/')}/rate_limit",
            headers=headers,
            timeout=ASK_SECONDS,
            verify=ssl.create_default_context(cafile=settings.GITHUB_CA_FILE) if settings.GITHUB_CA_FILE else True,
        )
    except OSError as error:
        return FAIL, f"GITHUB_CA_FILE cannot be used: {error}", "name a file with the authority's certificate (PEM)"
    except httpx.HTTPError as error:
        return FAIL, f"{settings.GITHUB_API_URL} does not answer: {error}", "correct GITHUB_API_URL, or the network"
    if answer.status_code in (401, 403):
        return FAIL, f"GitHub refuses the credentials ({answer.status_code})", "renew GITHUB_TOKEN"
    return OK, "GitHub answers", ""


def _folder() -> Answer:
    for place in dict.fromkeys((Path(settings.WORK_DIR), Path(settings.CHECKPOINT_DIR))):
        try:
            place.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=place, prefix="doctor-"):
                pass
        except OSError as error:
            return (
                FAIL,
                f"{place} cannot be written: {error.strerror}",
                "give the process's user the folder, or set WORK_DIR",
            )
    free = shutil.disk_usage(settings.WORK_DIR).free
    if free < LEAST_FREE:
        return WARN, f"only {free // 1024**2} MB are free in {settings.WORK_DIR}", "make room"
    return OK, f"{settings.WORK_DIR} can be written", ""


CHECKS: tuple[tuple[str, Iterable[str], Callable[[], Answer]], ...] = (
    ("settings", (), _settings),
    ("folder", (), _folder),
    ("database", (), _database),
    ("migrations", ("database",), _migrations),
    ("clock", ("database",), _clock),
    ("broker", (), _broker),
    ("queues", ("broker",), _queues),
    ("doorbell", (), _doorbell),
    ("workers", ("broker",), _workers),
    ("beat", ("database", "migrations"), _beat),
    ("sandbox", ("folder",), _sandbox),
    ("forge", (), _forge),
)
