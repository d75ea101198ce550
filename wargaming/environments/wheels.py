"""What a build in the sandbox gives: bytes that claim to be a wheel. Checked, written anew, kept under their own hash.

Nothing of the archive is used as it came: what passes is packed again out here, with a RECORD and an archive directory of our own, so
that no two readers can see different things in it, and so that the same content has the same hash. No code of it runs.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import re
import stat
import struct
import tempfile
import zipfile
import zlib
from dataclasses import dataclass
from email.parser import Parser
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import InvalidVersion, Version

from immune.formats import limits

MAX_WHEEL_BYTES = 32 << 20
MAX_UNPACKED_BYTES = 256 << 20
MAX_ENTRIES = 20_000
_MAX_METADATA = 4 << 20
_CHUNK = 1 << 20
_PLAIN = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_SAFE = re.compile(r"[^\x00-\x1f\x7f\\:]{1,400}")
_DATA_KEYS = frozenset({"purelib", "platlib", "headers", "scripts", "data"})
_SHA256 = re.compile(r"[0-9a-f]{64}")


class WheelRefused(ValueError):
    """The bytes are not the wheel that was asked for, or nothing that may be unpacked; the text says why."""


@dataclass(frozen=True, slots=True)
class BuiltWheel:
    """A wheel built here: where it is kept, its own SHA-256, and that of the source distribution it came from."""

    name: str
    version: str
    path: Path
    sha256: str
    source: str
    source_sha256: str

    @property
    def said(self) -> str:
        wheel, source = f"wheel sha256:{self.sha256}", f"{self.source} sha256:{self.source_sha256}"
        return f"{self.name} {self.version} built from source here ({wheel}, from {source})"


class Wheelhouse:
    """The wheels under ``root``, one folder per SHA-256, and beside them which build gave which."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def kept(self, build: str) -> BuiltWheel | None:
        """What the build named ``build`` gave before; None when it is not there, or no longer what it was."""
        try:
            return self._read(self._root / f"{build}.json")
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def keep(self, build: str, filename: str, content: bytes, *, source: str, source_sha256: str) -> BuiltWheel:
        """Keeps a checked wheel (``checked_wheel``)."""
        sha256 = hashlib.sha256(content).hexdigest()
        folder = self._root / sha256
        folder.mkdir(parents=True, exist_ok=True)
        _write(folder / filename, content)
        name, version, _, _ = parse_wheel_filename(filename)
        facts = {"name": name, "version": str(version), "filename": filename, "sha256": sha256}
        facts |= {"source": source, "source_sha256": source_sha256}
        _write(self._root / f"{build}.json", json.dumps(facts).encode())
        return BuiltWheel(name, str(version), folder / filename, sha256, source, source_sha256)

    def among(self, lock: str) -> tuple[BuiltWheel, ...]:
        """The wheels kept here that the lock's text names by hash."""
        wanted = {found for found in re.findall(r"--hash=sha256:([0-9a-f]{64})", lock) if (self._root / found).is_dir()}
        found: dict[str, BuiltWheel] = {}
        for path in sorted(self._root.glob("*.json")) if wanted else ():
            wheel = self.kept(path.stem)
            if wheel is not None and wheel.sha256 in wanted:
                found.setdefault(wheel.sha256, wheel)
        return tuple(found.values())

    def _read(self, path: Path) -> BuiltWheel | None:
        raw = json.loads(path.read_text())
        if not _SHA256.fullmatch(raw["sha256"]):
            return None
        wheel = self._root / raw["sha256"] / Path(raw["filename"]).name
        if hashlib.sha256(wheel.read_bytes()).hexdigest() != raw["sha256"]:
            return None
        return BuiltWheel(raw["name"], raw["version"], wheel, raw["sha256"], raw["source"], raw["source_sha256"])


def _write(path: Path, content: bytes) -> None:
    fd, name = tempfile.mkstemp(dir=path.parent, prefix=".new-")
    with os.fdopen(fd, "wb") as out:
        out.write(content)
    os.replace(name, path)


def checked_wheel(filename: str, content: bytes, *, name: str, version: str, python: tuple[int, int]) -> bytes:
    """The wheel anew: pure files under the asked name and version, of which no path leads out. Raises ``WheelRefused``.

    ``python`` is the interpreter it is for, as (3, 11), on this machine.
    """
    if len(content) > MAX_WHEEL_BYTES:
        raise WheelRefused(f"the wheel is larger than {MAX_WHEEL_BYTES >> 20} MB")
    _check_filename(filename, name, version, python)
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            files = _unpacked(archive)
    except WheelRefused:
        raise
    except (zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, RuntimeError, ValueError) as error:
        # ValueError: offsets before the beginning of the file.
        raise WheelRefused("not a ZIP archive that can be read") from error
    info = _info_folder(files, name, version)
    _check_metadata(files, info, name, version)
    return _packed(files, info)


def _check_filename(filename: str, name: str, version: str, python: tuple[int, int]) -> None:
    try:
        owner, named, _, tags = parse_wheel_filename(filename)
    except (InvalidWheelFilename, InvalidVersion) as error:
        raise WheelRefused(f"{limits.shown(filename)} is not the name of a wheel") from error
    if not re.fullmatch(r"[A-Za-z0-9._+!-]+", filename):
        raise WheelRefused(f"{limits.shown(filename)} is not the name of a wheel")
    if owner != canonicalize_name(name) or named != Version(version):
        raise WheelRefused(f"{limits.shown(filename)} is not {name} {version}")
    if tags.isdisjoint(_supported(python)):
        raise WheelRefused(f"{limits.shown(filename)} is not for Python {python[0]}.{python[1]} on this machine")


def _supported(python: tuple[int, int]) -> set[Tag]:
    return {*cpython_tags(python), *compatible_tags(python, f"cp{python[0]}{python[1]}")}


_Files = dict[str, tuple[bytes, bool]]  # path → content, whether it may be run


def _unpacked(archive: zipfile.ZipFile) -> _Files:
    entries = archive.infolist()
    if len(entries) > MAX_ENTRIES:
        raise WheelRefused(f"the wheel holds more than {MAX_ENTRIES} entries")
    files: _Files = {}
    spellings: set[str] = set()
    left = MAX_UNPACKED_BYTES
    for entry in entries:
        # zipfile cuts a name at its NUL; what stood there originally counts.
        _check_path(entry.orig_filename)
        mode = entry.external_attr >> 16
        if (
            stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR)
            or entry.flag_bits & 1
            or entry.compress_type not in _PLAIN
        ):
            raise WheelRefused(f"{limits.shown(entry.filename)} is not a plain file")
        if entry.is_dir():
            continue
        if entry.filename.casefold() in spellings:
            raise WheelRefused(f"{limits.shown(entry.filename)} stands in it twice")
        spellings.add(entry.filename.casefold())
        # What an archive says of its sizes is not believed.
        content = bytearray()
        with archive.open(entry) as stream:
            while chunk := stream.read(min(_CHUNK, left + 1)):
                content += chunk
                left -= len(chunk)
                if left < 0:
                    raise WheelRefused(f"the wheel unpacks to more than {MAX_UNPACKED_BYTES >> 20} MB")
        files[entry.filename] = (bytes(content), bool(mode & 0o111))
    for path in files:
        parents = path.split("/")[:-1]
        if any("/".join(parents[: depth + 1]) in files for depth in range(len(parents))):
            raise WheelRefused(f"{limits.shown(path)} lies below a file")
    return files


def _check_path(path: str) -> None:
    parts = path.rstrip("/").split("/")
    if not _SAFE.fullmatch(path) or any(part in ("", ".", "..") for part in parts):
        raise WheelRefused(f"{limits.shown(path)} is not a path inside a wheel")


def _info_folder(files: _Files, name: str, version: str) -> str:
    folders = {path.split("/")[0] for path in files if "/" in path}
    infos = [folder for folder in folders if folder.endswith(".dist-info")]
    if len(infos) != 1:
        raise WheelRefused(f"the wheel holds {len(infos)} .dist-info folders")
    stem = infos[0].removesuffix(".dist-info")
    owner, _, named = stem.partition("-")
    try:
        same = canonicalize_name(owner) == canonicalize_name(name) and Version(named) == Version(version)
    except InvalidVersion:
        same = False
    if not same:
        raise WheelRefused(f"{limits.shown(infos[0])} is not of {name} {version}")
    for path in files:
        top, _, rest = path.partition("/")
        if top.endswith(".data") and (top != f"{stem}.data" or rest.split("/")[0] not in _DATA_KEYS or "/" not in rest):
            raise WheelRefused(f"{limits.shown(path)} has no place when it is installed")
    return infos[0]


def _check_metadata(files: _Files, info: str, name: str, version: str) -> None:
    raw = files.get(f"{info}/METADATA", (b"", False))[0]
    if not raw or len(raw) > _MAX_METADATA or f"{info}/WHEEL" not in files:
        raise WheelRefused("the wheel has no METADATA and WHEEL that can be read")
    said = Parser().parsestr(raw.decode("utf-8", "replace"), headersonly=True)
    names, versions = said.get_all("Name") or [], said.get_all("Version") or []
    try:
        same = [canonicalize_name(one) for one in names] == [canonicalize_name(name)]
        same = same and [Version(one) for one in versions] == [Version(version)]
    except InvalidVersion:
        same = False
    if not same:
        raise WheelRefused(
            f"its METADATA are of {limits.shown(' '.join([*names, *versions]))}, not of {name} {version}"
        )
    for line in said.get_all("Requires-Dist") or ():
        try:
            elsewhere = Requirement(line).url is not None
        except (InvalidRequirement, RecursionError) as error:
            raise WheelRefused(f"it requires {limits.shown(line)}, which is no requirement") from error
        if elsewhere:
            raise WheelRefused(f"it requires {limits.shown(line)}, from an address")


def _packed(files: _Files, info: str) -> bytes:
    record = f"{info}/RECORD"
    lines = []
    kept = {path: file for path, file in files.items() if path not in (record, f"{record}.jws", f"{record}.p7s")}
    for path, (content, _) in sorted(kept.items()):
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        quoted = '"' + path.replace('"', '""') + '"' if set(path) & {",", '"'} else path
        lines.append(f"{quoted},sha256={digest},{len(content)}\n")
    kept[record] = ("".join([*lines, f"{record},,\n"]).encode(), False)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, (content, runs) in sorted(kept.items()):
            entry = zipfile.ZipInfo(path, (1980, 1, 1, 0, 0, 0))
            entry.external_attr = (stat.S_IFREG | (0o755 if runs else 0o644)) << 16
            archive.writestr(entry, content, zipfile.ZIP_DEFLATED)
    return out.getvalue()
