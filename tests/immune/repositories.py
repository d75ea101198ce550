"""Small git repositories for tests, made with the git binary itself."""

import os
import subprocess
from datetime import UTC, datetime
from pathlib import Path

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
