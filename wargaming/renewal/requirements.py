"""Requirements files: whether the new version fits the other pins, and for those with hashes the new ones and nothing left out.

In pip's hash mode every distribution must stand in the file. What the new version requires beyond the old one is therefore looked
up there first; where it is missing or pinned elsewhere, the change is refused with that reason rather than proposed and broken.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import httpx
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from immune.formats import limits, requirements_txt
from immune.formats.requirements_edit import change_pin
from immune.inventory import Inventory, Note, Unreadable
from immune.renewal import CannotRenew, Wanted
from wargaming.renewal import fetch, pypi
from wargaming.renewal.index import Index
from wargaming.renewal.lifting import clash, parsed

_REFUSED_NOTES = frozenset({"index", "source-build"})


def renew_requirements(wanted: Wanted) -> dict[str, str]:
    """The file with each version to be left at its target, hashes renewed. Raises CannotRenew, CannotEdit, RegistryUnreachable."""
    read = _read(wanted)
    _refuse_options((*read.notes, *wanted.notes))
    text = wanted.text
    pins = _single_pins(read)
    with fetch.client() as client:
        index = Index(client)
        index.prefetch((name, str(version)) for name, version in pins.items())
        for version, target in wanted.targets.items():
            found = pypi.release(client, wanted.name, target)
            if bare := [file.name for file in found if not file.sha256]:
                raise CannotRenew(f"the index gives no SHA-256 of {bare[0]}")
            _refuse_missing(client, wanted, read, found, version)
            _refuse_clash(index, pins, wanted.name, version, target)
            hashes = sorted({file.sha256 for file in found})
            text = change_pin(text, name=wanted.name, from_version=version, to_version=target, hashes=hashes)
    return {wanted.path: text}


def check_pins(wanted: Wanted) -> None:
    """Raises CannotRenew when the index tells that the targets do not fit the other pins of the file or of those it includes.

    What the index does not know, and files that ask for another index, say nothing. Raises RegistryUnreachable.
    """
    read = _read(wanted)
    if any(note.kind == "index" for note in (*read.notes, *wanted.notes)):
        return
    pins = _single_pins(read)
    if len(pins) < 2:
        return
    with fetch.client() as client:
        index = Index(client)
        index.prefetch((name, str(version)) for name, version in pins.items())
        for version, target in wanted.targets.items():
            _refuse_clash(index, pins, wanted.name, version, target)


def _single_pins(read: Inventory) -> dict[str, Version]:
    """The version of each package that is pinned to one; of the others it cannot be said which is installed."""
    versions: dict[str, set[Version | None]] = defaultdict(set)
    for dependency in read.dependencies:
        if dependency.version is not None:
            versions[dependency.name].add(parsed(dependency.version))
    return {name: one for name, found in versions.items() if len(found) == 1 and (one := next(iter(found))) is not None}


def _refuse_clash(index: Index, pins: Mapping[str, Version], name: str, version: str, target: str) -> None:
    before, after = parsed(version), parsed(target)
    if before is None or after is None:
        return
    if why := clash(pins, name, before, after, index.requires):
        raise CannotRenew(f"{name} {target} does not fit the other pins: {why}")


def _read(wanted: Wanted) -> Inventory:
    def beside(path: str) -> str:
        text = wanted.read(path)
        if text is None:
            raise Unreadable(path, "is not in the repository")
        return text

    return requirements_txt.parse(wanted.text, path=wanted.path, read=beside)


def _refuse_options(notes: tuple[Note, ...]) -> None:
    for note in notes:
        if note.kind in _REFUSED_NOTES:
            raise CannotRenew(f"{note.source} asks for {limits.shown(note.text)}; only the public index is used here")


def _refuse_missing(
    client: httpx.Client, wanted: Wanted, read: Inventory, found: list[pypi.File], version: str
) -> None:
    pinned: dict[str, set[str]] = defaultdict(set)
    for dependency in read.dependencies:
        if dependency.version is not None:
            pinned[dependency.name].add(dependency.version)
    problems = {str(one): why for one in pypi.requires(client, found) if (why := _unmet(one, pinned))}
    if not problems:
        return
    try:
        before = pypi.requires(client, pypi.release(client, wanted.name, version))
    except CannotRenew:
        before = []  # what the old version required cannot be told: nothing is known to have been missing before
    # What was missing already is the file's own business: it may never be installed where that counts.
    known = {str(one) for one in before} | {canonicalize_name(one.name) for one in before if one.name not in pinned}
    for requirement, why in problems.items():
        if requirement not in known and canonicalize_name(Requirement(requirement).name) not in known:
            raise CannotRenew(f"{wanted.name} {limits.shown(str(found[0].version))} requires {why}")


def _unmet(requirement: Requirement, pinned: dict[str, set[str]]) -> str:
    if requirement.marker is not None and not requirement.marker.evaluate():
        return ""  # a file compiled for one platform leaves out what others need
    shown = limits.shown(str(requirement))
    versions = pinned.get(canonicalize_name(requirement.name))
    if not versions:
        return f"{shown}, which the file does not hold"
    if not any(requirement.specifier.contains(version, prereleases=True) for version in versions):
        return f"{shown}, and the file pins {', '.join(sorted(versions))}"
    return ""
