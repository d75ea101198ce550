"""From settings to a GitHub forge: sessions shared in this process, one per identity. No Django.

A session holds pace, limits and ETags of its account, so two of one account in a process would each think themselves
alone. How long they live: as long as the process; another configuration is another account here.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field

from immune.forges.github import GitHubForge, GitHubRepository
from immune.forges.github_session import Account, Session

# An App that is removed and installed again has another installation: what was heard is asked again after a while.
_INSTALLATION_KNOWN = 600.0

_sessions: dict[Account, Session] = {}
_installations: dict[tuple[Account, str], tuple[int, float]] = {}
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


def installation_of(account: Account, full_name: str) -> int:
    """The installation through which the account's App reaches a repository. Raises ``Stopped``: not installed there, no answer.

    The App itself is asked, with its own key; the answer is kept for ten minutes.
    """
    known = _installations.get((account, full_name))
    if known is not None and time.monotonic() - known[1] < _INSTALLATION_KNOWN:
        return known[0]
    found = session_of(account).installation_of(full_name)
    _installations[account, full_name] = found, time.monotonic()
    return found


def github_forge(config: GitHubConfig, full_name: str, *, merge_queue: bool = False) -> GitHubForge:
    """The forge of one repository (owner/name). Raises ``ValueError`` for an unusable name, key or account."""
    repository = GitHubRepository(full_name, config.marker_keys, merge_queue)
    reviewer = session_of(config.reviewer) if config.reviewer is not None else None
    return GitHubForge(repository, session_of(config.account), reviewer)
