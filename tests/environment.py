"""What a test run changes in the process environment, once, before any setting is read.

The developer's own settings (shell, `.env`) must not reach the tests, and nothing tests write may land in `var/`.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from config.env import VARIABLES
from tests.servers.leases import RUN_VARIABLE, begin_run

ROOT = Path(__file__).resolve().parent.parent


def prepare() -> Path:
    """Begins the run in its first process; in every process gives WORK_DIR a folder of its own. Returns the run's folder."""
    if RUN_VARIABLE not in os.environ:
        for name in VARIABLES:
            os.environ.pop(name, None)
            os.environ.pop(f"{name}_FILE", None)
        os.environ["IMMUNE_DOTENV"] = "0"
        # Where DATABASE_URL names a server both must be set; nothing is protected by these.
        os.environ["SECRET_KEY"] = "tests-" + "s" * 48
        os.environ["CHECKPOINT_KEY"] = "tests-" + "c" * 48
        # The suite starts some hundred processes; without kept bytecode each compiles Django and everything else anew.
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        sys.dont_write_bytecode = False
        # Most tests change pins without a thought for an index; those about the check switch it on.
        os.environ["REMEDY_PIN_CHECKS"] = "false"
    folder = begin_run()
    work = folder / f"work-{worker()}"
    work.mkdir(exist_ok=True)
    os.environ["WORK_DIR"] = str(work)
    return folder


def worker() -> str:
    """This process's name among the run's processes: gw0, gw1, … or main."""
    return os.environ.get("PYTEST_XDIST_WORKER", "main")
