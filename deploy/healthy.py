"""Exit code 0 when a container's process is well, 1 when not. The image has no curl, and needs none for this.

python deploy/healthy.py http://127.0.0.1:8003/hitl/health/live     a 2xx answer within four seconds
python deploy/healthy.py worker wargame                             the worker named wargame@HOSTNAME answers a ping
"""

from __future__ import annotations

import os
import socket
import sys
import urllib.error
import urllib.request


def answers(url: str) -> bool:
    # The site refuses host names it does not know; ours is the loopback address, which it always may be asked by.
    try:
        with urllib.request.urlopen(url, timeout=4) as answer:  # noqa: S310 - the address is the container's own
            return 200 <= answer.status < 300
    except (urllib.error.URLError, OSError):
        return False


def main(words: list[str]) -> int:
    match words:
        case ["worker", name]:
            # Replaces this process: celery's own exit code says whether anybody answered.
            worker = f"{name}@{socket.gethostname()}"
            os.execvp("celery", ["celery", "-A", "config", "inspect", "ping", "-d", worker, "-t", "4"])  # noqa: S606
        case [url] if url.startswith("http"):
            return 0 if answers(url) else 1
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
