"""``manage.py setup_queues``: declares the broker's exchanges and queues, the dead letters among them."""

from __future__ import annotations

from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

from django.conf import settings

from immune import broker
from immune.command import Exit, JSONCommand


class Command(JSONCommand):
    help = (
        "Declare the exchanges and queues in RabbitMQ exactly as workers do; running it again changes nothing. Exit 0 done (also "
        "where no broker is configured), 1 the broker does not answer or holds a queue of the same name that is a different one."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--replace", action="store_true", help="delete and make anew queues that are there with other arguments"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        form = options["format"]
        if not settings.RABBITMQ_URL:
            document: dict[str, Any] = {"queues": [], "refused": []}
            self.answer(document, Exit.DONE, form=form, lines=["no RABBITMQ_URL: work runs in process, without queues"])
        try:
            declared = broker.set_up(replace=options["replace"])
        except broker.BrokerDown as error:
            refused = [{"source": "broker", "reason": str(error)}]
            self.answer({"queues": [], "refused": refused}, Exit.FOUND, form=form, lines=[str(error)])
        different = [made.queue for made in declared if made.outcome == "different"]
        document = {
            "queues": [asdict(made) for made in declared],
            "refused": [
                {"source": name, "reason": "is there with other arguments; --replace makes it anew"}
                for name in different
            ],
        }
        lines = [f"{made.queue:<8} {made.outcome}" for made in declared]
        if different:
            lines.append(f"{', '.join(different)}: there with other arguments, workers cannot use it; see --replace")
        self.answer(document, Exit.FOUND if different else Exit.DONE, form=form, lines=lines)
