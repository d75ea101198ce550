"""The reviews app's entry for Django: registers what it listens to."""

from importlib import import_module

from django.apps import AppConfig


class ReviewsConfig(AppConfig):
    name = "reviews"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        import_module("reviews.handlers")
        import_module("reviews.reflexes")
        import_module("reviews.release_dates")
        import_module("reviews.live.bell").install()
