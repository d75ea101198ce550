"""Running the git binary on material nobody vouches for: environment, limits, errors.

No Django, no knowledge of what is run.

Nothing of the machine's or the repository's own configuration may decide what is executed: the environment is built
from nothing, system and user configuration are off, hooks point nowhere, only named protocols work, prompts and
credential helpers are off, redirects are off. Time, output and (while fetching) disk are limited; a process over a
limit is killed with its whole group. What git means by each setting: git-config(1), git(1) section "Environment
Variables".
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import os
import re
import shlex
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import IO

# The empty tree: as `attr.tree` it keeps a newer git from reading attributes of the repository's HEAD in a bare mirror.
EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"


class Reason(StrEnum):
    """Why git could not do what was asked; also the label of the metric."""

    NOT_A_REPOSITORY = "not_a_repository"
    EMPTY_REPOSITORY = "empty_repository"
    FOREIGN_OWNER = "foreign_owner"
    UNREACHABLE = "unreachable"
    AUTHENTICATION = "authentication"
    FORBIDDEN_URL = "forbidden_url"
    REDIRECTED = "redirected"
    TIMED_OUT = "timed_out"
    TOO_LARGE = "too_large"
    UNKNOWN_REF = "unknown_ref"
    BAD_NAME = "bad_name"
    NOT_FOUND = "not_found"
    NOT_A_FILE = "not_a_file"
    NOTHING_CHANGED = "nothing_changed"
    CONFLICT = "conflict"
    UNRELATED = "unrelated_histories"
    MOVED = "moved"
    LOCKED = "locked"
    KILLED = "killed"
    NAME_TAKEN = "name_taken"
    DIRTY = "dirty"
    UNSUPPORTED = "unsupported"
    EXISTS = "exists"
    FAILED = "failed"


class GitError(Exception):
    """git refused, failed or was stopped.

    ``reason`` is for machines, the text for people, ``detail`` what git said (untrusted).
    """

    def __init__(self, reason: Reason, message: str, *, detail: str = "", paths: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.detail = detail
        self.paths = tuple(paths)

    @property
    def passing(self) -> bool:
        """True where nothing was learned about the repository: the same attempt may succeed next time."""
        return self.reason in (Reason.KILLED, Reason.LOCKED)


@dataclass(frozen=True, slots=True)
class Source:
    """Where a mirror is fetched from. Built by ``immune.forges.urls`` for addresses, by ``local_source`` for paths.

    ``resolve`` pins the checked address as ``host:port:address`` (https: curl's own table; ssh: the name that is
    dialled). ``token`` travels in an environment variable of the git process, bound to this origin; never in an
    argument, URL or file.
    """

    url: str
    protocols: frozenset[str] = frozenset({"https"})
    resolve: str = ""
    token: str = field(default="", repr=False)
    ca_file: str = ""
    ssh_known_hosts: str = ""
    ssh_identity: str = field(default="", repr=False)


def local_source(path: Path) -> Source:
    """A repository on this machine, given on the command line (never through the API)."""
    return Source(url=str(path.resolve()), protocols=frozenset({"file"}))


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds, bytes of output, bytes on disk below ``watched``."""

    timeout: float = 30.0
    max_output: int = 32 * 1024 * 1024
    watched: Path | None = None
    max_disk: int = 0


@dataclass(frozen=True, slots=True)
class Ran:
    """What a finished git process left behind."""

    code: int
    out: bytes
    err: str


def _base_environment() -> dict[str, str]:
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": "/nonexistent",
        "LC_ALL": "C",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "false",
        "SSH_ASKPASS": "false",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_LITERAL_PATHSPECS": "1",
        "GIT_OPTIONAL_LOCKS": "0",
        # Allows nothing until a Source names its protocols.
        "GIT_ALLOW_PROTOCOL": "",
    }


_SETTINGS: tuple[tuple[str, str], ...] = (
    ("core.hooksPath", os.devnull),
    ("core.fsmonitor", "false"),
    ("core.attributesFile", os.devnull),
    ("core.excludesFile", os.devnull),
    ("core.protectHFS", "true"),
    ("core.protectNTFS", "true"),
    ("core.quotePath", "false"),
    ("core.alternateRefsCommand", "true"),
    ("attr.tree", EMPTY_TREE),
    ("credential.helper", ""),
    ("submodule.recurse", "false"),
    ("fetch.recurseSubmodules", "false"),
    ("fetch.writeCommitGraph", "false"),
    ("transfer.bundleURI", "false"),
    ("http.followRedirects", "false"),
    ("http.proxy", ""),
    ("commit.gpgSign", "false"),
    ("gc.auto", "0"),
    ("maintenance.auto", "false"),
    ("merge.renameLimit", "1000"),
    ("diff.renameLimit", "1000"),
)


def _source_environment(source: Source) -> dict[str, str]:
    environment = {"GIT_ALLOW_PROTOCOL": ":".join(sorted(source.protocols))}
    settings: list[tuple[str, str]] = []
    if source.resolve and "https" in source.protocols:
        settings.append(("http.curloptResolve", source.resolve))
    if source.ca_file:
        settings.append(("http.sslCAInfo", source.ca_file))
    if source.token:
        origin = "/".join(source.url.split("/", 3)[:3]) + "/"
        basic = base64.b64encode(b"x-access-token:" + source.token.encode()).decode()
        settings.append((f"http.{origin}.extraHeader", f"Authorization: Basic {basic}"))
    if "ssh" in source.protocols:
        environment["GIT_SSH_VARIANT"] = "ssh"
        environment["GIT_SSH_COMMAND"] = _ssh_command(source)
    # GIT_CONFIG_* reaches git alone: unlike -c it is in no process list.
    environment["GIT_CONFIG_COUNT"] = str(len(settings))
    for index, (key, value) in enumerate(settings):
        environment[f"GIT_CONFIG_KEY_{index}"] = key
        environment[f"GIT_CONFIG_VALUE_{index}"] = value
    return environment


def _ssh_command(source: Source) -> str:
    options = {
        "BatchMode": "yes",
        "StrictHostKeyChecking": "yes",
        "ForwardAgent": "no",
        "ForwardX11": "no",
        "ClearAllForwardings": "yes",
        "PermitLocalCommand": "no",
        "ProxyCommand": "none",
        "UserKnownHostsFile": source.ssh_known_hosts or os.devnull,
        "IdentitiesOnly": "yes",
        "ConnectTimeout": "15",
    }
    if source.ssh_identity:
        options["IdentityFile"] = source.ssh_identity
    if source.resolve:
        host, _, address = source.resolve.split(":", 2)
        options["HostName"] = address.strip("[]")
        options["HostKeyAlias"] = host
    words = ["ssh", "-F", os.devnull]
    for key, value in options.items():
        words += ["-o", f"{key}={value}"]
    return shlex.join(words)


def run(
    arguments: Sequence[str],
    *,
    git_dir: Path | None,
    source: Source | None = None,
    stdin: bytes = b"",
    extra_environment: Mapping[str, str] | None = None,
    limits: Limits | None = None,
    accept: frozenset[int] = frozenset({0}),
    ours: bool = False,
) -> Ran:
    """Run git once, and again where a killed git had left a lock in a repository that is ``ours`` alone.

    Exit codes outside ``accept`` become ``GitError`` with the reason read from git's words.

    Raises ``GitError``: timed_out, too_large, and what ``_explain`` tells apart.
    """
    limits = limits or Limits()
    environment = _base_environment()
    if source is not None:
        environment |= _source_environment(source)
    environment |= dict(extra_environment or {})
    command = ["git"]
    for key, value in _SETTINGS:
        command += ["-c", f"{key}={value}"]
    if git_dir is not None:
        command.append(f"--git-dir={git_dir}")
    command += arguments
    ran = _Attempt(command, environment, stdin, limits).finish()
    if ours and ran.code not in accept and git_dir is not None and _removed_stale_lock(git_dir, ran):
        ran = _Attempt(command, environment, stdin, limits).finish()
    if ran.code not in accept:
        raise _explain(arguments[0], ran)
    return ran


# git holds such a lock while it writes references, for milliseconds, and one that moves references here lives 30 seconds at most.
STALE_LOCK_SECONDS = 120.0
_LOCKED = re.compile(r"Unable to create '(?P<path>[^'\n]+\.lock)'")


def _removed_stale_lock(git_dir: Path, ran: Ran) -> bool:
    """Whether git met a lock file that a killed git process left, and it is gone now.

    git never removes such a file itself, so one kill at the wrong moment would close a branch for ever. Two who see the same one
    take turns and look again: the second must not remove what the first has locked anew.
    """
    found = _LOCKED.search(ran.err)
    if found is None:
        return False
    lock, root = Path(found["path"]), git_dir.resolve()
    if not lock.parent.resolve().is_relative_to(root) or lock.is_symlink():
        return False
    with (root / "immune.turn").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        try:
            if time.time() - lock.stat().st_mtime < STALE_LOCK_SECONDS:
                return False
            lock.unlink()
        except FileNotFoundError:
            pass
    return True


class _Attempt:
    """One process with its readers and its limits."""

    def __init__(self, command: list[str], environment: dict[str, str], stdin: bytes, limits: Limits) -> None:
        self.limits = limits
        self.too_much = threading.Event()
        self.started = time.monotonic()
        try:
            self.process = subprocess.Popen(  # noqa: S603  # arguments are a list; names are validated by the callers
                command,
                env=environment,
                cwd="/",
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except FileNotFoundError as missing:
            raise GitError(Reason.FAILED, "the git program is not installed") from missing
        self.out: list[bytes] = []
        self.err: list[bytes] = []
        pipes = self.process
        self.threads = [
            threading.Thread(target=self._feed, args=(pipes.stdin, stdin), daemon=True),
            threading.Thread(target=self._read, args=(pipes.stdout, self.out, limits.max_output, True), daemon=True),
            # git's own words: enough to explain, a flood of them is dropped rather than fatal.
            threading.Thread(target=self._read, args=(pipes.stderr, self.err, 64 * 1024, False), daemon=True),
        ]

    def finish(self) -> Ran:
        for thread in self.threads:
            thread.start()
        try:
            self._wait()
        finally:
            self._end_group()
            for thread in self.threads:
                thread.join(timeout=5)
            for pipe in (self.process.stdout, self.process.stderr):
                if pipe is not None:
                    pipe.close()
        if self.too_much.is_set():
            raise GitError(Reason.TOO_LARGE, f"git printed more than {self.limits.max_output} bytes")
        return Ran(self.process.returncode, b"".join(self.out), b"".join(self.err).decode("utf-8", "backslashreplace"))

    def _wait(self) -> None:
        deadline = self.started + self.limits.timeout
        step = 0.1 if self.limits.watched else self.limits.timeout
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                raise GitError(Reason.TIMED_OUT, f"git took longer than {self.limits.timeout:g} seconds")
            try:
                self.process.wait(timeout=min(step, left))
                break
            except subprocess.TimeoutExpired:
                self._check_disk()
        self._check_disk()

    def _check_disk(self) -> None:
        watched = self.limits.watched
        if watched is not None and disk_use(watched) > self.limits.max_disk:
            raise GitError(Reason.TOO_LARGE, f"the repository is larger than {self.limits.max_disk} bytes")

    def _end_group(self) -> None:
        # Helpers (git-remote-https, index-pack, ssh) live in the same group and must not outlive the call.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    @staticmethod
    def _feed(pipe: IO[bytes], data: bytes) -> None:
        with contextlib.suppress(BrokenPipeError, OSError):
            pipe.write(data)
        with contextlib.suppress(BrokenPipeError, OSError):
            pipe.close()

    def _read(self, pipe: IO[bytes], into: list[bytes], limit: int, fatal: bool) -> None:
        taken = 0
        with contextlib.suppress(ValueError, OSError):
            while block := os.read(pipe.fileno(), 65536):
                taken += len(block)
                if taken <= limit:
                    into.append(block)
                elif fatal:
                    self.too_much.set()
                    with contextlib.suppress(ProcessLookupError):
                        os.killpg(self.process.pid, signal.SIGKILL)
                    return


def disk_use(folder: Path) -> int:
    """Bytes of the files below ``folder``; files that vanish while counting count as nothing."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(parent, name)).st_size
    return total


_EXPLANATIONS: tuple[tuple[str, Reason, str], ...] = (
    (r"strange (pathname|hostname) '.*' blocked", Reason.FORBIDDEN_URL, "this kind of address is not allowed"),
    (r"dubious ownership", Reason.FOREIGN_OWNER, "the repository belongs to another user of this machine"),
    (r"transport '.*' not allowed|protocol '.*' is not supported", Reason.FORBIDDEN_URL,
     "this kind of address is not allowed"),
    (r"unable to update url base from redirection|The requested URL returned error: 3\d\d", Reason.REDIRECTED,
     "the server points elsewhere; redirects are not followed"),
    (r"could not read Username|Authentication failed|error: 40[13]\b|Permission denied \(|terminal prompts disabled",
     Reason.AUTHENTICATION, "the server refused the credentials, or wants some"),
    (r"Host key verification failed", Reason.AUTHENTICATION, "the ssh server's host key is not known"),
    (r"Could not resolve host|Failed to connect|Connection (refused|timed out|reset|closed)|Couldn't connect|"
     r"SSL certificate|unable to access|No route to host|early EOF|hung up unexpectedly|Network is unreachable",
     Reason.UNREACHABLE, "the server could not be reached"),
    (r"does not appear to be a git repository|not a git repository|repository '.*' (not found|does not exist)|"
     r"error: 404\b|No such file or directory", Reason.NOT_A_REPOSITORY, "there is no git repository here"),
    (r"refusing to merge unrelated histories", Reason.UNRELATED, "the two lines of history share no commit"),
    (r"but expected|reference already exists|cannot lock ref .* (is at|unable to resolve)", Reason.MOVED,
     "the branch is not where it was expected"),
    (r"cannot lock ref .* exists; cannot create|exists; cannot create", Reason.NAME_TAKEN,
     "another branch occupies this name"),
    (r"Unable to create '.*\.lock'|Another git process", Reason.LOCKED, "another process is changing this repository"),
    (r"died of signal", Reason.KILLED, "a part of git was killed"),
    (r"Not a valid object name|bad object|unknown revision|not our ref|could not get object info|not a tree object|"
     r"nonexistent object", Reason.UNKNOWN_REF, "no such commit or branch"),
    (r"Invalid path", Reason.BAD_NAME, "git does not accept this path"),
)  # fmt: skip


def _explain(what: str, ran: Ran) -> GitError:
    """git has one exit code for nearly everything, so its English words (LC_ALL=C) tell the reasons apart."""
    if ran.code < 0:
        # Not by our limits, which speak for themselves: by the kernel, an operator, or the end of a worker.
        return GitError(Reason.KILLED, f"git {what} was killed by signal {-ran.code}", detail=ran.err[:4000])
    for pattern, reason, message in _EXPLANATIONS:
        if re.search(pattern, ran.err):
            return GitError(reason, message, detail=ran.err[:4000])
    return GitError(Reason.FAILED, f"git {what} ended with code {ran.code}", detail=ran.err[:4000])
