"""What a parser gathers while it reads one file: rows, refusals, notes, and the checks every row passes. Pure."""

from __future__ import annotations

from typing import Any

from immune.formats import limits
from immune.inventory import Dependency, Inventory, Note, Origin, Refusal, Unreadable

# As wide as what they are kept in, and wider than any that a registry gives out.
MAX_NAME = 300
MAX_VERSION = 200


class Rows:
    """The growing inventory of one file."""

    def __init__(self, *, format: str, path: str, ecosystem: str) -> None:
        self.format = format
        self.path = path
        self.ecosystem = ecosystem
        self.dependencies: list[Dependency] = []
        self.refused: list[Refusal] = []
        self.notes: list[Note] = []

    def add(self, name: Any, version: Any, *, line: int | None = None, reason: str = "", **more: Any) -> None:
        """One dependency, or a refusal when its name or version is no usable text."""
        if len(self.dependencies) >= limits.MAX_DEPENDENCIES:
            raise Unreadable(self.path, f"more than {limits.MAX_DEPENDENCIES} dependencies")
        if not _usable(name, MAX_NAME):
            self.refuse(line, f"a package without a usable name: {limits.shown(repr(name))}")
            return
        if version is not None and not _usable(version, MAX_VERSION):
            self.refuse(line, f"{limits.shown(name)}: a version that is no usable text: {limits.shown(repr(version))}")
            return
        if version is None and not reason:
            reason = "no version given"
        requirement = limits.without_credentials(more.pop("requirement", ""))
        if len(requirement) > limits.MAX_STRING:
            self.refuse(line, f"{limits.shown(name)}: a requirement longer than {limits.MAX_STRING} characters")
            return
        self.dependencies.append(
            Dependency(
                ecosystem=self.ecosystem,
                name=name,
                version=version,
                manifest=self.path,
                line=line,
                raw_name=more.pop("raw_name", name),
                requirement=requirement,
                reason=reason if version is None or more.get("origin", Origin.REGISTRY) is not Origin.REGISTRY else "",
                **more,
            )
        )

    def refuse(self, line: int | None, reason: str) -> None:
        self.refused.append(Refusal(self._source(line), reason))

    def note(self, line: int | None, kind: str, text: str) -> None:
        self.notes.append(Note(self._source(line), kind, limits.shown(text)))

    def _source(self, line: int | None) -> str:
        return f"{self.path}:{line}" if line else self.path

    def inventory(self) -> Inventory:
        return Inventory(
            format=self.format,
            path=self.path,
            dependencies=tuple(self.dependencies),
            refused=tuple(self.refused),
            notes=tuple(self.notes),
        )


def _usable(value: Any, limit: int) -> bool:
    return isinstance(value, str) and 0 < len(value) <= limit and value.isprintable() and not value.isspace()
