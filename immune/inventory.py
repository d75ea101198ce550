"""What a manifest says, as plain values: the one shape every parser returns and every matcher reads. Pure.

A parser is ``parse(text: str, *, path: str, read: Reader) -> Inventory``; it raises ``Unreadable`` when the file
cannot be understood as a whole, and lists in ``refused`` the parts that could not. Unpinned is ``version=None`` with
a ``reason`` ("unresolved"), never left out: what was not resolved is told apart from what is not affected.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

# Reads a sibling file by its path relative to the repository root; raises Unreadable when it is absent or outside the
# tree.
Reader = Callable[[str], str]


class Unreadable(Exception):
    """Input that could not be understood. ``source`` names the file or record, ``reason`` says why, for a person."""

    def __init__(self, source: str, reason: str) -> None:
        super().__init__(f"{source}: {reason}")
        self.source = source
        self.reason = reason


class Origin(StrEnum):
    """Where a dependency comes from. Only REGISTRY ones are matched against advisories by version."""

    REGISTRY = "registry"
    GIT = "git"
    URL = "url"
    PATH = "path"


class Scope(StrEnum):
    """What the dependency is for, as far as the format says so."""

    RUNTIME = "runtime"
    DEV = "dev"
    OPTIONAL = "optional"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Dependency:
    """One package as one manifest names it."""

    ecosystem: str  # OSV ecosystem name: PyPI, npm, Go, crates.io, Maven, RubyGems
    name: str  # normalised by the ecosystem's rule
    version: str | None  # as written; None when the manifest does not pin it
    manifest: str  # path of the file that says so, relative to the repository root
    line: int | None = None  # 1-based
    raw_name: str = ""  # as written
    requirement: str = ""  # the constraint or line as written
    origin: Origin = Origin.REGISTRY
    scope: Scope = Scope.UNKNOWN
    direct: bool | None = None  # None: the format does not say
    groups: tuple[str, ...] = ()
    extras: tuple[str, ...] = ()
    marker: str = ""
    hashes: tuple[str, ...] = ()
    path: tuple[str, ...] = ()  # names that bring it in, outermost first, without itself; () when direct or not known
    reason: str = ""  # why version is None


@dataclass(frozen=True, slots=True)
class Refusal:
    """A part of the input that was not taken, and why."""

    source: str
    reason: str


@dataclass(frozen=True, slots=True)
class Note:
    """Something the manifest asks of an installer that was read but is no dependency: an index option, a folder to
    build.

    Knowing what is affected does not need it, so it is no refusal; building a remedy does, and refuses by ``kind``.
    """

    source: str  # file:line
    kind: str  # index, source-build, path, option
    text: str


@dataclass(frozen=True, slots=True)
class Inventory:
    """Everything one manifest says."""

    format: str
    path: str
    dependencies: tuple[Dependency, ...] = ()
    refused: tuple[Refusal, ...] = field(default=())
    notes: tuple[Note, ...] = field(default=())

    @property
    def unresolved(self) -> tuple[Dependency, ...]:
        return tuple(d for d in self.dependencies if d.version is None)
