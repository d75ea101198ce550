"""``manage.py wargame CASE_DIR``: run one scenario without any repository."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings

from immune.command import Exit, JSONCommand
from wargaming import standalone
from wargaming.building.builder import builds
from wargaming.engine import Progress
from wargaming.sandbox import drivers


class Command(JSONCommand):
    help = (
        "Run one scenario folder by itself: build both releases, run control and reproduction on each, draw the "
        "verdict. Exit 0 PATCH_EFFECTIVE, 1 any other verdict, 2 not a scenario."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("case", metavar="CASE_DIR", type=Path, help="a folder with case.yaml and its scripts")
        parser.add_argument("--driver", choices=drivers.NAMES, default="", help="otherwise the strongest here")
        parser.add_argument("--evidence", type=Path, metavar="FILE", help="write the evidence archive here")

    def handle(self, *args: Any, **options: Any) -> None:
        answer = standalone.wargame(
            options["case"],
            work=Path(settings.WORK_DIR),
            driver=options["driver"],
            on_progress=self._tell,
            builds=builds(settings.WARGAME_BUILDS),
        )
        if options["evidence"] and answer.evidence:
            options["evidence"].write_bytes(answer.evidence)
        self.answer(answer.document, Exit(answer.exit_code), form=options["format"], lines=_lines(answer.document))

    def _tell(self, progress: Progress) -> None:
        self.progress(
            " ".join(filter(None, (progress.what, progress.step, progress.phase, str(progress.outcome or ""))))
        )


def _lines(document: dict[str, Any]) -> list[str]:
    if "error" in document:
        return [f"{document['case']}: {document['error']}"]
    lines = [f"{document['case']}: {document['verdict']}, confidence {document['confidence']:.2f}"]
    if document["reason"]:
        lines.append(f"  because {document['reason']}: {document['detail']}")
    lines += [
        f"  {run['step']:<10} {run['phase']:<7} {run['outcome']:<8} exit {run['exit_code']}  {run['last_line'] or ''}"
        for run in document["runs"]
    ]
    return [*lines, f"  driver {document['driver']}, evidence {document['evidence_sha256'][:16]}"]
