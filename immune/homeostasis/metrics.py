"""Prometheus metrics of the brakes, read from the database when Prometheus asks."""

from __future__ import annotations

from collections.abc import Iterator

from django.db import Error
from django.db.models import Count
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from immune.homeostasis import balance
from immune.homeostasis.room import Held
from immune.homeostasis.states import State
from immune.metrics import AT_SCRAPE
from immune.models import ForgeJob
from immune.models.remedies import ForgeJobState


class Brakes(Collector):
    """immune_balance_state: 1 for the state that holds, none before the first look; immune_held_jobs by reason."""

    def describe(self) -> Iterator[GaugeMetricFamily]:
        return iter(_families())

    def collect(self) -> Iterator[GaugeMetricFamily]:
        states, held = _families()
        try:
            found = balance.current()
            rows = ForgeJob.objects.filter(state=ForgeJobState.PENDING).exclude(held="").order_by()
            counted = dict(rows.values_list("held").annotate(Count("pk")))
        except Error:
            # Absent, not calm: a database that is away must not look like rest, nor hide the other metrics.
            return
        if found is not None:
            for state in State:
                states.add_metric([state.value], float(found.state == state))
            yield states
        for reason in Held:
            held.add_metric([reason.value], counted.get(reason.value, 0))
        yield held


def _families() -> tuple[GaugeMetricFamily, GaugeMetricFamily]:
    return (
        GaugeMetricFamily(
            "immune_balance_state", "How the whole is doing: 1 for the state that holds", labels=["state"]
        ),
        GaugeMetricFamily("immune_held_jobs", "Forge jobs that wait for a place under a cap", labels=["reason"]),
    )


AT_SCRAPE.register(Brakes())
