# ruff: noqa: E501 - tables of samples read best a row a line
"""Whatever the text, a parser gives an inventory or says Unreadable; nothing else comes out of it."""

from __future__ import annotations

import functools

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from immune.formats import FORMATS, package_json
from immune.inventory import Inventory, Origin, Unreadable

from .corpus import no_files, read, samples
from .outcomes import PARSERS

ALL = {**PARSERS, "package-json": package_json.parse}
JUNK = ["", "\n", "\x00", "\ufeff", "é", "{", "}", "[", "]", '"', "'", ":", ",", "@", "=", "#", "<", ">", "&a", "*a", "- ", "  ", "null", "1e999", "~",
        "(", ")", "//", "=>", "$" + "{x}", "\ud800", "🙂", "-", "!", "\\", "\t", "require", "[[package]]", "<dependency>", "npm:", "workspace:", "link:"]  # fmt: skip


@functools.cache
def seeds(kind: str) -> list[str]:
    """Small real samples to start from; a built-in one where the data set is absent."""
    texts = [read(path) for path in samples(kind, "edge")] if kind in PARSERS else ['{"dependencies": {"a": "1.0.0"}}']
    small = [text for text in texts if len(text) < 4000]
    return small or ["a==1.0\n", "[[package]]\nname = 'a'\n", '{"a": {}}', "a: b\n"]


@st.composite
def damaged(draw, kind):
    """A sample with a few pieces cut out, doubled or put in."""
    text = draw(st.sampled_from(seeds(kind)))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 30)))
        middle = draw(st.one_of(st.sampled_from(JUNK), st.text(max_size=8), st.just(text[start:end] * 2)))
        text = text[:start] + middle + text[end:]
    return text


def has_reason(error: Unreadable) -> None:
    assert error.reason


def check(found: Inventory) -> None:
    for one in found.dependencies:
        assert one.name
        assert one.name.isprintable()
        assert one.version is None or one.version
        if one.version is None and one.origin is Origin.REGISTRY:
            assert one.reason
        assert not (one.direct and one.path)
    for refusal in found.refused:
        assert refusal.reason
        assert refusal.source


def test_every_parser_there_is_is_tried():
    assert {known.parse for known in FORMATS} == set(ALL.values())


@pytest.mark.parametrize("kind", ALL)
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_a_damaged_file_is_an_inventory_or_unreadable(kind, data):
    text = data.draw(damaged(kind))
    try:
        found = ALL[kind](text, path="f", read=no_files)
    except Unreadable as error:
        has_reason(error)
        return
    check(found)


@pytest.mark.parametrize("kind", ALL)
@settings(max_examples=30, deadline=None)
@given(text=st.one_of(st.text(max_size=60), st.lists(st.sampled_from(JUNK), max_size=30).map("".join)))
def test_any_text_is_an_inventory_or_unreadable(kind, text):
    try:
        found = ALL[kind](text, path="f", read=no_files)
    except Unreadable as error:
        has_reason(error)
        return
    check(found)
