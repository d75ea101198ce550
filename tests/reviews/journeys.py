"""A repository on disk and the whole pipeline in this process: real git, real rows, every handler; wargames as settings say."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from immune import work
from immune.advisories.services import sync_advisories
from immune.events.actors import COMMAND
from immune.models import APV, Account, ForgeJob, Repository, Role, Scan
from immune.people.selectors import viewer_of
from immune.people.services import create_account
from immune.services import register_local, request_scan
from reviews import services
from reviews.decisions import Asked
from reviews.models import Decision, Review, ReviewState

ADVISORIES = Path(__file__).parents[2] / "immune" / "demo" / "advisories.jsonl"
BECAUSE = "Read the evidence and the release notes."
_GIT = {
    "PATH": os.environ["PATH"],
    "HOME": "/nonexistent",
    "GIT_CONFIG_NOSYSTEM": "1",
    **{
        f"GIT_{who}_{what}": value
        for who in ("AUTHOR", "COMMITTER")
        for what, value in (("NAME", "A"), ("EMAIL", "a@b"))
    },
}


def git(folder: Path, *words: str) -> str:
    return subprocess.run(
        ["git", *words], cwd=folder, env=_GIT, check=True, capture_output=True, text=True
    ).stdout.strip()


def checkout(folder: Path, **files: str) -> Path:
    """A person's repository with these files; double underscores in names stand for dots."""
    folder.mkdir(parents=True)
    git(folder, "init", "--quiet", "--initial-branch=main")
    return commit(folder, **files)


def commit(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        path = folder / name.replace("__", ".").replace("_slash_", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "work")
    return folder


def knows_advisories() -> None:
    sync_advisories(actor=COMMAND, paths=[ADVISORIES])


def register(folder: Path, **how: object) -> Repository:
    return register_local(actor=COMMAND, path=folder, **how)


def scan(repository: Repository, *, again: bool = False) -> Scan:
    """Reads the repository and works until nothing is left to do."""
    asked = request_scan(actor=COMMAND, repository=repository, cause="asked", again=again)
    work_off()
    asked.refresh_from_db()
    return asked


def work_off() -> None:
    ran = True
    while ran:
        ran = any([work.run_one(kind.name) for kind in work.kinds()])  # noqa: C419 - each kind gets its turn


def reviewer(name: str = "rita", role: str = Role.ADMIN) -> Account:
    known = Account.objects.filter(username=name).first()
    return known or create_account(actor=COMMAND, username=name, password=None, role=role)


def review_of(package: str) -> Review:
    """The round that waits about this package."""
    return Review.objects.exclude(state=ReviewState.DECIDED).distinct().get(items__apv__package_name=package)


def decide(review: Review, choice: str, *, by: Account | None = None, **more: object) -> Decision:
    account = by or reviewer()
    return services.decide(
        account=account, viewer=viewer_of(account), review=review, asked=Asked(choice, BECAUSE, **more)
    )


def states(repository: Repository) -> dict[str, str]:
    """Package → the states of its APVs, once each."""
    found: dict[str, set[str]] = {}
    for package, status in APV.objects.filter(repository=repository).values_list("package_name", "status"):
        found.setdefault(package, set()).add(status)
    return {package: "/".join(sorted(several)) for package, several in found.items()}


def merges(repository: Repository) -> int:
    return ForgeJob.objects.filter(remedy__repository=repository, kind="merge_pr", state="done").count()
