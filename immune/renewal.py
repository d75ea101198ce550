"""Renewing files that are more than a pin: what is asked, what is answered, and who does it.

What needs a registry or an ecosystem's own resolver is done by an app above this one, which registers it here for a format
(``immune.formats``). Without one, such a file is not changed and the reason says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from immune.inventory import Note


class CannotRenew(Exception):
    """No file can be made that does what is asked; the text is the reason for people."""


class RegistryUnreachable(Exception):
    """The registry did not answer. Says nothing about the change: to be tried again."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """One manifest that holds a package at versions to be left, and what lies beside it.

    ``path``: the file, from the repository's root. ``targets``: each version to be left, and the one to take for it.
    ``read`` gives the text of another file by its path, or None where there is none. ``notes``: what this file, or one that
    includes it, asks of an installer.
    """

    path: str
    text: str
    name: str
    targets: Mapping[str, str]
    read: Callable[[str], str | None]
    notes: tuple[Note, ...] = ()


def one_target(wanted: Wanted) -> str:
    """The version every present one goes to, for resolvers that lock a package once. Raises CannotRenew."""
    targets = set(wanted.targets.values())
    if len(targets) != 1:
        raise CannotRenew(f"{wanted.name} stands at several versions that go to different ones")
    return targets.pop()


# The new text of each file that changes, by its path. Raises CannotRenew, CannotEdit, RegistryUnreachable.
Renewer = Callable[[Wanted], dict[str, str]]

# Says nothing, or raises CannotRenew for a change that does not fit what stands beside it; RegistryUnreachable.
Check = Callable[[Wanted], None]

_renewers: dict[str, Renewer] = {}
_checks: dict[str, Check] = {}


def register(format_name: str, renewer: Renewer) -> None:
    """Registers who renews a format. Raises ValueError when somebody does already."""
    if format_name in _renewers:
        raise ValueError(f"{format_name} is renewed by two")
    _renewers[format_name] = renewer


def renewer_for(format_name: str) -> Renewer | None:
    return _renewers.get(format_name)


def register_check(format_name: str, check: Check) -> None:
    """Registers who looks whether a pin that is changed in place fits the others. Raises ValueError when somebody does already."""
    if format_name in _checks:
        raise ValueError(f"{format_name} is checked by two")
    _checks[format_name] = check


def check_for(format_name: str) -> Check | None:
    return _checks.get(format_name)
