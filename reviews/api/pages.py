"""Keyset pages: a page is asked for by the last row of the one before, so its cost does not grow with how far one has read."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from django.core.exceptions import FieldDoesNotExist
from django.core.exceptions import ValidationError as FieldError
from django.db.models import DateTimeField, Field, IntegerField, Model, Q, QuerySet
from django.utils import timezone
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request

LARGEST = 200
USUAL = 50
LONGEST_CURSOR = 2000


@dataclass(frozen=True, slots=True)
class Order:
    """How a list is ordered: columns, ``-`` before those that fall. The last one is unique, so that no two rows tie."""

    columns: tuple[str, ...]

    def after(self, values: list[Any]) -> Q:
        """Rows that come after the one with these values."""
        condition = Q()
        equal = Q()
        for column, value in zip(self.columns, values, strict=True):
            name = column.removeprefix("-")
            step = Q(**{f"{name}__{'lt' if column.startswith('-') else 'gt'}": value})
            condition |= equal & step
            equal &= Q(**{name: value})
        if len(self.columns) == 1:
            return condition
        # Follows from the rest; said apart, it lets an index begin where the page does.
        first = self.columns[0].removeprefix("-")
        return Q(**{f"{first}__{'lte' if self.columns[0].startswith('-') else 'gte'}": values[0]}) & condition


def page(
    request: Request, rows: QuerySet[Any], order: Order, value: Callable[[Any, str], Any] = getattr
) -> tuple[list[Any], str | None]:
    """The asked-for page of ``rows`` and the cursor of the next one. Raises ValidationError for a bad limit or cursor.

    ``value`` reads a column off a row, for rows that are no objects.
    """
    size = limit(request)
    if (seen := last_seen(request, rows.model, order)) is not None:
        rows = rows.filter(order.after(seen))
    return cut(list(rows.order_by(*order.columns)[: size + 1]), size, order, value)


def last_seen(request: Request, model: type[Model], order: Order) -> list[Any] | None:
    """The values of the order's columns in the last row of the page before. Raises ValidationError for a bad cursor."""
    text = request.query_params.get("cursor")
    return _read(text, model, order) if text else None


def cut(
    found: list[Any], size: int, order: Order, value: Callable[[Any, str], Any] = getattr
) -> tuple[list[Any], str | None]:
    """A page of what was found and the cursor of the next one; one row more than the page holds was asked for."""
    if len(found) <= size:
        return found, None
    last = found[size - 1]
    return found[:size], _write([value(last, column.removeprefix("-")) for column in order.columns], order)


def limit(request: Request) -> int:
    text = request.query_params.get("limit", str(USUAL))
    if not text.isascii() or not text.isdigit() or len(text) > 9 or not 1 <= int(text) <= LARGEST:
        raise ValidationError({"limit": [f"a whole number from 1 to {LARGEST}"]})
    return int(text)


def _write(values: list[Any], order: Order) -> str:
    return base64.urlsafe_b64encode(orjson.dumps([*order.columns, *map(_plain, values)])).decode().rstrip("=")


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else str(value) if isinstance(value, UUID) else value


def _read(text: str, model: type[Model], order: Order) -> list[Any]:
    """The values of the last row seen. A cursor names its order, so that it is not taken for that of another list."""
    width = len(order.columns)
    try:
        if len(text) > LONGEST_CURSOR:
            raise ValueError("longer than any cursor")
        parts = orjson.loads(base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True))
        if not isinstance(parts, list) or len(parts) != 2 * width or parts[:width] != list(order.columns):
            raise ValueError("not a cursor of this order")
        return [_value(model, name, part) for name, part in zip(order.columns, parts[width:], strict=True)]
    except (ValueError, TypeError, OverflowError, binascii.Error, FieldError) as error:
        raise ValidationError({"cursor": ["is not a cursor of this list"]}) from error


def _value(model: type[Model], column: str, part: Any) -> Any:
    """One value in the type of its column, so that a forged cursor is refused here and not by the database."""
    kind = field_of(model, column.removeprefix("-"))
    if isinstance(kind, IntegerField):
        if not isinstance(part, int) or not -(2**31) <= part < 2**31:
            raise ValueError("not a number of this column")
        return part
    if not isinstance(part, str) or "\x00" in part:
        raise ValueError("not a value of this column")
    if isinstance(kind, DateTimeField):
        moment = datetime.fromisoformat(part)
        if timezone.is_naive(moment):
            raise ValueError("a time without its zone")
        return moment
    return kind.to_python(part)


def field_of(model: type[Model], name: str) -> Field[Any, Any]:
    """The column of this name, a whole number for the ranks that queries compute. Raises ValueError for what is none."""
    try:
        found = model._meta.get_field(name)
    except FieldDoesNotExist:
        return IntegerField()  # ranks, computed by the query
    if not isinstance(found, Field):
        raise ValueError("not a column")
    return found
