"""``manage.py checkpoint``: writes a signed checkpoint of the event log to the file that is kept outside the database."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from immune.events.audit import checkpoint_path, write_checkpoint
from immune.inventory import Unreadable


class Command(BaseCommand):
    help = (
        "Appends {position, hash, at, signature} of the end of the event log to checkpoints.jsonl in CHECKPOINT_DIR; nothing when "
        "the log has not grown. Exit code 0: done; 2: the file cannot be read or written."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--format", choices=("text", "json"), default="text")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            mark = write_checkpoint()
        except Unreadable as error:
            raise CommandError(str(error), returncode=2) from error
        except OSError as error:
            raise CommandError(f"{checkpoint_path()} could not be written: {error}", returncode=2) from error
        if options["format"] == "json":
            self.stdout.write(json.dumps({"file": str(checkpoint_path()), "checkpoint": mark}))
        elif mark is None:
            self.stdout.write(f"Nothing new since the last checkpoint in {checkpoint_path()}.")
        else:
            self.stdout.write(f"Event {mark['position']} is signed in {checkpoint_path()}.")
