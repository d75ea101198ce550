"""What we do inside a bare repository of ours: read, commit, merge, move branches — never with a work tree. No Django.

Files of untrusted trees are never checked out: blobs are read with ``cat-file``, commits are made on a temporary
index with fixed author and dates, so the same change gives the same commit and doing it twice is harmless. Branches
move by ``update-ref`` with the value they are expected to have. Fetching lives in ``immune.git_mirror``, writing back
to a person's checkout in ``immune.git_checkout``, running the binary in ``immune.git_process``.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from immune.git_process import GitError, Limits, Reason, Source, local_source, run

__all__ = [
    "GitError", "Identity", "Limits", "Mirror", "Reason", "RefMove", "Source", "TreeEntry", "branches", "changed_paths",
    "check_branch_name", "check_path", "commit_exists", "commit_files", "create_branch", "default_branch", "delete_ref", "diff",
    "head_of", "init", "is_ancestor", "list_tree", "local_source", "merge_base", "merge_commit", "merge_squash",
    "move_refs", "parents_of", "plan_merge", "read_blobs", "read_file", "ref_value", "refs_below", "reversal", "tree_of",
]  # fmt: skip

ZERO = "0" * 40
_OBJECT_ID = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_FORBIDDEN_IN_REF = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|/\.|\.lock(?:/|$)|\.$|/$|^/|^\.|^-|^@$")
DEFAULT_MAX_FILE = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Mirror:
    """A bare repository of ours."""

    path: Path


@dataclass(frozen=True, slots=True)
class TreeEntry:
    """One file of a commit.

    ``mode`` as git writes it (100644, 100755, 120000 symlink, 160000 submodule); size in bytes.
    """

    path: str
    mode: str
    size: int
    object_id: str


@dataclass(frozen=True, slots=True)
class Identity:
    """Author and committer of commits made here."""

    name: str
    email: str


@dataclass(frozen=True, slots=True)
class RefMove:
    """One reference to be changed: from ``old`` (None: must not exist) to ``new`` (None: deleted)."""

    ref: str
    new: str | None
    old: str | None


# --- names ------------------------------------------------------------------------------------------------------------


def check_branch_name(name: str) -> str:
    """The name, if ``git check-ref-format --branch`` would take it. Raises ``GitError`` (bad_name).

    Rules: git-check-ref-format(1).
    """
    if (
        not name
        or len(name.encode("utf-8", "surrogateescape")) > 200
        or _FORBIDDEN_IN_REF.search(name)
        or name == "HEAD"
    ):
        raise GitError(Reason.BAD_NAME, f"not a branch name: {name!r}")
    try:
        name.encode()
    except UnicodeEncodeError as odd:
        raise GitError(Reason.BAD_NAME, f"not a branch name: {name!r}") from odd
    return name


def _check_object(value: str) -> str:
    if not _OBJECT_ID.fullmatch(value):
        raise GitError(Reason.UNKNOWN_REF, f"not a full commit id: {value!r}")
    return value


def check_path(path: str) -> str:
    """A file path inside a tree.

    ``.git`` in any part (also in disguise) is refused by git itself as well (core.protectHFS/NTFS).
    """
    parts = path.split("/")
    bad = any(part in ("", ".", "..") or part.lower().rstrip(". ") == ".git" for part in parts)
    if bad or len(path) > 4096 or re.search(r"[\x00-\x1f\x7f\\]", path):
        raise GitError(Reason.BAD_NAME, f"not a path inside a repository: {path!r}")
    return path


# --- mirrors ----------------------------------------------------------------------------------------------------------


def init(into: Path, *, default: str = "main") -> Mirror:
    """A new empty bare repository. Raises ``GitError`` (exists)."""
    if into.exists():
        raise GitError(Reason.EXISTS, "something is already there")
    into.parent.mkdir(parents=True, exist_ok=True)
    run(
        ["init", "--quiet", "--bare", "--template=", f"--initial-branch={check_branch_name(default)}", "--", str(into)],
        git_dir=None,
    )
    return Mirror(into)


# --- reading ----------------------------------------------------------------------------------------------------------


def refs_below(where: Mirror, prefix: str) -> dict[str, str]:
    listed = run(["for-each-ref", "--format=%(objectname) %(refname)", "--", prefix], git_dir=where.path).out
    pairs = (line.split(" ", 1) for line in listed.decode("utf-8", "surrogateescape").splitlines())
    return {ref.removeprefix(prefix): value for value, ref in pairs}


def branches(where: Mirror) -> dict[str, str]:
    """Branch name → commit."""
    return refs_below(where, "refs/heads/")


def ref_value(where: Mirror, ref: str) -> str | None:
    """The commit a full reference name stands at, or None when there is none."""
    if not ref.startswith("refs/"):
        raise GitError(Reason.BAD_NAME, f"not a full reference name: {ref!r}")
    check_branch_name(ref)
    ran = run(
        ["rev-parse", "--verify", "--quiet", "--end-of-options", ref], git_dir=where.path, accept=frozenset({0, 1})
    )
    return ran.out.decode().strip() or None


def head_of(where: Mirror, branch: str) -> str:
    """The commit at the tip of a branch. Raises ``GitError`` (bad_name, unknown_ref)."""
    value = ref_value(where, "refs/heads/" + check_branch_name(branch))
    if value is None:
        raise GitError(Reason.UNKNOWN_REF, f"no branch {branch!r}")
    return value


def default_branch(where: Mirror) -> str:
    """The name of the branch HEAD stands for."""
    return run(["symbolic-ref", "--short", "HEAD"], git_dir=where.path).out.decode().strip()


def commit_exists(where: Mirror, commit: str) -> bool:
    """Whether the mirror holds this commit."""
    ran = run(["cat-file", "-t", _check_object(commit)], git_dir=where.path, accept=frozenset({0, 128}))
    return ran.out.strip() == b"commit"


def _need_commit(where: Mirror, commit: str) -> str:
    if not commit_exists(where, commit):
        raise GitError(Reason.UNKNOWN_REF, f"no commit {commit} here")
    return commit


def tree_of(where: Mirror, commit: str) -> str:
    """The tree object of a commit: equal trees hold equal files."""
    spec = _check_object(commit) + "^{tree}"
    return run(["rev-parse", "--verify", "--end-of-options", spec], git_dir=where.path).out.decode().strip()


def parents_of(where: Mirror, commit: str) -> tuple[str, ...]:
    """The parents of a commit, first parent first."""
    out = run(
        ["rev-list", "--max-count=1", "--parents", "--end-of-options", _check_object(commit)], git_dir=where.path
    ).out
    return tuple(out.decode().split()[1:])


def is_ancestor(where: Mirror, older: str, newer: str) -> bool:
    """Whether ``older`` is contained in ``newer``."""
    arguments = ["merge-base", "--is-ancestor", _check_object(older), _check_object(newer)]
    return run(arguments, git_dir=where.path, accept=frozenset({0, 1})).code == 0


def merge_base(where: Mirror, one: str, other: str) -> str:
    """The commit both were cut from. Raises ``GitError`` (unrelated_histories)."""
    arguments = ["merge-base", _check_object(one), _check_object(other)]
    found = run(arguments, git_dir=where.path, accept=frozenset({0, 1})).out.decode().strip()
    if not found:
        raise GitError(Reason.UNRELATED, "the two commits share no history")
    return found


def list_tree(where: Mirror, commit: str, *, max_files: int = 200_000) -> list[TreeEntry]:
    """Every file of a commit. Paths that are not UTF-8 hold surrogates (``surrogateescape``).

    Raises ``GitError`` (too_large).
    """
    limits = Limits(timeout=60, max_output=max_files * 300)
    arguments = ["ls-tree", "-r", "-l", "-z", "--full-tree", _check_object(commit)]
    entries = [_entry(line) for line in run(arguments, git_dir=where.path, limits=limits).out.split(b"\0") if line]
    if len(entries) > max_files:
        raise GitError(Reason.TOO_LARGE, f"the commit holds more than {max_files} files")
    return entries


def _entry(line: bytes) -> TreeEntry:
    head, _, path = line.partition(b"\t")
    mode, _, object_id, size = head.decode().split()
    return TreeEntry(path.decode("utf-8", "surrogateescape"), mode, 0 if size == "-" else int(size), object_id)


def _find(where: Mirror, commit: str, path: str) -> TreeEntry | None:
    arguments = ["ls-tree", "-l", "-z", "--full-tree", _check_object(commit), "--", check_path(path)]
    found = [_entry(line) for line in run(arguments, git_dir=where.path).out.split(b"\0") if line]
    return next((entry for entry in found if entry.path == path), None)


def read_file(where: Mirror, commit: str, path: str, *, max_bytes: int = DEFAULT_MAX_FILE) -> bytes:
    """The bytes of one file of a commit. Symlinks, folders and submodules are not followed.

    Raises ``GitError``: not_found, not_a_file, too_large, bad_name, unknown_ref.
    """
    entry = _find(where, commit, path)
    if entry is None:
        raise GitError(Reason.NOT_FOUND, f"no file {path!r} in this commit")
    if entry.mode not in ("100644", "100755", "100664"):
        raise GitError(Reason.NOT_A_FILE, f"{path!r} is a link, a folder or a submodule")
    if entry.size > max_bytes:
        raise GitError(Reason.TOO_LARGE, f"{path!r} is larger than {max_bytes} bytes")
    limits = Limits(max_output=max_bytes)
    return run(["cat-file", "blob", entry.object_id], git_dir=where.path, limits=limits).out


def read_blobs(
    where: Mirror, entries: Sequence[TreeEntry], *, max_bytes: int = 256 * 1024 * 1024
) -> Iterator[tuple[TreeEntry, bytes]]:
    """The content of many files of a commit, by one git process. Raises ``GitError`` (too_large, not_found)."""
    if not entries:
        return
    asked = "".join(f"{entry.object_id}\n" for entry in entries).encode()
    limits = Limits(timeout=120, max_output=max_bytes + 200 * len(entries))
    out = run(["cat-file", "--batch"], git_dir=where.path, stdin=asked, limits=limits).out
    at = 0
    for entry in entries:
        end = out.index(b"\n", at)
        words = out[at:end].split()
        if len(words) != 3 or words[1] != b"blob":
            raise GitError(Reason.NOT_FOUND, f"the object of {entry.path!r} is missing")
        size = int(words[2])
        yield entry, out[end + 1 : end + 1 + size]
        at = end + size + 2


def diff(where: Mirror, old: str, new: str, *, max_bytes: int = 8 * 1024 * 1024) -> str:
    """The change between two commits as unified text; bytes that are not UTF-8 appear as ``\\xNN``.

    Raises ``GitError`` (too_large).
    """
    arguments = [
        "diff-tree", "-p", "-r", "--full-index", "--no-renames", "--no-color", "--no-ext-diff", "--no-textconv",
        "--src-prefix=a/", "--dst-prefix=b/", "--end-of-options", _check_object(old), _check_object(new),
    ]  # fmt: skip
    limits = Limits(timeout=60, max_output=max_bytes)
    return run(arguments, git_dir=where.path, limits=limits).out.decode("utf-8", "backslashreplace")


@dataclass(frozen=True, slots=True)
class _Stamp:
    """What a commit says beside its files."""

    message: str
    author: Identity
    when: datetime

    def __post_init__(self) -> None:
        if self.when.tzinfo is None:
            raise ValueError("a commit's date needs a time zone")
        if not self.message.strip() or "\0" in self.message:
            raise GitError(Reason.BAD_NAME, "a commit needs a message without NUL bytes")


def changed_paths(where: Mirror, old: str, new: str) -> tuple[str, ...]:
    """The files that differ between two commits."""
    arguments = ["diff-tree", "-r", "-z", "--name-only", "--no-renames", "--end-of-options"]
    out = run([*arguments, _check_object(old), _check_object(new)], git_dir=where.path).out
    return tuple(part.decode("utf-8", "surrogateescape") for part in out.split(b"\0") if part)


def reversal(where: Mirror, merged: str, onto: str) -> dict[str, bytes | None]:
    """The changes that undo what ``merged`` brought over its first parent, for a branch cut from ``onto``.

    For ``commit_files``: path → bytes as they were before, None where there was no file. Raises ``GitError``: conflict
    (``paths``: files changed again since), unknown_ref, and as ``read_file``.
    """
    parents = parents_of(where, _need_commit(where, merged))
    if not parents:
        raise GitError(Reason.UNKNOWN_REF, "a first commit cannot be undone")
    paths = changed_paths(where, parents[0], merged)
    now = {path: _find(where, onto, path) for path in paths}
    then = {path: _find(where, merged, path) for path in paths}
    newer = [path for path in paths if _content(now[path]) != _content(then[path])]
    if newer:
        raise GitError(Reason.CONFLICT, "files of the merge were changed again since", paths=newer)
    before = {path: _find(where, parents[0], path) for path in paths}
    return {path: read_file(where, parents[0], path) if before[path] else None for path in paths}


def _content(entry: TreeEntry | None) -> str:
    return entry.object_id if entry else ""


# --- writing ----------------------------------------------------------------------------------------------------------


def move_refs(where: Mirror, moves: Iterable[RefMove]) -> None:
    """Change references together, each only from the value it is expected to have.

    Raises ``GitError`` (moved, name_taken).
    """
    lines = ["start"]
    for move in moves:
        if not move.ref.startswith("refs/"):
            raise GitError(Reason.BAD_NAME, f"not a full reference name: {move.ref!r}")
        check_branch_name(move.ref)
        old = ZERO if move.old is None else _check_object(move.old)
        if move.new is None:
            lines.append(f"delete {move.ref}\0{old}")
        else:
            lines.append(f"update {move.ref}\0{_check_object(move.new)}\0{old}")
    lines += ["prepare", "commit"]
    if len(lines) > 3:
        text = "\0".join(lines) + "\0"
        run(
            ["update-ref", "--no-deref", "--stdin", "-z"],
            git_dir=where.path,
            stdin=text.encode("utf-8", "surrogateescape"),
            ours=True,
        )


def create_branch(where: Mirror, name: str, commit: str, expected_old: str | None) -> None:
    """Put a branch at a commit, if it stands at ``expected_old`` (None: if it is not there). Already there is fine.

    Raises ``GitError``: bad_name, unknown_ref, moved, name_taken.
    """
    ref = "refs/heads/" + check_branch_name(name)
    if ref_value(where, ref) != _need_commit(where, commit):
        move_refs(where, [RefMove(ref, commit, expected_old)])


def delete_ref(where: Mirror, ref: str, expected_old: str) -> bool:
    """Delete a reference standing at ``expected_old``; False when it was gone already. Raises ``GitError`` (moved)."""
    if ref_value(where, ref) is None:
        return False
    move_refs(where, [RefMove(ref, None, expected_old)])
    return True


def commit_files(
    where: Mirror,
    base_commit: str,
    changes: Mapping[str, bytes | None],
    *,
    message: str,
    author: Identity,
    when: datetime,
) -> str:
    """A commit on top of ``base_commit`` with these files changed (None: removed). Modes are kept; links are refused.

    The same input gives the same commit id. No branch is touched. Raises ``GitError``: nothing_changed, bad_name,
    not_a_file, not_found (removing what is not there), unknown_ref.
    """
    stamp = _Stamp(message, author, when)
    _need_commit(where, base_commit)
    lines: list[bytes] = []
    for path, content in sorted(changes.items()):
        entry = _find(where, base_commit, path)
        if entry is not None and entry.mode not in ("100644", "100755", "100664"):
            raise GitError(Reason.NOT_A_FILE, f"{path!r} is a link, a folder or a submodule")
        if content is None:
            if entry is None:
                raise GitError(Reason.NOT_FOUND, f"no file {path!r} in this commit")
            lines.append(b"0 " + ZERO.encode() + b"\t" + path.encode() + b"\0")
            continue
        made = run(["hash-object", "-w", "--no-filters", "--stdin"], git_dir=where.path, stdin=content).out.strip()
        mode = (entry.mode if entry else "100644").encode()
        lines.append(mode + b" " + made + b"\t" + path.encode() + b"\0")
    with tempfile.TemporaryDirectory(prefix="immune-index-") as folder:
        index = {"GIT_INDEX_FILE": os.path.join(folder, "index")}
        run(["read-tree", base_commit], git_dir=where.path, extra_environment=index)
        arguments = ["update-index", "-z", "--index-info"]
        said = run(arguments, git_dir=where.path, stdin=b"".join(lines), extra_environment=index).err
        if said.strip():  # a path git would not have in a tree is left out with a word and without an error
            raise GitError(Reason.BAD_NAME, "git does not accept one of the paths", detail=said)
        tree = run(["write-tree"], git_dir=where.path, extra_environment=index).out.decode().strip()
    if tree == tree_of(where, base_commit):
        raise GitError(Reason.NOTHING_CHANGED, "these files are already like that")
    return _commit_tree(where, tree, (base_commit,), stamp)


def _commit_tree(where: Mirror, tree: str, parents: tuple[str, ...], stamp: _Stamp) -> str:
    date = f"@{int(stamp.when.timestamp())} +0000"
    environment = {
        "GIT_AUTHOR_NAME": stamp.author.name, "GIT_AUTHOR_EMAIL": stamp.author.email, "GIT_AUTHOR_DATE": date,
        "GIT_COMMITTER_NAME": stamp.author.name, "GIT_COMMITTER_EMAIL": stamp.author.email, "GIT_COMMITTER_DATE": date,
    }  # fmt: skip
    arguments = ["commit-tree", tree]
    for parent in parents:
        arguments += ["-p", parent]
    text = stamp.message.encode("utf-8", "backslashreplace")
    ran = run([*arguments, "-F", "-"], git_dir=where.path, stdin=text, extra_environment=environment)
    return ran.out.decode().strip()


def plan_merge(
    where: Mirror, base: str, head: str, *, message: str, author: Identity, when: datetime, squash: bool
) -> str:
    """The commit that merging ``head`` into ``base`` gives (both commits); no branch is moved.

    The same input gives the same commit id. Raises ``GitError``: conflict (``paths`` names the files),
    unrelated_histories, nothing_changed, unknown_ref.
    """
    stamp = _Stamp(message, author, when)
    _need_commit(where, base)
    _need_commit(where, head)
    ran = run(
        ["merge-tree", "--write-tree", "--name-only", "--no-messages", "-z", base, head],
        git_dir=where.path,
        limits=Limits(timeout=120),
        accept=frozenset({0, 1}),
    )
    tree, *names = (part.decode("utf-8", "surrogateescape") for part in ran.out.split(b"\0") if part)
    if ran.code == 1:
        message = "the branch conflicts with the branch it should be merged into"
        raise GitError(Reason.CONFLICT, message, paths=names)
    if tree == tree_of(where, base):
        raise GitError(Reason.NOTHING_CHANGED, "the base branch already holds this change")
    return _commit_tree(where, tree, (base,) if squash else (base, head), stamp)


def _merge(
    where: Mirror,
    base_branch: str,
    head: str,
    *,
    expected: str | None,
    message: str,
    author: Identity,
    when: datetime,
    squash: bool,
) -> str:
    base = head_of(where, base_branch)
    if expected is not None and base != expected:
        raise GitError(Reason.MOVED, f"the branch {base_branch!r} has moved")
    made = plan_merge(where, base, head, message=message, author=author, when=when, squash=squash)
    move_refs(where, [RefMove(f"refs/heads/{base_branch}", made, base)])
    return made


def merge_squash(
    where: Mirror,
    base_branch: str,
    head_commit: str,
    *,
    expected_base: str | None,
    message: str,
    author: Identity,
    when: datetime,
) -> str:
    """Merge as one new commit; the branch moves only from where it was seen. Raises as ``plan_merge``, and moved."""
    return _merge(
        where, base_branch, head_commit, expected=expected_base, message=message, author=author, when=when, squash=True
    )


def merge_commit(
    where: Mirror,
    base_branch: str,
    head_commit: str,
    *,
    expected_base: str | None,
    message: str,
    author: Identity,
    when: datetime,
) -> str:
    """Merge with a commit of two parents. Raises as ``plan_merge``, and moved."""
    return _merge(
        where, base_branch, head_commit, expected=expected_base, message=message, author=author, when=when, squash=False
    )
