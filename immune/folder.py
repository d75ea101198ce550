"""Reading the manifests of a file or folder as it lies on disk, without ever leaving it. No database.

Files are opened from the root downwards, each step without following a link, so that a link put there while the
folder is read leads nowhere either. Only plain files are read, and of each no more than a manifest may hold.
"""

from __future__ import annotations

import os
import posixpath
import stat
from pathlib import Path

from immune import formats
from immune.formats.limits import MAX_CHARACTERS
from immune.inventory import Refusal, Unreadable
from immune.reading import Reading, read_manifests

MAX_FILES = 1_000_000  # of one folder; as listed, before manifests are picked
MAX_DEPTH = 128  # of folders in each other


def read_path(path: Path) -> Reading:
    """Reads the file, or every manifest of the folder. What could not be read stands in ``refused``.

    Raises Unreadable when there is nothing at ``path`` or nothing in it that could be read as a manifest.
    """
    try:
        there = path.resolve(strict=True)
        kind = there.stat().st_mode
    except (OSError, ValueError, RuntimeError) as error:
        raise Unreadable(str(path), _reason(error)) from error
    if stat.S_ISDIR(kind):
        manifests, refused = _listed(there)
        if not manifests and not refused:
            raise Unreadable(str(path), "no manifest of a known format was found")
        root = there
    else:
        manifests, refused, root = [there.name], [], there.parent
    reading = read_manifests("", manifests, lambda name: _bytes(root, name))
    return Reading("", reading.inventories, tuple(dict.fromkeys([*refused, *reading.refused])), reading.digests)


def _listed(root: Path) -> tuple[list[str], list[Refusal]]:
    """The manifests below the root, and the folders and links that could not be looked into."""
    refused: list[Refusal] = []
    files: list[str] = []
    folders = [""]
    while folders:
        here = folders.pop()
        try:
            with os.scandir(root / here) as found:
                entries = sorted(found, key=lambda entry: entry.name)
        except OSError as error:
            refused.append(Refusal(here or str(root), _reason(error)))
            continue
        for entry in entries:
            path = posixpath.join(here, entry.name)
            if entry.is_dir(follow_symlinks=False):
                if formats.is_left_out(f"{path}/"):
                    continue
                if path.count("/") >= MAX_DEPTH:
                    refused.append(Refusal(path, f"lies more than {MAX_DEPTH} folders deep"))
                else:
                    folders.append(path)
            elif entry.is_symlink() and not formats.detect(path) and not formats.is_left_out(f"{path}/"):
                if _leads_out(root, root / path):
                    refused.append(Refusal(path, "is a link to a folder outside of the one that is read"))
            else:
                files.append(path)
        if len(files) + len(folders) > MAX_FILES:
            raise Unreadable(str(root), f"holds more than {MAX_FILES} files")
    return formats.manifests_in(files), refused


def _leads_out(root: Path, link: Path) -> bool:
    """Whether a link leads to a folder outside, or to where cannot be told. One inside is read where it lies, and a
    file without the name of a manifest is not read anyway."""
    try:
        target = link.resolve(strict=True)
        return not target.is_relative_to(root) and not target.is_file()
    except FileNotFoundError:
        return False  # leads nowhere: nothing is left unread
    except (OSError, RuntimeError):
        return True


def _bytes(root: Path, name: str) -> bytes:
    parts = name.split("/")
    if name.startswith("/") or ".." in parts:
        raise Unreadable(name, "is outside of the folder that is read")
    opened: list[int] = []
    try:
        opened.append(os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
        for part in parts[:-1]:
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
            opened.append(os.open(part, flags, dir_fd=opened[-1]))
            os.close(opened.pop(-2))
        if stat.S_ISLNK(os.stat(parts[-1], dir_fd=opened[-1], follow_symlinks=False).st_mode):
            raise Unreadable(name, "is a link, not a file")
        # Without waiting: a pipe nobody writes to would hold the reader for ever.
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        opened.append(os.open(parts[-1], flags, dir_fd=opened[-1]))
        if not stat.S_ISREG(os.fstat(opened[-1]).st_mode):
            raise Unreadable(name, "is not a plain file")
        with os.fdopen(opened.pop(), "rb") as file:
            data = file.read(MAX_CHARACTERS + 1)
    except (OSError, ValueError) as error:
        raise Unreadable(name, _reason(error)) from error
    finally:
        for descriptor in opened:
            os.close(descriptor)
    if len(data) > MAX_CHARACTERS:
        raise Unreadable(name, f"larger than {MAX_CHARACTERS} bytes")
    return data


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return "cannot be read as a path"
