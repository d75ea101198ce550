"""Reading stored patches for display."""

from __future__ import annotations

from reviews.console import diff
from tests.reviews.cast import patch


def test_a_bump_shows_its_lines_with_their_numbers() -> None:
    found = diff.read(patch("requests", "2.31.0", "2.32.4"))
    [file] = found.files
    assert (file.name, file.added, file.removed, found.odd) == ("requirements.txt", 1, 1, False)
    assert [(line.kind, line.old, line.new) for line in file.lines] == [
        ("head", None, None),
        ("same", 1, 1),
        ("same", 2, 2),
        ("removed", 3, None),
        ("added", None, 3),
        ("same", 4, 4),
        ("same", 5, 5),
    ]


def test_what_changed_within_the_line_is_marked() -> None:
    lines = diff.read(patch("requests", "2.31.0", "2.32.4")).files[0].lines
    assert (lines[3].before, lines[3].middle, lines[3].after) == (
        "requests==2.3",
        "1.0",
        "  # keep in step with the proxy",
    )
    assert lines[4].middle == "2.4"


def test_a_removed_line_that_looks_like_a_file_head_is_a_removed_line() -> None:
    text = "--- a/x\n+++ b/x\n@@ -1,2 +1,2 @@\n--- a/harmless\n+++ b/harmless\n same\n"
    found = diff.read(text)
    assert [file.name for file in found.files] == ["x"]
    assert [line.kind for line in found.files[0].lines] == ["head", "removed", "added", "same"]


def test_lines_behind_the_end_of_a_hunk_are_shown_and_called_odd() -> None:
    found = diff.read("--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n+smuggled\n")
    assert found.odd
    assert found.files[0].lines[-1].text == "+smuggled"


def test_a_hunk_that_ends_early_is_odd() -> None:
    assert diff.read("--- a/x\n+++ b/x\n@@ -1,9 +1,9 @@\n a\n").odd


def test_text_that_is_no_diff_is_shown_all_the_same() -> None:
    found = diff.read("rm -rf /\n")
    assert found.odd
    assert found.files[0].lines[0].text == "rm -rf /"


def test_an_endless_patch_is_capped() -> None:
    found = diff.read("--- a/x\n+++ b/x\n@@ -0,0 +1,90000 @@\n" + "+a\n" * 90000)
    assert found.left_out == 90003 - diff.MOST_LINES


def test_several_files_and_a_new_one() -> None:
    text = (
        patch("a", "1", "2")
        + "diff --git a/n b/n\nnew file mode 100644\nindex 0..1\n--- /dev/null\n+++ b/n\n@@ -0,0 +1 @@\n+x\n\\ No newline at end of file\n"
    )
    found = diff.read(text)
    assert [file.name for file in found.files] == ["requirements.txt", "n"]
    assert not found.odd


def test_an_empty_patch_has_no_files() -> None:
    assert diff.read("").files == ()
