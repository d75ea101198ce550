"""What a notice looks like on the page."""

import re

from noticeboard.notices import Notice, render, tidy_sql


def page(text: str) -> str:
    return render(Notice("t", text, "a"))


def test_markdown_is_rendered():
    assert page("A **bold** word and a [link](https://site.example/)") == (
        '<p>A <strong>bold</strong> word and a <a href="https://site.example/">link</a></p>\n'
    )


def test_tags_are_shown_and_not_obeyed():
    html = page("hello <b onclick='p()'>there</b>")
    assert "<b" not in html
    assert "&lt;b onclick='p()'&gt;there" in html


def test_a_statement_is_laid_out_as_code():
    html = page("Run this:\n\nsql: select a, b from t where a = (1)\n\nand say so.")
    assert "<pre><code>SELECT a,\n       b\nFROM t\nWHERE a = (1)\n</code></pre>" in html


def test_figures_are_numbered():
    assert re.search(r'id="counter-ref-plan">Plan ?1</figcaption>', page("[#fig Plan @plan]"))


def test_nested_statements_keep_their_brackets():
    assert tidy_sql("select ((1)), (select x from (select 2 as x))").count("(") == 4
