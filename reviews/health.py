"""Whether each part this process needs answers, tried now. Shared by the health addresses and the console."""

from __future__ import annotations

import shutil
from collections.abc import Callable

from celery import current_app
from django.conf import settings
from django.core.cache import cache
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from kombu.exceptions import OperationalError as BrokerError

from immune.models import Delivery, ForgeJob
from immune.models.events import DeliveryState

OK, DEGRADED, DOWN = "ok", "degraded", "down"


def database() -> str:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError:
        return DOWN
    return OK


def migrations() -> str:
    """Down while the tables are not those this version needs."""
    try:
        executor = MigrationExecutor(connection)
        return DOWN if executor.migration_plan(executor.loader.graph.leaf_nodes()) else OK
    except DatabaseError:
        return DOWN


def broker() -> str:
    """Degraded when messages cannot be sent: work then waits for the sweep, nothing is lost."""
    if not settings.RABBITMQ_URL:
        return OK
    try:
        with current_app.connection_for_write(connect_timeout=2) as link:
            link.ensure_connection(max_retries=1, timeout=2)
    except (BrokerError, OSError):
        return DEGRADED
    return OK


def doorbell() -> str:
    """Degraded when Redis does not answer: live pages then follow by polling."""
    if not settings.REDIS_URL:
        return OK
    try:
        cache.get("health")
    except Exception:  # noqa: BLE001 - every client library raises its own; all of them mean that it does not answer
        return DEGRADED
    return OK


def sandbox() -> str:
    """Degraded without bubblewrap: what it would have run is then inconclusive."""
    if not settings.WARGAMING_ENABLED:
        return DEGRADED
    return OK if settings.SANDBOX_DRIVER not in ("auto", "bubblewrap") or shutil.which("bwrap") else DEGRADED


def work() -> str:
    """Degraded while deliveries were given up or jobs failed and wait for a person."""
    parked = Delivery.objects.filter(state=DeliveryState.PARKED).exists()
    return DEGRADED if parked or ForgeJob.objects.filter(state="failed").exists() else OK


COMPONENTS: dict[str, Callable[[], str]] = {
    "database": database,
    "migrations": migrations,
    "broker": broker,
    "doorbell": doorbell,
    "sandbox": sandbox,
    "work": work,
}
NEEDED = ("database", "migrations")


def components() -> dict[str, str]:
    """The state of every part. When the database is down, what asks it is too."""
    found: dict[str, str] = {}
    for name, ask in COMPONENTS.items():
        if found.get("database") == DOWN and name in ("migrations", "work"):
            found[name] = DOWN
        else:
            found[name] = ask()
    return found


def component(name: str) -> str:
    """The state of one part. Raises KeyError for an unknown name."""
    if name in ("migrations", "work") and database() == DOWN:
        return DOWN
    return COMPONENTS[name]()


def overall(found: dict[str, str]) -> str:
    if any(found.get(name) == DOWN for name in NEEDED):
        return DOWN
    return OK if all(state == OK for state in found.values()) else DEGRADED
