"""Small git repositories for tests, made with the git binary itself."""

import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from immune.git import Identity

IMMUNE = Identity("Immune", "immune@example.org")
NOON = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)


def git(folder: Path, *arguments: str, stdin: bytes | None = None) -> str:
    """Run git as a person would, in a repository of a test, without the machine's configuration."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_AUTHOR_NAME": "Alice",
        "GIT_AUTHOR_EMAIL": "alice@example.org",
        "GIT_COMMITTER_NAME": "Alice",
        "GIT_COMMITTER_EMAIL": "alice@example.org",
    }
    done = subprocess.run(
        ["git", *arguments], cwd=folder, env=environment, input=stdin, capture_output=True, check=True
    )
    return done.stdout.decode().strip()


def checkout(folder: Path, files: dict[str, str]) -> Path:
    """A repository with one commit on ``main`` holding these files."""
    folder.mkdir(parents=True)
    git(folder, "init", "--quiet", "--initial-branch=main")
    save(folder, files, "first")
    return folder


def save(folder: Path, files: dict[str, str], message: str) -> str:
    """Write files and commit them; the commit's id."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        git(folder, "add", "--", name)
    git(folder, "commit", "--quiet", "-m", message)
    return git(folder, "rev-parse", "HEAD")


def kill_git_once(folder: Path, monkeypatch: pytest.MonkeyPatch, command: str) -> Path:
    """From now on git is a real program that is killed once, at this command. The file is empty when that has happened."""
    real = shutil.which("git")
    assert real is not None
    left, program = folder / "kills-left", folder / "bin" / "git"
    left.write_text("x")
    program.parent.mkdir()
    program.write_text(
        f"""#!{sys.executable}
import os, signal, sys
if {command!r} in sys.argv and open({os.fspath(left)!r}).read():
    open({os.fspath(left)!r}, "w").close()
    os.kill(os.getpid(), signal.SIGKILL)
os.execv({real!r}, ["git", *sys.argv[1:]])
"""
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    return left
