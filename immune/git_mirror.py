"""Bare mirrors of repositories: fetched whole or not at all, within limits, and never losing what was merged here.

Fetched branches land in ``refs/upstream`` first. A branch that was changed only there follows; one that was changed
here (an approved merge in the local forge) is never thrown away by a fetch: it is kept, or reported as diverged.
The mirror's own configuration names neither the address nor a token.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from immune.git import Mirror, RefMove, check_branch_name, default_branch, init, is_ancestor, move_refs, refs_below
from immune.git_process import GitError, Limits, Reason, Source, disk_use, local_source, run

DEFAULT_MAX_BYTES = 1024**3


@dataclass(frozen=True, slots=True)
class Updated:
    """What a fetch changed here, as branch names. ``diverged``: changed both here and upstream; left alone."""

    moved: tuple[str, ...]
    kept: tuple[str, ...]
    diverged: tuple[str, ...]
    deleted: tuple[str, ...]
    default: str


@contextmanager
def _exclusive(folder: Path, timeout: float) -> Iterator[None]:
    """One process at a time works on a mirror's fetched references. The lock dies with its holder."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder.with_name(folder.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        deadline = time.monotonic() + timeout
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise GitError(
                        Reason.TIMED_OUT, "another process has been working on this mirror for too long"
                    ) from None
                time.sleep(0.05)
        yield
    finally:
        os.close(descriptor)


def mirror(source: Source | Path, into: Path, *, timeout: float = 300, max_bytes: int = DEFAULT_MAX_BYTES) -> Mirror:
    """Fetch a repository into a new bare mirror at ``into``; there is either a whole mirror afterwards or none.

    Raises ``GitError``: exists, not_a_repository, empty_repository, unreachable, authentication, forbidden_url,
    timed_out, too_large.
    """
    with _exclusive(into, timeout):
        if into.exists():
            raise GitError(Reason.EXISTS, "a mirror is already there")
        workspace = Path(tempfile.mkdtemp(prefix=into.name + ".", dir=into.parent))
        try:
            fresh = init(workspace / "mirror")
            _fetch(fresh, _as_source(source), timeout=timeout, max_bytes=max_bytes, first=True)
            fresh.path.rename(into)
        finally:
            shutil.rmtree(workspace, ignore_errors=True)
    return Mirror(into)


def update(into: Mirror, source: Source | Path, *, timeout: float = 300, max_bytes: int = DEFAULT_MAX_BYTES) -> Updated:
    """Fetch what is new. Branches changed only upstream follow it (also when rewritten there); those changed here stay.

    Raises as ``mirror``; on an error no branch has moved.
    """
    with _exclusive(into.path, timeout):
        return _fetch(into, _as_source(source), timeout=timeout, max_bytes=max_bytes, first=False)


def _as_source(source: Source | Path) -> Source:
    return local_source(source) if isinstance(source, Path) else source


def _fetch(into: Mirror, source: Source, *, timeout: float, max_bytes: int, first: bool) -> Updated:
    limits = Limits(timeout=timeout, watched=into.path, max_disk=max_bytes)
    default = _upstream_default(source, into, limits)
    run(
        ["fetch", "--quiet", "--no-tags", "--prune", "--force", "--no-write-fetch-head", "--no-auto-maintenance", "--",
         source.url, "+refs/heads/*:refs/incoming/*"],
        git_dir=into.path, source=source, limits=limits, ours=True,
    )  # fmt: skip
    if disk_use(into.path) > max_bytes:
        raise GitError(Reason.TOO_LARGE, f"the repository is larger than {max_bytes} bytes")
    return _take_over(into, default, first=first)


def _upstream_default(source: Source, into: Mirror, limits: Limits) -> str:
    listed = run(["ls-remote", "--symref", "--", source.url], git_dir=into.path, source=source, limits=limits).out
    lines = listed.decode("utf-8", "surrogateescape").splitlines()
    heads: dict[str, str] = {}
    detached = ""
    for line in lines:
        value, _, ref = line.partition("\t")
        if ref == "HEAD" and value.startswith("ref: refs/heads/"):
            return check_branch_name(value.removeprefix("ref: refs/heads/"))
        if ref == "HEAD":
            detached = value
        elif ref.startswith("refs/heads/"):
            heads[ref.removeprefix("refs/heads/")] = value
    if not heads:
        raise GitError(Reason.EMPTY_REPOSITORY, "the repository has no branch yet")
    # A detached HEAD names no branch: take the usual names, then one that stands at the same commit.
    for name in ("main", "master", *sorted(name for name, value in heads.items() if value == detached), *sorted(heads)):
        if name in heads:
            return check_branch_name(name)
    raise GitError(Reason.EMPTY_REPOSITORY, "the repository has no usable branch")


def _take_over(into: Mirror, default: str, *, first: bool) -> Updated:
    incoming, upstream, here = (
        refs_below(into, "refs/incoming/"),
        refs_below(into, "refs/upstream/"),
        refs_below(into, "refs/heads/"),
    )
    if default not in incoming:
        raise GitError(Reason.EMPTY_REPOSITORY, f"the default branch {default!r} has no commit")
    moves: list[RefMove] = []
    moved, kept, diverged, deleted = [], [], [], []
    for name, new in incoming.items():
        old, mine = upstream.get(name), here.get(name)
        if old != new:
            moves.append(RefMove(f"refs/upstream/{name}", new, old))
        if mine == new:
            continue
        if mine is None or mine == old or is_ancestor(into, mine, new):
            moves.append(RefMove(f"refs/heads/{name}", new, mine))
            moved.append(name)
        elif is_ancestor(into, new, mine):
            kept.append(name)
        else:
            diverged.append(name)
    for name in upstream.keys() - incoming.keys():
        moves.append(RefMove(f"refs/upstream/{name}", None, upstream[name]))
        if here.get(name) == upstream[name]:
            moves.append(RefMove(f"refs/heads/{name}", None, here[name]))
            deleted.append(name)
    move_refs(into, moves)
    if first or default_branch(into) != default:
        run(["symbolic-ref", "HEAD", f"refs/heads/{default}"], git_dir=into.path, ours=True)
    return Updated(tuple(sorted(moved)), tuple(sorted(kept)), tuple(sorted(diverged)), tuple(sorted(deleted)), default)
