"""Telling what a wargame does while it does it, without keeping it waiting: a commit takes longer than starting a script.

What is told is recorded in its order by one thread; what came while it recorded goes into the next unit of work together.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from django.db import connection

from wargaming.engine import Progress


@contextmanager
def telling(record: Callable[[list[Progress]], None]) -> Iterator[Callable[[Progress], None]]:
    """Yields what to call with each progress; everything told is recorded when the block has ended.

    What ``record`` raises is raised by the next call, or at the end of the block when that did not fail by itself.
    """
    told: queue.SimpleQueue[Progress | None] = queue.SimpleQueue()
    failed: list[Exception] = []

    def check() -> None:
        if failed:
            raise failed[0]

    def tell(progress: Progress) -> None:
        check()
        told.put(progress)

    def work() -> None:
        try:
            while (batch := _waiting(told))[0] is not None:
                record([progress for progress in batch if progress is not None])
                if batch[-1] is None:
                    return
        except Exception as error:  # noqa: BLE001 - handed to whoever tells
            failed.append(error)
        finally:
            connection.close()

    thread = threading.Thread(target=work, name="telling", daemon=True)
    thread.start()
    try:
        yield tell
    finally:
        told.put(None)
        thread.join()
    check()


def _waiting(told: queue.SimpleQueue[Progress | None]) -> list[Progress | None]:
    """Everything that waits, at least one thing; None stands for the end and comes last."""
    batch = [told.get()]
    while batch[-1] is not None and not told.empty():
        batch.append(told.get())
    return batch
