"""Runs in the sandbox: builds one wheel with uv, which asks the index beside it for files (``index_inside.py``). Standard library only.

In by standard input: {source}, the file name of the source distribution. The wheel goes out over the socket; the answer is
{wheel}, its name, or {error}, the builder's last words.
"""

import os
import pathlib
import subprocess
import sys
import urllib.parse
from typing import Any

from index_inside import TOOLS, answer, ask, own  # type: ignore[import-not-found]

LAST_WORDS = 500


def build(order: dict[str, Any]) -> dict[str, str]:
    source = order["source"]
    status, content = ask("/source")
    if status != 200:
        return {"error": f"the registry gave no {source}"}
    pathlib.Path(source).write_bytes(content)
    words = [
        f"{TOOLS}/uv",
        "build",
        "--wheel",
        "--out-dir",
        "out",
        "--no-config",
        "--no-sources",
        "--no-create-gitignore",
    ]
    words += ["--no-python-downloads", "--python", sys.executable, "--no-progress", "--color", "never"]
    words += ["--default-index", f"{own}/simple", "--cache-dir", os.path.abspath("cache"), source]
    # A build of today and one of next year are to give the same bytes.
    environment = {**os.environ, "SOURCE_DATE_EPOCH": "315532800"}
    done = subprocess.run(  # noqa: S603
        words, env=environment, capture_output=True, text=True, errors="replace", check=False
    )
    wheels = sorted(pathlib.Path("out").glob("*.whl"))
    if done.returncode != 0 or len(wheels) != 1:
        return {"error": "…" + (done.stdout + done.stderr).strip()[-LAST_WORDS:]}
    try:
        status, said = ask(f"/built/{urllib.parse.quote(wheels[0].name)}", "PUT", wheels[0].read_bytes())
    except OSError:
        # Refused by its size alone, the way is closed while the rest is still being written.
        return {"error": "what was built is too large"}
    return {"wheel": wheels[0].name} if status == 200 else {"error": said.decode("utf-8", "replace")}


answer(build)
