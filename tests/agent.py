"""A process with Django set up that forks a child for each call asked of it: real processes without paying each one's start.

One JSON object a line on stdin: {"target": "module:function", "arguments": […], "folder": path}; answers {"pid": …}. The child's output
goes to ``out`` in the folder, and what the function returned, as JSON, to ``result``; no ``result`` means that it failed or was killed.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from importlib import import_module
from pathlib import Path
from typing import Any

import django


def main() -> None:
    django.setup()
    from django.db import connections  # noqa: PLC0415 - settings exist only after setup

    connections.close_all()  # a child must not inherit a connection
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the children here; who asked watches them
    print("ready", flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        # Imported once here, where it does not cost every child its time.
        asked["module"], _, asked["name"] = asked["target"].partition(":")
        import_module(asked["module"])
        pid = os.fork()
        if pid == 0:
            child(asked)
        print(json.dumps({"pid": pid}), flush=True)


def child(asked: dict[str, Any]) -> None:
    folder = Path(asked["folder"])
    code = 1
    try:
        os.setsid()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        out = os.open(folder / "out", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(out, 1)
        os.dup2(out, 2)
        value = getattr(import_module(asked["module"]), asked["name"])(*asked["arguments"])
        (folder / "result.part").write_text(json.dumps(value, default=str))
        (folder / "result.part").rename(folder / "result")
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:  # noqa: BLE001 - whatever it is, who asked reads it
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main()
