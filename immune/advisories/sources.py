"""Finds advisory records in files, folders and archives, by content, within bounds.

``iter_records(paths)`` never raises for a broken part: what cannot be taken comes out as a ``Refusal`` beside the rest.
Bounds hold against decompression bombs (total size, ratio, size of one record, number of members); links that lead out
of the tree, encrypted members and names with ``..`` are refused. Reads from disk, and does nothing else.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import lzma
import os
import re
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import IO, BinaryIO, cast

import orjson

from immune.advisories.documents import read_json, read_yaml
from immune.advisories.osv import AdvisoryRecord, read_osv
from immune.inventory import Refusal, Unreadable

RECORD_SUFFIXES = (".json", ".jsonl", ".ndjson", ".yaml", ".yml")
ARCHIVE_SUFFIXES = (".gz", ".tgz", ".xz", ".txz", ".zip", ".tar")
_GZIP, _XZ, _ZIP = b"\x1f\x8b", b"\xfd7zXZ\x00", b"PK\x03\x04"
_EMPTY_ZIP = b"PK\x05\x06"
_HEAD = 64 * 1024
_XZ_MEMORY = 256 * 1024 * 1024
_SECOND_DOCUMENT = re.compile(rb"\n---(?:[ \t]|\r?\n)")


@dataclass(frozen=True, slots=True)
class Limits:
    """Bytes and counts one call will take. The largest real export, npm's, has some 250,000 members in about 1 GB."""

    total: int = 4 * 1024**3
    record: int = 8 * 1024**2
    document: int = 64 * 1024**2  # a JSON array of records, or a YAML stream, as one file
    members: int = 1_000_000
    ratio: int = 200
    ratio_from: int = 8 * 1024**2  # small things may compress as well as they like


@dataclass(frozen=True)
class Raw:
    """One record not yet understood: its bytes, or the value when it came as part of a larger document."""

    source: str
    kind: str  # json, yaml or value
    data: bytes = b""
    value: object = field(default=None, compare=False)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the bytes as published: equal digests need no second reading."""
        return hashlib.sha256(self.data).hexdigest()

    def read(self) -> object:
        """The parsed document; raises Unreadable."""
        if self.kind == "json":
            return read_json(self.data, self.source)
        if self.kind == "yaml":
            documents = read_yaml(self.data, self.source)
            if len(documents) != 1:
                raise Unreadable(self.source, "no record in it" if not documents else "more than one document")
            return documents[0]
        return self.value


class _TooMuch(Exception):
    """A bound was reached; the rest of this input is given up."""


class _Budget:
    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.spent = 0
        self.members = 0

    def spend(self, count: int) -> None:
        self.spent += count
        if self.spent > self.limits.total:
            raise _TooMuch(f"more than {self.limits.total} bytes in all")

    def member(self) -> None:
        self.members += 1
        if self.members > self.limits.members:
            raise _TooMuch(f"more than {self.limits.members} members")


class _Counted(io.RawIOBase):
    """A decompressing stream that stops when it gives far more than it takes."""

    def __init__(self, inner: IO[bytes], compressed: BinaryIO, budget: _Budget) -> None:
        self._inner, self._compressed, self._budget = inner, compressed, budget
        self._given = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        data = self._inner.read(len(buffer))
        self._given += len(data)
        self._budget.spend(len(data))
        limits = self._budget.limits
        if self._given > limits.ratio_from and self._given > limits.ratio * max(1, self._compressed.tell()):
            raise _TooMuch(f"unpacks to more than {limits.ratio} times its size")
        buffer[: len(data)] = data
        return len(data)


class _Xz(io.RawIOBase):
    """Streams xz with a memory bound, which ``lzma.LZMAFile`` does not offer."""

    def __init__(self, compressed: BinaryIO) -> None:
        self._compressed = compressed
        self._decoder = lzma.LZMADecompressor(memlimit=_XZ_MEMORY)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        while not self._decoder.eof:
            fresh = self._compressed.read(_HEAD) if self._decoder.needs_input else b""
            if self._decoder.needs_input and not fresh:
                raise EOFError("the xz stream ends early")
            if data := self._decoder.decompress(fresh, len(buffer)):
                buffer[: len(data)] = data
                return len(data)
        return 0


# What the standard library's archive readers raise on damaged input, beside their own errors.
BROKEN = (
    OSError,
    EOFError,
    zlib.error,
    lzma.LZMAError,
    tarfile.TarError,
    zipfile.BadZipFile,
    NotImplementedError,
    RuntimeError,
    ValueError,
    OverflowError,
    LookupError,
    struct.error,
)


_LONG = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)
_MAX_HEADER = 1024 * 1024


class Header(tarfile.TarInfo):
    """A tar header that fills no memory and ends no archive quietly: the library's own reads long names and sparse maps of any
    length, and takes a damaged header for the end."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Header:
        found = super().frombuf(buf, encoding, errors)
        if found.type in _LONG and found.size > _MAX_HEADER:
            raise tarfile.ReadError("a header that is too long")
        if found.type == tarfile.GNUTYPE_SPARSE:
            raise tarfile.ReadError("a sparse file")
        return found

    @classmethod
    def fromtarfile(cls, tarfile_: tarfile.TarFile) -> Header:
        try:
            return super().fromtarfile(tarfile_)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
            raise  # the block of zeros there has to be
        except tarfile.HeaderError as error:
            raise tarfile.ReadError("it is damaged or cut off") from error

    def _proc_gnusparse_10(self, *found: object) -> None:
        raise tarfile.ReadError("a sparse file")


def iter_records(paths: Iterable[str | Path], limits: Limits | None = None) -> Iterator[Raw | Refusal]:
    """Every record found under the paths, in a stable order, and a Refusal for every part that was not taken."""
    budget = _Budget(limits or Limits())
    for path in paths:
        yield from _path(Path(path), budget)


def read_advisories(paths: Iterable[str | Path], limits: Limits | None = None) -> Iterator[AdvisoryRecord | Refusal]:
    """``iter_records`` with every record read as OSV."""
    for found in iter_records(paths, limits):
        if isinstance(found, Refusal):
            yield found
            continue
        try:
            yield read_osv(found.read(), found.source)
        except Unreadable as error:
            yield Refusal(error.source, error.reason)


@contextmanager
def open_unpacked(path: Path, limits: Limits) -> Iterator[io.BufferedReader]:
    """The content of one file, gzip or xz undone by content, within the limits; every failure is Unreadable."""
    try:
        with path.open("rb") as stream:
            yield _opened(stream, _Budget(limits))
    except _TooMuch as error:
        raise Unreadable(path.name, str(error)) from error
    except BROKEN as error:
        raise Unreadable(path.name, f"cannot be read: {_plain(error)}") from error


def _opened(stream: BinaryIO, budget: _Budget) -> io.BufferedReader:
    head = stream.read(len(_XZ))
    stream.seek(0)
    inner: io.RawIOBase
    if head.startswith(_GZIP):
        inner = _Counted(cast("IO[bytes]", gzip.GzipFile(fileobj=stream)), stream, budget)
    elif head.startswith(_XZ):
        inner = _Counted(io.BufferedReader(_Xz(stream)), stream, budget)
    else:
        inner = _Plain(stream, budget)
    return io.BufferedReader(inner, _HEAD)


def _path(path: Path, budget: _Budget) -> Iterator[Raw | Refusal]:
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:
        yield Refusal(str(path), f"cannot be read: {_plain(error)}")
        return
    if stat.S_ISDIR(mode):
        yield from _folder(path, budget)
    elif stat.S_ISREG(mode):
        yield from _file(path, path.name, budget)
    else:
        yield Refusal(str(path), "neither a file nor a folder")


def _folder(root: Path, budget: _Budget) -> Iterator[Raw | Refusal]:
    inside = root.resolve()
    found = False
    failures: list[OSError] = []
    for here, folders, files in os.walk(root, onerror=failures.append):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in [*folders, *sorted(files)]:
            path = Path(here, name)
            shown = path.relative_to(root).as_posix()
            if path.is_symlink():
                # A link inside the tree is reached by its own name; one that leads out is somebody's trick or mistake.
                if not path.resolve().is_relative_to(inside):
                    yield Refusal(shown, "a link out of the folder")
                continue
            if name in folders or not name.lower().endswith(RECORD_SUFFIXES + ARCHIVE_SUFFIXES) or name.startswith("."):
                continue
            found = True
            if not path.is_file():
                yield Refusal(shown, "not a regular file")
                continue
            yield from _file(path, shown, budget)
    for error in failures:
        yield Refusal(str(error.filename), f"cannot be read: {_plain(error)}")
    if not found:
        yield Refusal(str(root), "no advisory files in it")


def _plain(error: BaseException) -> str:
    return (error.strerror if isinstance(error, OSError) and error.strerror else str(error)) or type(error).__name__


def _file(path: Path, source: str, budget: _Budget) -> Iterator[Raw | Refusal]:
    try:
        budget.member()
        with path.open("rb") as stream:
            head = stream.read(len(_ZIP))
            stream.seek(0)
            if head.startswith((_ZIP, _EMPTY_ZIP)):
                yield from _zip(stream, source, budget)
            else:
                yield from _stream(_opened(stream, budget), source, budget)
    except _TooMuch as error:
        yield Refusal(source, str(error))
    except BROKEN as error:
        yield Refusal(source, f"cannot be read: {_plain(error)}")


class _Plain(io.RawIOBase):
    """An ordinary file, counted against the total."""

    def __init__(self, stream: BinaryIO, budget: _Budget) -> None:
        self._stream, self._budget = stream, budget

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        data = self._stream.read(len(buffer))
        self._budget.spend(len(data))
        buffer[: len(data)] = data
        return len(data)


def _stream(stream: io.BufferedReader, source: str, budget: _Budget) -> Iterator[Raw | Refusal]:
    """A stream that is no longer compressed: tar, JSON Lines, JSON or YAML."""
    head = stream.peek(_HEAD)
    if head[257:262] == b"ustar":
        yield from _tar(stream, source, budget)
    elif _is_lines(head, source):
        yield from _lines(stream, source, budget)
    else:
        data = stream.read(budget.limits.document + 1)
        yield from _document(data, source, budget.limits, budget.limits.document)


def _is_lines(head: bytes, source: str) -> bool:
    if re.search(r"\.(jsonl|ndjson)(\.|$)", source.lower()):
        return True
    lines = [line for line in head.removeprefix(b"\xef\xbb\xbf").split(b"\n")[:50] if line.strip()]
    return len(lines) > 1 and lines[0].startswith(b"{") and lines[1].startswith(b"{")


def _lines(stream: io.BufferedReader, source: str, budget: _Budget) -> Iterator[Raw | Refusal]:
    number = 0
    limit = budget.limits.record
    while line := stream.readline(limit + 1):
        number += 1
        where = f"{source}:{number}"
        if len(line) > limit:
            while line and not line.endswith(b"\n"):
                line = stream.readline(limit)
            yield Refusal(where, f"a record longer than {limit} bytes")
        elif line.strip():
            budget.member()
            yield Raw(where, "json", line.strip())
    if number == 0:
        yield Refusal(source, "empty")


def _document(data: bytes, source: str, limits: Limits, most: int) -> Iterator[Raw | Refusal]:
    """One file's bytes: one record, or a JSON array, an OSV answer ({"vulns": [...]}) or a YAML stream of several."""
    start = data[:64].removeprefix(b"\xef\xbb\xbf").lstrip()
    if len(data) > most:
        yield Refusal(source, f"longer than {most} bytes")
    elif not data.strip():
        yield Refusal(source, "empty")
    elif start.startswith(b"{") and not data[:4096].removeprefix(b"\xef\xbb\xbf").lstrip()[1:].lstrip().startswith(
        b'"vulns"'
    ):
        if len(data) > limits.record:
            yield Refusal(source, f"a record longer than {limits.record} bytes")
        else:
            yield Raw(source, "json", data)
    elif start.startswith((b"[", b"{")):
        yield from _elements(data, source)
    elif _SECOND_DOCUMENT.search(data):
        try:
            yield from (_value(item, f"{source}#{index}") for index, item in enumerate(read_yaml(data, source)))
        except Unreadable as error:
            yield Refusal(error.source, error.reason)
    elif len(data) > limits.record:
        yield Refusal(source, f"a record longer than {limits.record} bytes")
    else:
        yield Raw(source, "yaml", data)


def _elements(data: bytes, source: str) -> Iterator[Raw | Refusal]:
    try:
        value = read_json(data, source)
    except Unreadable as error:
        yield Refusal(error.source, error.reason)
        return
    records = value.get("vulns") if isinstance(value, dict) else value
    if not isinstance(records, list):
        yield Refusal(source, "not a list of records")
        return
    yield from (_value(item, f"{source}#{index}") for index, item in enumerate(records))


def _value(value: object, source: str) -> Raw | Refusal:
    try:
        return Raw(source, "value", orjson.dumps(value, option=orjson.OPT_SORT_KEYS), value)
    except (TypeError, RecursionError) as error:
        return Refusal(source, f"content that JSON cannot carry: {error}")


def _bad_name(name: str) -> str:
    parts = name.replace("\\", "/").split("/")
    return "a name that leads out of the archive" if name.startswith(("/", "\\")) or ".." in parts else ""


def _tar(stream: io.BufferedReader, source: str, budget: _Budget) -> Iterator[Raw | Refusal]:
    with tarfile.open(fileobj=stream, mode="r|", tarinfo=Header) as archive:
        found = False
        for member in archive:
            budget.member()
            where = f"{source}!{member.name}"
            if member.isdir():
                continue
            reason = _bad_name(member.name)
            if not reason and not member.isreg():
                reason = "a link or special file in the archive"
            if not reason and not member.name.lower().endswith(RECORD_SUFFIXES):
                continue
            found = True
            if not reason and member.size > budget.limits.record:
                reason = f"a record longer than {budget.limits.record} bytes"
            if reason:
                yield Refusal(where, reason)
                continue
            content = archive.extractfile(member)
            data = content.read() if content else b""
            yield from _member(data, where, budget)
        if not found:
            yield Refusal(source, "no advisory files in it")


def _zip(stream: BinaryIO, source: str, budget: _Budget) -> Iterator[Raw | Refusal]:
    limits = budget.limits
    with zipfile.ZipFile(stream) as archive:
        found = False
        for info in archive.infolist():
            budget.member()
            where = f"{source}!{info.filename}"
            if info.is_dir():
                continue
            reason = _bad_name(info.filename)
            if not reason and stat.S_ISLNK(info.external_attr >> 16):
                reason = "a link or special file in the archive"
            if not reason and not info.filename.lower().endswith(RECORD_SUFFIXES):
                continue
            found = True
            if info.flag_bits & 0x1:
                reason = reason or "an encrypted member"
            if info.file_size > limits.record:
                reason = reason or f"a record longer than {limits.record} bytes"
            if reason:
                yield Refusal(where, reason)
                continue
            try:
                with archive.open(info) as content:
                    data = content.read(limits.record + 1)
            except BROKEN as error:
                yield Refusal(where, f"cannot be read: {_plain(error)}")
                continue
            budget.spend(len(data))
            yield from _member(data, where, budget)
        if not found:
            yield Refusal(source, "no advisory files in it")


def _member(data: bytes, where: str, budget: _Budget) -> Iterator[Raw | Refusal]:
    if _is_lines(data[:_HEAD], where):
        yield from _lines(io.BufferedReader(io.BytesIO(data)), where, budget)
    else:
        yield from _document(data, where, budget.limits, budget.limits.record)
