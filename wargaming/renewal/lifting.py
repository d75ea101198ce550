"""Which pins must move for a package to reach its target, worked out from what releases require. Pure but for what it is given.

The resolver decides; this only says what it is to be shown, so that nothing moves further than it must: what holds the package down
goes to its smallest version that admits the target, and what the moved ones require goes to the smallest version that serves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from immune.formats import limits
from immune.renewal import CannotRenew

MAX_ROUNDS = 40
MAX_TRIED = 60


@dataclass(frozen=True, slots=True)
class Allowed:
    """What a project admits of one package: as it is written, and asked of a version."""

    text: str
    admits: Callable[[Version], bool]


# What a version requires, and which versions there are, lowest first. Both raise CannotRenew where it cannot be told.
Requires = Callable[[str, Version], Sequence[Requirement]]
Versions = Callable[[str], Sequence[Version]]


def lifted(
    locked: Mapping[str, Version],
    target: tuple[str, Version],
    requires: Requires,
    versions: Versions,
    asked: Mapping[str, Sequence[Allowed]] | None = None,
) -> dict[str, Version]:
    """The pins that move, by normalised name, with ``target`` (name, version) among them. ``asked``: what the project itself admits.

    Raises CannotRenew with the reason when no way upwards is found. Markers that are false here do not count.
    """
    own = asked or {}
    name, version = target
    moved = {name: version}
    _refuse_asked(own, name, version)
    for _ in range(MAX_ROUNDS):
        conflict = _first_conflict(locked, moved, requires)
        if conflict is None:
            return moved
        holder, at, requirement, held = conflict
        wanted = canonicalize_name(requirement.name)
        # The one that was decided stays; the other gives way.
        if wanted == name or (holder != name and moved.get(wanted, held) != locked.get(wanted)):
            moved[holder] = _admitting(holder, at, wanted, held, requires, versions, own)
        else:
            moved[wanted] = _serving(holder, at, requirement, held, versions, own)
    raise CannotRenew(f"{name} {version} would move more than can be followed")


def clash(pinned: Mapping[str, Version], name: str, before: Version, after: Version, requires: Requires) -> str | None:
    """Why ``name`` cannot go from ``before`` to ``after`` among other pins, in words; None when nothing is known to speak against it.

    What did not fit before is none of this step's doing. Of a pin whose requirements cannot be told nothing is known.
    """
    now = {**pinned, name: after}
    old = {str(one) for one in _told(requires, name, before) if not _met(one, {**pinned, name: before})}
    for holder in [name, *(one for one in pinned if one != name)]:
        for requirement in _told(requires, holder, now[holder]):
            about = canonicalize_name(requirement.name)
            if about not in now or not applies(requirement) or _met(requirement, now):
                continue
            if name not in (holder, about) or (holder == name and str(requirement) in old):
                continue
            if holder != name and not requirement.specifier.contains(before, prereleases=True):
                continue
            shown = limits.shown(str(requirement))
            return f"{holder} {now[holder]} requires {shown}, and {about} would stand at {now[about]}"
    return None


def _told(requires: Requires, name: str, version: Version) -> Sequence[Requirement]:
    try:
        return requires(name, version)
    except CannotRenew:
        return ()


def _met(requirement: Requirement, now: Mapping[str, Version]) -> bool:
    about = canonicalize_name(requirement.name)
    return about not in now or requirement.specifier.contains(now[about], prereleases=True)


def _first_conflict(
    locked: Mapping[str, Version], moved: Mapping[str, Version], requires: Requires
) -> tuple[str, Version, Requirement, Version] | None:
    """Who requires what that is not so: holder, its version, the requirement, the version that stands."""
    now = {**locked, **moved}
    # What moved first: its requirements are new, everything else's held before.
    for holder in [*moved, *(one for one in locked if one not in moved)]:
        for requirement in requires(holder, now[holder]):
            wanted = canonicalize_name(requirement.name)
            if wanted not in now or (holder not in moved and wanted not in moved) or not applies(requirement):
                continue
            if not requirement.specifier.contains(now[wanted], prereleases=True):
                return holder, now[holder], requirement, now[wanted]
    return None


def _admitting(
    holder: str,
    at: Version,
    wanted: str,
    version: Version,
    requires: Requires,
    versions: Versions,
    asked: Mapping[str, Sequence[Allowed]],
) -> Version:
    """The smallest version of ``holder`` above ``at`` that admits ``wanted`` at ``version``."""
    tried = 0
    for candidate in versions(holder):
        if candidate <= at or not _eligible(candidate, at) or not _admits(asked, holder, candidate):
            continue
        tried += 1
        if tried > MAX_TRIED:
            break
        needs = [one for one in requires(holder, candidate) if canonicalize_name(one.name) == wanted and applies(one)]
        if all(one.specifier.contains(version, prereleases=True) for one in needs):
            return candidate
    said = next((str(one) for one in requires(holder, at) if canonicalize_name(one.name) == wanted), wanted)
    allowed = " that the project allows" if holder in asked else ""
    raise CannotRenew(
        f"{holder} {at} requires {limits.shown(said)}, and no later version{allowed} admits {wanted} {version}"
    )


def _serving(
    holder: str,
    at: Version,
    requirement: Requirement,
    held: Version,
    versions: Versions,
    asked: Mapping[str, Sequence[Allowed]],
) -> Version:
    """The smallest version above the one that stands which ``holder`` accepts."""
    wanted = canonicalize_name(requirement.name)
    for candidate in versions(wanted):
        fits = candidate > held and requirement.specifier.contains(candidate, prereleases=True)
        if fits and _eligible(candidate, held) and _admits(asked, wanted, candidate):
            return candidate
    raise CannotRenew(
        f"{holder} {at} requires {limits.shown(str(requirement))}, and {wanted} stands at {held} with nothing above that fits"
    )


def applies(requirement: Requirement) -> bool:
    """Whether a requirement counts here: no extra's, and its marker, if any, is true on this interpreter."""
    return requirement.marker is None or requirement.marker.evaluate({"extra": ""})


def parsed(version: str) -> Version | None:
    try:
        return Version(version)
    except InvalidVersion:
        return None


def _eligible(candidate: Version, at: Version) -> bool:
    return at.is_prerelease or not candidate.is_prerelease


def _admits(asked: Mapping[str, Sequence[Allowed]], name: str, version: Version) -> bool:
    return all(one.admits(version) for one in asked.get(name, ()))


def _refuse_asked(asked: Mapping[str, Sequence[Allowed]], name: str, version: Version) -> None:
    for one in asked.get(name, ()):
        if not one.admits(version):
            raise CannotRenew(f"the project asks for {name} {limits.shown(one.text)}, which does not admit {version}")
