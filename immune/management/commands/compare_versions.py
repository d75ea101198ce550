"""``manage.py compare_versions ECOSYSTEM A B``: which of two versions is the older, by the ecosystem's own order."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from typing import Any, BinaryIO

from django.core.management.base import BaseCommand

from immune.command import BadInput, Exit
from immune.formats.limits import shown
from immune.versions import Unparsable, VersionOrder, order_for
from immune.versions.comparing import UNKNOWN, sign

MAX_LINE = 4096  # two versions of the longest kind there is, and room


class Command(BaseCommand):
    help = (
        "Print <, = or > for two versions of an OSV ecosystem (PyPI, npm, Go, crates.io, Maven, RubyGems, Debian ...). "
        "With - in place of A B, read one pair a line, separated by blanks or tabs, from standard input and print one "
        "answer a line; a pair that cannot be compared is answered with ? and named on standard error. Exit 0 done, "
        "2 when the ecosystem is unknown or something could not be compared."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("ecosystem", metavar="ECOSYSTEM", help="an OSV ecosystem name, with or without its suffix")
        parser.add_argument(
            "versions", nargs="+", metavar="VERSION", help="A B, or - to read pairs from standard input"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            order = order_for(options["ecosystem"])
        except Unparsable as error:
            raise BadInput(_line(error)) from error
        versions = options["versions"]
        if versions == ["-"]:
            self._compare_lines(order, sys.stdin.buffer)
        elif len(versions) == 2:
            try:
                self.stdout.write(sign(order, *versions))
            except Unparsable as error:
                raise BadInput(_line(error)) from error
        else:
            raise BadInput("give two versions, or - to read pairs from standard input")

    def _compare_lines(self, order: VersionOrder, given: BinaryIO) -> None:
        failed = False
        for number, line in enumerate(_lines(given), start=1):
            try:
                self.stdout.write(_answer(order, line))
            except Unparsable as error:
                failed = True
                self.stdout.write(UNKNOWN)
                self.stderr.write(f"line {number}: {_line(error)}")
        if failed:
            sys.exit(int(Exit.BAD_INPUT))


def _answer(order: VersionOrder, line: bytes) -> str:
    if len(line) > MAX_LINE:
        raise Unparsable(line[:80].decode("utf-8", "replace"), "the line is too long")
    try:
        pair = line.decode("utf-8").split()
    except UnicodeDecodeError as error:
        raise Unparsable(line.decode("utf-8", "replace"), "the line is not UTF-8 text") from error
    if len(pair) != 2:
        raise Unparsable(line.decode("utf-8").strip(), f"a line holds two versions, this one {len(pair)}")
    return sign(order, *pair)


def _lines(given: BinaryIO) -> Iterator[bytes]:
    """The lines, of which no more is kept than shows that one is too long."""
    while line := given.readline(MAX_LINE + 1):
        rest = line
        while not rest.endswith(b"\n") and (rest := given.readline(MAX_LINE)):
            line = line[: MAX_LINE + 1] if len(line) > MAX_LINE else line + rest
        yield line.rstrip(b"\r\n") if len(line) <= MAX_LINE else line


def _line(error: Unparsable) -> str:
    return shown(str(error), 400)
