"""``manage.py replay_evidence FILE|DIGEST``: run again what an evidence archive holds, and compare."""

from __future__ import annotations

import re
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings

from immune.command import BadInput, Exit, JSONCommand
from wargaming import standalone
from wargaming.building.builder import builds
from wargaming.models import Evidence
from wargaming.sandbox import drivers

_DIGEST = re.compile("[0-9a-f]{64}")


def _kept(options: dict[str, Any]) -> bytes | None:
    """The archive of that digest in the database: None where there is none, empty where it was removed."""
    row = Evidence.objects.filter(pk=options["file"]).first()
    return None if row is None else b"" if row.removed_at is not None else bytes(row.archive)


class Command(JSONCommand):
    help = "Run an evidence archive again on the very locks it holds. Exit 0 the same, 1 another verdict, 2 no archive."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", metavar="FILE|DIGEST", help="a file, or the digest of evidence kept here")
        parser.add_argument("--driver", choices=drivers.NAMES, default="")

    def handle(self, *args: Any, **options: Any) -> None:
        archive = _kept(options) if _DIGEST.fullmatch(options["file"]) else None
        if archive is None:
            try:
                archive = Path(options["file"]).read_bytes()
            except OSError as error:
                raise BadInput(f"{options['file']}: {error.strerror}") from error
        if archive == b"" and _DIGEST.fullmatch(options["file"]):
            text = f"evidence {options['file']} was removed for its age; no decision rested on it"
            gone = {"error": text, "reason": "evidence_removed"}
            self.answer(gone, Exit.BAD_INPUT, form=options["format"], lines=[text])
        answer = standalone.replay_evidence(
            archive,
            work=Path(settings.WORK_DIR),
            driver=options["driver"],
            builds=builds(settings.WARGAME_BUILDS),
        )
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
