"""The local forge's pull requests as rows of this database, and the forge each repository has."""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import F, Max

from immune.forges.base import Forge, PullState, VerdictReport
from immune.forges.github_access import GitHubConfig, github_forge
from immune.forges.github_session import Account, AppCredentials
from immune.forges.local import LocalForge, StoredPull
from immune.git import Identity
from immune.models import LocalNote, LocalPullRequest, Repository
from immune.models.repositories import ForgeKind
from immune.services import mirror_of

MERGER = Identity("Immune", "immune@localhost")


class ForgeNotConfigured(Exception):
    """The repository's forge needs settings that are missing; the text says which."""


def forge_of(repository: Repository) -> Forge:
    """The forge a repository lies on. Raises ForgeNotConfigured."""
    if repository.forge == ForgeKind.LOCAL:
        return LocalForge(mirror_of(repository), RowStore(repository), MERGER)
    return _github(repository)


def _github(repository: Repository) -> Forge:
    app = None
    if settings.GITHUB_APP_ID and settings.GITHUB_APP_PRIVATE_KEY:
        app = AppCredentials(int(settings.GITHUB_APP_ID), settings.GITHUB_APP_PRIVATE_KEY)
    if app is None and not settings.GITHUB_TOKEN:
        raise ForgeNotConfigured(
            "no access to GitHub is configured: set GITHUB_TOKEN, or GITHUB_APP_ID and its private key"
        )
    account = Account(
        token="" if app else settings.GITHUB_TOKEN,
        app=app,
        base_url=settings.GITHUB_API_URL,
        pace_file=Path(settings.WORK_DIR) / "github.pace",
    )
    # Markers tell our own earlier work from what strangers write; the key must outlive every process and never leave.
    key = hmac.new(settings.SECRET_KEY.encode(), b"github markers", hashlib.sha256).digest()
    full_name = urlsplit(repository.location).path.strip("/").removesuffix(".git")
    try:
        return github_forge(GitHubConfig(account, (key,)), full_name)
    except ValueError as error:
        raise ForgeNotConfigured(f"{repository.location}: {error}") from error


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
