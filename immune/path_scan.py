"""What is wrong in a file, folder or archive, by the advisories that are loaded. Only reads: no repository, no APV, no event."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from immune.advisories.selectors import knowledge_of
from immune.archive import read_upload
from immune.findings import Place, findings_in, packages_in
from immune.folder import read_path
from immune.formats.limits import shown
from immune.inventory import Dependency, Origin, Refusal, Unreadable
from immune.models import Advisory
from immune.reading import Reading

AT_ONCE = 50  # files read between two words of progress


@dataclass(frozen=True, slots=True)
class PathScan:
    """``unreadable`` also holds what could not be decided: neither affected nor not."""

    dependencies: int
    findings: tuple[Place, ...] = ()
    unresolved: tuple[Dependency, ...] = ()
    unreadable: tuple[Refusal, ...] = ()

    @property
    def outcome(self) -> str:
        """``unreadable`` as soon as something could not be read or decided, else ``findings``, else ``clean``."""
        return "unreadable" if self.unreadable else "findings" if self.findings else "clean"

    def as_dict(self) -> dict[str, Any]:
        return {
            "dependencies": self.dependencies,
            "findings": [_finding(place) for place in self.findings],
            "unresolved": [_unresolved(dependency) for dependency in self.unresolved],
            "unreadable": [
                {"source": shown(refusal.source, 1000), "reason": shown(refusal.reason, 1000)}
                for refusal in self.unreadable
            ],
        }


def scan_path(path: Path) -> PathScan:
    """Reads and matches what lies at ``path``. What could not be read is said in ``unreadable``, never left out."""
    try:
        return _matched(read_path(path))
    except Unreadable as error:
        return PathScan(0, unreadable=(Refusal(error.source, error.reason),))


def scan_upload(path: Path, name: str, *, progress: Callable[[dict[str, int]], None] | None = None) -> PathScan:
    """The same of a file that was sent, which was called ``name``: a manifest, or an archive of a folder.

    ``progress`` is told of files ``read`` and dependencies ``applied``, now and then; what it raises ends the scan.
    """

    def tell(read: int) -> None:
        if progress and (read == 1 or read % AT_ONCE == 0):
            progress({"read": read, "applied": 0})

    try:
        reading = read_upload(path, name, tell)
    except Unreadable as error:
        return PathScan(0, unreadable=(Refusal(error.source, error.reason),))
    found = _matched(reading)
    if progress:
        progress({"read": len(reading.digests), "applied": found.dependencies})
    return found


def _matched(reading: Reading) -> PathScan:
    dependencies = reading.dependencies
    unreadable = list(reading.refused)
    if not Advisory.objects.exists():
        unreadable.append(Refusal("advisories", "none are loaded, so nothing can be found: run sync_advisories first"))
    findings = findings_in(dependencies, knowledge_of(packages_in(dependencies)))
    return PathScan(
        dependencies=len(dependencies),
        findings=tuple(sorted(findings.places, key=_order)),
        unresolved=tuple(row for row in dependencies if row.version is None or row.origin is not Origin.REGISTRY),
        unreadable=tuple(dict.fromkeys([*unreadable, *findings.doubts])),
    )


def _order(place: Place) -> tuple[str, ...]:
    return place.manifest, place.ecosystem, place.package, place.version, place.group.canonical


def _finding(place: Place) -> dict[str, Any]:
    return {
        "ecosystem": place.ecosystem,
        "package": shown(place.package, 1000),
        "version": shown(place.version, 1000),
        "manifest": shown(place.manifest, 4096),
        "advisory": place.group.canonical,
        "aliases": [name for name in place.group.names if name != place.group.canonical],
        "severity": place.group.severity,
        "fixed_versions": list(place.fixed),
    }


def _unresolved(dependency: Dependency) -> dict[str, Any]:
    elsewhere = f"comes from {dependency.origin.value}, no registry, so it was not matched"
    return {
        "ecosystem": dependency.ecosystem,
        "package": shown(dependency.name, 1000),
        "manifest": shown(dependency.manifest, 4096),
        "line": dependency.line,
        "requirement": shown(dependency.requirement, 1000),
        "reason": shown(dependency.reason or (elsewhere if dependency.version else "no version is given"), 1000),
    }
