"""The local forge's pull requests as rows of this database, and the forge each repository has."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import F, Max

from immune.forges.base import Failed, Forge, PullState, Refused, VerdictReport
from immune.forges.github import GitHubForge
from immune.forges.github_access import GitHubConfig, github_forge, installation_of, session_of
from immune.forges.github_actions import WorkflowRuns
from immune.forges.github_session import Account, AppCredentials, Stopped
from immune.forges.local import LocalForge, StoredPull
from immune.git import Identity
from immune.models import LocalNote, LocalPullRequest, Repository
from immune.models.repositories import ForgeKind
from immune.services import mirror_of

MERGER = Identity("Immune", "immune@localhost")
T = TypeVar("T")


class ForgeNotConfigured(Exception):
    """The repository's forge needs settings that are missing; the text says which."""


class ForgeUnavailable(Exception):
    """The forge could not even be asked for access. ``answer`` is what an attempt would have been answered."""

    def __init__(self, answer: Refused | Failed) -> None:
        super().__init__(answer.message)
        self.answer = answer


def forge_of(repository: Repository) -> Forge:
    """The forge a repository lies on. May ask GitHub where its App is installed: not for use inside a transaction.

    Raises ForgeNotConfigured, ForgeUnavailable.
    """
    if repository.forge == ForgeKind.LOCAL:
        return LocalForge(mirror_of(repository), RowStore(repository), MERGER)
    reviewer = replace(_bare_account(), token=settings.GITHUB_REVIEWER_TOKEN, app=None)
    config = GitHubConfig(_account(repository), (_marker_key(),), reviewer if settings.GITHUB_REVIEWER_TOKEN else None)
    try:
        return github_forge(config, full_name_of(repository), merge_queue=repository.merge_queue)
    except ValueError as error:
        raise ForgeNotConfigured(f"{repository.location}: {error}") from error


# What our App needs beyond merging to have a wargame played at GitHub Actions; asked for only where that is done.
_ACTIONS = (("contents", "write"), ("workflows", "write"), ("actions", "read"))


def actions_of(repository: Repository) -> tuple[GitHubForge, WorkflowRuns]:
    """The forge of a repository at GitHub with the rights to write a workflow onto a branch of its own, and the runs there.

    May ask GitHub, like ``forge_of``. Raises ForgeNotConfigured (also where it does not lie at GitHub), ForgeUnavailable.
    """
    if repository.forge != ForgeKind.GITHUB:
        raise ForgeNotConfigured(f"{repository.location} does not lie at GitHub")
    account = _account(repository)
    if account.app is not None:
        account = replace(account, app=replace(account.app, permissions=_ACTIONS))
    full_name = full_name_of(repository)
    try:
        return github_forge(GitHubConfig(account, (_marker_key(),)), full_name), WorkflowRuns(
            session_of(account), full_name
        )
    except ValueError as error:
        raise ForgeNotConfigured(f"{repository.location}: {error}") from error


def _marker_key() -> bytes:
    """Tells our own earlier work from what strangers write; it must outlive every process and never leave."""
    return hmac.new(settings.SECRET_KEY.encode(), b"github markers", hashlib.sha256).digest()


def fetch_token(repository: Repository) -> str:
    """What git shows GitHub to fetch the repository; empty for the local forge and where nothing is configured.

    Raises ForgeUnavailable, ForgeNotConfigured for a key that is none.
    """
    if repository.forge != ForgeKind.GITHUB or not _has_app():
        return settings.GITHUB_TOKEN if repository.forge == ForgeKind.GITHUB else ""
    account = _account(repository)
    return _asked(lambda: session_of(account).access_token())


def full_name_of(repository: Repository) -> str:
    """owner/name, from the address the repository was registered with."""
    return urlsplit(repository.location).path.strip("/").removesuffix(".git")


def _has_app() -> bool:
    return bool(settings.GITHUB_APP_ID and settings.GITHUB_APP_PRIVATE_KEY)


def _account(repository: Repository) -> Account:
    """The identity that acts on this repository: our token, or our App as it is installed there."""
    account = _bare_account()
    if account.app is None:
        if not account.token:
            raise ForgeNotConfigured(
                "no access to GitHub is configured: set GITHUB_TOKEN, or GITHUB_APP_ID and its private key"
            )
        return account
    number = _asked(lambda: installation_of(account, full_name_of(repository)))
    return replace(account, app=replace(account.app, installation_id=number))


def _bare_account() -> Account:
    app = AppCredentials(int(settings.GITHUB_APP_ID), settings.GITHUB_APP_PRIVATE_KEY) if _has_app() else None
    pause = settings.GITHUB_WRITE_PAUSE_MS / 1000
    return Account(
        token="" if app else settings.GITHUB_TOKEN,
        app=app,
        base_url=settings.GITHUB_API_URL,
        between_requests=pause / 4,
        between_writes=pause,
        pace_file=Path(settings.WORK_DIR) / "github.pace",
        ca_file=settings.GITHUB_CA_FILE,
    )


def _asked(ask: Callable[[], T]) -> T:
    try:
        return ask()
    except Stopped as stopped:
        raise ForgeUnavailable(stopped.answer) from stopped
    except ValueError as error:
        raise ForgeNotConfigured(f"the GitHub App's key cannot be used: {error}") from error


class RowStore:
    """See ``immune.forges.local.PullRequestStore``. Each call is one short transaction of its own."""

    def __init__(self, repository: Repository) -> None:
        self.repository = repository

    def get(self, number: int) -> StoredPull | None:
        row = self._rows().filter(number=number).first()
        return _pull(row) if row else None

    def latest(self, branch: str) -> StoredPull | None:
        row = self._rows().filter(branch=branch).order_by("-number").first()
        return _pull(row) if row else None

    def create(self, pull: StoredPull) -> StoredPull | None:
        last = self._rows().aggregate(last=Max("number"))["last"] or 0
        try:
            with transaction.atomic():
                row = LocalPullRequest.objects.create(repository=self.repository, number=last + 1, **_columns(pull))
        except IntegrityError:
            # Another opened one for this branch, or took the number; the caller looks again.
            return None
        return _pull(row)

    def change(self, before: StoredPull, after: StoredPull) -> bool:
        rows = self._rows().filter(number=before.number, version=before.version)
        return bool(rows.update(**_columns(after), version=F("version") + 1))

    def add_note(self, number: int, key: str, kind: str, body: str) -> bool:
        _, made = LocalNote.objects.get_or_create(
            repository=self.repository, about=f"#{number}", key=key, defaults={"kind": kind, "body": body}
        )
        return made

    def put_verdict(self, report: VerdictReport) -> bool:
        body = json.dumps(asdict(report), default=str, sort_keys=True)
        same = LocalNote.objects.filter(
            repository=self.repository, about=report.head_commit, key=report.key, body=body
        ).exists()
        LocalNote.objects.update_or_create(
            repository=self.repository,
            about=report.head_commit,
            key=report.key,
            defaults={"kind": "verdict", "body": body},
        )
        return not same

    def _rows(self) -> Any:
        return LocalPullRequest.objects.filter(repository=self.repository)


def _pull(row: LocalPullRequest) -> StoredPull:
    return StoredPull(
        number=row.number,
        key=row.key,
        branch=row.branch,
        base=row.base,
        head_commit=row.head_commit,
        title=row.title,
        body=row.body,
        state=PullState(row.state),
        draft=row.draft,
        labels=tuple(row.labels),
        assignees=tuple(row.assignees),
        merge_commit=row.merge_commit or None,
        version=row.version,
    )


def _columns(pull: StoredPull) -> dict[str, Any]:
    return {
        "key": pull.key,
        "branch": pull.branch,
        "base": pull.base,
        "head_commit": pull.head_commit,
        "title": pull.title,
        "body": pull.body,
        "state": pull.state.value,
        "draft": pull.draft,
        "labels": list(pull.labels),
        "assignees": list(pull.assignees),
        "merge_commit": pull.merge_commit or "",
    }
