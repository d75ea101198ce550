"""The servers tests get: real, of their own, survived by nothing."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path

import amqp
import psycopg
import pytest
import redis
from django.conf import settings
from django.db import connection

from tests.environment import ROOT
from tests.servers import (
    MissingError,
    lease,
    leases,
    private_postgresql,
    private_rabbitmq,
    private_redis,
    program,
    programs,
)


def amqp_connection(url: str) -> amqp.Connection:
    host, _, vhost = url.partition("@")[2].partition("/")
    return amqp.Connection(host=host, virtual_host=vhost or "/")


def in_a_run_of_its_own(code: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Runs Python as the owner of a new test run, whose servers must go when it ends."""
    clean = {name: value for name, value in os.environ.items() if name != leases.RUN_VARIABLE}
    command = [sys.executable, "-c", f"from tests.servers import lease, leases\nimport os, signal\n{code}"]
    return subprocess.run(command, cwd=ROOT, env={**clean, **variables}, capture_output=True, text=True, check=False)


def test_each_postgresql_database_is_new_and_of_its_own(new_postgresql_database: Callable[[], str]) -> None:
    one, other = new_postgresql_database(), new_postgresql_database()
    with psycopg.connect(one) as here, psycopg.connect(other) as there:
        here.execute("CREATE TABLE mine (id int)")
        here.commit()
        assert there.execute("SELECT to_regclass('mine')").fetchone() == (None,)


def test_a_postgresql_database_of_the_session_carries_the_run_s_name(postgresql_url: str) -> None:
    with psycopg.connect(postgresql_url) as session:
        assert session.info.dbname.startswith(lease("postgresql").run)


def test_a_virtual_host_of_the_session_takes_a_quorum_queue(rabbitmq_url: str) -> None:
    with amqp_connection(rabbitmq_url) as broker:
        channel = broker.channel()
        channel.queue_declare("kept", durable=True, auto_delete=False, arguments={"x-queue-type": "quorum"})
        channel.basic_publish(amqp.Message("word"), routing_key="kept")
        assert rabbitmq_url.rpartition("/")[2] not in ("", "/")


def test_a_redis_database_of_the_session_was_nobody_s(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        assert client.get(leases.REDIS_OWNER_KEY) == lease("redis").run.encode()
        assert not redis_url.endswith("/0")


def test_a_taken_redis_database_is_not_handed_out_twice(redis_url: str) -> None:
    with leases.redis_database(lease("redis")) as other:
        assert other != redis_url
    with redis.Redis.from_url(other) as client:
        assert client.dbsize() == 0


def test_a_killed_postgresql_comes_back_with_what_was_committed() -> None:
    with private_postgresql() as server:
        with psycopg.connect(server.url) as session:
            session.execute("CREATE TABLE kept AS SELECT 1 AS id")
        server.kill()
        assert not server.answers()
        server.restart()
        with psycopg.connect(server.url) as session:
            assert session.execute("SELECT id FROM kept").fetchone() == (1,)
    assert not server.answers()
    assert not server.folder.exists()


def test_a_killed_redis_comes_back_empty_on_the_same_address() -> None:
    with private_redis() as server:
        with redis.Redis.from_url(server.url) as client:
            client.set("gone", 1)
        server.kill()
        server.restart()
        with redis.Redis.from_url(server.url) as client:
            assert client.get("gone") is None


def test_a_killed_rabbitmq_comes_back_with_confirmed_messages() -> None:
    with private_rabbitmq() as server:
        with amqp_connection(server.url.removesuffix("//") + "/") as broker:
            channel = broker.channel()
            channel.confirm_select()
            channel.queue_declare("kept", durable=True, auto_delete=False)
            channel.basic_publish_confirm(amqp.Message("word", delivery_mode=2), routing_key="kept")
        # A confirmed message is on disk; that its queue exists may still wait in memory for a moment.
        command, environment = server.control()
        subprocess.run(
            [*command, "--quiet", "eval", "mnesia:sync_log()."], env=environment, check=True, capture_output=True
        )
        server.kill()
        assert not server.answers()
        server.restart()
        with amqp_connection(server.url.removesuffix("//") + "/") as broker:
            arrived: list[str] = []
            broker.channel().basic_consume("kept", callback=lambda message: arrived.append(message.body), no_ack=True)
            broker.drain_events(timeout=60)
            assert arrived == ["word"]
        helpers = [server.process, server.epmd]
    assert all(process is not None and process.poll() is not None for process in helpers)


def test_servers_of_a_run_end_with_a_run_that_is_killed() -> None:
    ended = in_a_run_of_its_own(
        "print(lease('postgresql').url, lease('redis').url, leases.begin_run(), flush=True)\n"
        "for kind in ('postgresql', 'redis'): print(open(f'{leases.begin_run()}/{kind}.keeper').read(), flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)",
        IMMUNE_TEST_PG="private",
        IMMUNE_TEST_REDIS="private",
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    first, *keepers = ended.stdout.splitlines()
    for keeper in keepers:
        wait_for_end(int(keeper))
    database, doorbell, folder = first.split()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(database, connect_timeout=2)
    with redis.Redis.from_url(doorbell) as client, pytest.raises(redis.ConnectionError):
        client.ping()
    assert not Path(folder).exists()


def wait_for_end(pid: int) -> None:
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        assert select.select([process], [], [], 30)[0], f"process {pid} is still there"
    finally:
        os.close(process)


def test_a_named_server_that_does_not_answer_is_not_replaced_by_another() -> None:
    ended = in_a_run_of_its_own("lease('postgresql')", IMMUNE_TEST_PG="postgresql://me:hidden@127.0.0.1:1/none")
    assert ended.returncode != 0
    assert "IMMUNE_TEST_PG names a server that does not answer" in ended.stderr
    assert "hidden" not in ended.stderr


def test_a_program_that_may_not_be_installed_is_named_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    absent = programs.Program((f"no-{uuid.uuid4()}",), ("some-package",), "IMMUNE_ABSENT")
    monkeypatch.setitem(programs.PROGRAMS, "absent", absent)
    monkeypatch.setenv("IMMUNE_INSTALL", "never")
    with pytest.raises(MissingError, match=r"apt-get install some-package.*IMMUNE_ABSENT"):
        program("absent")


def test_the_newest_of_several_installed_versions_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for version in ("9.6", "15", "14"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "postgres").touch(mode=0o755)
    several = programs.Program(("absent-on-path",), (), "IMMUNE_SEVERAL", (f"{tmp_path}/*/postgres",))
    monkeypatch.setitem(programs.PROGRAMS, "several", several)
    assert programs.find("several") == tmp_path / "15" / "postgres"


@pytest.mark.both_databases
@pytest.mark.django_db
def test_the_suite_runs_on_the_database_it_says() -> None:
    with connection.cursor() as cursor:
        if os.environ.get("DATABASE_URL", "").startswith("postgresql:"):
            cursor.execute("SELECT version()")
            assert cursor.fetchone()[0].startswith("PostgreSQL")
        else:
            cursor.execute("PRAGMA journal_mode")
            assert cursor.fetchone() == ("wal",)


def test_nothing_tests_write_lands_in_the_developer_s_work_folder() -> None:
    assert not settings.WORK_DIR.is_relative_to(ROOT)
