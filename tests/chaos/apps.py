"""Wraps the forge of every process and shortens the leases, once the product's apps have registered their work."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from django.apps import AppConfig
from django.conf import settings


class ChaosConfig(AppConfig):
    name = "tests.chaos"
    label = "chaos"

    def ready(self) -> None:
        from immune import forge_jobs, work  # noqa: PLC0415 - models are ready only now
        from immune.forges import store  # noqa: PLC0415
        from tests.chaos.faults import SharedPlan  # noqa: PLC0415
        from tests.immune.forges.faulty import FaultyForge  # noqa: PLC0415

        plan = SharedPlan(Path(settings.CHAOS_FOLDER), settings.CHAOS_FAULT_RATE, settings.CHAOS_SEED)
        real = store.forge_of

        def faulty(repository):
            return FaultyForge(real(repository), plan)

        if settings.FORGE == "local":
            store.forge_of = forge_jobs.forge_of = faulty
        else:
            # The test GitHub goes wrong by itself; who waits for it is only less patient, so that a game has an end.
            whole = store._bare_account
            store._bare_account = lambda: replace(whole(), timeout=3, margin=1.0)
        for kind in work.kinds():
            # What a killed process held is free again when its lease ends. Short leases bring more of those moments into a
            # game, and more claims that are taken over while their holder still works.
            object.__setattr__(kind, "lease", timedelta(seconds=settings.CHAOS_LEASE_SECONDS))
