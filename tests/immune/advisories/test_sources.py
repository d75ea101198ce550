"""What is read from disk, and what is refused with a reason while the rest is taken."""

from __future__ import annotations

import gzip
import io
import json
import lzma
import tarfile
import zipfile

import pytest

from immune.advisories.osv import AdvisoryRecord
from immune.advisories.sources import Limits, iter_records, read_advisories
from immune.inventory import Refusal
from tests.immune.shared_data import SHARED, needs_shared_data


def record(identifier="A-1", **more):
    return {"id": identifier, "modified": "2026-01-01T00:00:00Z", **more}


def text(identifier="A-1", **more):
    return json.dumps(record(identifier, **more)).encode()


def read(*paths, limits=None):
    found = list(read_advisories(paths, limits))
    return (
        sorted(r.id for r in found if isinstance(r, AdvisoryRecord)),
        [r.reason for r in found if isinstance(r, Refusal)],
    )


def tar_of(path, members, mode="w"):
    with tarfile.open(path, mode) as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            if isinstance(content, str):
                info.type, info.linkname = tarfile.SYMTYPE, content
                archive.addfile(info)
            else:
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return path


YAML = b"id: A-1\nmodified: 2026-01-01T00:00:00Z\nsummary: 1.10\n"


@pytest.mark.parametrize(
    ("name", "content", "ids"),
    [
        ("a.json", text(), ["A-1"]),
        ("a.json", json.dumps(record(), indent=1).encode(), ["A-1"]),
        ("a.json", b"\xef\xbb\xbf" + text(), ["A-1"]),
        ("a.json", json.dumps([record("A-1"), record("A-2")]).encode(), ["A-1", "A-2"]),
        ("a.json", json.dumps({"vulns": [record("A-1"), record("A-2")]}).encode(), ["A-1", "A-2"]),
        ("a.jsonl", text("A-1") + b"\n\n" + text("A-2"), ["A-1", "A-2"]),
        ("no-suffix", text("A-1") + b"\n" + text("A-2") + b"\n", ["A-1", "A-2"]),
        ("a.yaml", YAML, ["A-1"]),
        ("a.yaml", YAML + b"---\n" + YAML.replace(b"A-1", b"A-2"), ["A-1", "A-2"]),
        ("named-wrongly.yaml", gzip.compress(text(), mtime=0), ["A-1"]),
        ("a.json.xz", lzma.compress(text()), ["A-1"]),
    ],
)
def test_every_shape_of_file_is_read_by_its_content(tmp_path, name, content, ids):
    (tmp_path / name).write_bytes(content)
    assert read(tmp_path / name) == (ids, [])


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz"])
def test_a_tar_is_read_and_what_is_no_advisory_is_left(tmp_path, mode):
    path = tar_of(tmp_path / "a.tar", [("x/a.json", text("A-1")), ("README.md", b"# no"), ("b.yaml", YAML)], mode)
    assert read(path) == (["A-1", "A-1"], [])


def test_a_zip_and_a_folder_are_read(tmp_path):
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.writestr("A-1.json", text("A-1"))
        archive.writestr("A-2.json", text("A-2"))
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "deep" / "er" / "a.json").write_bytes(text("A-3"))
    (tmp_path / "LICENSE").write_bytes(b"words")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "x.json").write_bytes(text("A-9"))
    assert read(tmp_path) == (["A-1", "A-2", "A-3"], [])


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.json", b"", "empty"),
        ("a.json", b'{"id": "A-1"', "not JSON"),
        ("a.json", b'{"id": "A-1", "id": "A-2"}', "duplicate key 'id'"),
        ("a.json", b'{"id": NaN}', "NaN is not JSON"),
        ("a.json", b'{"id": "\xff"}', "not UTF-8"),
        ("a.json", text().decode().encode("utf-16"), "not UTF-8"),
        ("a.json", b'{"a":' * 100_000, "nested deeper"),
        ("a.json", b'{"a":' + b"[" * 80 + b"]" * 80 + b"}", "nested deeper"),
        ("a.json", b'{"a": ' + b"9" * 100_000 + b"}", ""),
        ("a.json", text(summary="\ud800"), "JSON cannot carry"),
        ("a.json", text(summary="a\0b"), "NUL"),
        ("a.json", text(summary="x" * 10_000_000), "longer than"),
        ("a.json", text(modified="yesterday"), "modified: not an RFC 3339 time"),
        ("a.json", text(aliases="CVE-1"), "aliases: expected a list, found text"),
        ("a.yaml", b"id: [A-1\n", "not YAML"),
        ("a.yaml", b"id: A-1\nid: A-2\n", "duplicate key 'id'"),
        ("a.yaml", b"a: &x [1]\nb: *x\n", "alias"),
        ("a.yaml", b"a: !!python/object/apply:os.system [id]\n", "tag"),
        ("a.yaml", b"[" * 5000, "nested deeper"),
        ("a.yaml", b"- " * 5000, "nested deeper"),
        ("a.json.gz", gzip.compress(text(), mtime=0)[:-12], "cannot be read"),
        ("a.json.xz", lzma.compress(text())[:-12], "cannot be read"),
        ("a.zip", b"PK\x03\x04 and nothing more", "cannot be read"),
    ],
)
def test_a_broken_file_is_refused_with_its_reason(tmp_path, name, content, reason):
    (tmp_path / name).write_bytes(content)
    (tmp_path / "good.json").write_bytes(text("GOOD-1"))
    ids, refused = read(tmp_path)
    assert ids == ["GOOD-1"]
    assert len(refused) == 1
    assert reason in refused[0]


def test_a_broken_line_is_refused_by_its_number_and_the_rest_is_taken(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(text("A-1") + b"\n{broken\n" + text("A-3") + b"\n" + b'{"id": 3}\n')
    found = list(read_advisories([path]))
    assert [getattr(r, "id", None) or r.source for r in found] == ["A-1", "a.jsonl:2", "A-3", "a.jsonl:4"]


def test_links_and_names_out_of_the_tree_are_refused(tmp_path):
    outside = tmp_path / "outside.json"
    outside.write_bytes(text("SECRET-1"))
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "link.json").symlink_to(outside)
    (tree / "dir.json").symlink_to(tmp_path)
    tar_of(tree / "t.tar", [("../up.json", text("A-1")), ("/abs.json", text("A-2")), ("s.json", "../outside.json")])
    with zipfile.ZipFile(tree / "z.zip", "w") as archive:
        archive.writestr("../up.json", text("A-3"))
    ids, refused = read(tree)
    assert ids == []
    assert len(refused) == 6


def test_a_tar_that_is_damaged_in_its_middle_or_cut_off_is_said_to_be(tmp_path):
    """The library takes either for the end: records after it would be missing without a word."""
    tar_of(tmp_path / "a.tar", [("a.json", text("A-1")), ("b.json", text("A-2"))])
    whole = (tmp_path / "a.tar").read_bytes()
    for data in (whole[:1024] + b"?" * 512 + whole[1536:], whole[:1024], whole[:1100]):
        (tmp_path / "b.tar").write_bytes(data)
        assert read(tmp_path / "b.tar") == (["A-1"], ["cannot be read: it is damaged or cut off"])


def test_a_decompression_bomb_is_given_up_early(tmp_path):
    (tmp_path / "bomb.json.gz").write_bytes(gzip.compress(b"\n" * 200_000_000, 9))
    (tmp_path / "bomb.xz").write_bytes(lzma.compress(b"\n" * 100_000_000))
    ids, refused = read(tmp_path)
    assert ids == []
    assert all("times its size" in reason for reason in refused)
    assert len(refused) == 2


def test_bounds_on_members_sizes_and_totals_hold(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(20):
            archive.writestr(f"{number}.json", text(f"A-{number}", details="x" * 5000))
    assert "members" in read(tmp_path / "a.zip", limits=Limits(members=10))[1][0]
    assert "bytes in all" in read(tmp_path / "a.zip", limits=Limits(total=20_000))[1][0]
    assert len(read(tmp_path / "a.zip", limits=Limits(record=1000))[1]) == 20


def test_a_missing_path_and_a_folder_without_advisories_are_refused_not_empty(tmp_path):
    assert "cannot be read" in read(tmp_path / "nowhere")[1][0]
    assert read(tmp_path) == ([], ["no advisory files in it"])


def test_the_digest_of_the_bytes_needs_no_parsing(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(b"{not json at all\n")
    (raw,) = iter_records([tmp_path / "a.jsonl"])
    assert len(raw.digest) == 64


@needs_shared_data
def test_yaml_and_json_of_one_database_are_the_same_records():
    pypi = SHARED / "advisories" / "pypi"
    as_yaml, as_json = (
        {r.id: r.digest for r in read_advisories([pypi / name])}
        for name in ("pypa-yaml-2026-07-23.tar.xz", "pypa-osv-2026-07-23.jsonl.gz")
    )
    assert len(as_json) == 3182
    assert as_yaml == as_json
