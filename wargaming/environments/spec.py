"""What an environment is asked to hold and what it was resolved to. Plain data, no I/O."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass


def same_name(ecosystem: str, name: str) -> str:
    """The form under which two spellings of a package name are one (PyPI: PEP 503; npm names are exact)."""
    return re.sub(r"[-_.]+", "-", name).lower() if ecosystem == "PyPI" else name


@dataclass(frozen=True, slots=True)
class EnvironmentSpec:
    """Exact requirements of one side, as ``name==version`` (PyPI) or ``name@version`` (npm).

    ``preferences`` are pins to keep where nothing forces another version: the pins a scenario was verified with. A head
    is resolved with its base's lock as preferences, so only the remedied package and what it forces differ.
    """

    ecosystem: str
    requirements: tuple[str, ...]
    preferences: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Lock:
    """The outcome of resolving: every distribution with its exact version. ``text`` is what the installer is given
    (a hash-pinned requirements file, or a package-lock.json)."""

    ecosystem: str
    pins: tuple[tuple[str, str], ...]
    text: str

    @property
    def digest(self) -> str:
        return hashlib.sha256(f"{self.ecosystem}\n{self.text}".encode()).hexdigest()

    def version_of(self, name: str) -> str | None:
        """The locked version of ``name``; for npm the one at the top of the tree comes first."""
        wanted = same_name(self.ecosystem, name)
        return next((version for pinned, version in self.pins if same_name(self.ecosystem, pinned) == wanted), None)


def pin(ecosystem: str, name: str, version: str) -> str:
    return f"{name}=={version}" if ecosystem == "PyPI" else f"{name}@{version}"


def split_pin(ecosystem: str, text: str) -> tuple[str, str]:
    """(name, version) of an exact pin; the version is "" when there is none."""
    if ecosystem == "PyPI":
        name, _, version = text.partition("==")
        return name.strip(), version.strip()
    at = text.rfind("@")
    return (text[:at], text[at + 1 :]) if at > 0 else (text, "")


def with_changed(ecosystem: str, requirements: tuple[str, ...], changes: dict[str, str]) -> tuple[str, ...]:
    """``requirements`` with the named packages at other versions; packages not yet among them are added."""
    wanted = {same_name(ecosystem, name): (name, version) for name, version in changes.items()}
    result = []
    for text in requirements:
        name, _ = split_pin(ecosystem, text)
        bare, extras = name.partition("[")[0], name.partition("[")[1] + name.partition("[")[2]
        change = wanted.pop(same_name(ecosystem, bare), None)
        result.append(text if change is None else pin(ecosystem, bare + extras, change[1]))
    return (*result, *(pin(ecosystem, name, version) for name, version in wanted.values()))
