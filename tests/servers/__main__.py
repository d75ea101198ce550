"""Servers and programs for tests, from the command line.

python -m tests.servers provide                      everything tests need, or one line per thing missing
python -m tests.servers with DATABASE_URL=postgresql -- COMMAND…
                                                     runs a command with addresses of rooms of its own
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path

from tests.servers import leases
from tests.servers.programs import PROGRAMS, MissingError, program

ROOMS = {
    "postgresql": lambda server: leases.database(server, "command"),
    "rabbitmq": lambda server: leases.vhost(server, "command"),
    "redis": leases.redis_database,
}


def provide() -> int:
    """Finds or installs every program tests start. The servers among them also serve the fault tests."""
    lacking = 0
    for name in PROGRAMS:
        try:
            program(name)
        except MissingError as error:
            print(f"test: {error}", file=sys.stderr)
            lacking += 1
    return 1 if lacking else 0


def run_with(words: list[str]) -> int:
    split = words.index("--")
    leases.begin_run()
    try:
        with contextlib.ExitStack() as rooms:
            environment = dict(os.environ)
            for word in words[:split]:
                variable, _, kind = word.partition("=")
                environment[variable] = rooms.enter_context(ROOMS[kind](leases.lease(kind)))
            return subprocess.run(words[split + 1 :], env=environment, check=False).returncode
    except MissingError as error:
        print(f"test: {error}", file=sys.stderr)
        return 1
    finally:
        leases.end_run()


def main(words: list[str]) -> int:
    match words:
        case ["provide"]:
            return provide()
        case ["keep", kind, folder]:
            leases.keep(kind, Path(folder))
            return 0
        case ["with", *rest] if "--" in rest:
            return run_with(rest)
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
