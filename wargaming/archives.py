"""Reading a scenario out of an archive that a stranger sent: ZIP, tar or gzipped tar. Pure, and bounded before anything is unpacked.

Nothing touches the disk. Only regular files are taken; links, devices, absolute names and names that lead out are refused, and so
is what would grow beyond the bounds of a scenario, counted by what comes out and not by what a header claims.
"""

from __future__ import annotations

import io
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from typing import Final

from wargaming.errors import ScenarioRefused
from wargaming.scenarios import CASE_FILE, MAX_FILE_BYTES, MAX_FILES, MAX_TOTAL_BYTES

MAX_ARCHIVE_BYTES: Final = 512 << 10
MAX_ENTRIES: Final = 4 * MAX_FILES  # folders are entries too
# A tar of the largest scenario: its bytes, and for each entry a header and padding.
_MAX_TAR: Final = MAX_TOTAL_BYTES + 4096 * MAX_ENTRIES
_BROKEN = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    NotImplementedError,
    RuntimeError,
    ValueError,
    LookupError,
    OSError,
    EOFError,
)


def files_in(archive: bytes) -> dict[str, bytes]:
    """Name → content of each file; the name of one folder around all of them is left out. Raises ``ScenarioRefused``."""
    if len(archive) > MAX_ARCHIVE_BYTES:
        raise _refused("archive", f"larger than {MAX_ARCHIVE_BYTES} bytes")
    found: dict[str, bytes] = {}
    total = 0
    try:
        for name, content in _members(archive):
            total += len(content)
            if len(content) > MAX_FILE_BYTES or total > MAX_TOTAL_BYTES or len(found) >= MAX_FILES:
                raise _refused(name, f"too large: at most {MAX_FILES} files and {MAX_TOTAL_BYTES} bytes together")
            if name in found:
                raise _refused(name, "is there twice")
            found[name] = content
    except _BROKEN as error:
        raise _refused("archive", f"cannot be read: {' '.join(str(error).split())[:200]}") from error
    return _without_outer_folder(found)


def _refused(where: str, what: str) -> ScenarioRefused:
    shown = where.encode("ascii", "backslashreplace").decode()[:100]
    return ScenarioRefused(((shown, what),))


def _members(archive: bytes) -> Iterator[tuple[str, bytes]]:
    if archive.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _zip(archive)
    if archive.startswith(b"\x1f\x8b"):
        return _tar(_gunzipped(archive))
    if archive[257:262] == b"ustar":
        return _tar(archive)
    raise _refused("archive", "is neither ZIP nor tar nor gzipped tar")


def _zip(archive: bytes) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        listed = opened.infolist()
        if len(listed) > MAX_ENTRIES:
            raise _refused("archive", f"more than {MAX_ENTRIES} entries")
        for entry in listed:
            name = _plain(entry.orig_filename)
            kind = entry.external_attr >> 16 & 0o170000
            if entry.is_dir():
                continue
            if kind not in (0, 0o100000):
                raise _refused(name, "not a regular file")
            if entry.flag_bits & 1:
                raise _refused(name, "is encrypted")
            with opened.open(entry) as stream:
                yield name, stream.read(MAX_FILE_BYTES + 1)


def _gunzipped(archive: bytes) -> bytes:
    whole = zlib.decompressobj(wbits=31)
    content = whole.decompress(archive, _MAX_TAR + 1)
    if len(content) > _MAX_TAR or not whole.eof:
        raise _refused("archive", "unpacks to more than a scenario may hold, or is cut off")
    return content


def _tar(content: bytes) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as opened:
        for number, entry in enumerate(opened):
            name = _plain(entry.name)
            if number >= MAX_ENTRIES:
                raise _refused("archive", f"more than {MAX_ENTRIES} entries")
            if entry.isdir():
                continue
            # Sparse files claim more than they hold.
            if not entry.isreg() or entry.issparse():
                raise _refused(name, "not a regular file")
            stream = opened.extractfile(entry)
            yield name, stream.read(MAX_FILE_BYTES + 1) if stream is not None else b""


def _plain(name: str) -> str:
    parts = name.removeprefix("./").split("/")
    if name.startswith("/") or "\\" in name or "\x00" in name or ".." in parts:
        raise _refused(name, "a name that leads out of the archive")
    return "/".join(parts)


def _without_outer_folder(files: dict[str, bytes]) -> dict[str, bytes]:
    outer = {name.partition("/")[0] for name in files}
    if CASE_FILE in files or len(outer) != 1 or not all("/" in name for name in files):
        return files
    return {name.partition("/")[2]: content for name, content in files.items()}
