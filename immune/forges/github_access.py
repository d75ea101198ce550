"""From settings to a GitHub forge: sessions shared in this process, one per identity. No Django.

A session holds pace, limits and ETags of its account, so two of one account in a process would each think themselves
alone. How long they live: as long as the process; another configuration is another account here.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from immune.forges.github import GitHubForge, GitHubRepository
from immune.forges.github_session import Account, Session

_sessions: dict[Account, Session] = {}
_lock = threading.Lock()


@dataclass(frozen=True, slots=True)
class GitHubConfig:
    """What the settings say of GitHub. ``reviewer``: a second identity, which may ask for changes on our work."""

    account: Account
    marker_keys: tuple[bytes, ...] = field(repr=False)
    reviewer: Account | None = None


def session_of(account: Account) -> Session:
    """The one session of this account in this process. Raises ``ValueError`` without a token or an App."""
    with _lock:
        if account not in _sessions:
            _sessions[account] = Session(account)
        return _sessions[account]


def github_forge(config: GitHubConfig, full_name: str, *, merge_queue: bool = False) -> GitHubForge:
    """The forge of one repository (owner/name). Raises ``ValueError`` for an unusable name, key or account."""
    repository = GitHubRepository(full_name, config.marker_keys, merge_queue)
    reviewer = session_of(config.reviewer) if config.reviewer is not None else None
    return GitHubForge(repository, session_of(config.account), reviewer)
