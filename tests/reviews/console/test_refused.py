"""Each way the forge may refuse has a sentence of its own that says what to do, in the reader's language."""

from __future__ import annotations

import re

import pytest
from django.conf import settings
from django.utils import translation

from immune.forges.base import Failure, Refusal
from reviews.console.refused import SENTENCES, sentence

REASONS = [*Refusal, *Failure, "withdrawn"]


def test_every_reason_has_a_sentence_and_no_two_the_same() -> None:
    assert set(SENTENCES) == set(REASONS)
    assert len({str(text) for text in SENTENCES.values()}) == len(SENTENCES)


@pytest.mark.parametrize("reason", REASONS)
def test_it_is_said_in_portuguese_too(reason: str) -> None:
    with translation.override("pt-br"):
        translated = sentence(reason)
    assert translated
    assert translated != sentence(reason)


def test_the_page_about_forges_names_only_reasons_there_are() -> None:
    page = (settings.BASE_DIR / "docs" / "forges.md").read_text()
    table = page.split("## What GitHub refuses\n", 1)[1].split("\n## ", 1)[0]
    named = {name for row in table.splitlines() if row.startswith("|") for name in re.findall(r"`([a-z_]+)`", row)}
    assert named
    assert named <= {str(reason) for reason in REASONS}


def test_a_reason_that_is_none_is_not_made_up() -> None:
    assert sentence("scan_given_up") == ""
