"""What every command has in common: ``--format``, one JSON document on stdout, progress on stderr, exit codes 0, 1 and 2."""

from __future__ import annotations

import sys
from enum import IntEnum
from typing import Any, NoReturn

import orjson
from django.core.management.base import BaseCommand, CommandError, CommandParser


class Exit(IntEnum):
    """Done; done with something found or failed; bad input, also when part of it was unreadable."""

    DONE = 0
    FOUND = 1
    BAD_INPUT = 2


class BadInput(CommandError):
    """What was asked for cannot be done; ends the command with exit code 2."""

    def __init__(self, message: str) -> None:
        super().__init__(message, returncode=Exit.BAD_INPUT)


class JSONCommand(BaseCommand):
    """A command whose answer is one document. ``answer`` prints it; ``lines`` is how a person reads it."""

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        parser = super().create_parser(prog_name, subcommand, **kwargs)
        parser.add_argument(
            "--format",
            choices=("text", "json"),
            default="text",
            help="text for people; json puts one document on stdout and nothing else",
        )
        return parser

    def progress(self, message: str) -> None:
        self.stderr.write(message)

    def answer(self, document: dict[str, Any], exit_code: int, *, form: str, lines: list[str]) -> NoReturn:
        """Prints the document or its lines and ends the process with ``exit_code``."""
        if form == "json":
            self.stdout.write(orjson.dumps(document, option=orjson.OPT_INDENT_2, default=str).decode())
        else:
            for line in lines:
                self.stdout.write(line)
        sys.exit(int(exit_code))
