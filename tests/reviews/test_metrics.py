"""What Prometheus reads, of one process and of many."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.test import Client

from tests.reviews import cast as made

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("many", [False, True])
def test_waiting_reviews_are_counted_whether_one_process_is_scraped_or_many(
    many: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, client: Client
) -> None:
    made.proved_review(made.Cast())
    if many:
        monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    text = client.get("/metrics").content.decode()
    assert "\nhitl_active_apv_reviews 1.0\n" in text
