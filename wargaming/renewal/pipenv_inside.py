"""Runs in the sandbox: makes a Pipfile.lock with Pipenv itself. In by standard input: {manifest}. Out: {lock} or {error}.

Pipenv knows no preferences: what is to stay, the index it is shown decides. It resolves for an environment that holds nothing; making
a real one would take longer than all else.
"""

import os
import pathlib
import re
import subprocess
import sys
from typing import Any

from index_inside import answer, own  # type: ignore[import-not-found]


def renew(order: dict[str, Any]) -> dict[str, Any]:
    folder = pathlib.Path("project")
    folder.mkdir()
    (folder / "Pipfile").write_text(order["manifest"], newline="")
    environment = pathlib.Path("environment/bin").absolute()
    environment.mkdir(parents=True)
    (environment / "activate").touch()
    (environment / "python").symlink_to(sys.executable)
    known = {
        "VIRTUAL_ENV": str(environment.parent),
        "PIPENV_RESOLVER_PARENT_PYTHON": "1",
        "PIPENV_PYPI_MIRROR": f"{own}/simple",
        "PIPENV_CACHE_DIR": os.path.abspath("cache"),
        "PIPENV_DONT_LOAD_ENV": "1",
        "PIPENV_MAX_DEPTH": "1",
        "PIPENV_NOSPIN": "1",
        "PIPENV_VERBOSITY": "-1",
        "PIPENV_YES": "1",
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_NO_CACHE_DIR": "1",
        "PIP_ONLY_BINARY": ":all:",
        "PIP_RETRIES": "0",
        "COLUMNS": "500",
        "NO_COLOR": "1",
    }
    done = subprocess.run(
        [sys.executable, "-m", "pipenv", "lock"],
        cwd=folder,
        env={**os.environ, **known},
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    lock = folder / "Pipfile.lock"
    if done.returncode != 0 or not lock.exists():
        return {"error": "pipenv: " + reason(done.stdout + done.stderr)[:20000]}
    return {"lock": lock.read_bytes().decode()}


def reason(said: str) -> str:
    """What pip says of the conflict, without what Pipenv says around it."""
    found = re.search(r"\bERROR\b.*?(?=Traceback|\Z)", said, re.DOTALL)
    return found[0] if found else said


answer(renew)
