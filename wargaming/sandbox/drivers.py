"""Choosing a driver by name or by strength."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from wargaming.errors import SandboxUnavailable
from wargaming.sandbox.base import Driver
from wargaming.sandbox.bubblewrap import BubblewrapDriver
from wargaming.sandbox.containers import ContainerDriver
from wargaming.sandbox.limited import LimitedDriver

# Strongest first; this is the order in which one is looked for.
NAMES = ("bubblewrap", "podman", "docker", "limited")


@contextmanager
def opened(name: str, work: Path) -> Iterator[Driver]:
    """The driver called ``name``, or the first that works on this machine for "".

    Raises ``SandboxUnavailable``, with ``unknown_driver`` for a name that is none.
    """
    if name and name not in NAMES:
        raise SandboxUnavailable("unknown_driver", f"{name!r} is not one of {', '.join(NAMES)}")
    driver = make(name, work) if name else strongest(work)
    try:
        yield driver
    finally:
        if isinstance(driver, BubblewrapDriver):
            driver.close()


def make(name: str, work: Path) -> Driver:
    if name == "bubblewrap":
        return BubblewrapDriver(work)
    if name == "limited":
        return LimitedDriver(work / "limited")
    return ContainerDriver(name)


def strongest(work: Path) -> Driver:
    """The first driver that can be made; the limited process works everywhere and refuses what is not shipped."""
    for name in NAMES[:-1]:
        try:
            return make(name, work)
        except SandboxUnavailable:
            continue
    return make(NAMES[-1], work)
