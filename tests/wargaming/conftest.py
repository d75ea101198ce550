"""Real sandboxes, real environments, and the examples beside the repository."""

import os
from pathlib import Path

import pytest

from immune.renewal import RegistryUnreachable
from wargaming.environments.workshop import Workshop
from wargaming.renewal import fetch, npm, pypi
from wargaming.sandbox.bubblewrap import BubblewrapDriver


def example_folders() -> list[Path]:
    root = Path(os.environ.get("IMMUNE_DATA", Path(__file__).parents[3] / "shared")) / "wargames"
    return sorted(folder for folder in root.iterdir() if (folder / "case.yaml").is_file()) if root.is_dir() else []


@pytest.fixture(scope="session")
def work_folder(tmp_path_factory):
    """Made once: layers are dear to build and never change."""
    return tmp_path_factory.mktemp("workshop")


@pytest.fixture(scope="session")
def bubblewrap(work_folder):
    driver = BubblewrapDriver(work_folder)
    yield driver
    driver.close()


@pytest.fixture(scope="session")
def workshop(work_folder):
    return Workshop(work_folder)


@pytest.fixture(scope="session")
def python_index():
    """Skips where the index the installers are configured for does not answer."""
    _reach(lambda client: pypi.files(client, "idna"))


@pytest.fixture(scope="session")
def npm_registry():
    """Skips where the registry the installers are configured for does not answer."""
    _reach(lambda client: npm.packument_of(client, "semver"))


def _reach(ask):
    try:
        with fetch.client() as client:
            ask(client)
    except RegistryUnreachable as error:
        pytest.skip(f"the registry cannot be reached: {error}")
