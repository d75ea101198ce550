"""``manage.py dead_letters list|show|replay``: what was given up and kept, in the database and in the broker."""

from __future__ import annotations

from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

from immune import broker, dead_letters
from immune.command import BadInput, Exit, JSONCommand
from immune.dead_letters import DeadLetter
from immune.events.actors import COMMAND


class Command(JSONCommand):
    help = (
        "List, show or replay what was given up: messages in the broker's dead letters, parked deliveries, failed forge jobs. "
        "Exit 0 nothing found (list) or done, 1 something is there (list), was refused, or the broker does not answer, 2 no "
        "such dead letter."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("act", choices=("list", "show", "replay"))
        parser.add_argument("id", nargs="*", metavar="ID", help="as `list` shows them, e.g. delivery:7")
        parser.add_argument("--all", action="store_true", help="replay everything that can be replayed")

    def handle(self, *args: Any, **options: Any) -> None:
        names: list[str] = options["id"]
        if options["act"] == "list":
            if names or options["all"]:
                raise BadInput("list takes no id")
            self._list(options["format"])
        if options["act"] == "show":
            if len(names) != 1 or options["all"]:
                raise BadInput("show takes one id")
            self._show(names[0], options["format"])
        if bool(names) == options["all"]:
            raise BadInput("replay takes ids, or --all")
        self._replay(names, options["format"])

    def _list(self, form: str) -> None:
        letters, refused = _found()
        lines = [_line(letter) for letter in letters] or ([] if refused else ["no dead letters"])
        lines += [f"{said['source']}: {said['reason']}" for said in refused]
        document = {"dead_letters": [asdict(letter) for letter in letters], "refused": refused}
        self.answer(document, Exit.FOUND if letters or refused else Exit.DONE, form=form, lines=lines)

    def _show(self, name: str, form: str) -> None:
        letters, refused = _found()
        for letter in letters:
            if letter.id == name:
                facts = {**asdict(letter), **letter.detail}
                facts.pop("detail")
                self.answer(asdict(letter), Exit.DONE, form=form, lines=[f"{k:<11}{v}" for k, v in facts.items()])
        raise BadInput("; ".join(said["reason"] for said in refused) or f"there is no dead letter {name}")

    def _replay(self, names: list[str], form: str) -> None:
        refused: list[dict[str, str]] = []
        unknown = False
        if not names:
            letters, refused = _found()
            names = [letter.id for letter in letters if letter.replayable]
        replayed: list[str] = []
        for name in names:
            try:
                replayed.append(dead_letters.replay(name, actor=COMMAND).id)
            except dead_letters.Unknown:
                unknown = True
                refused.append({"source": name, "reason": "there is no such dead letter"})
            except (dead_letters.NotReplayable, broker.BrokerDown) as error:
                refused.append({"source": name, "reason": str(error)})
        lines = [f"{name} is in line again" for name in replayed]
        lines += [f"{said['source']}: {said['reason']}" for said in refused]
        code = Exit.BAD_INPUT if unknown else Exit.FOUND if refused else Exit.DONE
        self.answer({"replayed": replayed, "refused": refused}, code, form=form, lines=lines)


def _found() -> tuple[list[DeadLetter], list[dict[str, str]]]:
    letters, silent = dead_letters.everywhere()
    return letters, [{"source": "broker", "reason": silent}] if silent else []


def _line(letter: DeadLetter) -> str:
    return f"{letter.id:<48} {letter.about}: {letter.reason}"[:200]
