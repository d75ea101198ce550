"""``manage.py doctor``: one line for each part an installation needs, with what to do about it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from immune.command import Exit, JSONCommand
from reviews import doctor


class Command(JSONCommand):
    help = (
        "Try every part that is needed (settings, folder, database, migrations, clock, broker, queues, doorbell, workers, beat, "
        "sandbox, forge) and say what to do about what is missing. Exit 0 nothing needed is missing, 1 something is."
    )
    # It must be able to tell of a database that is not there.
    requires_system_checks: list[str] = []
    requires_migrations_checks = False

    def handle(self, *args: Any, **options: Any) -> None:
        found = doctor.examine()
        failed = any(finding.state == doctor.FAIL for finding in found)
        lines = [
            f"{finding.state:<5} {finding.name:<11} {finding.message}" + (f"  ->  {finding.fix}" if finding.fix else "")
            for finding in found
        ]
        document = {"ok": not failed, "parts": [asdict(finding) for finding in found]}
        self.answer(document, Exit.FOUND if failed else Exit.DONE, form=options["format"], lines=lines)
