"""GitHub's webhooks: is it really GitHub, and what does it say. Pure: bytes and headers in, typed events out.

The signature is checked over the raw bytes before anything is parsed (docs.github.com, "Validating webhook
deliveries"). What an event says is a hint to look again, never a fact to act on: deliveries come late, twice or out
of order, so the receiver reads the state anew. Shapes: octokit/webhooks payload schemas.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

# GitHub caps its payloads at 25 MB and sends far less for the events read here.
MAX_BYTES = 5 * 1024 * 1024
_DELIVERY = re.compile(r"[0-9A-Za-z-]{8,64}")
_EVENT = re.compile(r"[a-z_]{1,60}")
_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_REPOSITORY = re.compile(r"[A-Za-z0-9_.-]{1,100}/[A-Za-z0-9_.-]{1,100}")
_NOWHERE = "0" * 40


class WebhookReason(StrEnum):
    """Why a delivery is not taken."""

    UNSIGNED = "unsigned"
    WRONG_SIGNATURE = "wrong_signature"
    NO_DELIVERY_ID = "no_delivery_id"
    NO_EVENT = "no_event"
    TOO_LARGE = "too_large"
    UNREADABLE = "unreadable"


class WebhookError(Exception):
    """A delivery that is not taken. The text never repeats what was sent."""

    def __init__(self, reason: WebhookReason, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


@dataclass(frozen=True, slots=True)
class Delivery:
    """A delivery whose signature was right. ``id`` is GitHub's; the same one twice is the same delivery."""

    id: str
    event: str
    raw: bytes


@dataclass(frozen=True, slots=True)
class PullRequestChanged:
    """A pull request was opened, changed, labelled, closed or merged."""

    repository: str
    action: str
    number: int
    branch: str
    base: str
    head_commit: str
    state: str
    merged: bool
    merge_commit: str | None
    draft: bool


@dataclass(frozen=True, slots=True)
class Pushed:
    """A branch moved. ``before``/``after`` are None when it was made or deleted. Tags are ``Other``."""

    repository: str
    branch: str
    before: str | None
    after: str | None
    forced: bool
    is_default: bool


@dataclass(frozen=True, slots=True)
class ChecksChanged:
    """A check, a suite, a status or a workflow run on a commit. ``conclusion`` is None while it runs."""

    repository: str
    head_commit: str
    kind: str
    name: str
    conclusion: str | None
    external_id: str = ""
    run_id: int | None = None


@dataclass(frozen=True, slots=True)
class Reviewed:
    """Somebody reviewed a pull request at GitHub. ``state``: approved, changes_requested, commented, dismissed."""

    repository: str
    action: str
    number: int
    reviewer: str
    state: str
    head_commit: str


@dataclass(frozen=True, slots=True)
class AlertChanged:
    """A Dependabot alert was opened, closed or changed. Ecosystem and range as GitHub writes them."""

    repository: str
    action: str
    number: int
    state: str
    ecosystem: str
    package: str
    manifest_path: str
    ghsa_id: str
    cve_id: str
    affected_range: str
    first_fixed: str


@dataclass(frozen=True, slots=True)
class InstallationChanged:
    """The App was installed, removed, or given other repositories."""

    action: str
    installation_id: int
    added: tuple[str, ...]
    removed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Other:
    """An event that is genuine and not read here (ping, comments, tags …)."""

    event: str
    action: str
    repository: str


Event = PullRequestChanged | Pushed | ChecksChanged | Reviewed | AlertChanged | InstallationChanged | Other


def signature(raw: bytes, secret: bytes) -> str:
    """What GitHub puts into ``X-Hub-Signature-256`` for these bytes."""
    return "sha256=" + hmac.new(secret, raw, hashlib.sha256).hexdigest()


def receive(headers: Mapping[str, str], raw: bytes, secrets: Sequence[bytes]) -> Delivery:
    """The delivery, if one of the secrets (two while they are changed) signed exactly these bytes.

    Headers in any case. Raises ``WebhookError``; ``ValueError`` when no usable secret is configured, since then every
    signature would have to be refused and an empty secret would accept anybody's.
    """
    usable = [secret for secret in secrets if secret]
    if not usable or any(len(secret) < 16 for secret in usable):
        raise ValueError("webhooks need a secret of at least 16 bytes")
    given = {name.lower(): value for name, value in headers.items()}
    if len(raw) > MAX_BYTES:
        raise WebhookError(WebhookReason.TOO_LARGE, "the delivery is too large")
    claimed = given.get("x-hub-signature-256", "")
    if not claimed:
        raise WebhookError(WebhookReason.UNSIGNED, "the delivery is not signed")
    # Every secret is compared, so that the time taken tells nothing about which one fitted.
    sent = claimed.encode("utf-8", "replace")
    fits = [hmac.compare_digest(signature(raw, secret).encode(), sent) for secret in usable]
    if not any(fits):
        raise WebhookError(WebhookReason.WRONG_SIGNATURE, "the signature is wrong")
    delivery_id, event = given.get("x-github-delivery", ""), given.get("x-github-event", "")
    if not _DELIVERY.fullmatch(delivery_id):
        raise WebhookError(WebhookReason.NO_DELIVERY_ID, "the delivery has no id")
    if not _EVENT.fullmatch(event):
        raise WebhookError(WebhookReason.NO_EVENT, "the delivery names no event")
    return Delivery(delivery_id, event, raw)


def read(event: str, raw: bytes) -> Event:
    """What a delivery says. Raises ``WebhookError`` (unreadable) when a field that is needed is missing or odd."""
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError) as odd:
        raise WebhookError(WebhookReason.UNREADABLE, "the delivery is not JSON") from odd
    if not isinstance(body, dict):
        raise WebhookError(WebhookReason.UNREADABLE, "the delivery is not an object")
    reader = _READERS.get(event)
    if reader is not None:
        found = reader(body)
        if found is not None:
            return found
    repository = body.get("repository")
    named = repository.get("full_name") if isinstance(repository, dict) else ""
    return Other(event, str(body.get("action") or "")[:60], named if isinstance(named, str) else "")


# --- fields, refused rather than guessed


def _at(body: Any, path: str) -> Any:
    for step in path.split("."):
        body = body.get(step) if isinstance(body, dict) else None
    return body


def _odd(path: str) -> WebhookError:
    return WebhookError(WebhookReason.UNREADABLE, f"the delivery's {path} is missing or odd")


def _text(body: Any, path: str, *, limit: int = 1000) -> str:
    found = _at(body, path)
    if not isinstance(found, str) or len(found) > limit:
        raise _odd(path)
    return found


def _maybe(body: Any, path: str) -> str:
    return "" if _at(body, path) is None else _text(body, path)


def _number(body: Any, path: str) -> int:
    found = _at(body, path)
    if isinstance(found, bool) or not isinstance(found, int) or found < 0:
        raise _odd(path)
    return found


def _flag(body: Any, path: str) -> bool:
    found = _at(body, path)
    if not isinstance(found, bool):
        raise _odd(path)
    return found


def _commit(body: Any, path: str) -> str:
    found = _text(body, path)
    if not _COMMIT.fullmatch(found):
        raise _odd(path)
    return found


def _repository(body: Any, path: str = "repository.full_name") -> str:
    found = _text(body, path)
    if not _REPOSITORY.fullmatch(found):
        raise _odd(path)
    return found


# --- one reader per event


def _pull_request(body: Any) -> Event:
    merge_commit = _maybe(body, "pull_request.merge_commit_sha")
    merged = _flag(body, "pull_request.merged")
    return PullRequestChanged(
        repository=_repository(body),
        action=_text(body, "action"),
        number=_number(body, "pull_request.number"),
        branch=_text(body, "pull_request.head.ref"),
        base=_text(body, "pull_request.base.ref"),
        head_commit=_commit(body, "pull_request.head.sha"),
        state=_text(body, "pull_request.state"),
        merged=merged,
        # While a pull request is open this field holds GitHub's trial merge, which is no commit of the base.
        merge_commit=merge_commit if merged and merge_commit else None,
        draft=bool(_at(body, "pull_request.draft")),
    )


def _push(body: Any) -> Event | None:
    ref = _text(body, "ref")
    if not ref.startswith("refs/heads/"):
        return None
    before, after = _commit(body, "before"), _commit(body, "after")
    branch = ref.removeprefix("refs/heads/")
    return Pushed(
        repository=_repository(body),
        branch=branch,
        before=None if before == _NOWHERE else before,
        after=None if after == _NOWHERE else after,
        forced=_flag(body, "forced"),
        is_default=branch == _text(body, "repository.default_branch"),
    )


def _check_run(body: Any) -> Event:
    return ChecksChanged(
        repository=_repository(body),
        head_commit=_commit(body, "check_run.head_sha"),
        kind="check_run",
        name=_text(body, "check_run.name"),
        conclusion=_maybe(body, "check_run.conclusion") or None,
        external_id=_maybe(body, "check_run.external_id"),
        run_id=_number(body, "check_run.id"),
    )


def _check_suite(body: Any) -> Event:
    return ChecksChanged(
        repository=_repository(body),
        head_commit=_commit(body, "check_suite.head_sha"),
        kind="check_suite",
        name=_maybe(body, "check_suite.app.slug") or _maybe(body, "check_suite.app.name"),
        conclusion=_maybe(body, "check_suite.conclusion") or None,
        run_id=_number(body, "check_suite.id"),
    )


def _status(body: Any) -> Event:
    state = _text(body, "state")
    return ChecksChanged(
        repository=_repository(body),
        head_commit=_commit(body, "sha"),
        kind="status",
        name=_text(body, "context"),
        conclusion=None if state == "pending" else state,
    )


def _workflow_run(body: Any) -> Event:
    return ChecksChanged(
        repository=_repository(body),
        head_commit=_commit(body, "workflow_run.head_sha"),
        kind="workflow_run",
        name=_maybe(body, "workflow_run.name"),
        conclusion=_maybe(body, "workflow_run.conclusion") or None,
        run_id=_number(body, "workflow_run.id"),
    )


def _review(body: Any) -> Event:
    return Reviewed(
        repository=_repository(body),
        action=_text(body, "action"),
        number=_number(body, "pull_request.number"),
        reviewer=_maybe(body, "review.user.login"),
        state=_text(body, "review.state").lower(),
        head_commit=_commit(body, "review.commit_id"),
    )


def _dependabot_alert(body: Any) -> Event:
    return AlertChanged(
        repository=_repository(body),
        action=_text(body, "action"),
        number=_number(body, "alert.number"),
        state=_text(body, "alert.state"),
        ecosystem=_text(body, "alert.dependency.package.ecosystem"),
        package=_text(body, "alert.dependency.package.name"),
        manifest_path=_text(body, "alert.dependency.manifest_path"),
        ghsa_id=_text(body, "alert.security_advisory.ghsa_id"),
        cve_id=_maybe(body, "alert.security_advisory.cve_id"),
        affected_range=_text(body, "alert.security_vulnerability.vulnerable_version_range"),
        first_fixed=_maybe(body, "alert.security_vulnerability.first_patched_version.identifier"),
    )


def _installation(body: Any) -> Event:
    def names(*keys: str) -> tuple[str, ...]:
        found: list[str] = []
        for key in keys:
            items = body.get(key) or []
            if not isinstance(items, list):
                raise _odd(key)
            found += [_repository(item, "full_name") for item in items]
        return tuple(found)

    action = _text(body, "action")
    own = ("repositories",) if "repositories_added" not in body else ()
    gone = action in ("deleted", "suspend")
    return InstallationChanged(
        action=action,
        installation_id=_number(body, "installation.id"),
        added=() if gone else names(*own, "repositories_added"),
        removed=names(*own, "repositories_removed") if gone else names("repositories_removed"),
    )


_READERS: dict[str, Callable[[Any], Event | None]] = {
    "pull_request": _pull_request,
    "push": _push,
    "check_run": _check_run,
    "check_suite": _check_suite,
    "status": _status,
    "workflow_run": _workflow_run,
    "pull_request_review": _review,
    "dependabot_alert": _dependabot_alert,
    "installation": _installation,
    "installation_repositories": _installation,
}
