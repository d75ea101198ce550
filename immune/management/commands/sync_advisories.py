"""``manage.py sync_advisories PATH…``: read OSV records into the database."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from immune.advisories.services import sync_advisories
from immune.command import Exit, JSONCommand
from immune.events.actors import COMMAND


class Command(JSONCommand):
    help = (
        "Read OSV advisories (JSON, JSONL or YAML; a file, a folder, gz, zip or tar). A broken record is refused with "
        "its source and reason, the rest is taken; running it again changes nothing. Exit 0 done, 2 when something "
        "was refused."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("paths", nargs="+", metavar="PATH", help="a file, folder or archive of OSV records")

    def handle(self, *args: Any, **options: Any) -> None:
        report = sync_advisories(actor=COMMAND, paths=options["paths"])
        self.answer(
            report.as_dict(),
            Exit.BAD_INPUT if report.refused else Exit.DONE,
            form=options["format"],
            lines=[
                f"read {report.read}: {report.added} added, {report.updated} updated, {report.unchanged} unchanged, "
                f"{report.withdrawn} withdrawn",
                *(f"refused {refusal.source}: {refusal.reason}" for refusal in report.refused),
            ],
        )
