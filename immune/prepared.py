"""Queries whose SQL is made once a process: for those that are asked most and that Django writes slower than the database answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.models import QuerySet, Value


@dataclass(frozen=True, slots=True)
class Slot:
    """Stands in a query for a value that each asking brings, of the type of a column."""

    name: str
    column: Any


def slot(name: str, column: Any) -> Value:
    """What to put into a filter in place of a value; ``column`` is the model's field that it is compared with."""
    return Value(Slot(name, column))


class Prepared:
    """A ``values_list`` query, asked with the values of its slots. Whatever else stands in it is the same for everybody who asks."""

    def __init__(self, rows: QuerySet[Any, Any]) -> None:
        compiler = rows.query.get_compiler(DEFAULT_DB_ALIAS)
        self._sql, self._values = compiler.as_sql()
        # Not the compiler, which holds on to a thread's connection.
        self._columns = [column for column, _, _ in compiler.select]

    def rows(self, **values: Any) -> list[tuple[Any, ...]]:
        """Raises KeyError for a slot without a value, DatabaseError."""
        connection = connections[DEFAULT_DB_ALIAS]
        bound = [
            value.column.get_db_prep_value(values[value.name], connection) if isinstance(value, Slot) else value
            for value in self._values
        ]
        with connection.cursor() as cursor:
            cursor.execute(self._sql, bound)
            found = cursor.fetchall()
        changes = [
            (place, column, change)
            for place, column in enumerate(self._columns)
            for change in (*connection.ops.get_db_converters(column), *column.get_db_converters(connection))
        ]
        return [_changed(row, changes, connection) for row in found] if changes else found


def _changed(row: tuple[Any, ...], changes: list[tuple[int, Any, Any]], connection: Any) -> tuple[Any, ...]:
    values = list(row)
    for place, column, change in changes:
        values[place] = change(values[place], column, connection)
    return tuple(values)
