"""``manage.py export_vex``: what is known about the vulnerabilities in the repositories, as a VEX document."""

from __future__ import annotations

import json
import sys
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser
from django.utils import timezone

from immune.command import BadInput, Exit
from immune.models import Repository
from immune.people.selectors import EVERYTHING
from immune.vex import documents, selectors


class Command(BaseCommand):
    help = (
        "Print the state of every vulnerability as one VEX document: affected, under_investigation, not_affected with its "
        "justification, fixed. Exit 0 done, 1 when something has no package URL to be spoken of by (named on standard "
        "error), 2 when the repository is unknown or there is nothing to say."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--kind", choices=sorted(documents.KINDS), required=True)
        parser.add_argument("--repository", metavar="NAME", help="only what is about this one")
        parser.add_argument("--author", help="who says it (default: APP_NAME)")
        parser.add_argument(
            "--format", choices=("text", "json"), default="text", help="the document is JSON either way"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        name = options["repository"]
        repository = Repository.objects.filter(name=name).first() if name else None
        if name and repository is None:
            raise BadInput(f"there is no repository {name}")
        said, unsayable = selectors.said(EVERYTHING, repository)
        issue = documents.Issue(options["author"] or settings.APP_NAME, timezone.now(), settings.APP_VERSION)
        try:
            document = documents.KINDS[options["kind"]](said, issue)
        except documents.NothingToSay as error:
            raise BadInput(str(error)) from error
        self.stdout.write(json.dumps(document, indent=2, ensure_ascii=False))
        for code in unsayable:
            self.stderr.write(f"{code}: its package has no package URL")
        if unsayable:
            sys.exit(int(Exit.FOUND))
