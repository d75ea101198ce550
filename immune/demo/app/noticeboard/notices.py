"""Notices and how their text becomes a page.

A notice is Markdown in safe mode; a code block that starts with ``sql`` is laid out for reading.
"""

import re
from dataclasses import dataclass

import markdown2
import sqlparse

_SQL_BLOCK = re.compile(r"^sql:\s*(?P<statement>.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Notice:
    """One notice as it was written."""

    title: str
    text: str
    author: str


def tidy_sql(statement: str) -> str:
    """The statement with capital keywords and one clause a line."""
    return sqlparse.format(statement, reindent=True, keyword_case="upper").strip()


def _as_code_block(match: re.Match[str]) -> str:
    lines = tidy_sql(match["statement"]).splitlines()
    return "\n" + "\n".join("    " + line for line in lines) + "\n"


def render(notice: Notice) -> str:
    """The notice's text as HTML; tags in it are shown, not obeyed."""
    text = _SQL_BLOCK.sub(_as_code_block, notice.text)
    return str(markdown2.markdown(text, safe_mode="escape", extras=["numbering"]))
