"""``manage.py ingest_report FILE --repository NAME``: take a scanner's report, an SBOM or a VEX document in."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any, BinaryIO

from immune.command import BadInput, Exit, JSONCommand
from immune.events.actors import COMMAND
from immune.formats.limits import shown
from immune.ingest.services import Overtaken, ingest_report
from immune.inventory import Unreadable
from immune.models import Repository
from immune.services import Refused


class Command(JSONCommand):
    help = (
        "Take a scanner's report, an SBOM or a VEX document in for a registered repository; its kind is told by its content. "
        "What an earlier report of the same tool had and this one has not is closed where nothing else sees it. The same file "
        "again changes nothing; a file that cannot be read changes nothing either. Exit 0 done, 2 when something was refused."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", metavar="FILE", help="the report, plain or gzipped")
        parser.add_argument("--repository", required=True, metavar="NAME", help="the name it is registered with")
        parser.add_argument(
            "--part",
            default="",
            metavar="NAME",
            help="which part of the repository the tool looked at, where it reports on several",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        repository = Repository.objects.filter(name=options["repository"]).first()
        if repository is None:
            raise BadInput(f"no repository is called {options['repository']}")
        path = Path(options["file"])
        try:
            with _opened(path) as file:
                done = ingest_report(
                    file=file, repository=repository, actor=COMMAND, source=path.name, part=options["part"]
                ).as_dict()
        except Unreadable as error:
            done = {
                "format": "",
                "read": 0,
                **_NOTHING,
                "refused_count": 1,
                "refused": [{"source": shown(error.source, 1000), "reason": shown(error.reason, 1000)}],
            }
        except (Overtaken, Refused) as error:
            raise BadInput(str(error)) from error
        self.answer(
            done,
            Exit.BAD_INPUT if done["refused"] else Exit.DONE,
            form=options["format"],
            lines=[
                f"read {done['read']} of {done['format'] or 'nothing'}: "
                + ", ".join(f"{done[name]} {name}" for name in _NOTHING if name != "refused_count"),
                *(f"refused {refusal['source']}: {refusal['reason']}" for refusal in done["refused"]),
            ],
        )


def _opened(path: Path) -> BinaryIO:
    """The file to read. Raises Unreadable for what is none: opening a pipe would wait for somebody to write."""
    if path.exists() and not path.is_file():
        raise Unreadable(str(path), "is not a file")
    try:
        return path.open("rb")
    except OSError as error:
        raise Unreadable(str(path), error.strerror or "cannot be opened") from error


_NOTHING = {"opened": 0, "updated": 0, "reopened": 0, "closed": 0, "suppressed": 0, "unchanged": 0, "refused_count": 0}
