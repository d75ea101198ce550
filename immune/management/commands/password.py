"""``manage.py password``: sets a new generated password for the admin account and prints it."""

from __future__ import annotations

import json
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from immune.models import Account
from immune.people.first_account import USERNAME, reset_admin


class Command(BaseCommand):
    help = "Sets a new generated password for an account (admin, unless another is named) and prints it."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("username", nargs="?", default=USERNAME)
        parser.add_argument("--format", choices=("text", "json"), default="text")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            made = reset_admin(settings.WORK_DIR, options["username"])
        except Account.DoesNotExist:
            raise CommandError(f"There is no account {options['username']}.", returncode=2) from None
        if options["format"] == "json":
            self.stdout.write(json.dumps({"username": made.username, "password": made.password}))
        else:
            self.stdout.write(f"{made.username}: {made.password}   (kept in {made.kept_in})")
