"""A user id of its own for every concurrent run, since the kernel counts processes per user.

Handed out through file locks in one folder, so that several workers on a machine share one pool and a killed worker
gives back what it held. Only root can use them.
"""

from __future__ import annotations

import fcntl
import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from wargaming.errors import SandboxUnavailable

FIRST_UID = 59_300
POOL_SIZE = 64


def _taken_by_an_account(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True


@contextmanager
def own_uid(folder: Path, *, first: int = FIRST_UID, size: int = POOL_SIZE) -> Iterator[int]:
    """A uid no account has and no other run uses meanwhile. Raises ``SandboxUnavailable`` when all are in use."""
    folder.mkdir(parents=True, exist_ok=True)
    for uid in range(first, first + size):
        if _taken_by_an_account(uid):
            continue
        fd = os.open(folder / str(uid), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            yield uid
            return
        finally:
            os.close(fd)
    raise SandboxUnavailable("no_free_uid", f"all {size} sandbox user ids are in use")
