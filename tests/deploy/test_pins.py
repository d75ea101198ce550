"""The compiled requirement files must answer the short ones, without asking any network."""

from __future__ import annotations

import pytest

from deploy import pins

COMPILED = """\
# compiled
django==5.2.19 \\
    --hash=sha256:aa \\
    --hash=sha256:bb
    # via -r requirements.in
psycopg[binary]==3.3.9 \\
    --hash=sha256:cc
"""


@pytest.mark.parametrize(
    "short",
    ["Django>=5.2,<5.3", "# a comment\nDJANGO  # why\n", "psycopg[binary,pool]\n", "-c requirements.txt\n", ""],
)
def test_a_pin_within_its_range_is_an_answer(short: str) -> None:
    assert pins.complaints(short, COMPILED) == []


@pytest.mark.parametrize(
    ("short", "said"),
    [
        ("celery", "celery: asked for, not pinned"),
        ("Django>=6", "Django: pinned at 5.2.19, asked for >=6"),
    ],
)
def test_what_the_pins_do_not_answer_is_said(short: str, said: str) -> None:
    assert pins.complaints(short, COMPILED) == [said]


def test_a_pin_without_a_hash_is_said_whoever_asked_for_it() -> None:
    assert pins.complaints("", "loose==1.0\n" + COMPILED) == ["loose: pinned without a hash"]


def test_the_repository_s_own_files_agree() -> None:
    assert pins.main() == 0
