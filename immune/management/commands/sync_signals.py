"""``manage.py sync_signals FILE…``: take EPSS scores and KEV catalogues in."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from immune.advisories.signal_sync import sync_signals
from immune.command import BadInput, Exit, JSONCommand
from immune.events.actors import COMMAND
from immune.inventory import Unreadable


class Command(JSONCommand):
    help = (
        "Read FIRST's EPSS scores (CSV) and CISA's KEV catalogue (JSON or CSV), plain or gzipped, told apart by content. Only "
        "live APVs of CVEs that changed are weighed again. Exit 0 done, 2 when a file or row was refused."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("files", nargs="+", metavar="FILE")

    def handle(self, *args: Any, **options: Any) -> None:
        missing = [path for path in options["files"] if not Path(path).is_file()]
        if missing:
            raise BadInput(f"no such file: {', '.join(missing)}")
        done: list[dict[str, Any]] = []
        refused: list[dict[str, str]] = []
        for path in options["files"]:
            try:
                found = sync_signals(actor=COMMAND, path=Path(path)).as_dict()
            except Unreadable as error:
                refused.append({"source": error.source, "reason": error.reason})
                continue
            refused += found.pop("refused")
            done.append(found)
        self.answer(
            {"feeds": done, "refused": refused},
            Exit.BAD_INPUT if refused else Exit.DONE,
            form=options["format"],
            lines=[
                *(
                    f"{one['kind']} of {one['day']}: read {one['read']}, {one['added']} added, {one['updated']} updated, "
                    f"{one['removed']} removed, {one['unchanged']} unchanged; {one['touched']} APVs weighed anew"
                    for one in done
                ),
                *(f"refused {one['source']}: {one['reason']}" for one in refused),
            ],
        )
