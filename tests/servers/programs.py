"""Where the programs are that tests start, and how they come to be there.

Looked for in this order: the variable that names it, PATH, the places where distributions put it. What is nowhere is
installed from the distribution's packages where that is allowed; else `MissingError` says in one line what to type.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from deploy.provision import ProvisionError, install_packages


class MissingError(RuntimeError):
    """A program or server that tests need is not there and could not be provided."""


@dataclass(frozen=True)
class Program:
    """One thing to look for.

    `elsewhere` are glob patterns of full paths, tried when PATH holds none of `names`; `off_path` are programs of
    which the copy on PATH must not be taken.
    """

    names: tuple[str, ...]
    packages: tuple[str, ...]
    variable: str
    elsewhere: tuple[str, ...] = ()
    off_path: bool = False


PROGRAMS = {
    # Debian keeps the server's programs off PATH, one folder per major version.
    "initdb": Program(("initdb",), ("postgresql",), "IMMUNE_INITDB", ("/usr/lib/postgresql/*/bin/initdb",)),
    "postgres": Program(("postgres",), ("postgresql",), "IMMUNE_POSTGRES", ("/usr/lib/postgresql/*/bin/postgres",)),
    "redis-server": Program(("redis-server",), ("redis-server",), "IMMUNE_REDIS_SERVER"),
    # The scripts on PATH insist on the account `rabbitmq`; those in the versioned folder run as anybody.
    "rabbitmq-server": Program(
        ("rabbitmq-server",),
        ("rabbitmq-server",),
        "IMMUNE_RABBITMQ_SERVER",
        ("/usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin/rabbitmq-server", "/opt/homebrew/sbin/rabbitmq-server"),
        off_path=True,
    ),
    "epmd": Program(("epmd",), ("erlang-base",), "IMMUNE_EPMD", ("/usr/lib/erlang/bin/epmd",)),
    "chromium": Program(
        ("chromium", "chromium-browser", "google-chrome"),
        ("chromium",),
        "IMMUNE_CHROMIUM",
        ("/usr/lib/chromium/chromium",),
    ),
    "node": Program(("node", "nodejs"), ("nodejs",), "IMMUNE_NODE"),
    "npm": Program(("npm",), ("npm",), "IMMUNE_NPM"),
    "git": Program(("git",), ("git",), "IMMUNE_GIT"),
}


def find(name: str) -> Path | None:
    """Full path of a program of PROGRAMS, or None. MissingError when its variable names something that is not there."""
    wanted = PROGRAMS[name]
    named = os.environ.get(wanted.variable)
    if named:
        if not os.access(named, os.X_OK):
            raise MissingError(f"{wanted.variable} names {named}, which cannot be executed")
        return Path(named)
    if not wanted.off_path:
        for candidate in wanted.names:
            on_path = shutil.which(candidate)
            if on_path:
                return Path(on_path)
    for pattern in wanted.elsewhere:
        # the highest version wins: 9.6 before 15 by text, so compare by the numbers in the path
        found = sorted(Path("/").glob(pattern.lstrip("/")), key=_numbers)
        if found:
            return found[-1]
    return None


def _numbers(path: Path) -> list[int]:
    return [int(word) for word in "".join(c if c.isdigit() else " " for c in str(path)).split()]


def program(name: str) -> Path:
    """Full path of a program of PROGRAMS, installed first where that is needed and allowed; else MissingError."""
    found = find(name)
    if found:
        return found
    # Test processes run side by side, and so may test runs: one installs, the others wait and then find it.
    with (Path(tempfile.gettempdir()) / f"immune-install-{os.getuid()}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        found = find(name)
        if found is None:
            try:
                install_packages(PROGRAMS[name].packages, f"{name}, which tests need,")
            except ProvisionError as error:
                raise MissingError(f"{error} (or name one in {PROGRAMS[name].variable})") from None
            found = find(name)
    if found is None:
        raise MissingError(f"{name} was installed and still is nowhere; name it in {PROGRAMS[name].variable}")
    return found
