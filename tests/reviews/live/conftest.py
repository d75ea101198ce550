"""Fixtures of the live feed's tests."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.reviews.live.serving import Served, environment_for
from tests.servers.private import free_port
from tests.worlds import World, new_world

__all__ = ["new_world"]


@pytest.fixture
def new_served(new_world: Callable[..., World]) -> Callable[..., Served]:
    """Starts a server on a new world: ``new_served("daphne", "postgresql", NAME=value…)``."""

    def make(server: str, database: str = "sqlite", **more: str) -> Served:
        port = free_port()
        world = new_world(database, **environment_for(server, port), **more)
        return Served(world, server, port).start()

    return make
