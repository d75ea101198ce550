"""The command line a container is started with; a daemon is not needed to read it."""

from pathlib import Path

import pytest

from wargaming.errors import SandboxUnavailable
from wargaming.sandbox.base import Limits, RunSpec
from wargaming.sandbox.containers import ContainerDriver
from wargaming.sandbox.runtimes import python_runtime


@pytest.fixture
def command():
    spec = RunSpec(
        python_runtime(),
        ("/scenario/reproduce.py",),
        Path("/layers/abc"),
        limits=Limits(memory_mb=256, processes=40, disk_mb=32, open_files=99, files=77),
    )
    return ContainerDriver("docker", program="/usr/bin/docker").command(spec, Path("/host/scenario"), "name-1")


@pytest.mark.parametrize(
    "word",
    [
        "--network=none",
        "--read-only",
        "--cap-drop=ALL",
        "--security-opt=no-new-privileges",
        "--user=65534:65534",
        "--pids-limit=40",
        "--memory=256m",
        "--memory-swap=256m",
        "--ulimit=nofile=99",
        "--ulimit=core=0",
        "--pull=never",
        "--rm",
        "--mount=type=bind,source=/host/scenario,target=/scenario,readonly",
    ],
)
def test_the_container_is_closed_down(command, word):
    assert word in command


def test_every_mount_is_read_only_and_scratch_is_bounded(command):
    mounts = [word for word in command if word.startswith("--mount=")]
    assert mounts
    assert all(word.endswith(",readonly") for word in mounts)
    scratch = [word for word in command if word.startswith("--tmpfs=")]
    assert all("size=32m" in word and "nr_inodes=77" in word for word in scratch)


def test_the_program_comes_last_and_nothing_of_ours_is_in_its_environment(command):
    assert command[-2:] == [python_runtime().executable, "/scenario/reproduce.py"]
    names = {word.removeprefix("--env=").partition("=")[0] for word in command if word.startswith("--env=")}
    assert names == {
        "HOME",
        "LANG",
        "PATH",
        "TMPDIR",
        "TZ",
        "PYTHONDONTWRITEBYTECODE",
        "PYTHONUTF8",
        "PYTHONNOUSERSITE",
    }


def test_an_absent_or_dead_daemon_is_unavailable(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SandboxUnavailable, match="not installed"):
        ContainerDriver("podman")
    dead = tmp_path / "podman"
    dead.write_text("#!/bin/sh\nexit 1\n")
    dead.chmod(0o755)
    with pytest.raises(SandboxUnavailable, match="does not answer"):
        ContainerDriver("podman")
