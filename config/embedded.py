"""The embedded profile in one process: the ASGI server, workers on the in-memory broker, the periodic duties.

Run as ``python -m config.embedded`` after ``migrate``. Losing any of the threads' memory loses no work: the database says what is
to be done, and the sweep finds it. Exit codes: 0 stopped by a signal, 2 the address cannot be had or a setting is wrong.
"""

from __future__ import annotations

import errno
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import django
import structlog
import uvicorn

from immune.queues import NAMES

STOP_SECONDS = 3
WORKER_SECONDS = 5
OTHER_WORK = 4  # threads beside those that wargames may take

log = structlog.get_logger(__name__)


def main() -> int:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()
    from django.conf import settings  # noqa: PLC0415 - settings exist only after setup

    try:
        listener = listen(settings.HOST, settings.PORT)
    except OSError as error:
        say(refusal(settings.HOST, settings.PORT, error))
        return 2
    from immune import first_start  # noqa: PLC0415 - uses models

    first_start.prepare()
    return serve(listener)


def listen(host: str, port: int) -> socket.socket:
    """Takes the address before anything else is done, so that a second start says so at once. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host.strip("[]"), port))
        listener.listen(2048)
    except OSError:
        listener.close()
        raise
    return listener


def refusal(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"Port {port} on {host} is in use: stop what listens there, or start with another PORT (PORT=8004 make run)."
    return f"Cannot listen on {host}:{port}: {error.strerror or error}. HOST and PORT say where."


def serve(listener: socket.socket) -> int:
    """Serves until SIGINT or SIGTERM, then stops everything. Returns the exit code."""
    from django.conf import settings  # noqa: PLC0415 - settings exist only after setup

    from immune import leases  # noqa: PLC0415 - uses models

    server = uvicorn.Server(
        uvicorn.Config(
            "config.asgi:application",
            log_config=None,
            access_log=False,
            lifespan="off",
            ws_max_size=64 * 1024,
            timeout_graceful_shutdown=STOP_SECONDS,
        )
    )

    def leave(_number: int, _frame: Any) -> None:
        # uvicorn has handlers of its own while it serves and raises the signals again when it has stopped. A signal that comes
        # before it serves must not be lost.
        server.should_exit = True

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, leave)
    stop = threading.Event()
    # One worker for all queues: a second one would change which queues the first listens to, since an app has one such list.
    # Wargames keep to slots of their own, so they never take every thread.
    worker = start_worker("work", NAMES, OTHER_WORK + settings.WARGAME_CONCURRENCY)
    threads = [
        worker,
        *(every(duty.look_seconds, partial(leases.perform, duty.name), stop, duty.name) for duty in settings.DUTIES),
    ]
    host = f"[{settings.HOST}]" if ":" in settings.HOST else settings.HOST
    say(f"{settings.APP_NAME} is at http://{host}:{settings.PORT}/  (Ctrl-C stops it)")
    server.run(sockets=[listener])
    say("Stopping.")
    stop.set()
    stop_workers()
    for thread in threads:
        thread.join(WORKER_SECONDS)
    if any(thread.is_alive() for thread in threads):
        # A long piece of work is under way. Its row is leased, so the next start takes it up again; waiting for it here would
        # make Ctrl-C take as long as a wargame.
        log.warning("stopped_while_working", threads=[thread.name for thread in threads if thread.is_alive()])
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)
    return 0


def start_worker(name: str, queues: tuple[str, ...], concurrency: int) -> threading.Thread:
    """A Celery worker in a thread of this process, with a pool of threads."""
    from celery.worker import WorkController  # noqa: PLC0415 - slow to import, and not needed to refuse a port

    from config.celery import app  # noqa: PLC0415 - as above

    app.finalize()
    worker = WorkController(
        app=app,
        hostname=f"{name}@embedded",
        pool="threads",
        concurrency=concurrency,
        queues=",".join(queues),
        without_heartbeat=True,
        without_mingle=True,
        without_gossip=True,
    )
    thread = threading.Thread(target=worker.start, name=f"worker-{name}", daemon=True)
    thread.start()
    return thread


def stop_workers() -> None:
    from celery.worker import state  # noqa: PLC0415 - as above

    # Read by each worker's loop: stop taking messages, finish what runs, end with exit code 0.
    state.should_stop = 0


def every(seconds: float, what: Callable[[], Any], stop: threading.Event, name: str) -> threading.Thread:
    """Calls ``what`` now and then every so many seconds until stopped. What it raises is logged, and tried again next time."""
    from django.db import connection  # noqa: PLC0415 - settings exist only after setup

    def run() -> None:
        while True:
            try:
                what()
            except Exception:
                log.exception("round_failed", name=name)
                connection.close()
            if stop.wait(seconds):
                connection.close()
                return

    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()
    return thread


def say(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
