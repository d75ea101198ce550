"""The immune app's entry for Django: registers its work, its handlers and the bell that wakes workers."""

from django.apps import AppConfig


class ImmuneConfig(AppConfig):
    name = "immune"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from immune import deliveries, forge_jobs, hints, scans, tasks, work  # noqa: PLC0415 - models are ready only now
        from immune.events import doorbell  # noqa: PLC0415
        from immune.homeostasis import metrics as _metrics  # noqa: F401, PLC0415 - registers itself
        from immune.jobs import running  # noqa: PLC0415

        for kind in (deliveries.DELIVERIES, forge_jobs.FORGE, scans.SCANS, running.JOBS, hints.WEBHOOKS):
            work.register(kind)
        doorbell.hear(tasks.wake_workers)
