"""Fixtures every test may use: real servers, real programs, the large data sets."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path

import pytest
from django.db import connection

from tests.environment import ROOT, worker
from tests.github_server.description import DescriptionMissing, _fetch
from tests.servers import Lease, MissingError, database, lease, leases, program, redis_database, vhost
from tests.worlds import postgresql_copy, sqlite_copy


def pytest_unconfigure() -> None:
    leases.end_run()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long tests first, so that none is left alone on one core at the end; those have groups."""
    items.sort(key=lambda item: item.get_closest_marker("xdist_group") is None)


def provided(kind: str) -> Lease:
    """The run's server; a missing one fails every test that needs it, with the line that says what to do."""
    try:
        return lease(kind)
    except MissingError as missing:
        pytest.fail(str(missing), pytrace=False)


def found(name: str) -> Path:
    try:
        return program(name)
    except MissingError as missing:
        pytest.fail(str(missing), pytrace=False)


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings_parallel_suffix: None) -> None:
    """Puts a copy of the run's migrated database where Django would make this process's test database and migrate it."""
    name = connection.creation._get_test_db_name()
    if connection.vendor == "sqlite":
        sqlite_copy(Path(name))
    else:
        provided("postgresql")
        postgresql_copy(name)


@pytest.fixture(scope="session")
def django_db_keepdb() -> bool:
    """Django takes the copy and applies what it lacks, which is nothing. It goes with the run's folder or its server's keeper."""
    return True


@pytest.fixture(scope="session")
def postgresql_url() -> Iterator[str]:
    """An empty PostgreSQL database of this process's own, for the whole session. Several tests share it."""
    with database(provided("postgresql"), worker()) as url:
        yield url


@pytest.fixture
def new_postgresql_database() -> Iterator[Callable[[], str]]:
    """Makes empty PostgreSQL databases, dropped after the test."""
    server = provided("postgresql")
    numbers = count()
    with ExitStack() as rooms:
        yield lambda: rooms.enter_context(database(server, f"{worker()}_{os.getpid()}_{next(numbers)}"))


@pytest.fixture(scope="session")
def rabbitmq_url() -> Iterator[str]:
    """A RabbitMQ virtual host of this process's own, for the whole session."""
    with vhost(provided("rabbitmq"), worker()) as url:
        yield url


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """A numbered Redis database of this process's own. Publish and subscribe cross databases: use `redis_prefix`."""
    with redis_database(provided("redis")) as url:
        yield url


@pytest.fixture(scope="session")
def redis_prefix() -> str:
    """What begins every key and channel of this process, for REDIS_PREFIX."""
    return f"{provided('redis').run}_{worker()}"


@pytest.fixture(scope="session")
def chromium() -> Path:
    """A real browser, for Playwright's executable_path."""
    return found("chromium")


@pytest.fixture(scope="session")
def node() -> Path:
    return found("node")


@pytest.fixture(scope="session")
def npm() -> Path:
    return found("npm")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of large data sets; tests that need it skip by name where it is absent."""
    folder = Path(os.environ.get("IMMUNE_DATA") or ROOT.parent / "shared").resolve()
    if not (folder / "data").is_dir():
        pytest.skip(f"no data sets at {folder} (set IMMUNE_DATA)")
    return folder


@pytest.fixture(scope="session")
def github_description() -> Path:
    """GitHub's description is there, or the run stops and says what is missing."""
    try:
        return _fetch()
    except DescriptionMissing as missing:
        pytest.exit(str(missing), returncode=1)
