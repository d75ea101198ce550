"""``manage.py verify_audit``: re-computes the event chain, and compares it with checkpoints that were kept outside the database."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from immune.events.audit import Audit, verify
from immune.inventory import Unreadable


class Command(BaseCommand):
    help = (
        "Re-computes the hash chain of the event log and names the first event altered or removed. With --checkpoint also "
        "notices a cut tail and a chain computed anew. Exit code 0: the log is what was written; 1: it is not; 2: bad input."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--checkpoint", type=Path, metavar="FILE", help="signed checkpoints, from `manage.py checkpoint`"
        )
        parser.add_argument("--format", choices=("text", "json"), default="text")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            audit = verify(options["checkpoint"])
        except Unreadable as error:
            raise CommandError(str(error), returncode=2) from error
        if options["format"] == "json":
            first_bad = asdict(audit.first_bad) if audit.first_bad else None
            said = {"events": audit.events, "ok": audit.ok, "first_bad": first_bad, "checkpoint": audit.checkpoint}
            self.stdout.write(json.dumps(said))
        else:
            self.stdout.write(_sentence(audit))
        if not audit.ok:
            sys.exit(1)


def _sentence(audit: Audit) -> str:
    lines = [f"{audit.events} events"]
    if audit.first_bad is not None:
        lines.append(f"event {audit.first_bad.position}: {audit.first_bad.problem}")
    if audit.checkpoint is not None:
        agrees = audit.checkpoint["problem"] or "agrees"
        lines.append(f"checkpoint at {audit.checkpoint['position']}: {agrees}")
    lines.append("The log is what was written." if audit.ok else "THE LOG IS NOT WHAT WAS WRITTEN.")
    return "\n".join(lines)
