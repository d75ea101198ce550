"""Runs the whole suite, as `make test` does: what differs between databases on PostgreSQL, then everything on SQLite.

Words after the module's name go to pytest, e.g. `python -m tests -k review`. The exit code is 0 only when both are green.
"""

from __future__ import annotations

import os
import subprocess
import sys

from tests import environment
from tests.servers import MissingError, database, lease, leases

NO_TESTS_COLLECTED = 5


def suite(words: list[str], **extra: str) -> int:
    command = [sys.executable, "-m", "pytest", "-n", "auto", "--dist", "loadgroup", *words]
    return subprocess.run(command, cwd=environment.ROOT, env={**os.environ, **extra}, check=False).returncode


def main(words: list[str]) -> int:
    environment.prepare()
    try:
        with database(lease("postgresql"), "suite") as url:
            on_postgresql = suite(["-m", "both_databases", *words], DATABASE_URL=url)
        on_sqlite = suite(words)
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
