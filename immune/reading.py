"""Reading what a repository's tree says: which manifests there are, and what each one holds. No database."""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from immune import formats, git
from immune.formats import limits
from immune.git import Mirror
from immune.git_process import GitError
from immune.inventory import Dependency, Inventory, Note, Refusal, Unreadable


@dataclass(frozen=True, slots=True)
class Reading:
    """The manifests of one commit. ``digests``: path → SHA-256 of every manifest read, part of a remedy's binding."""

    commit: str
    inventories: tuple[Inventory, ...] = ()
    refused: tuple[Refusal, ...] = ()
    digests: dict[str, str] = field(default_factory=dict)

    @property
    def dependencies(self) -> tuple[Dependency, ...]:
        """Every dependency, once per place that names it: a file included by another is not counted twice."""
        return tuple(dict.fromkeys(d for inventory in self.inventories for d in inventory.dependencies))

    @property
    def notes(self) -> tuple[Note, ...]:
        return tuple(dict.fromkeys(n for inventory in self.inventories for n in inventory.notes))


def read_tree(mirror: Mirror, commit: str) -> Reading:
    """Reads every manifest of the commit. Files that cannot be understood stand in ``refused``, never nowhere.

    Raises GitError when the tree itself cannot be read.
    """
    entries = {entry.path: entry for entry in git.list_tree(mirror, commit)}

    def fetch(path: str) -> bytes:
        entry = entries.get(path)
        if entry is None:
            raise Unreadable(path, "is not in the repository")
        if entry.mode not in ("100644", "100755", "100664"):
            raise Unreadable(path, "is a link or a submodule, not a file")
        try:
            return git.read_file(mirror, commit, entry.path)
        except GitError as error:
            if error.passing:
                raise
            raise Unreadable(path, error.message) from error

    return read_manifests(commit, formats.manifests_in(entries), fetch)


def read_manifests(commit: str, manifests: Iterable[str], fetch: Callable[[str], bytes]) -> Reading:
    """Reads the manifests and what they include. ``fetch`` gives the bytes of a normalised path below the root, or
    raises Unreadable."""
    digests: dict[str, str] = {}

    def read(path: str) -> str:
        normal = posixpath.normpath(path)
        if len(normal) > limits.MAX_PATH:
            raise Unreadable(limits.shown(normal, limits.MAX_PATH), f"a path longer than {limits.MAX_PATH} characters")
        data = fetch(normal)
        digests[normal] = hashlib.sha256(data).hexdigest()
        return limits.decode(path, data)

    inventories: list[Inventory] = []
    refused: list[Refusal] = []
    for path in manifests:
        try:
            inventories.append(formats.parse(path, read(path), read))
        except Unreadable as error:
            refused.append(Refusal(error.source, error.reason))
    refused += [refusal for inventory in inventories for refusal in inventory.refused]
    return Reading(commit, tuple(inventories), tuple(dict.fromkeys(refused)), digests)
