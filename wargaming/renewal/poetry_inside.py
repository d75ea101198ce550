"""Runs in the sandbox: renews a poetry.lock with Poetry itself.

In by standard input: {manifest, lock, latest}. ``latest``: the packages whose locked version is to be left; none keeps them all.
Out: {lock, hashes} or {error}. ``hashes``: the manifest's content hash as Poetry writes it now, and as it did before it counted
dependency groups.
"""

import io
import os
import pathlib
import re
import sys
from typing import Any

from index_inside import answer, own  # type: ignore[import-not-found]

for _name, _value in {
    "POETRY_VIRTUALENVS_CREATE": "false",
    "POETRY_KEYRING_ENABLED": "false",
    "POETRY_NO_INTERACTION": "true",
    "POETRY_CACHE_DIR": os.path.abspath("cache"),
    "POETRY_CONFIG_DIR": os.path.abspath("config"),
    "POETRY_DATA_DIR": os.path.abspath("data"),
    "POETRY_REQUESTS_MAX_RETRIES": "0",
    "NO_COLOR": "1",
}.items():
    os.environ[_name] = _value

from cleo.io.inputs.argv_input import ArgvInput  # type: ignore[import-not-found]  # noqa: E402
from cleo.io.outputs.stream_output import StreamOutput  # type: ignore[import-not-found]  # noqa: E402
from poetry.console.application import Application  # type: ignore[import-not-found]  # noqa: E402
from poetry.factory import Factory  # type: ignore[import-not-found]  # noqa: E402
from poetry.repositories.pypi_repository import PyPiRepository  # type: ignore[import-not-found]  # noqa: E402
from poetry.utils.env import EnvManager  # type: ignore[import-not-found]  # noqa: E402


def renew(order: dict[str, Any]) -> dict[str, Any]:
    # Nothing is installed, so the project may be for another Python than this one.
    EnvManager.create_venv = lambda self, *words, **named: self.get_system_env(naive=True)
    # Its own repository under another address, not another repository: that would stand in the lock and in the content hash.
    PyPiRepository.__init__.__defaults__ = (f"{own}/",)
    folder = pathlib.Path("project")
    folder.mkdir()
    (folder / "pyproject.toml").write_text(order["manifest"], newline="")
    if order["lock"]:
        (folder / "poetry.lock").write_text(order["lock"], newline="")
    os.chdir(folder)
    said = io.StringIO()
    sys.stdout = sys.stderr = said
    words = ["update", "--lock", *order["latest"]] if order["latest"] else ["lock"]
    application = Application()
    application.auto_exits(False)
    code = application.run(
        ArgvInput(["poetry", *words, "--no-plugins", "--no-ansi"]), StreamOutput(said), StreamOutput(said)
    )
    if code != 0:
        return {"error": "poetry: " + reason(said.getvalue())}
    locker = Factory().create_poetry(pathlib.Path.cwd()).locker
    hashes = [locker._get_content_hash(with_dependency_groups=counted) for counted in (True, False)]
    return {"lock": pathlib.Path("poetry.lock").read_bytes().decode(), "hashes": hashes}


def reason(said: str) -> str:
    """What Poetry says in the end, without what it did before."""
    lines = [
        line for line in said.splitlines() if line.strip() and not re.match(r"(Updating|Resolving) dependencies", line)
    ]
    return "\n".join(lines)[:20000]


answer(renew)
