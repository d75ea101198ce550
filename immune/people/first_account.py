"""The embedded profile's admin account: made once with a generated password, which a person at this machine can read or reset."""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from immune.events.actors import COMMAND
from immune.models import Account, Role
from immune.people.services import create_account, set_password

USERNAME = "admin"


@dataclass(frozen=True, slots=True)
class Made:
    """A password that was just set, and the file (owner only) that keeps it."""

    username: str
    password: str
    kept_in: Path


def ensure_admin(work_dir: Path) -> Made | None:
    """Makes the admin account when there is no account at all. None when there is one."""
    if Account.objects.exists():
        return None
    password = _new_password()
    kept_in = _keep(work_dir, password)
    create_account(actor=COMMAND, username=USERNAME, password=password, role=Role.ADMIN)
    return Made(USERNAME, password, kept_in)


def reset_admin(work_dir: Path, username: str = USERNAME) -> Made:
    """Sets a new generated password. Raises Account.DoesNotExist for an unknown account."""
    account = Account.objects.get(username=username)
    password = _new_password()
    kept_in = _keep(work_dir, password, username)
    set_password(actor=COMMAND, account=account, password=password)
    return Made(username, password, kept_in)


def _new_password() -> str:
    return secrets.token_urlsafe(12)


def _keep(work_dir: Path, password: str, username: str = USERNAME) -> Path:
    path = work_dir / ("admin-password" if username == USERNAME else f"password-{username.replace(os.sep, '_')}")
    # Made anew, so that a file somebody opened up before does not stay open.
    path.unlink(missing_ok=True)
    with open(path, "x", encoding="ascii", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.write(password + "\n")
    return path
