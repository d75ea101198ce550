"""Files that ask for versions, changed together with the lock file beside them by the tool whose lock that is."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import replace

from immune.renewal import CannotRenew, Renewer, Wanted


def renewer(locks: Mapping[str, Renewer], unknown: Sequence[str], alone: Renewer) -> Renewer:
    """Renews by the first of ``locks`` (file name, who renews it) that stands beside a file, by ``alone`` where none does.

    ``unknown``: lock files nobody here renews; a file beside one of them is refused, since they would no longer agree.
    """

    def renew(wanted: Wanted) -> dict[str, str]:
        folder = posixpath.dirname(wanted.path)
        for name, renew_lock in locks.items():
            path = posixpath.join(folder, name)
            if (text := wanted.read(path)) is not None:
                return renew_lock(replace(wanted, path=path, text=text))
        for name in unknown:
            if wanted.read(posixpath.join(folder, name)) is not None:
                raise CannotRenew(f"changes to the {name} beside it are not prepared yet")
        return alone(wanted)

    return renew
