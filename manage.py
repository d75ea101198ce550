#!/usr/bin/env python
"""Django's command line, with this project's settings."""

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line
    from django.db import OperationalError, ProgrammingError

    # What is wrong with the surroundings is said in one line, not below a page of ours. 2: bad input, as for every command.
    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        leave(f"settings: {error}")
    except (OperationalError, ProgrammingError) as error:
        said = " ".join(str(error).split())
        hint = (
            "run `manage.py migrate` first"
            if "no such table" in said or "does not exist" in said
            else "see DATABASE_URL"
        )
        leave(f"database: {said}; {hint}")


def leave(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.exit(2)


if __name__ == "__main__":
    main()
