"""What a Celery worker does with its database connections between tasks, on PostgreSQL in a process of its own."""

from __future__ import annotations

import os
from collections.abc import Callable
from types import SimpleNamespace

import psycopg

from tests.worlds import World

HERE = "tests.immune.test_worker_connections"


def backends_of_two_tasks(killed_between: bool) -> list[int]:
    """The server's processes that answered two tasks of a worker's child."""
    from celery.fixups.django import DjangoWorkerFixup  # noqa: PLC0415 - needs Django set up
    from celery.signals import task_postrun, task_prerun  # noqa: PLC0415
    from django.db import connection  # noqa: PLC0415

    from config.celery import app  # noqa: PLC0415

    child = DjangoWorkerFixup(app)
    child.worker = SimpleNamespace(pool_cls="celery.concurrency.prefork:TaskPool")
    child.install()
    task = app.tasks["immune.tasks.work"]
    found = []
    for _ in range(2):
        task_prerun.send(sender=task)
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            found.append(cursor.fetchone()[0])
        task_postrun.send(sender=task)
        if killed_between:
            with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as other:
                other.execute("SELECT pg_terminate_backend(%s, 10000)", found[:1])
    return found


def test_a_task_gets_the_connection_that_the_last_one_gave_back(new_world: Callable[..., World]) -> None:
    first, second = new_world("postgresql").call(f"{HERE}:backends_of_two_tasks", False)
    assert first == second


def test_a_connection_that_the_server_ended_meanwhile_is_replaced(new_world: Callable[..., World]) -> None:
    first, second = new_world("postgresql").call(f"{HERE}:backends_of_two_tasks", True)
    assert first != second
