"""Text by strangers: what they try, and what a reader sees of it."""

from __future__ import annotations

import pytest
from django.template import Context, Template

from reviews.console import untrusted


def rendered(text: object, how: str = "shown:200") -> str:
    return Template("{% load console %}{{ text|" + how + " }}").render(Context({"text": text}))


def marks(text: str) -> list[str]:
    return [piece.mark for piece in untrusted.shown(text, 1000).pieces if piece.mark]


def words(text: str) -> str:
    return "".join(piece.text for piece in untrusted.shown(text, 1000).pieces)


def test_a_script_tag_is_text() -> None:
    assert "<script" not in rendered("<script>alert(1)</script>")
    assert "&lt;script&gt;" in rendered("<script>alert(1)</script>")


def test_a_closing_tag_of_the_place_it_is_shown_in_is_text() -> None:
    assert "</pre>" not in rendered('</pre><img src=x onerror="alert(1)">')


def test_escape_sequences_are_seen_and_do_nothing() -> None:
    assert words("\x1b[31mred\x1b[0m") == "␛[31mred␛[0m"


def test_a_direction_override_is_named() -> None:
    assert words("invoice\u202egnp.exe") == "invoiceU+202Egnp.exe"
    assert "\u202e" not in rendered("invoice\u202egnp.exe")


@pytest.mark.parametrize(
    "character",
    [
        "\x00", "\x07", "\x08", "\x0d", "\x7f", "\x85", "\x9b", "\u00ad", "\u061c", "\u200b", "\u200d", "\u200e", "\u2028", "\u2029",
        "\u202a", "\u202e", "\u2060", "\u2066", "\u2069", "\ufeff", "\ufff9", "\u3164", "\u115f", "\u2800", "\ud800", "\ue000",
        "\U000e0041", "\uffff", "\u00a0",
    ],
)  # fmt: skip
def test_no_invisible_character_reaches_the_page(character: str) -> None:
    assert marks(f"a{character}b") == [f"U+{ord(character):04X}"]
    assert character not in rendered(f"a{character}b")


def test_ordinary_writing_of_any_language_stays_as_it_is() -> None:
    for text in ("ação, não; coração", "日本語テキスト", "Straße – „Zitat“", "नमस्ते", "tab\there\nand a line", "عربي"):
        assert words(text) == text
        assert marks(text) == []


def test_piled_up_combining_marks_are_taken_apart() -> None:
    assert len(marks("a" + "\u0301" * 50)) == 50 - untrusted.LONGEST_COMBINING


def test_line_breaks_are_marks_where_one_line_is_shown() -> None:
    assert untrusted.plain("one\ntwo\ttabs", 50) == "one[U+000A]two[U+0009]tabs"


def test_long_text_is_cut_and_says_by_how_much() -> None:
    assert "800 more characters" in rendered("A" * 1000)
    assert rendered("A" * 1000).count("A") == 200


def test_a_huge_line_costs_no_more_than_its_limit() -> None:
    found = untrusted.shown("\u202e" * 5_000_000, 100)
    assert len(found.pieces) == 100
    assert found.left_out == 4_999_900


def test_lines_are_capped_too() -> None:
    found = untrusted.shown("a\n" * 100, 1000, lines=3)
    assert found.pieces[0].text == "a\na\na\n"
    assert found.left_out == 194


@pytest.mark.parametrize("url", ["https://advisories.example/one?a=b#c", "http://advisories.example:8080/"])
def test_an_address_is_a_link_that_tells_nobody_where_it_was_followed_from(url: str) -> None:
    shown = rendered(url, "link")
    assert f'href="{url}"' in shown
    assert "noopener" in shown
    assert "noreferrer" in shown


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)", "JaVaScRiPt:alert(1)", "data:text/html,<script>", "vbscript:x", "file:///etc/passwd", "//host/x", "/admin/",
        "https://user:pass@host.example/", "https:///nohost", "https://host.example/\u202egnp", "https://host.example\\@evil.example/",
        "https://ho st/", "java\nscript:alert(1)", "https://host.example:port/", "https://[::1", "", "https://h.example/" + "a" * 3000,
    ],
)  # fmt: skip
def test_anything_else_is_no_link(url: str) -> None:
    assert untrusted.safe_link(url) is None
    assert "href" not in rendered(url, "link")


def test_a_quote_does_not_leave_the_attribute() -> None:
    assert '"onmouseover' not in rendered('https://host.example/"onmouseover="alert(1)', "link")
