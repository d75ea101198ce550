"""Reading the manifests of a file somebody sent: one manifest or lock file, or an archive of them (ZIP, tar, either compressed).

Nothing of an archive is unpacked to the disk under a name of its own; what manifests include is looked for in the archive and
nowhere else. Bounds are counted by what comes out, not by what a header claims. What could not be read is said, so that an
archive that is damaged, or leads out of itself, is never clean. No database.
"""

from __future__ import annotations

import posixpath
import shutil
import stat
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from immune import formats
from immune.advisories.sources import BROKEN, Header, Limits, open_unpacked
from immune.formats.limits import MAX_CHARACTERS, MAX_PATH, shown
from immune.inventory import Refusal, Unreadable
from immune.reading import Reading, read_manifests

MAX_MEMBERS = 200_000  # folders are members too
MAX_UNPACKED = 1024**3  # of a compressed tar
MAX_READ = 512 * 1024**2  # of manifests and what they include, in all
MAX_LINK = 4096  # where a link may say it leads
_MAX_DIRECTORY = 32 * 1024**2  # of a ZIP archive's list of members: some 300,000 of them
_TAIL = 22 + 64 * 1024  # where the end record of a ZIP archive is looked for
_COMPRESSED = (".gz", ".xz")

Read = Callable[[], bytes]
Progress = Callable[[int], None]


@dataclass(slots=True)
class _Members:
    """Name → how to read it, of the regular files; links and bad names are in ``refused``."""

    files: dict[str, Read] = field(default_factory=dict)
    refused: list[Refusal] = field(default_factory=list)
    seen: int = 0

    def count(self) -> None:
        self.seen += 1
        if self.seen > MAX_MEMBERS:
            raise Unreadable("archive", f"more than {MAX_MEMBERS} members")

    def name(self, given: str) -> str | None:
        """The name below the root, None when it is refused."""
        if given.startswith("/") or ".." in given.split("/") or "\x00" in given or len(given) > MAX_PATH:
            self.refused.append(Refusal(shown(given, MAX_PATH), "a name that leads out of the archive, or none"))
            return None
        return posixpath.normpath(given)

    def add(self, name: str, read: Read) -> None:
        if name in self.files and formats.detect(name):
            # Which of the two is meant is anybody's guess.
            self.refused.append(Refusal(name, "is there twice"))
        self.files[name] = read

    def link(self, name: str, target: str) -> None:
        if formats.is_left_out(name):
            return
        to = posixpath.normpath(posixpath.join(posixpath.dirname(name), target))
        if formats.detect(name):
            self.refused.append(Refusal(name, "is a link, not a file"))
        elif target.startswith("/") or to == ".." or to.startswith("../"):
            self.refused.append(Refusal(name, "is a link out of the archive"))


def read_upload(path: Path, name: str, progress: Progress | None = None) -> Reading:
    """Reads the manifests of the file at ``path``, which was called ``name`` where it came from.

    ``progress`` is told how many files were read. Raises Unreadable when it holds nothing that could be read as a manifest.
    """
    try:
        with path.open("rb") as file:
            head = file.read(512)
            file.seek(0)
            if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
                return _zip(file, progress)
            if head[257:262] == b"ustar":
                return _tar(file, progress)
        if not head.startswith((b"\x1f\x8b", b"\xfd7zXZ\x00")):
            return _single(path, name, progress)
        with tempfile.TemporaryFile() as unpacked:
            with open_unpacked(path, Limits(total=MAX_UNPACKED)) as stream:
                head = stream.peek(512)
                if head[257:262] != b"ustar":
                    return _single(path, name, progress)
                shutil.copyfileobj(stream, unpacked)
            unpacked.seek(0)
            return _tar(unpacked, progress)
    except Unreadable as error:
        raise Unreadable(name if error.source in ("archive", path.name) else error.source, error.reason) from error
    except BROKEN as error:
        raise Unreadable(name, f"cannot be read: {shown(str(error), 200)}") from error


def _single(path: Path, name: str, progress: Progress | None) -> Reading:
    """One manifest, by the name it goes by; compressed or not."""
    plain = next((name.removesuffix(end) for end in _COMPRESSED if name.endswith(end)), name)
    if not formats.detect(plain):
        raise Unreadable(name, "neither an archive nor a manifest or lock file under its usual name")
    with open_unpacked(path, Limits(total=MAX_UNPACKED)) as stream:
        data = stream.read(MAX_CHARACTERS + 1)
    members = _Members(files={plain: lambda: data})
    return _read(members, progress)


def _read(members: _Members, progress: Progress | None) -> Reading:
    read, spent = 0, 0

    def fetch(path: str) -> bytes:
        nonlocal read, spent
        found = members.files.get(path)
        if found is None:
            raise Unreadable(path, "is not in what was sent")
        try:
            data = found()
        except BROKEN as error:
            raise Unreadable(path, f"cannot be read: {shown(str(error), 200)}") from error
        read, spent = read + 1, spent + len(data)
        if len(data) > MAX_CHARACTERS or spent > MAX_READ:
            raise Unreadable(path, f"larger than {MAX_CHARACTERS} bytes, or all together than {MAX_READ}")
        if progress:
            progress(read)
        return data

    manifests = formats.manifests_in(members.files)
    if not manifests and not members.refused:
        raise Unreadable("archive", "no manifest of a known format was found")
    reading = read_manifests("", manifests, fetch)
    refused = tuple(dict.fromkeys([*members.refused, *reading.refused]))
    return Reading("", reading.inventories, refused, reading.digests)


def _zip(file: IO[bytes], progress: Progress | None) -> Reading:
    _check_directory(file)
    members = _Members()
    with zipfile.ZipFile(file) as archive:
        for entry in archive.infolist():
            members.count()
            name = members.name(entry.orig_filename.replace("\\", "/"))
            if name is None or entry.is_dir():
                continue
            kind = stat.S_IFMT(entry.external_attr >> 16)
            if kind == stat.S_IFLNK:
                members.link(name, _zip_bytes(archive, entry, MAX_LINK).decode("utf-8", "replace"))
            elif kind not in (0, stat.S_IFREG):
                members.link(name, "")
            else:
                members.add(name, lambda entry=entry: _zip_bytes(archive, entry, MAX_CHARACTERS + 1))  # type: ignore[misc]
        return _read(members, progress)


def _zip_bytes(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, most: int) -> bytes:
    """At most so many bytes; RuntimeError when it is encrypted, zipfile.BadZipFile when its sum is wrong."""
    with archive.open(entry) as stream:
        return stream.read(most)


def _check_directory(file: IO[bytes]) -> None:
    """Refuses a list of members that would fill the memory before one is looked at. Each end record there may be counts."""
    size = file.seek(0, 2)
    file.seek(max(0, size - _TAIL))
    tail = file.read()
    if b"PK\x06\x07" in tail:
        raise Unreadable("archive", "ZIP64; send it as a tar archive")
    at = tail.find(b"PK\x05\x06")
    while at >= 0:
        if int.from_bytes(tail[at + 12 : at + 16], "little") > _MAX_DIRECTORY:
            raise Unreadable("archive", "a list of members that is too long")
        at = tail.find(b"PK\x05\x06", at + 1)
    file.seek(0)


def _tar(file: IO[bytes], progress: Progress | None) -> Reading:
    members = _Members()
    with tarfile.open(fileobj=file, mode="r:", tarinfo=Header) as archive:
        try:
            for entry in archive:
                members.count()
                _add(members, archive, entry)
        except tarfile.TarError as error:
            members.refused.append(Refusal("archive", f"{shown(str(error), 200)}; what follows was not read"))
        return _read(members, progress)


def _add(members: _Members, archive: tarfile.TarFile, entry: tarfile.TarInfo) -> None:
    name = members.name(entry.name)
    if name is None or entry.isdir():
        return
    if entry.issym():
        members.link(name, entry.linkname)
    elif entry.islnk():
        # A hard link names a member from the root, a symbolic one from where it lies.
        members.link(name, posixpath.relpath(entry.linkname, posixpath.dirname(name) or "."))
    elif not entry.isreg() or entry.issparse():
        members.link(name, "")
    else:
        members.add(name, lambda: _tar_bytes(archive, entry))


def _tar_bytes(archive: tarfile.TarFile, entry: tarfile.TarInfo) -> bytes:
    stream = archive.extractfile(entry)
    data = stream.read(MAX_CHARACTERS + 1) if stream is not None else b""
    if len(data) < min(entry.size, MAX_CHARACTERS + 1):
        raise tarfile.ReadError("is cut off")
    return data
