"""A private mount namespace through which an unprivileged user reaches an interpreter that lies in somebody's home.

bubblewrap is started as a user of no rights, and opens the folders it mounts as that user; an interpreter or work
folder under a home of mode 700 is out of its reach. Root can give it a way without changing the host: a mount
namespace, held open by a descriptor, in which a small tmpfs shows exactly the needed folders under a neutral name.
It costs about 30 ms once per engine and one ``nsenter`` (1 ms) per run. Needs util-linux and CAP_SYS_ADMIN.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from wargaming.errors import SandboxUnavailable

# Mounted over, inside the namespace only; the first that exists and holds none of the sources.
CANDIDATES = ("/mnt", "/media", "/srv", "/opt")

_SCRIPT = """set -e
mount -t tmpfs -o mode=755,size=1m,nosuid,nodev stage "$1"
shift
while [ $# -gt 1 ]; do
  if [ -d "$1" ]; then mkdir "$2"; else : > "$2"; fi
  mount --rbind "$1" "$2"
  shift 2
done
echo ready
read _ || true
"""


def reachable(path: str) -> bool:
    """Whether every user may walk to ``path`` and read it."""
    target = Path(os.path.realpath(path))
    try:
        mode = target.stat().st_mode
        parents_open = all(parent.stat().st_mode & 0o001 for parent in target.parents)
    except OSError:
        return False
    wanted = 0o005 if target.is_dir() else 0o004
    return parents_open and mode & wanted == wanted


class Stage:
    """The namespace and where each source is found in it; ``users`` counts the runs that are entering or inside."""

    def __init__(self, sources: list[str]) -> None:
        self.users = 0
        real = [os.path.realpath(source) for source in sources]
        base = next(
            (
                folder
                for folder in CANDIDATES
                if Path(folder).is_dir()
                and not any(source == folder or source.startswith(folder + "/") for source in real)
            ),
            None,
        )
        if base is None:
            raise SandboxUnavailable("no_stage", "no folder to mount the sandbox's stage over")
        self.places = {source: f"{base}/{index}" for index, source in enumerate(real)}
        pairs = [word for source, place in self.places.items() for word in (source, place)]
        holder = subprocess.Popen(  # noqa: S603
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", _SCRIPT, "sh", base, *pairs],  # noqa: S607
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
        )
        with holder:
            if holder.stdout is None or holder.stdout.readline() != b"ready\n":
                said = holder.stderr.read().decode("utf-8", "replace") if holder.stderr else ""
                raise SandboxUnavailable("no_stage", f"cannot make a mount namespace: {said.strip()}")
            self.namespace = os.open(f"/proc/{holder.pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)

    def place(self, path: str) -> str:
        """Where ``path`` is seen from inside the stage: itself, unless it lies in one of the sources."""
        real = os.path.realpath(path)
        # The innermost, where one source lies in another: the outer one's folders may be closed to others.
        around = [source for source in self.places if real == source or real.startswith(source + "/")]
        source = max(around, key=len, default=None)
        return real if source is None else self.places[source] + real[len(source) :]

    def close(self) -> None:
        os.close(self.namespace)
