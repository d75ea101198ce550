"""``manage.py reset``: forgets everything the embedded profile keeps. `make reset` calls it."""

from __future__ import annotations

import shutil
import socket
import stat
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connections

from immune.command import BadInput, Exit, JSONCommand

MARKS = ("immune.sqlite3", "secret_key.secret")


class Command(JSONCommand):
    help = (
        "Remove everything in WORK_DIR: the embedded database, accounts, mirrors with their merges, evidence, layers and "
        "secrets. Refused beside a server database and while the embedded process runs. Exit 0 done, 2 refused."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.EMBEDDED:
            raise BadInput("DATABASE_URL names a server: this command is for the embedded profile only")
        if _answers(settings.HOST, settings.PORT):
            raise BadInput(f"something answers at {settings.HOST}:{settings.PORT}: stop `make run` first")
        folder = Path(settings.WORK_DIR)
        if folder in (Path.home(), settings.BASE_DIR, *settings.BASE_DIR.parents):
            raise BadInput(f"WORK_DIR is {folder}: that holds more than ours, remove by hand what is")
        if not any((folder / mark).exists() for mark in MARKS):
            raise BadInput(f"{folder} does not look like a work folder of ours")
        connections.close_all()
        things = sorted({*folder.iterdir(), *_database_files()})
        self.progress(f"Removing {len(things)} thing(s) of {folder}:")
        for thing in things:
            self.progress(f"  {thing}")
            _remove(thing)
        document = {"removed": [str(thing) for thing in things]}
        self.answer(
            document, Exit.DONE, form=options["format"], lines=["Everything is forgotten; `make run` starts anew."]
        )


def _answers(host: str, port: int) -> bool:
    try:
        socket.create_connection((host.strip("[]"), port), timeout=2).close()
    except OSError:
        return False
    return True


def _database_files() -> list[Path]:
    """The database, where DATABASE_URL put it elsewhere than in the work folder."""
    name = str(settings.DATABASES["default"]["NAME"])
    return [path for end in ("", "-wal", "-shm", "-journal") if (path := Path(name + end).resolve()).is_file()]


def _remove(thing: Path) -> None:
    if thing.is_symlink() or not thing.is_dir():
        thing.unlink(missing_ok=True)
        return
    for folder in (thing, *(path for path in thing.rglob("*") if path.is_dir() and not path.is_symlink())):
        # Layers are read-only, which for a folder means that nothing in it can be removed.
        if not folder.stat().st_mode & stat.S_IWUSR:
            folder.chmod(folder.stat().st_mode | stat.S_IRWXU)
    shutil.rmtree(thing)
