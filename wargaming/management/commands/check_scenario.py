"""``manage.py check_scenario DIR``: is this folder a scenario, and if not, why."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from immune.command import Exit, JSONCommand
from wargaming import standalone


class Command(JSONCommand):
    help = "Check a scenario folder without running it. Exit 0 it is one, 2 it is not; every problem is named."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("folder", metavar="DIR", type=Path)

    def handle(self, *args: Any, **options: Any) -> None:
        answer = standalone.check_scenario(options["folder"])
        problems = [f"  {problem['where']}: {problem['what']}" for problem in answer.document["problems"]]
        self.answer(
            answer.document,
            Exit(answer.exit_code),
            form=options["format"],
            lines=[f"{answer.document['scenario']}: {'ok' if answer.document['ok'] else 'not a scenario'}", *problems],
        )
