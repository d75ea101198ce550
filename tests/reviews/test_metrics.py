"""What Prometheus reads, of one process and of many."""

from __future__ import annotations

from pathlib import Path
from typing import Any

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


def test_the_cache_of_environments_is_told_whatever_process_used_it(
    settings: Any, tmp_path: Path, client: Client
) -> None:
    settings.WORK_DIR = tmp_path
    layer = tmp_path / "layers" / "abc"
    layer.mkdir(parents=True)
    (tmp_path / "layers" / "abc.json").write_text('{"bytes": 4096}')
    (tmp_path / "layers" / "abc.used").touch()
    (tmp_path / "layers" / "counters.json").write_text('{"hits": 7, "misses": 2, "evictions": 1}')
    text = client.get("/metrics").content.decode()
    for line in (
        "wargame_layer_cache_hits_total 7.0",
        "wargame_layer_cache_misses_total 2.0",
        "wargame_layer_cache_evictions_total 1.0",
        "wargame_layer_cache_bytes 4096.0",
        "wargame_layer_cache_layers 1.0",
    ):
        assert f"\n{line}\n" in text
