"""What a build hands out is a stranger's archive: only the wheel that was asked for passes, and it is written anew."""

import io
import stat
import sys
import zipfile

import pytest

from wargaming.environments import wheels
from wargaming.environments.resolve import without_wheel
from wargaming.environments.spec import EnvironmentSpec, Lock
from wargaming.environments.wheels import Wheelhouse, WheelRefused, checked_wheel
from wargaming.environments.workshop import exact_pins

PYTHON = sys.version_info[:2]
NAME = "tiny-1.0-py3-none-any.whl"
METADATA = "Metadata-Version: 2.1\nName: Tiny\nVersion: 1.0\n"
GOOD = {
    "tiny.py": "x = 1\n",
    "tiny-1.0.dist-info/METADATA": METADATA,
    "tiny-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    "tiny-1.0.dist-info/RECORD": "../../../etc/passwd,,\n",
}


def packed(files, *more):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, text in files.items():
            archive.writestr(path, text)
        for entry, text in more:
            archive.writestr(entry, text)
    return out.getvalue()


def checked(content, filename=NAME):
    return checked_wheel(filename, content, name="tiny", version="1.0", python=PYTHON)


def test_the_wheel_asked_for_passes_with_a_record_of_our_own_and_the_same_bytes_each_time():
    new = checked(packed(GOOD))
    with zipfile.ZipFile(io.BytesIO(new)) as archive:
        assert archive.read("tiny.py") == b"x = 1\n"
        record = archive.read("tiny-1.0.dist-info/RECORD").decode()
    assert ".." not in record
    assert "tiny.py,sha256=" in record
    assert checked(packed(dict(reversed(GOOD.items())))) == new


@pytest.mark.parametrize(
    "filename",
    [
        "other-1.0-py3-none-any.whl",
        "tiny-1.1-py3-none-any.whl",
        "tiny-1.0-py3-none-win_amd64.whl",
        "tiny-1.0-cp26-cp26-any.whl",
        "tiny-1.0.tar.gz",
        "../tiny-1.0-py3-none-any.whl",
        "tiny-1.0-py3-none-any.whl/../x-1-py3-none-any.whl",
        "tiny-1.0-\n1-py3-none-any.whl",
        "",
    ],
)
def test_another_name_version_or_platform_is_refused(filename):
    with pytest.raises(WheelRefused):
        checked(packed(GOOD), filename)


@pytest.mark.parametrize(
    "path",
    [
        "../evil.py",
        "a/../../evil.py",
        "/etc/cron.d/evil",
        "a//b.py",
        "./a.py",
        "a\\..\\b.py",
        "c:/x.py",
        "a\x01.py",
        "tiny-1.0.data/evil/x",
        "other-1.0.data/scripts/x",
        "other-2.0.dist-info/METADATA",
        "TINY.py",
        "tiny.py/below",
    ],
)
def test_a_path_that_leads_out_or_has_no_place_is_refused(path):
    with pytest.raises(WheelRefused):
        checked(packed(GOOD | {path: "x"}))


def test_a_name_cut_at_its_nul_is_refused():
    content = packed(GOOD | {"a.py@../b": "x"}).replace(b"a.py@../b", b"a.py\0../b")
    with pytest.raises(WheelRefused):
        checked(content)


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR])
def test_only_plain_files_are_in_a_wheel(kind):
    entry = zipfile.ZipInfo("tiny_link")
    entry.external_attr = (kind | 0o777) << 16
    with pytest.raises(WheelRefused, match="not a plain file"):
        checked(packed(GOOD, (entry, "/etc/passwd")))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_one_path_twice_is_refused():
    with pytest.raises(WheelRefused, match="twice"):
        checked(packed(GOOD, ("tiny.py", "x = 2\n")))


@pytest.mark.parametrize(
    ("metadata", "why"),
    [
        (METADATA.replace("Tiny", "other"), "METADATA are of"),
        (METADATA.replace("Version: 1.0", "Version: 2.0"), "METADATA are of"),
        (METADATA + "Name: other\n", "METADATA are of"),
        ("", "no METADATA"),
        (METADATA + "Requires-Dist: x @ http://evil.example/x.whl\n", "from an address"),
        (METADATA + "Requires-Dist: ../../x\n", "no requirement"),
    ],
)
def test_metadata_of_something_else_or_that_lead_elsewhere_are_refused(metadata, why):
    with pytest.raises(WheelRefused, match=why):
        checked(packed(GOOD | {"tiny-1.0.dist-info/METADATA": metadata}))


def test_what_unpacks_without_end_is_refused_whatever_it_says_of_its_size(monkeypatch):
    monkeypatch.setattr(wheels, "MAX_UNPACKED_BYTES", 1 << 20)
    with pytest.raises(WheelRefused, match="unpacks to more"):
        checked(packed(GOOD | {"bomb": "\0" * (3 << 20)}))
    monkeypatch.setattr(wheels, "MAX_ENTRIES", 3)
    with pytest.raises(WheelRefused, match="entries"):
        checked(packed(GOOD))
    monkeypatch.setattr(wheels, "MAX_WHEEL_BYTES", 10)
    with pytest.raises(WheelRefused, match="larger than"):
        checked(packed(GOOD))


@pytest.mark.parametrize("content", [b"", b"PK", b"not a wheel" * 100, packed(GOOD)[:-30], packed(GOOD)[40:]])
def test_what_is_no_archive_is_refused(content):
    with pytest.raises(WheelRefused):
        checked(content)


def test_a_kept_wheel_is_found_by_build_and_by_the_hash_a_lock_names_and_never_altered(tmp_path):
    house = Wheelhouse(tmp_path)
    content = checked(packed(GOOD))
    kept = house.keep("b1", NAME, content, source="tiny-1.0.tar.gz", source_sha256="0" * 64)
    assert house.kept("b1") == kept
    assert house.kept("b2") is None
    assert house.among(f"tiny==1.0 \\\n    --hash=sha256:{kept.sha256}\n") == (kept,)
    assert house.among("tiny==1.0 \\\n    --hash=sha256:" + "1" * 64) == ()
    kept.path.write_bytes(b"altered")
    assert house.kept("b1") is None


def test_the_packages_without_wheels_are_read_from_the_resolvers_words():
    said = "Because a==1 has no wheels with a matching\n platform tag.\nhint: Wheels are required for `b-c` because"
    assert set(without_wheel(said)) == {"a", "b-c"}


def test_only_what_is_asked_for_by_exact_version_is_built():
    spec = EnvironmentSpec("PyPI", ("Foo[x]==1.0", "bar>=2", "baz==1.*"), ("bar==2.5", "foo==0.9"))
    assert exact_pins(spec, None) == {"foo": "1.0", "bar": "2.5"}
    assert exact_pins(spec, Lock("PyPI", (("qux", "3"),), "")) == {"foo": "1.0", "qux": "3"}
