"""Reading what somebody sent: the same as the folder it was made of, and every attack refused with its reason."""

from __future__ import annotations

import gzip
import io
import lzma
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from immune import archive
from immune.archive import read_upload
from immune.inventory import Unreadable
from immune.reading import Reading
from tests.archives import tarred

FILES = {
    "app/requirements.txt": b"-r more/base.in\nidna==3.6\n",
    "app/more/base.in": b"flask==3.0.0\n",
    "app/web/package.json": b'{"dependencies": {"left-pad": "1.0.0"}}',
    "app/node_modules/x/package.json": b"not read",
    "app/README": b"nothing",
}


def zipped(files: dict[str, bytes], *, compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", compression) as out:
        for name, data in files.items():
            out.writestr(name, data)
    return made.getvalue()


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = kind, target
    return entry


def zipped_link(name: str, target: str) -> bytes:
    entry = zipfile.ZipInfo(name)
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    made = io.BytesIO(zipped({"requirements.txt": b"idna==3.6\n"}))
    with zipfile.ZipFile(made, "a") as out:
        out.writestr(entry, target)
    return made.getvalue()


def read(tmp_path: Path, data: bytes, name: str = "sent") -> Reading:
    path = tmp_path / "kept"
    path.write_bytes(data)
    return read_upload(path, name)


def reasons(reading: Reading) -> set[tuple[str, str]]:
    return {(one.source, one.reason) for one in reading.refused}


def refusals(tmp_path: Path, data: bytes) -> set[tuple[str, str]]:
    try:
        return reasons(read(tmp_path, data))
    except Unreadable as error:
        return {(error.source, error.reason)}


FORMS: dict[str, Callable[[], bytes]] = {
    "zip": lambda: zipped(FILES),
    "tar": lambda: tarred(FILES),
    "tar.gz": lambda: gzip.compress(tarred(FILES)),
    "tar.xz": lambda: lzma.compress(tarred(FILES)),
    "zip from Windows": lambda: zipped({name.replace("/", "\\"): data for name, data in FILES.items()}),
    "tar of .": lambda: tarred({f"./{name}": data for name, data in FILES.items()}),
}


@pytest.mark.parametrize("form", FORMS)
def test_each_form_of_archive_is_read_with_what_its_manifests_include(tmp_path: Path, form: str) -> None:
    reading = read(tmp_path, FORMS[form]())
    assert reading.refused == ()
    found = {(one.name, one.version, one.manifest) for one in reading.dependencies}
    assert found == {
        ("idna", "3.6", "app/requirements.txt"),
        ("flask", "3.0.0", "app/more/base.in"),
        ("left-pad", "1.0.0", "app/web/package.json"),
    }


@pytest.mark.parametrize(
    ("data", "name"),
    [(b"idna==3.6\n", "requirements.txt"), (gzip.compress(b"idna==3.6\n", mtime=0), "requirements.txt.gz")],
)
def test_a_single_manifest_is_read_by_the_name_it_goes_by(tmp_path: Path, data: bytes, name: str) -> None:
    assert [(one.name, one.version) for one in read(tmp_path, data, name).dependencies] == [("idna", "3.6")]


def test_what_a_manifest_includes_is_not_looked_for_outside_of_what_was_sent(tmp_path: Path) -> None:
    (tmp_path / "base.txt").write_text("flask==1.0\n")
    for data in (b"-r base.txt\n", b"-r ../base.txt\n", f"-r {tmp_path}/base.txt\n".encode()):
        alone = read(tmp_path, data, "requirements.txt")
        packed = read(tmp_path, zipped({"requirements.txt": data}))
        assert alone.dependencies == packed.dependencies == ()
        assert len(alone.refused) == len(packed.refused) == 1


@pytest.mark.parametrize("name", ["../requirements.txt", "/etc/requirements.txt", "a/../../requirements.txt"])
@pytest.mark.parametrize("form", [zipped, tarred])
def test_names_that_lead_out_are_refused_and_the_rest_is_read(
    tmp_path: Path, form: Callable[[dict[str, bytes]], bytes], name: str
) -> None:
    reading = read(tmp_path, form({"requirements.txt": b"idna==3.6\n", name: b"flask==1.0\n"}))
    assert [one.name for one in reading.dependencies] == ["idna"]
    assert reasons(reading) == {(name, "a name that leads out of the archive, or none")}


def test_links_are_not_followed(tmp_path: Path) -> None:
    inside = {"requirements.txt": b"idna==3.6\n"}
    manifest = (("sub/requirements.txt", "is a link, not a file"),)
    out = (("sub/more", "is a link out of the archive"),)
    for data, said in (
        (tarred(inside, link("sub/requirements.txt", "../requirements.txt")), manifest),
        (tarred(inside, link("sub/requirements.txt", "requirements.txt", tarfile.LNKTYPE)), manifest),
        (tarred(inside, link("sub/requirements.txt", "", tarfile.FIFOTYPE)), manifest),
        (zipped_link("sub/requirements.txt", "../requirements.txt"), manifest),
        (tarred(inside, link("sub/more", "../../elsewhere")), out),
        (tarred(inside, link("sub/more", "/etc")), out),
        (zipped_link("sub/more", "/etc"), out),
        (tarred(inside, link("sub/more", "../other")), ()),
    ):
        reading = read(tmp_path, data)
        assert [one.name for one in reading.dependencies] == ["idna"]
        assert reasons(reading) == set(said)


def test_a_manifest_that_is_there_twice_is_nobody_s_guess(tmp_path: Path) -> None:
    for data in (tarred({"requirements.txt": b"idna==3.6\n", "./requirements.txt": b"idna==3.7\n"}),):
        assert reasons(read(tmp_path, data)) == {("requirements.txt", "is there twice")}


def test_bombs_end_at_their_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_CHARACTERS", 1 << 20)
    monkeypatch.setattr(archive, "MAX_UNPACKED", 1 << 22)
    monkeypatch.setattr(archive, "MAX_MEMBERS", 50)
    monkeypatch.setattr(archive, "MAX_READ", 3 << 20)
    big, whole = b"#" * (2 << 20), b"#" * (1 << 20)
    for data in (zipped({"requirements.txt": big}), gzip.compress(tarred({"requirements.txt": big}))):
        [(source, reason)] = reasons(read(tmp_path, data))
        assert source == "requirements.txt"
        assert reason.startswith("larger than 1048576 bytes")
    many = {f"{n}/requirements.txt": whole for n in range(4)}
    assert {source for source, _ in reasons(read(tmp_path, zipped(many)))} == {"3/requirements.txt"}
    with pytest.raises(Unreadable, match="more than 4194304 bytes"):
        read(tmp_path, gzip.compress(tarred({"requirements.txt": b"#" * (5 << 20)})))
    for form in (zipped, tarred):
        with pytest.raises(Unreadable, match="more than 50 members"):
            read(tmp_path, form({f"{n}.txt": b"" for n in range(51)}))
    assert "a header that is too long" in read_reason(tmp_path, tarred({"a": b"", "x" * (1 << 21): b""}))


def read_reason(tmp_path: Path, data: bytes) -> str:
    [(_, reason)] = refusals(tmp_path, data)
    return reason


def test_a_sparse_map_is_not_read_at_all(tmp_path: Path) -> None:
    """The library would keep each number of it: some gigabytes for an archive of a few megabytes."""
    old = link("requirements.txt", "", tarfile.GNUTYPE_SPARSE)
    assert "a sparse file" in read_reason(tmp_path, tarred({}, old))
    new = tarfile.TarInfo("requirements.txt")
    new.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "x"}
    new.size = 512
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.PAX_FORMAT) as out:
        out.addfile(new, io.BytesIO(b"1\n0\n0\n".ljust(512, b"\0")))
    assert "a sparse file" in read_reason(tmp_path, made.getvalue())


def test_a_list_of_members_that_would_fill_the_memory_is_refused_before_it_is_read(tmp_path: Path) -> None:
    data = bytearray(zipped({"requirements.txt": b"idna==3.6\n"}))
    data[-10:-6] = (1 << 30).to_bytes(4, "little")  # the size the end record claims
    with pytest.raises(Unreadable, match="a list of members that is too long"):
        read(tmp_path, bytes(data))
    with pytest.raises(Unreadable, match="ZIP64"):
        read(tmp_path, zipped(FILES) + b"PK\x06\x07" + bytes(16) + b"PK\x05\x06" + bytes(18))


@pytest.mark.parametrize("cut", [700, 1030, 1600, 2100])
def test_a_tar_that_is_cut_off_or_damaged_is_never_clean(tmp_path: Path, cut: int) -> None:
    """The library ends quietly at a damaged header: what follows would be left out without a word."""
    whole = tarred({"requirements.txt": b"idna==3.6\n", "b/requirements.txt": b"flask==1.0\n"})
    damaged = bytearray(whole)
    damaged[1024:1536] = b"?" * 512
    for data in (whole[:cut], bytes(damaged)):
        assert refusals(tmp_path, data)


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", b"\x1f\x8bx", b"BZh9", zipped({}), tarred({"README": b"x"})])
def test_what_holds_no_manifest_is_unreadable_under_its_own_name(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(Unreadable) as said:
        read(tmp_path, data, "my.zip")
    assert said.value.source == "my.zip"


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_bytes_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    whole = bytearray(data.draw(st.sampled_from([make() for make in FORMS.values()])))
    for _ in range(data.draw(st.integers(1, 6))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    refusals(tmp_path_factory.mktemp("fuzz"), bytes(whole[: data.draw(st.integers(0, len(whole)))]))
