"""How bodies are read: JSON objects of a bounded size in which every key stands once and every value can be stored."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

import orjson
from rest_framework import exceptions, status
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request

LARGEST_BODY = 1024 * 1024


class TooLarge(exceptions.APIException):
    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_code = "too_large"
    default_detail = f"A request body holds at most {LARGEST_BODY} bytes."


class StrictJson(BaseParser):
    """JSON as RFC 8259 wants it exchanged: UTF-8, no doubled keys, no NaN, no half characters, whole numbers of 64 bits.

    Raises TooLarge, ParseError.
    """

    media_type = "application/json"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Mapping[str, Any] | None = None) -> Any:
        data = stream.read(LARGEST_BODY + 1)
        if len(data) > LARGEST_BODY:
            raise TooLarge()
        try:
            found = json.loads(data.decode("utf-8"), object_pairs_hook=_object, parse_constant=_constant)
            # What cannot be written as JSON again (half characters, huge numbers, endless nesting) cannot be stored either.
            orjson.dumps(found)
        except (ValueError, TypeError, RecursionError) as error:
            raise exceptions.ParseError(f"The body is not JSON that can be taken: {_plain(error)}") from error
        return found


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return found


def _constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number")


def _plain(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    return str(error).encode("ascii", "backslashreplace").decode()[:200]


class Untouched(BaseParser):
    """Bytes as they are sent: the view reads the stream itself, piece by piece and within its own bound."""

    media_type = "application/octet-stream"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Mapping[str, Any] | None = None) -> Any:
        return stream


class AlwaysJson(BaseContentNegotiation):
    """Answers are JSON (or the one download), whatever is asked for: RFC 9110 lets a server answer rather than say 406."""

    def select_parser(self, request: Request, parsers: Iterable[BaseParser]) -> BaseParser | None:
        wanted = (request.content_type or "").partition(";")[0].strip().lower()
        return next((parser for parser in parsers if parser.media_type == wanted), None)

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        renderer = next(iter(renderers))
        return renderer, renderer.media_type or "application/json"
