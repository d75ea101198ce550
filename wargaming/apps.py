"""The wargaming app's entry for Django: registers its work and what it listens to."""

from importlib import import_module

from django.apps import AppConfig


class WargamingConfig(AppConfig):
    name = "wargaming"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from immune import work  # noqa: PLC0415 - models are ready only now
        from wargaming.actions.services import ACTIONS  # noqa: PLC0415
        from wargaming.services import WARGAMES  # noqa: PLC0415

        for kind in (WARGAMES, ACTIONS):
            work.register(kind)
        for name in ("handlers", "metrics", "renewal.registered"):
            import_module(f"wargaming.{name}")
