"""The worker's side of ``bench.hop``: a handler of one event kind and a no-op task, both noting when they began."""

from __future__ import annotations

import os
import time

from config.celery import app
from immune.events.subscriptions import Happened, subscribe

KIND = "bench.happened"


def note(what: str, number: int) -> None:
    """One line in the file both sides share; appended in one write, so that lines of several processes do not mix."""
    line = f"{what} {number} {time.time()}\n".encode()
    handle = os.open(os.environ["HOP_NOTES"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(handle, line)
    finally:
        os.close(handle)


@subscribe("bench.hop", KIND)
def happened(event: Happened) -> None:
    note("hop", event.data["number"])


@app.task(name="bench.noop", ignore_result=True)
def noop(number: int) -> None:
    note("noop", number)
