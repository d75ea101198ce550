"""Runs in the sandbox: renews a uv.lock with uv itself. In by standard input: {manifest, lock, upgrades}. Out: {lock} or {error}."""

import os
import pathlib
import subprocess
import sys

from index_inside import PUBLIC_FILES, PUBLIC_INDEX, TOOLS, answer, own  # type: ignore[import-not-found]


def renew(order: dict[str, str]) -> dict[str, str]:
    folder = pathlib.Path("project")
    folder.mkdir()
    lock = order["lock"].replace(f'"{PUBLIC_INDEX}"', f'"{own}/simple"').replace(f'"{PUBLIC_FILES}', f'"{own}/files/')
    (folder / "pyproject.toml").write_text(order["manifest"], newline="")
    if lock:
        (folder / "uv.lock").write_text(lock, newline="")
    words = [f"{TOOLS}/uv", "lock", "--no-build", "--no-python-downloads", "--python", sys.executable, "--no-progress"]
    words += ["--color", "never", "--default-index", f"{own}/simple", "--cache-dir", os.path.abspath("cache")]
    for upgrade in order["upgrades"]:
        words += ["--upgrade-package", upgrade]
    done = subprocess.run(  # noqa: S603
        words, cwd=folder, capture_output=True, text=True, errors="replace", check=False
    )
    if done.returncode != 0:
        return {"error": "uv: " + done.stderr[:20000]}
    text = (folder / "uv.lock").read_bytes().decode()
    return {"lock": text.replace(f'"{own}/simple"', f'"{PUBLIC_INDEX}"').replace(f'"{own}/files/', f'"{PUBLIC_FILES}')}


answer(renew)
