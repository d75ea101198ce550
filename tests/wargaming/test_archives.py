"""Archives of scenarios, as strangers may make them: bounded, without links, never leading out."""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile

import pytest

from tests.archives import tarred
from wargaming.archives import MAX_ARCHIVE_BYTES, files_in
from wargaming.errors import ScenarioRefused
from wargaming.scenarios import MAX_FILE_BYTES, MAX_FILES

FILES = {"case.yaml": b"id: x\n", "reproduce.py": b"", "control.py": b"print()\n"}


def zipped(files: dict[str, bytes], **attributes: int) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name)
            entry.compress_type = zipfile.ZIP_DEFLATED
            for key, value in attributes.items():
                setattr(entry, key, value)
            archive.writestr(entry, content)
    return out.getvalue()


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = kind, target
    return entry


@pytest.mark.parametrize("pack", [zipped, tarred, lambda files: gzip.compress(tarred(files))])
@pytest.mark.parametrize("outer", ["", "my-scenario/", "./my-scenario/"])
def test_a_folder_is_read_from_each_kind_of_archive_with_or_without_its_name(pack, outer) -> None:
    assert files_in(pack({f"{outer}{name}": content for name, content in FILES.items()})) == FILES


def test_folders_in_it_are_no_files() -> None:
    folder = tarfile.TarInfo("sub")
    folder.type = tarfile.DIRTYPE
    assert files_in(tarred(FILES, folder)) == FILES
    assert files_in(zipped(FILES | {"sub/": b""})) == FILES


BOMB = b"\0" * (40 << 20)
REFUSED = {
    "nothing": b"",
    "neither": b"not an archive at all",
    "too long": b"PK\x03\x04" + b"\0" * MAX_ARCHIVE_BYTES,
    "cut zip": zipped(FILES)[:-30],
    "cut gzip": gzip.compress(tarred(FILES))[:-20],
    "bad tar": b"a" * 257 + b"ustar" + b"\xff" * 700,
    "zip bomb": zipped({"case.yaml": BOMB}),
    "gzip bomb": gzip.compress(BOMB),
    "tar bomb in gzip": gzip.compress(tarred({"case.yaml": BOMB})),
    "many files": zipped({f"f{n}": b"" for n in range(MAX_FILES + 1)}),
    "many entries": tarred({}, *(special(f"d{n}", tarfile.DIRTYPE) for n in range(5 * MAX_FILES))),
    "large together": zipped({f"f{n}": b"\0" * MAX_FILE_BYTES for n in range(5)}),
    "up": zipped({"../case.yaml": b""}),
    "inner up": tarred({"a/../../case.yaml": b""}),
    "absolute": tarred({"/etc/passwd": b""}),
    "backslash": zipped({"..\\case.yaml": b""}),
    "zip link": zipped({"case.yaml": b"/etc/passwd"}, external_attr=0o120777 << 16),
    "encrypted": zipped(FILES).replace(b"PK\x01\x02\x14\x03\x14\x00\x00", b"PK\x01\x02\x14\x03\x14\x00\x01"),
    "symlink": tarred(FILES, special("link", tarfile.SYMTYPE, "/etc/passwd")),
    "hard link": tarred(FILES, special("link", tarfile.LNKTYPE, "case.yaml")),
    "pipe": tarred(FILES, special("pipe", tarfile.FIFOTYPE)),
    "device": tarred(FILES, special("zero", tarfile.CHRTYPE)),
    "twice": tarred(FILES, special("case.yaml", tarfile.REGTYPE)),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name: str) -> None:
    with pytest.raises(ScenarioRefused) as refused:
        files_in(REFUSED[name])
    assert refused.value.problems
