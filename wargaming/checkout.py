"""A commit's files laid out in a folder, for own tests: without git's own checkout, filters, hooks, links or submodules."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from immune import git
from immune.git import Mirror, TreeEntry
from wargaming.errors import WargameError

MAX_FILES = 20_000
MAX_BYTES = 256 * 1024 * 1024
_PLAIN = ("100644", "100755", "100664")


@contextmanager
def checked_out(mirror: Mirror, commit: str, below: Path) -> Iterator[Path]:
    """The commit's regular files in a new folder below ``below``, gone afterwards. Links and submodules are left out.

    Raises GitError, and WargameError (repository_too_large, bad_path) before anything is written.
    """
    entries = [entry for entry in git.list_tree(mirror, commit) if entry.mode in _PLAIN]
    if len(entries) > MAX_FILES or sum(entry.size for entry in entries) > MAX_BYTES:
        raise WargameError("repository_too_large", f"more than {MAX_FILES} files or {MAX_BYTES} bytes")
    for entry in entries:
        _check(entry)
    below.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="tree-", dir=below) as name:
        folder = Path(name)
        folder.chmod(0o755)
        for entry, content in git.read_blobs(mirror, entries, max_bytes=MAX_BYTES):
            target = folder / entry.path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
            target.chmod(0o755 if entry.mode == "100755" else 0o644)
        yield folder


def _check(entry: TreeEntry) -> None:
    parts = PurePosixPath(entry.path).parts
    if entry.path.startswith("/") or any(part in ("..", ".git") for part in parts) or "\\" in entry.path:
        raise WargameError("bad_path", f"a file of the repository has the path {entry.path[:200]!r}")
