"""Fetches an ecosystem's whole advisory export (the OSV bulk address), no more often and no more of it than needed.

What was fetched is kept beside its validators, so the next call asks "changed since?" and an interrupted one goes on where
it stopped (RFC 9110: If-None-Match, If-Modified-Since, Range with If-Range). A file only ever stands under its final name
whole and as a zip archive. Redirects are not followed. Every failure is a ``BulkError`` with a reason and whether trying
again can help; what was there before stays.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import ssl
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import IO
from urllib.parse import quote, urlsplit

import httpx

DEFAULT_TEMPLATE = "https://osv-vulnerabilities.storage.googleapis.com/{ecosystem}/all.zip"
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)", re.ASCII)


class Reason(StrEnum):
    OFFLINE = "offline"  # nobody answers at the address
    INTERRUPTED = "interrupted"  # the answer broke off; what came is kept
    TIMED_OUT = "timed_out"
    REFUSED = "refused"  # the server says no
    REDIRECTED = "redirected"
    TOO_LARGE = "too_large"
    NOT_AN_ARCHIVE = "not_an_archive"
    BUSY = "busy"  # another process fetches the same
    BAD_ADDRESS = "bad_address"


_RETRYABLE = frozenset({Reason.OFFLINE, Reason.INTERRUPTED, Reason.TIMED_OUT, Reason.BUSY})


class BulkError(Exception):
    """A fetch that brought nothing. ``reason`` is for machines, the text for people."""

    def __init__(self, reason: Reason, text: str, *, retryable: bool | None = None) -> None:
        super().__init__(text)
        self.reason = reason
        self.retryable = reason in _RETRYABLE if retryable is None else retryable


@dataclass(frozen=True, slots=True)
class Limits:
    size: int = 2 * 1024**3  # bytes of one export
    seconds: float = 1800.0  # of one call
    attempts: int = 3  # connections of one call; each goes on where the one before broke off


@dataclass(frozen=True, slots=True)
class Fetched:
    """``changed`` is False when the server said that what is here is current. ``received``: bytes that came this time."""

    path: Path
    changed: bool
    received: int
    sha256: str


@dataclass(frozen=True, slots=True)
class _State:
    """What is known of a file here: where it came from and what validates it."""

    url: str = ""
    etag: str = ""
    last_modified: str = ""
    size: int = -1
    sha256: str = ""

    @property
    def validator(self) -> str:
        """What If-Range may carry: a strong entity tag, else the date."""
        return self.etag if self.etag and not self.etag.startswith("W/") else self.last_modified


def bulk_url(ecosystem: str, template: str = DEFAULT_TEMPLATE) -> str:
    """The address of an ecosystem's export; raises BulkError for a template that is none."""
    url = template.replace("{ecosystem}", quote(ecosystem, safe=""))
    parts = urlsplit(url)
    if "{ecosystem}" not in template or parts.scheme not in ("http", "https") or not parts.hostname:
        raise BulkError(Reason.BAD_ADDRESS, "the address must be http(s) and hold {ecosystem}")
    if parts.username or parts.password:
        raise BulkError(Reason.BAD_ADDRESS, "the address must hold no credentials")
    return url


def fetch_bulk(
    ecosystem: str,
    folder: Path,
    *,
    template: str = DEFAULT_TEMPLATE,
    client: httpx.Client | None = None,
    limits: Limits | None = None,
) -> Fetched:
    """The ecosystem's export as a file in the folder, fetched only if it changed; raises BulkError."""
    url = bulk_url(ecosystem, template)
    return _fetched(url, folder / f"{quote(ecosystem, safe='')}.zip", client, limits or Limits(), archive=True)


def fetch_file(url: str, target: Path, *, client: httpx.Client | None = None, limits: Limits | None = None) -> Fetched:
    """A file that is no archive, fetched in the same way; what it holds is the reader's to say. Raises BulkError."""
    return _fetched(url, target, client, limits or Limits(size=512 * 1024**2), archive=False)


def _fetched(url: str, target: Path, client: httpx.Client | None, limits: Limits, *, archive: bool) -> Fetched:
    target.parent.mkdir(parents=True, exist_ok=True)
    with _alone(target.with_suffix(".lock")):
        if client is not None:
            return _Fetch(url, target, client, limits, archive=archive).run()
        timeout = httpx.Timeout(60.0, connect=15.0)
        with httpx.Client(
            timeout=timeout, verify=ssl.create_default_context(), headers={"User-Agent": "immune"}
        ) as own:
            return _Fetch(url, target, own, limits, archive=archive).run()


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BulkError(Reason.BUSY, "another process fetches this export") from error
        yield


class _Fetch:
    def __init__(self, url: str, target: Path, client: httpx.Client, limits: Limits, *, archive: bool) -> None:
        self.url, self.target, self.client, self.limits, self.archive = url, target, client, limits, archive
        self.part = target.with_suffix(".part")
        self.ends = time.monotonic() + limits.seconds
        self.received = 0

    def run(self) -> Fetched:
        for attempt in range(1, self.limits.attempts + 1):
            try:
                return self._once()
            except BulkError as error:
                if error.reason is not Reason.INTERRUPTED or attempt == self.limits.attempts:
                    raise
        raise BulkError(Reason.INTERRUPTED, "no attempt was allowed")

    def _once(self) -> Fetched:
        try:
            with self.client.stream("GET", self.url, headers=self._headers(), follow_redirects=False) as answer:
                return self._take(answer)
        except httpx.TimeoutException as error:
            raise BulkError(Reason.TIMED_OUT, f"{self._host} did not answer in time") from error
        except (httpx.ConnectError, httpx.ProxyError, httpx.UnsupportedProtocol) as error:
            raise BulkError(Reason.OFFLINE, f"{self._host} cannot be reached: {error}") from error
        except httpx.HTTPError as error:
            raise BulkError(Reason.INTERRUPTED, f"the answer of {self._host} broke off: {error}") from error

    @property
    def _host(self) -> str:
        return urlsplit(self.url).hostname or ""

    def _headers(self) -> dict[str, str]:
        headers = {"Accept-Encoding": "identity"}
        begun = self._state(self.part)
        if begun.validator and self.part.exists() and (size := self.part.stat().st_size):
            headers |= {"Range": f"bytes={size}-", "If-Range": begun.validator}
        elif self.target.exists():
            kept = self._state(self.target)
            if kept.etag:
                headers["If-None-Match"] = kept.etag
            if kept.last_modified:
                headers["If-Modified-Since"] = kept.last_modified
        return headers

    def _take(self, answer: httpx.Response) -> Fetched:
        status = answer.status_code
        if status == httpx.codes.NOT_MODIFIED and self.target.exists():
            return Fetched(self.target, False, 0, self._state(self.target).sha256)
        if status == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
            # What was begun here is no beginning of what is there now.
            self._forget()
            raise BulkError(Reason.INTERRUPTED, "the server has another file than the one that was begun")
        if answer.is_redirect:
            raise BulkError(Reason.REDIRECTED, f"{self._host} redirects elsewhere, which is not followed")
        if status not in (httpx.codes.OK, httpx.codes.PARTIAL_CONTENT):
            raise BulkError(Reason.REFUSED, f"{self._host} answers {status}", retryable=status >= 500 or status == 429)
        if answer.headers.get("Content-Encoding", "identity") != "identity":
            raise BulkError(Reason.REFUSED, f"{self._host} sends an encoded answer that was not asked for")
        start, total = self._extent(answer)
        if total is not None and total > self.limits.size:
            self._forget()
            raise BulkError(Reason.TOO_LARGE, f"the export holds {total} bytes, more than {self.limits.size}")
        state = _State(
            self.url,
            answer.headers.get("ETag", ""),
            answer.headers.get("Last-Modified", ""),
            -1 if total is None else total,
        )
        self._keep(self.part, state)
        with self.part.open("ab" if start else "wb") as file:
            self._write(answer, file, start)
        return self._finish(state)

    def _extent(self, answer: httpx.Response) -> tuple[int, int | None]:
        """(where the body begins, size of the whole), the size None where it is not said."""
        if answer.status_code == httpx.codes.OK:
            length = answer.headers.get("Content-Length", "")
            return 0, int(length) if length.isdecimal() else None
        match = _CONTENT_RANGE.fullmatch(answer.headers.get("Content-Range", ""))
        here = self.part.stat().st_size if self.part.exists() else 0
        if match is None or int(match[1]) != here:
            self._forget()
            raise BulkError(Reason.INTERRUPTED, "the server sends another part than the one asked for")
        return here, int(match[3])

    def _write(self, answer: httpx.Response, file: IO[bytes], size: int) -> None:
        for chunk in answer.iter_raw():  # as it comes: what is gathered first would be lost at a break
            size += len(chunk)
            self.received += len(chunk)
            if size > self.limits.size:
                file.close()
                self._forget()
                raise BulkError(Reason.TOO_LARGE, f"the export holds more than {self.limits.size} bytes")
            file.write(chunk)
            if time.monotonic() > self.ends:
                raise BulkError(Reason.TIMED_OUT, f"not complete after {self.limits.seconds:.0f} seconds")
        file.flush()
        os.fsync(file.fileno())

    def _finish(self, state: _State) -> Fetched:
        size = self.part.stat().st_size
        if state.size >= 0 and size != state.size:
            raise BulkError(Reason.INTERRUPTED, f"{size} of {state.size} bytes came")
        if self.archive and not zipfile.is_zipfile(self.part):
            self._forget()
            raise BulkError(Reason.NOT_AN_ARCHIVE, f"what {self._host} sent is not a zip archive")
        with self.part.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        changed = digest != self._state(self.target).sha256 or not self.target.exists()
        # The archive first: an archive without its validators is only fetched once more.
        self._note(self.target).unlink(missing_ok=True)
        self.part.replace(self.target)
        self._keep(self.target, replace(state, size=size, sha256=digest))
        self._note(self.part).unlink(missing_ok=True)
        return Fetched(self.target, changed, self.received, digest)

    def _note(self, path: Path) -> Path:
        return path.with_name(path.name + ".json")

    def _state(self, path: Path) -> _State:
        """What was noted of a file; nothing where the note is absent, broken or of another address."""
        with suppress(OSError, ValueError, TypeError):
            state = _State(**json.loads(self._note(path).read_text()))
            if state.url == self.url:
                return state
        return _State()

    def _keep(self, path: Path, state: _State) -> None:
        note = self._note(path)
        fresh = note.with_name(note.name + ".new")
        fresh.write_text(json.dumps(asdict(state)))
        fresh.replace(note)

    def _forget(self) -> None:
        self.part.unlink(missing_ok=True)
        self._note(self.part).unlink(missing_ok=True)
