"""Bringing a repository's mirror up to date: from a folder of this machine, or from the forge as the identity that acts there."""

from __future__ import annotations

from pathlib import Path

from django.conf import settings

from immune import git, git_mirror
from immune.forges import base
from immune.forges.store import ForgeNotConfigured, ForgeUnavailable, fetch_token
from immune.git_process import GitError, Reason, Source
from immune.models import Repository
from immune.services import Refused, checked_url, mirror_of


class CannotRead(Exception):
    """The repository could not be read at all; ``reason`` is machine-readable, the text is for people."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def fetch(repository: Repository) -> tuple[git.Mirror, str, str]:
    """Brings the mirror up to date. Returns it with the default branch and its commit. Raises CannotRead."""
    mirror = mirror_of(repository)
    limits = {"timeout": settings.GIT_TIMEOUT_SECONDS, "max_bytes": settings.GIT_MAX_BYTES}
    try:
        source = _source(repository)
        if mirror.path.exists():
            updated = git_mirror.update(mirror, source, **limits)
            branch = git.default_branch(mirror)
            if branch in updated.diverged:
                raise CannotRead(
                    "diverged", f"{branch} has commits here and in the original that do not follow from each other"
                )
        else:
            mirror = git_mirror.mirror(source, mirror.path, **limits)
            branch = git.default_branch(mirror)
        return mirror, branch, git.head_of(mirror, branch)
    except GitError as error:
        if error.passing:
            raise
        raise CannotRead(error.reason.value, error.message) from error
    except Refused as error:
        raise CannotRead(error.reason, str(error)) from error
    except ForgeNotConfigured as error:
        raise CannotRead("not_configured", str(error)) from error
    except ForgeUnavailable as error:
        if isinstance(error.answer, base.Failed):
            raise  # nothing was learned: the same attempt may succeed next time
        raise CannotRead(error.answer.reason.value, error.answer.message) from error


def _source(repository: Repository) -> Source | Path:
    if "://" not in repository.location:
        return Path(repository.location)
    return checked_url(repository.location).source(token=fetch_token(repository))


def bring(repository: Repository, commit: str) -> base.Refused | base.Failed | None:
    """Has ``commit``, which the forge just named, in the mirror; None when it is there, else what an action must answer instead.

    Nothing is fetched when it is there already: what other commits there are does not matter to who asks about this one.
    """
    mirror = mirror_of(repository)
    try:
        if git.commit_exists(mirror, commit):
            return None
        fetch(repository)
        if git.commit_exists(mirror, commit):
            return None
    except GitError as error:
        return base.Failed(base.Failure.BUSY, error.message)
    except ForgeUnavailable as error:
        return error.answer
    except CannotRead as error:
        if error.reason in (Reason.UNREACHABLE, Reason.TIMED_OUT):
            return base.Failed(base.Failure(error.reason), str(error))
        return base.Refused(base.Refusal.NOT_FOUND, f"the repository could not be fetched: {error}", base.Retry.LATER)
    return base.Failed(base.Failure.BUSY, "the default branch moved while it was fetched")
