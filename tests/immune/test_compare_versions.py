"""``manage.py compare_versions``: one pair, many pairs, and what cannot be compared."""

from __future__ import annotations

import io
import sys

import pytest
from django.core.management import CommandError, call_command


def compared(*words: str) -> str:
    out = io.StringIO()
    call_command("compare_versions", *words, stdout=out)
    return out.getvalue()


def piped(monkeypatch: pytest.MonkeyPatch, ecosystem: str, given: bytes) -> tuple[int, list[str], list[str]]:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given)))
    out, errors = io.StringIO(), io.StringIO()
    code = 0
    try:
        call_command("compare_versions", ecosystem, "-", stdout=out, stderr=errors, no_color=True)
    except SystemExit as end:
        code = int(str(end.code))
    return code, out.getvalue().splitlines(), errors.getvalue().splitlines()


@pytest.mark.parametrize(
    ("ecosystem", "a", "b", "sign"),
    [
        ("PyPI", "1.0rc1", "1.0", "<"),
        ("PyPI", "1.0", "1.0.0", "="),
        ("npm", "1.10.0", "1.9.0", ">"),
        ("Maven", "1.0-SNAPSHOT", "1.0", "<"),
        ("Debian:12", "1.0~rc1-1", "1.0-1", "<"),
    ],
)
def test_two_versions_are_ordered_as_their_ecosystem_orders_them(ecosystem: str, a: str, b: str, sign: str) -> None:
    assert compared(ecosystem, a, b) == f"{sign}\n"


@pytest.mark.parametrize(
    "words",
    [
        ("Nowhere", "1", "2"),
        ("Nowhere", "-"),
        ("npm", "not a version", "1.0.0"),
        ("PyPI", "1"),
        ("PyPI", "1", "2", "3"),
    ],
)
def test_what_cannot_be_compared_is_bad_input_said_in_one_line(words: tuple[str, ...]) -> None:
    with pytest.raises(CommandError) as refused:
        compared(*words)
    assert refused.value.returncode == 2
    assert len(str(refused.value).splitlines()) == 1


def test_pairs_from_standard_input_are_answered_line_by_line(monkeypatch: pytest.MonkeyPatch) -> None:
    assert piped(monkeypatch, "PyPI", b"1 2\n2\t1\r\n1.0   1") == (0, ["<", ">", "="], [])


def test_a_bad_line_is_a_question_mark_and_the_others_are_still_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    given = b"1.0.0 2.0.0\nnonsense! 1.0.0\n\n\xff 1\n" + b"9" * 20_000 + b" 1\n1 1 1\n2.0.0 1.0.0\n"
    code, answers, errors = piped(monkeypatch, "npm", given)
    assert (code, answers) == (2, ["<", "?", "?", "?", "?", "?", ">"])
    assert [error.partition(":")[0] for error in errors] == ["line 2", "line 3", "line 4", "line 5", "line 6"]
    assert all(len(error) < 500 and error.isprintable() for error in errors)
