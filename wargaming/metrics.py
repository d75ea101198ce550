"""Prometheus metrics of wargames: the cache of environments, read from its folder when Prometheus asks."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from immune.metrics import AT_SCRAPE
from wargaming.environments.layers import LayerStore
from wargaming.services import work_folder


class LayerCache(Collector):
    """Of this machine's work folder: whichever process is scraped answers for all that use it."""

    def describe(self) -> Iterator[Metric]:
        return iter(_families(0, 0, 0, 0, 0))

    def collect(self) -> Iterator[Metric]:
        store = LayerStore(work_folder() / "layers")
        counted, stored = store.counters, store.stored()
        sizes = [size for _, size, _ in stored]
        yield from _families(counted.hits, counted.misses, counted.evictions, sum(sizes), len(sizes))


def _families(hits: int, misses: int, evictions: int, size: int, count: int) -> list[Metric]:
    return [
        CounterMetricFamily("wargame_layer_cache_hits", "Environments found ready", value=hits),
        CounterMetricFamily("wargame_layer_cache_misses", "Environments that had to be built", value=misses),
        CounterMetricFamily(
            "wargame_layer_cache_evictions", "Environments removed for the size limit", value=evictions
        ),
        GaugeMetricFamily("wargame_layer_cache_bytes", "Size of the environments kept", value=size),
        GaugeMetricFamily("wargame_layer_cache_layers", "Environments kept", value=count),
    ]


AT_SCRAPE.register(LayerCache())
