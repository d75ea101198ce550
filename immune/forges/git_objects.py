"""The ids git gives to files and folders, computed without a repository. Pure.

With them the GitHub forge knows beforehand which tree a change leads to, so that it can tell its own earlier commit
from somebody else's and check what GitHub wrote. Format: git's object format (Pro Git, "Git Objects"), SHA-1
repositories.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

FOLDER = "40000"


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a folder. ``mode`` as git stores it: 100644, 100755, 120000, 160000, 40000."""

    name: str
    mode: str
    object_id: str


def blob_id(content: bytes) -> str:
    """The id of a file's content."""
    return _hashed(b"blob", content)


def tree_id(entries: Iterable[Entry]) -> str:
    """The id of a folder. Entries may come in any order; git sorts folders as if their names ended in a slash."""
    in_order = sorted(entries, key=lambda entry: (entry.name + ("/" if entry.mode == FOLDER else "")).encode())
    lines = (
        f"{entry.mode} ".encode() + entry.name.encode() + b"\0" + bytes.fromhex(entry.object_id) for entry in in_order
    )
    return _hashed(b"tree", b"".join(lines))


def _hashed(kind: bytes, content: bytes) -> str:
    return hashlib.sha1(kind + b" %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


class NotAFile(Exception):  # names what was found
    """A path to be changed is a link, a submodule or a folder, or leads through one."""


class NothingThere(Exception):
    """A path to be removed does not exist."""


@dataclass(frozen=True, slots=True)
class Planned:
    """What a change leads to: the root folder's id, and the mode each written path keeps."""

    tree: str
    modes: Mapping[str, str]


def plan(folders: Mapping[str, tuple[Entry, ...]], changes: Mapping[str, bytes | None]) -> Planned:
    """The tree after ``changes`` (path → content, None removes).

    ``folders`` holds the entries of the root ("") and of every existing folder on the way to a changed path ("a/b").
    Raises ``NotAFile``, ``NothingThere``.
    """
    now = {path: {entry.name: entry for entry in entries} for path, entries in folders.items()}
    modes: dict[str, str] = {}
    for path, content in changes.items():
        parent, _, name = path.rpartition("/")
        _open(now, parent)
        old = now[parent].get(name)
        if old is not None and old.mode not in ("100644", "100755", "100664"):
            raise NotAFile(path)
        if content is None:
            if old is None:
                raise NothingThere(path)
            del now[parent][name]
            continue
        modes[path] = old.mode if old is not None else "100644"
        now[parent][name] = Entry(name, modes[path], blob_id(content))
    for path in sorted((path for path in now if path), key=lambda path: path.count("/"), reverse=True):
        parent, _, name = path.rpartition("/")
        # git keeps no empty folders.
        if now[path]:
            now[parent][name] = Entry(name, FOLDER, tree_id(now[path].values()))
        else:
            now[parent].pop(name, None)
    return Planned(tree_id(now[""].values()), modes)


def _open(now: dict[str, dict[str, Entry]], path: str) -> None:
    if path in now:
        return
    parent, _, name = path.rpartition("/")
    _open(now, parent)
    if name in now[parent]:
        raise NotAFile(path)
    now[path] = {}
