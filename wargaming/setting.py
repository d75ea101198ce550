"""The two environments of a remedy's wargame: the repository's pinned set at the base, and the same with the target."""

from __future__ import annotations

from packaging.markers import InvalidMarker, Marker

from immune import reading
from immune.inventory import Dependency, Origin
from immune.models import Remedy
from immune.services import mirror_of
from wargaming.environments.spec import EnvironmentSpec, pin, same_name, split_pin, with_changed


def environments_of(remedy: Remedy, with_: tuple[str, ...] = ()) -> tuple[EnvironmentSpec, EnvironmentSpec]:
    """What base and head hold: every exact pin of the manifests the remedy touches, once a package.

    ``with_`` are a scenario's further requirements; they are added where the repository does not pin the package itself.
    Raises GitError when base or head cannot be read.
    """
    base = _pinned(remedy, remedy.base_commit, with_)
    # A lock may have moved more than the package itself: a parent that admits the target, what that one asks for.
    head = _pinned(remedy, remedy.head_commit, with_)
    head = with_changed(remedy.ecosystem, head, {remedy.package_name: remedy.target_version})
    return EnvironmentSpec(remedy.ecosystem, base), EnvironmentSpec(remedy.ecosystem, head)


def _pinned(remedy: Remedy, commit: str, with_: tuple[str, ...]) -> tuple[str, ...]:
    read = reading.read_tree(mirror_of(remedy.repository), commit)
    touched = set(remedy.changes)
    pinned: dict[str, str] = {}
    # The files the remedy changes come first: where two files pin one package differently, theirs is what is proved.
    for inventory in sorted(read.inventories, key=lambda inventory: inventory.path not in touched):
        if not touched & {inventory.path, *(d.manifest for d in inventory.dependencies)}:
            continue
        for dependency in inventory.dependencies:
            if dependency.ecosystem == remedy.ecosystem and _applies(dependency):
                name = same_name(remedy.ecosystem, dependency.name)
                pinned.setdefault(name, pin(remedy.ecosystem, _with_extras(dependency), dependency.version or ""))
    for text in with_:
        pinned.setdefault(same_name(remedy.ecosystem, split_pin(remedy.ecosystem, text)[0]), text)
    return tuple(pinned.values())


def _applies(dependency: Dependency) -> bool:
    if dependency.version is None or dependency.origin is not Origin.REGISTRY:
        return False
    if not dependency.marker:
        return True
    try:
        return Marker(dependency.marker).evaluate()
    except InvalidMarker:
        return True


def _with_extras(dependency: Dependency) -> str:
    return dependency.name + (f"[{','.join(dependency.extras)}]" if dependency.extras else "")
