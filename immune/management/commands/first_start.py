"""``manage.py first_start``: the admin account, the bundled advisories and the demonstration, each made when it is missing."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from immune import first_start


class Command(BaseCommand):
    help = "Makes the admin account when there is no account, loads the bundled advisories and lays out the demonstration; once."

    def handle(self, *args: Any, **options: Any) -> None:
        first_start.prepare()
