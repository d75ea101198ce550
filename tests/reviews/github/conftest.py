"""The test GitHub and what lies on it, for the journeys there; used by nothing else."""

from __future__ import annotations

import pytest

from tests.reviews.github.hub import CLICK, running
from tests.reviews.journeys import knows_advisories, scan


@pytest.fixture(scope="module")
def hub(tmp_path_factory, github_description):
    with running(tmp_path_factory.mktemp("hub")) as found:
        yield found


@pytest.fixture
def world(hub, settings, tmp_path):
    settings.WORK_DIR = tmp_path / "work"
    settings.WARGAMING_ENABLED = False
    hub.settle(settings)
    knows_advisories()
    return hub


@pytest.fixture
def repository_there(world):
    """A repository at GitHub with one vulnerable pin, read, patched and in review."""
    found = world.put(requirements__txt=CLICK)
    scan(found)
    return found
