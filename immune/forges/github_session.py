"""Talking to one GitHub installation through PyGithub's requester: identity, pace, limits, caching, what failures mean.

No decision about pull requests lives here. Only reads are repeated by themselves: a repeated write can become two
(measured: one comment became two on a 502). A write whose answer was lost is reported as ``may_have_acted`` with a time
before which looking again would not show a call still in flight. Writes of one installation go one after the other,
with a pause between them; a limit once met holds for the whole installation. Reads carry the last ETag: an answer "not
modified" costs nothing of the hourly limit.
GitHub: docs.github.com/rest, "Best practices for using the REST API", "Rate limits for the REST API".
"""

from __future__ import annotations

import fcntl
import json
import os
import random
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import github
import requests
from github import Auth, GithubException
from urllib3.util.retry import Retry as HttpRetry

from immune.forges.base import Failed, Failure, Refusal, Refused, Retry

_READS = frozenset({"GET", "HEAD"})
_CACHED = 500
_LONGEST_PAUSE = 3600.0


@dataclass(frozen=True, slots=True)
class AppCredentials:
    """A GitHub App's installation. ``permissions`` narrows what its tokens may do."""

    app_id: int
    private_key: str = field(repr=False)
    installation_id: int = 0
    permissions: tuple[tuple[str, str], ...] = (
        ("contents", "write"),
        ("pull_requests", "write"),
        ("issues", "write"),
        ("checks", "write"),
        ("statuses", "write"),
    )


@dataclass(frozen=True, slots=True)
class Account:
    """How one identity reaches GitHub: a token or an App. Times in seconds."""

    token: str = field(default="", repr=False)
    app: AppCredentials | None = None
    base_url: str = "https://api.github.com"
    timeout: int = 15
    # A call that timed out may still be carried out for a while; nobody looks again before this has passed as well.
    margin: float = 30.0
    between_requests: float = 0.25
    between_writes: float = 1.0
    read_retries: int = 3
    # A file that all workers of this machine share keeps their writes in one line; without it only this process's.
    pace_file: Path | None = None
    # The authority that signed the server's certificate, where it is not a public one (GitHub Enterprise).
    ca_file: str = ""


@dataclass(frozen=True, slots=True)
class Reply:
    """What GitHub answered. ``data`` is parsed JSON, None for an empty body."""

    status: int
    headers: Mapping[str, str]
    data: Any

    @property
    def message(self) -> str:
        """GitHub's own words, with the details it lists (untrusted text)."""
        if not isinstance(self.data, dict):
            return ""
        parts = [str(self.data.get("message", ""))]
        for error in self.data.get("errors") or []:
            parts.append(str(error.get("message") or error.get("code")) if isinstance(error, dict) else str(error))
        return " ".join(part for part in parts if part)[:1000]


class Stopped(Exception):  # it carries an answer, it is not an error of ours
    """The call ends here with this answer."""

    def __init__(self, answer: Refused | Failed) -> None:
        super().__init__(answer.message)
        self.answer = answer


class Pace:
    """One writer at a time, and a pause after each. Across processes when they share a file."""

    def __init__(self, seconds: float, file: Path | None) -> None:
        self.seconds = seconds
        self.file = file
        self.lock = threading.Lock()
        self.last = 0.0

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Hold the turn while the block runs."""
        with self.lock:
            descriptor = None
            try:
                if self.file is not None:
                    self.file.parent.mkdir(parents=True, exist_ok=True)
                    descriptor = os.open(self.file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
                    fcntl.flock(descriptor, fcntl.LOCK_EX)
                    self.last = max(self.last, os.fstat(descriptor).st_mtime if os.fstat(descriptor).st_size else 0)
                pause = self.last + self.seconds - time.time()
                if 0 < pause <= self.seconds:
                    time.sleep(pause)
                try:
                    yield
                finally:
                    self.last = time.time()
                    if descriptor is not None:
                        os.pwrite(descriptor, b"1", 0)
                        os.utime(descriptor, (self.last, self.last))
            finally:
                if descriptor is not None:
                    os.close(descriptor)


class Session:
    """One identity at GitHub. Share one per process and identity: pace, limits and ETags live in it."""

    def __init__(self, account: Account, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        if not account.token and account.app is None:
            raise ValueError("GitHub needs a token or an App")
        self.account = account
        self.now = now
        retry = HttpRetry(
            total=account.read_retries,
            connect=account.read_retries,
            read=account.read_retries,
            redirect=0,
            status=account.read_retries,
            status_forcelist=frozenset({500, 502, 503, 504}),
            allowed_methods=_READS,
            backoff_factor=0.2,
            backoff_jitter=0.2,
            backoff_max=5,
            raise_on_status=False,
            respect_retry_after_header=False,
        )
        client = github.Github(
            auth=self._auth(),
            base_url=account.base_url,
            timeout=account.timeout,
            retry=retry,
            per_page=100,
            verify=account.ca_file or True,
            seconds_between_requests=account.between_requests or None,
            seconds_between_writes=None,
            user_agent="immune",
        )
        self._requester = client.requester
        self._pace = Pace(account.between_writes, account.pace_file)
        self._cache: OrderedDict[str, tuple[str, Any]] = OrderedDict()
        self._cache_lock = threading.Lock()
        self._blocked_until: datetime | None = None
        self._limits_met = 0
        self._login = ""

    def _auth(self) -> Auth.Auth:
        app = self.account.app
        if app is None:
            return Auth.Token(self.account.token)
        permissions = dict(app.permissions) or None
        return Auth.AppAuth(app.app_id, app.private_key).get_installation_auth(app.installation_id, permissions)

    @property
    def is_app(self) -> bool:
        """Whether this identity is a GitHub App (only Apps may write check runs)."""
        return self.account.app is not None

    def login(self) -> str:
        """The account name under which our comments and pull requests appear."""
        if not self._login:
            app = self.account.app
            if app is None:
                self._login = str(self.need(self.read("/user"), 200).data["login"])
            else:
                # /user is not open to installations; the App itself says its name.
                self._login = str(self.need(self._as_app(app, "/app"), 200).data["slug"]) + "[bot]"
        return self._login

    def installation_of(self, full_name: str) -> int:
        """Where our App is installed for a repository (owner/name). Raises ``Stopped``; ``ValueError`` without an App."""
        app = self.account.app
        if app is None:
            raise ValueError("this identity is no App")
        reply = self._as_app(app, f"/repos/{quote(full_name)}/installation")
        if reply.status == 404:
            message = "our GitHub App is not installed on this repository"
            raise Stopped(Refused(Refusal.NOT_FOUND, message, Retry.LATER, detail=reply.message))
        return int(self.need(reply, 200).data["id"])

    def access_token(self) -> str:
        """The token with which git fetches as this identity; an App's is renewed before it ends. Raises ``Stopped``."""
        if self.account.app is None:
            return self.account.token
        try:
            return str(self._requester.auth.token)  # type: ignore[union-attr]
        except GithubException as error:
            raise Stopped(meaning(Reply(error.status or 0, error.headers or {}, error.data))) from error
        except requests.exceptions.RequestException as error:
            raise Stopped(self._lost(error, writing=False)) from error

    def _as_app(self, app: AppCredentials, path: str) -> Reply:
        """A read signed with the App's own key, not as one of its installations."""
        jwt = Auth.AppAuth(app.app_id, app.private_key).token
        headers = {"Authorization": f"Bearer {jwt}"}
        return self._call("GET", path, headers=headers, requester=self._requester.withAuth(None))

    # --- calls

    def read(self, path: str, **parameters: str | int) -> Reply:
        """GET, with what was read before sent along as an ETag. Raises ``Stopped``."""
        known = json.dumps([path, sorted(parameters.items())])
        with self._cache_lock:
            etag, data = self._cache.get(known, ("", None))
        reply = self._call("GET", path, parameters=parameters, headers={"If-None-Match": etag} if etag else {})
        if reply.status == 304:
            return Reply(200, reply.headers, data)
        with self._cache_lock:
            self._cache.pop(known, None)
            if reply.status == 200 and reply.headers.get("etag"):
                self._cache[known] = (reply.headers["etag"], reply.data)
                while len(self._cache) > _CACHED:
                    self._cache.popitem(last=False)
        return reply

    def get(self, path: str, **parameters: str | int) -> Any:
        """What ``read`` brings, when GitHub answers 200. Raises ``Stopped``."""
        return self.need(self.read(path, **parameters), 200).data

    def pages(self, path: str, *, at_most: int = 30, **parameters: str | int) -> Iterator[Any]:
        """The items of a list, page by page.

        Raises ``Stopped``; more pages than ``at_most`` are an unreadable answer.
        """
        for page in range(1, at_most + 1):
            items = self.need(self.read(path, per_page=100, page=page, **parameters), 200).data
            if not isinstance(items, list):
                raise Stopped(Failed(Failure.UNREADABLE_ANSWER, "GitHub did not answer with a list"))
            yield from items
            if len(items) < 100:
                return
        raise Stopped(Failed(Failure.UNREADABLE_ANSWER, "GitHub lists more than can be looked through"))

    def write(self, verb: str, path: str, body: Mapping[str, Any] | None = None) -> Reply:
        """POST, PUT, PATCH or DELETE, once. Raises ``Stopped`` (``may_have_acted`` when the answer was lost)."""
        with self._pace.turn():
            reply = self._call(verb, path, body=body)
        if reply.status in (200, 201) and reply.data is None:
            message = "GitHub's answer could not be read"
            raise Stopped(Failed(Failure.UNREADABLE_ANSWER, message, self.grace_over(), may_have_acted=True))
        return reply

    def download(self, path: str, max_bytes: int) -> bytes:
        """The bytes GitHub keeps elsewhere for ``path``; our credentials go to GitHub alone. Raises ``Stopped``."""
        reply = self._call("GET", path)
        target = reply.headers.get("location", "")
        if reply.status != 302:
            raise Stopped(meaning(reply))
        # In the clear only where GitHub itself is spoken to in the clear: a test server.
        if not target.startswith(("https://", self.account.base_url + "/")):
            raise Stopped(Failed(Failure.UNREADABLE_ANSWER, "GitHub points to an address that is not used"))
        try:
            verify = self.account.ca_file or True
            # An authorisation of its own that adds nothing: else a .netrc of the machine would be looked through.
            with requests.get(
                target,
                auth=lambda request: request,
                timeout=self.account.timeout,
                stream=True,
                allow_redirects=False,
                verify=verify,
            ) as answer:
                found = b""
                for block in answer.iter_content(65536):
                    found += block
                    if len(found) > max_bytes:
                        message = f"what GitHub keeps is larger than {max_bytes} bytes"
                        raise Stopped(Refused(Refusal.INVALID, message))
                if answer.status_code != 200:
                    raise Stopped(Failed(Failure.SERVER_ERROR, f"GitHub's storage answered {answer.status_code}"))
                return found
        except requests.exceptions.RequestException as error:
            raise Stopped(self._lost(error, writing=False)) from error

    def graphql(self, query: str, variables: Mapping[str, Any]) -> Any:
        """A GraphQL query or mutation; its data. Raises ``Stopped``."""
        reply = self.write("POST", self._requester.graphql_url, {"query": query, "variables": dict(variables)})
        data = self.need(reply, 200).data
        if not isinstance(data, dict):
            raise Stopped(Failed(Failure.UNREADABLE_ANSWER, "GitHub's answer could not be read"))
        if data.get("errors"):
            said = "; ".join(str(error.get("message", "")) for error in data["errors"])[:1000]
            raise Stopped(Refused(Refusal.INVALID, "GitHub refused the change", Retry.AFTER_REVIEW, detail=said))
        return data.get("data") or {}

    def need(self, reply: Reply, *statuses: int) -> Reply:
        """The reply if it has one of these statuses. Raises ``Stopped`` with what any other means in general."""
        if reply.status in statuses:
            return reply
        raise Stopped(meaning(reply))

    def grace_over(self) -> datetime:
        """Before this, a call of which no answer came may still be carried out."""
        return self.now() + timedelta(seconds=self.account.timeout + self.account.margin)

    def _call(
        self,
        verb: str,
        path: str,
        *,
        body: Mapping[str, Any] | None = None,
        parameters: Mapping[str, str | int] | None = None,
        headers: Mapping[str, str] | None = None,
        requester: Any = None,
    ) -> Reply:
        self._stop_if_blocked()
        writing = verb not in _READS
        try:
            status, answered, text = (requester or self._requester).requestJson(
                verb,
                path,
                parameters=dict(parameters or {}),
                headers={"Accept": "application/vnd.github+json", **(headers or {})},
                input=dict(body) if body is not None else None,
            )
        except GithubException as error:
            # Only the exchange of an App's key for a token raises: the call itself was not made.
            raised = Reply(error.status or 0, error.headers or {}, error.data)
            self._stop_if_limited(raised)
            raise Stopped(meaning(raised)) from error
        except requests.exceptions.RequestException as error:
            raise Stopped(self._lost(error, writing)) from error
        except RuntimeError as error:
            # How PyGithub says that GitHub points to another host or in a circle.
            raise Stopped(meaning(Reply(301, {}, {"message": str(error)}))) from error
        reply = Reply(int(status), answered, _parsed(text))
        self._stop_if_limited(reply)
        if reply.status >= 500:
            answer = Failed(
                Failure.SERVER_ERROR,
                f"GitHub answered {reply.status}",
                retry_at=self.grace_over() if writing else None,
                may_have_acted=writing,
                detail=reply.message,
            )
            raise Stopped(answer)
        self._limits_met = 0
        return reply

    def _lost(self, error: requests.exceptions.RequestException, writing: bool) -> Failed:
        late = isinstance(error, requests.exceptions.Timeout)
        # When no connection was made, nothing can have been done.
        sent = not isinstance(error, requests.exceptions.ConnectTimeout) and "NewConnectionError" not in repr(error)
        return Failed(
            Failure.TIMED_OUT if late else Failure.UNREACHABLE,
            "GitHub did not answer in time" if late else "GitHub could not be reached",
            retry_at=self.grace_over() if writing and sent else None,
            may_have_acted=writing and sent,
            detail=type(error).__name__,
        )

    # --- limits

    def _stop_if_blocked(self) -> None:
        until = self._blocked_until
        if until is not None and self.now() < until:
            message = "GitHub's limit was met; this account waits"
            raise Stopped(Failed(Failure.RATE_LIMITED, message, retry_at=until))

    def _stop_if_limited(self, reply: Reply) -> None:
        if reply.status not in (403, 429):
            return
        said = reply.message.lower()
        headers = {name.lower(): value for name, value in reply.headers.items()}
        exhausted = headers.get("x-ratelimit-remaining") == "0" or said.startswith("api rate limit exceeded")
        secondary = "secondary rate limit" in said or "abuse detection" in said or "retry-after" in headers
        if not exhausted and not secondary and reply.status != 429:
            return
        self._limits_met += 1
        until = self.now() + timedelta(seconds=self._pause(headers, exhausted=exhausted and not secondary))
        self._blocked_until = until
        failure = Failure.RATE_LIMITED if exhausted and not secondary else Failure.SECONDARY_RATE_LIMITED
        raise Stopped(Failed(failure, "GitHub's limit was met", retry_at=until, detail=reply.message))

    def _pause(self, headers: Mapping[str, str], *, exhausted: bool) -> float:
        """Seconds: what GitHub says (Retry-After, then the reset), else a minute that doubles, to an hour; never
        in step.
        """
        jitter = random.uniform(0, 5)  # noqa: S311  # spreads workers, guards nothing
        after = headers.get("retry-after", "")
        if after.isdigit():
            return min(float(after), _LONGEST_PAUSE) + jitter
        reset = headers.get("x-ratelimit-reset", "")
        if exhausted and reset.isdigit():
            return min(max(float(reset) - self.now().timestamp(), 0) + 1, _LONGEST_PAUSE) + jitter
        return min(60.0 * 2.0 ** min(self._limits_met - 1, 6), _LONGEST_PAUSE) + jitter


def _parsed(text: str) -> Any:
    if not text:
        return None
    try:
        return json.loads(text)
    except ValueError:
        return None


def meaning(reply: Reply) -> Refused | Failed:
    """What a status says when the call has no better reading of it."""
    said = reply.message.lower()
    refusal, message, retry = _MEANINGS.get(reply.status, (None, "", Retry.NEVER))
    if refusal is None:
        message = f"GitHub answered {reply.status}, which is not understood"
        return Failed(Failure.UNREADABLE_ANSWER, message, detail=reply.message)
    if reply.status == 403 and "archived" in said:
        refusal, message, retry = Refusal.ARCHIVED, "the repository is archived: nothing can be changed", Retry.NEVER
    elif reply.status in (403, 422) and ("protected branch" in said or "repository rule violations" in said):
        refusal, message = Refusal.PROTECTED, "a protection rule of the branch forbids it"
        retry = Retry.AFTER_REVIEW
    return Refused(refusal, message, retry, detail=reply.message)


_MEANINGS: dict[int, tuple[Refusal, str, Retry]] = {
    301: (Refusal.NOT_FOUND, "the repository has moved; register its new name", Retry.LATER),
    307: (Refusal.NOT_FOUND, "the repository has moved; register its new name", Retry.LATER),
    401: (Refusal.UNAUTHENTICATED, "GitHub does not accept our credentials", Retry.LATER),
    403: (Refusal.FORBIDDEN, "our account at GitHub may not do this", Retry.LATER),
    404: (Refusal.NOT_FOUND, "GitHub knows no such thing, or does not show it to our account", Retry.LATER),
    405: (Refusal.NOT_MERGEABLE, "GitHub does not allow this merge", Retry.AFTER_REVIEW),
    409: (Refusal.CONFLICT, "GitHub reports a conflict", Retry.AFTER_REVIEW),
    410: (Refusal.NOT_FOUND, "this has been removed at GitHub", Retry.NEVER),
    422: (Refusal.INVALID, "GitHub does not accept what was sent", Retry.NEVER),
    451: (Refusal.UNAVAILABLE_FOR_LEGAL_REASONS, "the repository is blocked for legal reasons", Retry.NEVER),
}
