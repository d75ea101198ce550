"""``manage.py replay_evidence FILE``: run again what an evidence archive holds, and compare."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings

from immune.command import BadInput, Exit, JSONCommand
from wargaming import standalone
from wargaming.sandbox import drivers


class Command(JSONCommand):
    help = "Run an evidence archive again on the very locks it holds. Exit 0 the same, 1 another verdict, 2 no archive."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", metavar="FILE", type=Path)
        parser.add_argument("--driver", choices=drivers.NAMES, default="")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            archive = options["file"].read_bytes()
        except OSError as error:
            raise BadInput(f"{options['file']}: {error.strerror}") from error
        answer = standalone.replay_evidence(archive, work=Path(settings.WORK_DIR), driver=options["driver"])
        document = answer.document
        lines = (
            [document["error"]]
            if "error" in document
            else [
                f"then {document['verdict_then']}, now {document['verdict_now']}: {'the same' if document['same'] else 'not the same'}",
                *(f"  {d['what']}: then {d['then']}, now {d['now']}" for d in document["differences"]),
            ]
        )
        self.answer(document, Exit(answer.exit_code), form=options["format"], lines=lines)
