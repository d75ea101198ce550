"""Ids computed here are the ids git computes."""

import pytest

from immune import git
from immune.forges.git_objects import Entry, NotAFile, NothingThere, blob_id, plan, tree_id
from immune.git_mirror import mirror
from immune.git_process import run
from tests.immune.repositories import IMMUNE, NOON, checkout


def folders_of(where, commit):
    """Every folder of a commit, as the plan wants them."""
    found = {}

    def read(path, tree):
        lines = run(["ls-tree", "-z", tree], git_dir=where.path).out.decode().split("\0")
        entries = []
        for line in filter(None, lines):
            head, _, name = line.partition("\t")
            mode, _, sha = head.split()
            entries.append(Entry(name, mode.lstrip("0"), sha))
            if mode == "040000":
                read(f"{path}/{name}".lstrip("/"), sha)
        found[path] = tuple(entries)

    read("", git.tree_of(where, commit))
    return found


@pytest.fixture
def where(tmp_path):
    files = {"a.txt": "a", "lib.py": "x", "lib/b.py": "b", "lib/deep/c.py": "c", "lib-x/d": "d", "run.sh": "#!"}
    return mirror(checkout(tmp_path / "p", files), tmp_path / "m.git")


@pytest.mark.parametrize(
    "changes",
    [
        {"a.txt": b"new"},
        {"lib/deep/c.py": b"new", "lib/b.py": None},
        {"lib/deep/c.py": None},
        {"new/folder/file": b"\xff"},
        {"lib/deep/c.py": None, "lib/b.py": None},
        {"lib0": b"sorts between lib.py and lib/"},
        {"a.txt": b"a"},
    ],
)
def test_the_planned_tree_is_the_one_git_writes(where, changes):
    head = git.head_of(where, "main")
    planned = plan(folders_of(where, head), changes)
    made = head
    if changes != {"a.txt": b"a"}:
        made = git.commit_files(where, head, changes, message="m", author=IMMUNE, when=NOON)
    assert planned.tree == git.tree_of(where, made)


def test_contents_and_empty_folders_have_gits_own_ids():
    assert blob_id(b"") == "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"
    assert tree_id([]) == "4b825dc642cb6eb9a060e54bf8d69288fbee4904"


def test_what_is_no_file_is_not_written_over_and_what_is_absent_not_removed():
    link = {"": (Entry("link", "120000", "1" * 40), Entry("lib", "40000", "2" * 40)), "lib": ()}
    for path in ("link", "lib", "link/below"):
        with pytest.raises(NotAFile):
            plan(link, {path: b"x"})
    with pytest.raises(NothingThere):
        plan(link, {"absent": None})
