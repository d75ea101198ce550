"""The wargaming app's entry for Django: registers its work and what it listens to."""

from importlib import import_module

from django.apps import AppConfig


class WargamingConfig(AppConfig):
    name = "wargaming"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from immune import work  # noqa: PLC0415 - models are ready only now
        from wargaming.services import WARGAMES  # noqa: PLC0415

        work.register(WARGAMES)
        for name in ("handlers", "metrics"):
            import_module(f"wargaming.{name}")
