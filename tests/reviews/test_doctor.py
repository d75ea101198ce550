"""`manage.py doctor` is right about each part that is missing. What needs running processes stands in test_operations."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest

from tests.environment import ROOT
from tests.worlds import World, new_world

__all__ = ["new_world"]

Parts = dict[str, dict[str, str]]


def examined(world: World, code: int) -> Parts:
    done = world.manage("doctor", "--format", "json")
    assert done.returncode == code, (done.stdout, done.stderr)
    document = json.loads(done.stdout)
    assert document["ok"] is (code == 0)
    return {part["name"]: part for part in document["parts"]}


def failed(parts: Parts) -> set[str]:
    return {name for name, part in parts.items() if part["state"] == "fail"}


def test_the_embedded_profile_needs_no_server(new_world: Callable[..., World]) -> None:
    world = new_world("sqlite")
    parts = examined(world, code=0)
    assert parts["beat"]["state"] == "warn", "nobody sweeps while nothing runs"
    assert {part["state"] for name, part in parts.items() if name != "beat"} == {"ok"}
    text = world.manage("doctor").stdout.splitlines()
    assert len(text) == len(parts), "one line each"


def test_missing_tables_are_said_with_the_command_that_makes_them(
    new_world: Callable[..., World], tmp_path: Path
) -> None:
    world = new_world("sqlite")
    world.database_url = f"sqlite:///{tmp_path / 'empty.sqlite3'}"
    parts = examined(world, code=1)
    assert failed(parts) == {"migrations", "beat"}
    assert parts["migrations"]["fix"] == "python manage.py migrate"


@pytest.mark.parametrize(
    ("variables", "part", "words"),
    [
        ({"SANDBOX_DRIVER": "podman"}, "sandbox", "podman"),
        ({"FORGE": "github"}, "forge", "no token"),
        ({"FORGE": "github", "GITHUB_TOKEN": "t", "GITHUB_API_URL": "http://127.0.0.1:9"}, "forge", "does not answer"),
        ({"CHECKPOINT_DIR": "/proc/nowhere"}, "folder", "/proc/nowhere"),
        ({"REDIS_URL": "redis://127.0.0.1:9/0"}, "doorbell", "does not answer"),
        ({"RABBITMQ_URL": "amqp://guest:guest@127.0.0.1:9//"}, "broker", "does not answer"),
    ],
)
def test_each_part_taken_away_is_named(
    new_world: Callable[..., World], variables: dict[str, str], part: str, words: str
) -> None:
    if variables.get("SANDBOX_DRIVER") == "podman" and shutil.which("podman"):
        pytest.skip("podman is installed here")
    parts = examined(new_world("sqlite", **variables), code=1)
    follows = {"broker": {"broker", "queues", "workers", "settings"}, "folder": {"folder", "sandbox"}}
    assert failed(parts) == follows.get(part, {part})
    assert words in parts[part]["message"]
    assert parts[part]["fix"]


def test_wargames_switched_off_are_a_warning(new_world: Callable[..., World]) -> None:
    parts = examined(new_world("sqlite", WARGAMING_ENABLED="false"), code=0)
    assert parts["sandbox"]["state"] == "warn"


def test_a_machine_without_bubblewrap_proves_only_what_was_shipped(new_world: Callable[..., World]) -> None:
    world = new_world("sqlite")
    bwrap = shutil.which("bwrap", path="/usr/local/bin:/usr/bin:/bin")
    if os.geteuid() != 0 or bwrap is None:
        pytest.skip("hiding a program from one process needs a mount namespace, which needs root")
    # Another mount namespace, in which the program is a file that cannot be executed.
    hidden = f"mount --bind /dev/null {bwrap} && exec {sys.executable} manage.py doctor --format json"
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", hidden],
        cwd=ROOT,
        env=world.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    [sandbox] = [part for part in json.loads(done.stdout)["parts"] if part["name"] == "sandbox"]
    assert sandbox["state"] == "warn", done.stdout
    assert "install bubblewrap" in sandbox["fix"]


def test_a_setting_that_is_wrong_is_said_in_one_line(new_world: Callable[..., World]) -> None:
    done = new_world("sqlite", PORT="eighty").manage("doctor")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "PORT" in done.stderr


def test_a_clock_that_is_wrong_is_told_by_the_database(new_world: Callable[..., World]) -> None:
    world = new_world("postgresql")
    with psycopg.connect(world.database_url, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA wrong")
        connection.execute(
            "CREATE FUNCTION wrong.clock_timestamp() RETURNS timestamptz LANGUAGE sql "
            "AS $$ SELECT pg_catalog.clock_timestamp() + interval '90 seconds' $$"
        )
    assert examined(world, code=1)["clock"]["state"] == "ok"
    world.database_url += "?options=" + quote("-c search_path=wrong,public,pg_catalog")
    parts = examined(world, code=1)
    assert parts["clock"]["state"] == "fail"
    assert "90" in parts["clock"]["message"] or "89" in parts["clock"]["message"]
