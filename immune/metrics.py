"""How Prometheus metrics of one process or of many are read: the files they share, and figures asked at each scrape.

What is counted stands beside what counts it (``reviews.metrics`` and others).
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from prometheus_client import REGISTRY, CollectorRegistry, Metric, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

# Collectors that ask something (the database, a folder) at the time of the scrape. They are no process's own, so they
# are answered by whichever process is scraped; those of prometheus_client's REGISTRY would be left out in many processes.
AT_SCRAPE = CollectorRegistry()


class SharedFiles(MultiProcessCollector):
    """The figures of all processes that write to PROMETHEUS_MULTIPROC_DIR, also while one of them is starting.

    A process creates its file empty and gives it a length a moment later. prometheus_client stumbles over the empty file
    (``struct.error``), and the scrape of every process would fail because one starts. Nothing was counted in it yet.
    """

    def collect(self) -> Iterable[Metric]:
        files = []
        for file in Path(self._path).glob("*.db"):
            # A gauge of a dead process may be removed just now.
            with suppress(FileNotFoundError):
                if file.stat().st_size:
                    files.append(str(file))
        return self.merge(files, accumulate=True)  # type: ignore[no-untyped-call]


def page() -> bytes:
    """All metrics in Prometheus' text format."""
    counted = REGISTRY
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        counted = CollectorRegistry()
        SharedFiles(counted)  # type: ignore[no-untyped-call]
    return generate_latest(counted) + generate_latest(AT_SCRAPE)
