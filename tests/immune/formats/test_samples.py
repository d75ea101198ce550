"""Every sample is read or refused for the reason that docs/formats.md states."""

from __future__ import annotations

import pytest

from immune.inventory import Origin, Unreadable

from .corpus import needs_data, read
from .outcomes import PARSERS, TABLES, all_samples, in_document

SAMPLES = all_samples()


def is_stated(error: Unreadable, path: str) -> None:
    assert error.source == path
    assert error.reason


@needs_data
@pytest.mark.parametrize(("kind", "path"), SAMPLES, ids=[path for _, path in SAMPLES])
def test_a_sample_is_read_whole_or_refused_with_a_reason(kind, path):
    try:
        found = PARSERS[kind](read(path), path=path, read=read)
    except Unreadable as error:
        is_stated(error, path)
        return
    assert found.path == path
    for one in found.dependencies:
        assert one.name == one.name.strip() != ""
        if one.version is None or one.origin is not Origin.REGISTRY:
            assert one.reason
        if one.direct:
            assert one.path == ()
    for refusal in found.refused:
        assert refusal.source.startswith("manifests/")
        assert refusal.reason


@needs_data
@pytest.mark.parametrize("name", TABLES)
def test_the_tables_in_the_documents_are_what_the_samples_come_to(name):
    assert in_document(name) == TABLES[name]()
