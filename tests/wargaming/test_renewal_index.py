"""The index as a resolver in the sandbox gets to see it: some versions of a project only, and nothing that would have to be built."""

import json

import pytest
from packaging.version import Version

from immune.renewal import CannotRenew
from wargaming.renewal import index as index_module
from wargaming.renewal import pypi
from wargaming.renewal.index import Index
from wargaming.renewal.poetry_text import metadata

METADATA = "Metadata-Version: 2.1\nName: A\nVersion: 1.0\nSummary: an a\nRequires-Python: >=3.8\nRequires-Dist: b<2\n"


def file(version, *, wheel=True, yanked=False):
    name = f"a-{version}-py3-none-any.whl" if wheel else f"a-{version}.tar.gz"
    address = f"https://mirror.example/group/packages/00/{name}"
    digest = f"{abs(hash(name)):064x}"[:64]
    return pypi.File(address, name, Version(version), wheel, digest, yanked)


@pytest.fixture
def index(monkeypatch):
    listed = [file("1.0"), file("1.0", wheel=False), file("2.0", yanked=True), file("3.0", wheel=False)]
    monkeypatch.setattr(pypi, "files", lambda client, name: listed)
    monkeypatch.setattr(pypi, "metadata", lambda client, wheel: METADATA)
    monkeypatch.setattr(index_module, "_known", {})
    return Index(None)


def names(found):
    return [one["filename"] for one in json.loads(found)["files"]]


def test_what_is_shown_by_name_is_all_there_is(index):
    index.shown = {"a": frozenset({Version("1.0")})}
    assert names(index.answer("/simple/a/")) == ["a-1.0-py3-none-any.whl", "a-1.0.tar.gz"]
    assert index.answer("/pypi/a/2.0/json") is None
    assert len(names(index.answer("/simple/other/"))) == 4


def test_addresses_are_the_public_ones_and_only_listed_wheels_have_metadata(index):
    page = json.loads(index.answer("/simple/a/"))
    assert page["files"][0]["url"] == "https://files.pythonhosted.org/packages/00/a-1.0-py3-none-any.whl"
    assert index.answer("/files/packages/00/a-1.0-py3-none-any.whl.metadata") == METADATA.encode()
    assert index.answer("/files/packages/00/a-1.0.tar.gz.metadata") is None


def test_a_locked_version_that_was_yanked_since_stays_and_is_taken_for_no_other(index):
    index.shown = {"a": frozenset({Version("2.0")})}
    assert [one["yanked"] for one in json.loads(index.answer("/simple/a/"))["files"]] == [False]
    index.shown = {}
    assert [one["yanked"] for one in json.loads(index.answer("/simple/a/"))["files"]] == [False, False, True, False]
    assert index.versions("a") == [Version("1.0")]


def test_a_release_is_told_by_its_wheel(index):
    found = json.loads(index.answer("/pypi/a/1.0/json"))
    assert found["info"]["requires_dist"] == ["b<2"]
    assert [one["packagetype"] for one in found["urls"]] == ["bdist_wheel", "sdist"]


def test_without_a_wheel_a_release_is_told_by_the_lock_that_holds_it_or_not_at_all(index):
    with pytest.raises(CannotRenew, match=r"a 3\.0 has no wheel; nothing is built from source"):
        index.answer("/pypi/a/3.0/json")
    locked = {
        "name": "A",
        "version": "3.0",
        "description": "an a",
        "python-versions": ">=3.8",
        "dependencies": {
            "b": "1.2.5",
            "c": {"version": "==2.*", "markers": 'os_name == "nt"'},
            "d": {"optional": True},
        },
        "extras": {"more": ["d (>=1)"]},
    }
    index.told = {("a", Version("3.0")): metadata(locked)}
    wanted = [str(one) for one in index.requires("a", "3.0")]
    assert wanted == ["b==1.2.5", 'c==2.*; os_name == "nt"']
    info = json.loads(index.answer("/pypi/a/3.0/json"))["info"]
    assert (info["requires_python"], info["requires_dist"][-1]) == (">=3.8", 'd>=1; extra == "more"')


@pytest.mark.parametrize(
    "change",
    [
        {"dependencies": {"b": ">=1 || >=3"}},
        {"dependencies": {"b": "not a version"}},
        {"dependencies": {"b @ http://evil.example/x": "*"}},
        {"version": "1\nRequires-Dist: evil"},
        {"extras": {"x": ["b @@"]}},
    ],
)
def test_what_a_lock_says_in_other_words_is_not_told(change):
    assert metadata({"name": "a", "version": "1", **change}) is None
