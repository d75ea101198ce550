"""Runs the whole suite, as `make test` does: what differs between databases on PostgreSQL, and everything on SQLite.

Both at the same time: on PostgreSQL in one process, on SQLite in one for each core. Much of the suite waits for servers and
processes it started, and the one half works while the other waits. What they say is shown one after the other.

Words after the module's name go to pytest, e.g. `python -m tests -k review`. The exit code is 0 only when both are green.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading

from tests import environment
from tests.servers import MissingError, database, lease, leases

NO_TESTS_COLLECTED = 5
# Nothing is distributed: the process is `main` among the run's processes, and the rooms it takes on servers are its own.
ALONE = ("-n", "0")
ON_EVERY_CORE = ("-n", "auto", "--dist", "loadgroup")


def suite(words: list[str], output: int | None = None, **extra: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "pytest", *words]
    return subprocess.Popen(command, cwd=environment.ROOT, env={**os.environ, **extra}, stdout=output)


def show(process: subprocess.Popen[bytes], turn: threading.Event) -> None:
    """Keeps what a process says until it is its turn, then shows that and all it says from then on."""
    assert process.stdout is not None
    kept: list[bytes] = []
    while said := process.stdout.read1():
        kept.append(said)
        if turn.is_set():
            sys.stdout.buffer.writelines(kept)
            sys.stdout.buffer.flush()
            kept.clear()
    turn.wait()
    sys.stdout.buffer.writelines(kept)
    sys.stdout.buffer.flush()


def both(words: list[str], postgresql_url: str) -> tuple[int, int]:
    """The exit codes on PostgreSQL and on SQLite."""
    colour = ["--color=yes"] if sys.stdout.isatty() else []
    turn = threading.Event()
    with (
        suite([*ON_EVERY_CORE, *colour, *words], subprocess.PIPE) as on_sqlite,
        suite([*ALONE, "-m", "both_databases", *words], DATABASE_URL=postgresql_url) as on_postgresql,
    ):
        shown = threading.Thread(target=show, args=(on_sqlite, turn))
        shown.start()
        try:
            on_postgresql.wait()
        finally:
            turn.set()
            shown.join()
    return on_postgresql.returncode, on_sqlite.returncode


def main(words: list[str]) -> int:
    environment.prepare()
    try:
        with database(lease("postgresql"), "suite") as url:
            on_postgresql, on_sqlite = both(words, url)
    except MissingError as missing:
        print(f"test: {missing}", file=sys.stderr)
        return 1
    finally:
        leases.end_run()
    if words and on_postgresql == NO_TESTS_COLLECTED:
        on_postgresql = 0  # a person's choice of tests may hold none of these; the whole suite always does
    return on_postgresql or on_sqlite


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
