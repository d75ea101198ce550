"""Migrations go forward and back, on both databases, and leave the names that tools outside read."""

from __future__ import annotations

import pytest
from django.core.management import call_command
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder

pytestmark = pytest.mark.both_databases
OURS = ("reviews", "wargaming", "immune")


def tables() -> set[str]:
    return {name for name in connection.introspection.table_names() if not name.startswith(("django_", "auth_"))}


def indexes(table: str) -> set[str]:
    with connection.cursor() as cursor:
        return set(connection.introspection.get_constraints(cursor, table))


@pytest.mark.django_db(transaction=True)
@pytest.mark.xdist_group("migrations")
def test_migrations_go_back_to_nothing_and_forward_again() -> None:
    before = tables()
    assert {"apv_reviews", "hitl_decisions"} <= before
    try:
        for app in OURS:
            call_command("migrate", app, "zero", verbosity=0)
        applied = {app for app, _ in MigrationRecorder(connection).applied_migrations()}
        assert applied.isdisjoint(OURS)
        assert not {"apv_reviews", "hitl_decisions", "events"} & tables()
    finally:
        call_command("migrate", verbosity=0)
    assert tables() == before


@pytest.mark.django_db
def test_the_indexes_other_tools_read_by_name_are_there() -> None:
    assert {"ix_apv_reviews_status", "ix_apv_reviews_severity"} <= indexes("apv_reviews")
    assert "ix_hitl_decisions_apv_id" in indexes("hitl_decisions")
