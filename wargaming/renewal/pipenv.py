"""Pipfile.lock and the Pipfile beside it, renewed by Pipenv in the sandbox.

Pipenv resolves everything anew and takes the highest that fits. It is therefore shown what is locked at the versions that are to stand
and nothing else of it. It works on the unchanged files first, and what it writes otherwise than the release that wrote the lock is left
as it was. Hashes are those of every file of the release, as the index says them.
"""

from __future__ import annotations

import posixpath
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

from packaging.tags import sys_tags
from packaging.utils import canonicalize_name, parse_wheel_filename
from packaging.version import Version

from immune.formats import limits
from immune.formats.documents import items, load_json, table, text_of
from immune.inventory import Unreadable
from immune.renewal import CannotRenew, Wanted, one_target
from wargaming.renewal import fetch, json_text, pypi, sandboxed, toml_text, tools, wishes
from wargaming.renewal.index import Index
from wargaming.renewal.lifting import Allowed, lifted, parsed
from wargaming.sandbox.base import Driver

MAX_LOCK = 16 * 1024 * 1024
# What [pipenv] may say without leading Pipenv anywhere else or changing what is built.
ALLOWED_OPTIONS = frozenset({"allow_prereleases", "sort_pipfile", "use_default_constraints"})
_SHA256 = re.compile(r"sha256:[0-9a-f]{64}")
_HEX = re.compile(r"[0-9a-f]{64}")
_ENTRY_KEYS = frozenset({"version", "hashes", "markers", "extras", "index"})

Pins = Mapping[str, frozenset[Version]]


class PipenvRenewer:
    """Renews Pipenv's files. ``opened`` gives a sandbox driver as a context; ``work`` is a folder of ours."""

    def __init__(self, opened: Callable[[], AbstractContextManager[Driver]], work: Callable[[], Path]) -> None:
        self._opened = opened
        self._work = work

    def lock(self, wanted: Wanted) -> dict[str, str]:
        """A lock file and, where its requirements do not admit the target, the Pipfile. Raises as a Renewer does."""
        manifest_path = posixpath.join(posixpath.dirname(wanted.path), "Pipfile")
        manifest = wanted.read(manifest_path)
        if manifest is None:
            raise CannotRenew("there is no Pipfile beside it")
        _check_manifest(manifest_path, manifest)
        lock = _checked(wanted.path, wanted.text)
        if json_text.written(lock, wanted.text) is None:
            raise CannotRenew("the lock file is not laid out as Pipenv lays it out; more would be rewritten")
        target = one_target(wanted)
        changed = with_target(manifest_path, manifest, wanted.name, target)
        pins = _pins(lock)
        with fetch.client() as client, self._opened() as driver:
            pypi.release(client, wanted.name, target)
            index = Index(client)
            index.prefetch((name, str(version)) for name, versions in pins.items() for version in versions)
            index.shown = pins
            base = self._run(manifest, index, driver)
            check_step(wanted.name, lock, base)
            index.shown = _shown(wanted, target, pins, _allowed(changed, manifest_path), index)
            final = self._run(changed, index, driver)
            check_moves(lock, base, final)
            index.shown = {}
            for document in (base, final):
                _with_hashes(document, index)
        document = json_text.merged(lock, base, final)
        text = json_text.written(document, wanted.text) or ""
        _checked(wanted.path, text)
        files = {wanted.path: text} if text != wanted.text else {}
        return files | ({manifest_path: changed} if changed != manifest else {})

    def _run(self, manifest: str, index: Index, driver: Driver) -> dict[str, Any]:
        tool = sandboxed.index_tool("pipenv", tools.python_tool("pipenv", self._work()))
        try:
            found = sandboxed.run(tool, {"manifest": manifest}, index.answer, driver=driver, work=self._work())
        except CannotRenew as error:
            raise CannotRenew(f"{error}{_without_wheels(str(error), index)}") from error
        if not isinstance(found.get("lock"), str):
            raise CannotRenew("Pipenv's answer is not a lock file")
        return _checked("Pipfile.lock", found["lock"])


def with_target(path: str, text: str, name: str, target: str) -> str:
    """The Pipfile with each requirement of ``name`` that excludes the target moved to it. Raises CannotRenew."""
    version = Version(target)
    for wish in wishes.of_pipfile(toml_text.document(path, text)):
        if wish.name == name and not wishes.admits(wish, version):
            text = toml_text.with_value(text, wish.path, wishes.moved(wish, target))
    return text


# --- what comes in --------------------------------------------------------------------------------------------


def _check_manifest(path: str, text: str) -> None:
    """Raises CannotRenew for a Pipfile that leads anywhere but to the public index, or has something built."""
    document = toml_text.document(path, text)
    for source in items(document.get("source")):
        _refuse_source(table(source), "Pipfile")
    for option in table(document.get("pipenv")):
        if option not in ALLOWED_OPTIONS:
            raise CannotRenew(f"Pipfile sets pipenv.{limits.shown(option)}, with which it is not worked on")
    for key, value in document.items():
        if key == "build-system" or (key != "source" and not isinstance(value, dict)):
            raise CannotRenew(f"Pipfile sets {limits.shown(key)}, with which it is not worked on")
    wishes.of_pipfile(document)


def _refuse_source(source: Mapping[str, Any], file: str) -> None:
    if text_of(source.get("url")).rstrip("/") != pypi.PUBLIC_INDEX:
        shown = limits.shown(text_of(source.get("url")).rpartition("@")[2])
        raise CannotRenew(f"{file} takes packages from {shown or 'elsewhere'}, not from the public index")


def _checked(path: str, text: str) -> dict[str, Any]:
    """The lock, when every entry is an exact version of the public index with its hashes. Raises CannotRenew."""
    if len(text) > MAX_LOCK:
        raise CannotRenew("the lock file is too large to be worked on")
    try:
        lock = load_json(path, text)
    except Unreadable as error:
        raise CannotRenew(str(error)) from error
    if not isinstance(lock, dict) or not _HEX.fullmatch(
        text_of(table(table(lock.get("_meta")).get("hash")).get("sha256"))
    ):
        raise CannotRenew("Pipfile.lock does not say the hash of its Pipfile")
    for source in items(table(lock["_meta"]).get("sources")):
        _refuse_source(table(source), "Pipfile.lock")
    for _, name, entry in _entries(lock):
        if elsewhere := sorted(entry.keys() - _ENTRY_KEYS):
            raise CannotRenew(
                f"{limits.shown(name)} is locked with {limits.shown(elsewhere[0])}, not by the public index alone"
            )
        version = text_of(entry.get("version"))
        if not version.startswith("==") or parsed(version[2:]) is None:
            raise CannotRenew(f"{limits.shown(name)} is locked at no exact version")
        hashes = items(entry.get("hashes"))
        if not hashes or not all(isinstance(one, str) and _SHA256.fullmatch(one) for one in hashes):
            raise CannotRenew(f"{limits.shown(name)} is locked without its SHA-256")
    return lock


def _entries(lock: Mapping[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Category, name and entry of every package."""
    for category, packages in lock.items():
        if category != "_meta":
            for name, entry in table(packages).items():
                yield category, name, dict(table(entry))


def _pins(lock: Mapping[str, Any]) -> dict[str, frozenset[Version]]:
    pins: dict[str, set[Version]] = defaultdict(set)
    for _, name, entry in _entries(lock):
        pins[canonicalize_name(name)].add(Version(entry["version"][2:]))
    return {name: frozenset(versions) for name, versions in pins.items()}


# --- what Pipenv is shown, and what it made ------------------------------------------------------------------


def _allowed(changed: str, path: str) -> dict[str, list[Allowed]]:
    """What the project admits of each package, once its Pipfile is changed."""
    found: dict[str, list[Allowed]] = defaultdict(list)
    for wish in wishes.of_pipfile(toml_text.document(path, changed)):
        found[wish.name].append(Allowed(wish.constraint, partial(wishes.admits, wish)))
    return found


def _shown(wanted: Wanted, target: str, pins: Pins, allowed: Mapping[str, list[Allowed]], index: Index) -> Pins:
    """Every locked package at its version, but for those that move. Where no way is found Pipenv says itself what is in the way."""
    index.shown = {}
    single = {name: next(iter(versions)) for name, versions in pins.items() if len(versions) == 1}
    try:
        moves = lifted(single, (wanted.name, Version(target)), index.requires, index.versions, allowed)
    except CannotRenew:
        moves = {wanted.name: Version(target)}
    return {**pins, **{name: frozenset({version}) for name, version in moves.items()}}


def _without_wheels(said: str, index: Index) -> str:
    """What pip leaves unsaid of a package it found no distribution for: that the version shown has to be built."""
    for name, versions in sorted(index.shown.items()):
        if re.search(rf"(?<![\w.-]){re.escape(name)}(?![\w-])", said) and not _has_a_wheel(name, index):
            shown = ", ".join(map(str, sorted(versions)))
            return f" ({name} {shown} has no wheel for this interpreter; nothing is built from source here)"
    return ""


def _has_a_wheel(name: str, index: Index) -> bool:
    here = frozenset(sys_tags())
    return any(file.wheel and parse_wheel_filename(file.name)[3] & here for file in index.files(name))


def check_step(name: str, lock: Mapping[str, Any], base: Mapping[str, Any]) -> None:
    """Raises CannotRenew unless Pipenv makes of the unchanged Pipfile what the lock holds.

    What the lock holds for other platforms stays. So does a package that stands at several versions, one for each category: Pipenv did
    not always keep them together, and is shown them all.
    """
    before, made, pins = _versions(lock), _versions(base), _pins(lock)
    several = {one for one, versions in pins.items() if len(versions) > 1}
    differing = [key for key, version in made.items() if before.get(key) != version]
    if lock["_meta"]["hash"] != base["_meta"]["hash"] or any(one not in several for _, one in differing):
        raise CannotRenew("Pipfile.lock is not what Pipenv makes of the Pipfile; run pipenv lock first")
    for category, one in before.keys() - made.keys():
        if one == name:
            raise CannotRenew(
                f"{name} in {category} is not installed on this platform, so that it cannot be resolved here"
            )


def check_moves(lock: Mapping[str, Any], base: Mapping[str, Any], final: Mapping[str, Any]) -> None:
    """Raises CannotRenew for a package that moves from a version it does not stand at in the lock."""
    before, made = _versions(lock), _versions(base)
    for (category, name), version in _versions(final).items():
        key = (category, name)
        if made.get(key) != version and before.get(key) != made.get(key):
            raise CannotRenew(
                f"{name} stands at another version in {limits.shown(category)} than elsewhere in the lock"
            )


def _versions(lock: Mapping[str, Any]) -> dict[tuple[str, str], str]:
    return {(category, canonicalize_name(name)): str(entry["version"]) for category, name, entry in _entries(lock)}


def _with_hashes(document: dict[str, Any], index: Index) -> None:
    """Gives every entry the hashes of all files of its release. Raises CannotRenew, RegistryUnreachable."""
    for category, name, entry in _entries(document):
        files = index.release(name, entry["version"][2:])
        document[category][name]["hashes"] = sorted({f"sha256:{file.sha256}" for file in files})
