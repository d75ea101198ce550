"""``manage.py immunize PATH|URL``: register a repository and take it as far as a person's decision."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings

from immune.command import BadInput, Exit, JSONCommand
from immune.events.actors import COMMAND
from immune.models import Repository
from immune.services import Refused, register_local, register_remote
from reviews import journey


class Command(JSONCommand):
    help = (
        "Register a git repository, read its manifests, open an APV for each vulnerability found, prepare patches as "
        "pull requests, prove them in wargames and open reviews. Exit 0 nothing found, 1 APVs are open or something "
        "failed, 2 the repository or part of its manifests could not be read."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "repository",
            metavar="PATH|URL",
            nargs="?",
            help="a git repository on this machine, or its address; without it GITHUB_REPO_NAME of GITHUB_REPO_OWNER",
        )
        parser.add_argument("--name", help="what to call it; otherwise taken from the path")
        parser.add_argument("--no-wait", action="store_true", help="ask for it and return; running workers do the rest")
        parser.add_argument("--again", action="store_true", help="propose what was rejected or failed once more")
        parser.add_argument(
            "--write-back", action="store_true", help="push approved merges to the repository at PATH, forward only"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            repository = self._register(options)
        except Refused as error:
            raise BadInput(str(error)) from error
        self.progress(f"{repository.name}: reading {repository.location}")
        scan = journey.immunize(
            repository,
            actor=COMMAND,
            again=options["again"],
            wait=not options["no_wait"],
            tell=lambda state: self.progress(f"{repository.name}: {state}"),
        )
        repository.refresh_from_db()
        document = journey.report(repository, scan)
        self.answer(document, _exit_code(document), form=options["format"], lines=_lines(document))

    def _register(self, options: dict[str, Any]) -> Repository:
        where = options["repository"] or settings.GITHUB_REPO_NAME
        if not where:
            raise BadInput("name a repository, or set GITHUB_REPO_OWNER and GITHUB_REPO_NAME")
        if "://" in where or not options["repository"]:
            if options["write_back"]:
                raise BadInput("--write-back goes with a path on this machine")
            return register_remote(actor=COMMAND, url=where, name=options["name"])
        return register_local(actor=COMMAND, path=Path(where), name=options["name"], write_back=options["write_back"])


def _exit_code(document: dict[str, Any]) -> Exit:
    if document["refused"] or document["scan"]["state"] == "failed":
        return Exit.BAD_INPUT
    settled = ("resolved", "withdrawn", "merged", "suppressed")
    return Exit.FOUND if any(apv["state"] not in settled for apv in document["apvs"]) else Exit.DONE


def _lines(document: dict[str, Any]) -> list[str]:
    lines = [f"{document['repository']} at {(document['head'] or 'no commit')[:12]}"]
    lines += [f"  refused {refusal['source']}: {refusal['reason']}" for refusal in document["refused"]]
    for apv in document["apvs"]:
        step = f"{apv['package']} {apv['from_version']}" + (f" -> {apv['to_version']}" if apv["to_version"] else "")
        verdict = f"{apv['verdict']} ({apv['confidence']:.2f})" if apv["verdict"] else "-"
        lines.append(f"  {apv['code']}  {apv['advisory']:<18} {step:<32} {verdict:<24} {apv['state']}")
        if apv["reason"]:
            lines.append(f"      {apv['reason']}")
    if not document["apvs"] and not document["refused"] and document["scan"]["state"] == "done":
        lines.append("  no known vulnerability in what is pinned")
    return lines
