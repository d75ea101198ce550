"""Untrusted words at GitHub: they are seen, and do nothing."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from immune.forges.base import Part, Style
from immune.forges.github_text import MAX_BODY, Markers, fenced, markdown, message, plain, rendered

MARKERS = Markers("acme/shop", (b"a" * 16, b"b" * 16))
MENTION = re.compile(r"(?:^|[^A-Za-z0-9_`])@[A-Za-z0-9]")

ATTACKS = [
    "@octocat", "mail@octocat.example", "(@acme/team)", "fixes #12", "closes acme/shop#12", "GH-12", "see gh-1",
    "https://evil.example/x", "www.evil.example", "HTTP://evil.example", "mailto:a@b.example", "[x](y)", "![x](y)",
    "<img src=x>", "<!-- immune:1:pull:x:00 -->", "<details>", "```\n@a", "| a | b |", "# big", "1. one", "- [ ] task",
    "deadbeefdeadbeefdeadbeefdeadbeefdeadbeef", "$x$", "&commat;octocat", "\u202ereversed", "a\u200d@octocat", "\x1b[31m",
    "[skip ci]", "Co-authored-by: Eve <eve@evil.example>", "skip-checks: true", "\\@octocat", "\\\\@octocat", "~~x~~",
]  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("make", [markdown, plain, message])
def test_nothing_in_a_text_is_taken_for_more_than_text(attack, make):
    made = make(f"before {attack} after")
    assert not MENTION.search(made)
    assert not re.search(r"(?i)#\d|gh-\d|https?:|www\.|mailto:|\b[0-9a-f]{7,40}\b|\[skip ci\]|co-authored-by:", made)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\u202a-\u202e\u200d]", made)
    if make is markdown:
        assert "<" not in made
        assert not re.search(r"(?<!\\)[\[\]()!`|~$]", made)


@given(st.text(alphabet=st.sampled_from("@#ab19<>!-`[]()\\&; \n\tGHhtps:/.w\u202e\r"), max_size=60))
def test_no_arrangement_of_signs_gets_through(text):
    made = markdown(text)
    assert "<" not in made
    assert not MENTION.search(made)
    assert not re.search(r"#\d", made)
    # Every backslash of ours is followed by what it guards: none guards another one's guard.
    assert not re.search(r"(?<!\\)(?:\\\\)*[\[\]()!`]", made)
    assert "\n" not in plain(text)


@given(st.text(alphabet="`~x\n@", max_size=40))
def test_a_block_cannot_be_closed_from_inside(text):
    fence, *inside, end = fenced(text).split("\n")
    assert end == fence.removesuffix("text")
    assert not any(re.match(rf"\s*`{{{len(end)},}}\s*$", line) for line in inside)


def test_a_body_keeps_its_styles_and_its_size():
    made = rendered((Part("Evidence\n# not mine", Style.HEADING), Part("one"), Part("x = 1", Style.BLOCK)))
    assert made == "### Evidence \\# not mine\n\none\n\n```text\nx = 1\n```"
    assert len(rendered(tuple(Part("[" * 50_000) for _ in range(5)))) <= MAX_BODY + 100
    assert len(MARKERS.signed("[" * 200_000, "comment", "c")) < 65_536


def test_a_marker_is_ours_only_for_its_repository_kind_key_and_place():
    body = MARKERS.signed("Hello.", "comment", "c-1")
    assert MARKERS.has(body, "comment", "c-1")
    assert MARKERS.has(body + "\n", "comment", "c-1")
    assert not MARKERS.has(body, "comment", "c-2")
    assert not MARKERS.has(body, "pull", "c-1")
    assert not MARKERS.has(body + "\nmore", "comment", "c-1")
    assert not MARKERS.has(None, "comment", "c-1")
    assert not Markers("acme/other", MARKERS.keys).has(body, "comment", "c-1")
    forged = re.sub(r"[0-9a-f]{64}", "0" * 64, body)
    assert not MARKERS.has(forged, "comment", "c-1")


def test_a_marker_signed_with_the_older_key_is_still_found():
    older = Markers("acme/shop", (b"b" * 16,)).signed("Hello.", "comment", "c-1")
    assert MARKERS.has(older, "comment", "c-1")
    assert not Markers("acme/shop", (b"c" * 16,)).has(older, "comment", "c-1")


@pytest.mark.parametrize("key", ["changes:7", "-->", "a b", "--", "é%3A", "<!-- x -->", "\n", "a--b---c"])
def test_any_key_is_found_again_and_none_breaks_out_of_its_marker(key):
    body = MARKERS.signed("Hello.", "comment", key)
    assert MARKERS.key_in(body, "comment") == key
    marker = MARKERS.sign("comment", key)
    assert re.fullmatch(r"<!-- [^<>\s]+ -->", marker)
    assert "--" not in marker[4:-3]


@given(st.text(max_size=60))
def test_making_words_harmless_twice_changes_nothing(text):
    assert message(message(text)) == message(text)
    assert plain(plain(text)) == plain(text)


@pytest.mark.parametrize("key", ["", "x" * 201])
def test_a_key_that_is_no_key_is_a_mistake_of_ours(key):
    with pytest.raises(ValueError, match="not a marker key"):
        MARKERS.sign("comment", key)


def test_a_short_key_is_no_key():
    with pytest.raises(ValueError, match="at least 16 bytes"):
        Markers("acme/shop", (b"short",))
