"""`manage.py reset` and `password`: forgetting everything, only where that is what was meant."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.servers.private import free_port
from tests.worlds import World, sqlite_copy


@pytest.fixture
def world(new_world: Callable[..., World]) -> World:
    made = new_world("sqlite", PORT=str(free_port()))
    work = made.folder / "work"
    # Left to its default the database lies in the work folder.
    made.database_url = ""
    sqlite_copy(work / "immune.sqlite3")
    layer = work / "layers" / "x"
    layer.mkdir(parents=True)
    (layer / "file").write_text("kept")
    layer.chmod(0o555)
    return made


def test_it_says_and_removes_everything_in_the_work_folder(world: World, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "mine").touch()
    work = world.folder / "work"
    (work / "link").symlink_to(outside)
    done = world.manage("reset", "--format", "json")
    assert done.returncode == 0, done.stderr
    removed = json.loads(done.stdout)["removed"]
    assert str(work / "immune.sqlite3") in removed
    assert str(work / "layers") in done.stderr
    assert list(work.iterdir()) == []
    assert (outside / "mine").exists(), "a link is removed, not what it leads to"


def test_it_is_refused_while_something_answers_at_the_port(world: World) -> None:
    with socket.create_server(("127.0.0.1", int(world.more["PORT"]))):
        done = world.manage("reset")
    assert done.returncode == 2
    assert "stop `make run` first" in done.stderr
    assert (world.folder / "work" / "immune.sqlite3").exists()


def test_it_is_refused_beside_a_server_database(world: World) -> None:
    world.more["DATABASE_URL"] = "postgresql://nobody@127.0.0.1:9/x"
    done = world.manage("reset")
    assert done.returncode == 2
    assert "embedded profile only" in done.stderr
    assert (world.folder / "work" / "immune.sqlite3").exists()


def test_a_folder_that_is_not_ours_is_left(new_world: Callable[..., World], tmp_path: Path) -> None:
    world = new_world("sqlite", PORT=str(free_port()), WORK_DIR=str(tmp_path / "photos"))
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.png").touch()
    done = world.manage("reset")
    assert done.returncode == 2
    assert (tmp_path / "photos" / "cat.png").exists()


def test_a_new_password_is_printed_and_kept_for_its_owner_only(world: World) -> None:
    assert world.manage("password").returncode == 2, "there is no account yet"
    code = "from immune.people.first_account import ensure_admin; from django.conf import settings; ensure_admin(settings.WORK_DIR)"
    assert world.manage("shell", "-c", code).returncode == 0
    done = world.manage("password", "--format", "json")
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout)
    kept = world.folder / "work" / "admin-password"
    assert kept.read_text().strip() == made["password"]
    assert kept.stat().st_mode & 0o077 == 0
