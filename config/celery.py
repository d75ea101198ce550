"""The Celery app: queues by cost and trust, late acknowledgement, no results (results live in our tables).

Messages are wake-ups; the database says what is to be done. So the embedded profile's in-memory broker may forget everything
and production's quorum queues may deliver twice: neither changes an outcome.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from celery import Celery
from celery.signals import task_postrun, task_prerun

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

app = Celery("immune")
# The current app is kept per thread; without a default, a thread that did not import this module would publish to Celery's own
# fallback, an app for a broker on localhost.
app.set_default()
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
# Celery closes each process's whole pool of database connections around every task, which costs more than most tasks do. Here a task
# gives its connection back, and the pool stays. Under this name Celery's own closing is put off.
app.add_defaults({"CELERY_DB_REUSE_MAX": sys.maxsize})


@task_prerun.connect
@task_postrun.connect
def give_connections_back(sender: Any = None, **_: Any) -> None:
    """Gives this thread's database connections back to the pool; without a pool, closes them."""
    from django.db import connections  # noqa: PLC0415 - settings exist only after setup

    if not sender.request.is_eager:
        connections.close_all()
