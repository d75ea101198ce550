"""The reviews app's entry for Django: registers what it listens to."""

from importlib import import_module

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class ReviewsConfig(AppConfig):
    name = "reviews"
    verbose_name = _("Reviews")  # in the way to each page of the console
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from immune import work  # noqa: PLC0415 - models are ready only now
        from reviews.notices.sending import NOTICES  # noqa: PLC0415

        work.register(NOTICES)
        import_module("reviews.handlers")
        import_module("reviews.reflexes")
        import_module("reviews.release_dates")
        import_module("reviews.safety")
        import_module("reviews.live.bell").install()
