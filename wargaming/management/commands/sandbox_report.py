"""``manage.py sandbox_report``: what the sandbox holds back on this machine, by trying it."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings

from immune.command import Exit, JSONCommand
from wargaming.sandbox import drivers
from wargaming.sandbox.guarantees import sandbox_report


class Command(JSONCommand):
    help = (
        "Try every guarantee of the sandbox on this machine by attacking it. Exit 0 all hold, 1 one does not or could "
        "not be tried."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--driver", choices=drivers.NAMES, default="", help="otherwise the one that would be used")

    def handle(self, *args: Any, **options: Any) -> None:
        document = sandbox_report(Path(settings.WORK_DIR), options["driver"])
        held = all(guarantee["holds"] is True for guarantee in document["guarantees"])
        marks = {True: "holds", False: "DOES NOT HOLD", None: "not tried"}
        self.answer(
            document,
            Exit.DONE if held else Exit.FOUND,
            form=options["format"],
            lines=[
                f"driver {document['driver']}",
                *(f"  {g['name']:<28} {marks[g['holds']]:<14} {g['how_tried']}" for g in document["guarantees"]),
            ],
        )
