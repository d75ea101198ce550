"""poetry.lock and the pyproject.toml beside it, renewed by Poetry in the sandbox.

Poetry keeps what is locked and still fits. It is shown the remedied package at its target only, and everything else that is locked at
the versions that are to stand, so that nothing moves further than it must; where that has no solution it may look for one itself.
It works on the unchanged files first: what it computes otherwise than the release that wrote the lock is left as it was.
"""

from __future__ import annotations

import posixpath
import re
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name
from packaging.version import Version

from immune.formats import limits
from immune.formats.documents import items, table, text_of
from immune.renewal import CannotRenew, Wanted, one_target
from wargaming.renewal import fetch, pypi, sandboxed, toml_text, tools, wishes
from wargaming.renewal.index import Index
from wargaming.renewal.lifting import Allowed, lifted, parsed
from wargaming.renewal.poetry_text import Lock, metadata, spliced
from wargaming.sandbox.base import Driver

MAX_LOCK = 16 * 1024 * 1024
_SHA256 = re.compile(r"sha256:[0-9a-f]{64}")
_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+!-]*")


class PoetryRenewer:
    """Renews Poetry's files. ``opened`` gives a sandbox driver as a context; ``work`` is a folder of ours."""

    def __init__(self, opened: Callable[[], AbstractContextManager[Driver]], work: Callable[[], Path]) -> None:
        self._opened = opened
        self._work = work

    def lock(self, wanted: Wanted) -> dict[str, str]:
        """A lock file and, where its requirements do not admit the target, pyproject.toml. Raises as a Renewer does."""
        manifest_path = posixpath.join(posixpath.dirname(wanted.path), "pyproject.toml")
        manifest = wanted.read(manifest_path)
        if manifest is None:
            raise CannotRenew("there is no pyproject.toml beside it")
        refuse_places(wanted, manifest_path, manifest)
        if len(wanted.text) > MAX_LOCK:
            raise CannotRenew("the lock file is too large to be worked on")
        lock = Lock(wanted.text)
        check_public(lock)
        target = one_target(wanted)
        changed = with_target(manifest_path, manifest, wanted.name, target)
        pins = _pins(lock)
        with fetch.client() as client, self._opened() as driver:
            pypi.release(client, wanted.name, target)
            index = Index(client)
            index.told = _told(lock)
            index.prefetch((name, str(version)) for name, versions in pins.items() for version in versions)
            index.shown = {name: frozenset(versions) for name, versions in pins.items()}
            base = self._run({"manifest": manifest, "lock": wanted.text, "latest": []}, index, driver)
            if lock.content_hash not in base["hashes"]:
                raise CannotRenew("poetry.lock is not in step with pyproject.toml; run poetry lock first")
            found = self._renewed(wanted, changed, target, pins, index, driver)
        hashes = dict(zip(base["hashes"], found["hashes"], strict=True))
        if base["hashes"][0] == base["hashes"][1]:
            hashes[base["hashes"][0]] = found["hashes"][0]
        text = spliced(lock, Lock(base["lock"]), Lock(found["lock"]), str(hashes[lock.content_hash]))
        check_public(Lock(text))
        files = {wanted.path: text} if text != wanted.text else {}
        return files | ({manifest_path: changed} if changed != manifest else {})

    def _renewed(
        self,
        wanted: Wanted,
        manifest: str,
        target: str,
        pins: Mapping[str, list[Version]],
        index: Index,
        driver: Driver,
    ) -> dict[str, Any]:
        """What Poetry makes of the files: with the fewest moves that can be worked out, else as it finds itself."""
        left = {parsed(version) for version in wanted.targets}
        stay = frozenset(one for one in pins.get(wanted.name, ()) if one not in left) | {Version(target)}
        try:
            index.shown = {}
            single = {name: versions[0] for name, versions in pins.items() if len(versions) == 1}
            moves = lifted(
                single, (wanted.name, Version(target)), index.requires, index.versions, _asked(wanted.path, manifest)
            )
            shown = {name: frozenset(versions) for name, versions in pins.items()}
            index.shown = shown | {name: frozenset({version}) for name, version in moves.items()} | {wanted.name: stay}
            order = {"manifest": manifest, "lock": wanted.text, "latest": sorted(moves)}
            return self._run(order, index, driver)
        except CannotRenew:
            index.shown = {wanted.name: stay}
            return self._run({"manifest": manifest, "lock": wanted.text, "latest": [wanted.name]}, index, driver)

    def _run(self, order: dict[str, Any], index: Index, driver: Driver) -> dict[str, Any]:
        tool = sandboxed.index_tool("poetry", tools.python_tool("poetry", self._work()))
        found = sandboxed.run(tool, order, index.answer, driver=driver, work=self._work())
        hashes = found.get("hashes")
        good = isinstance(hashes, list) and len(hashes) == 2 and isinstance(found.get("lock"), str)
        if not good or not all(re.fullmatch(r"[0-9a-f]{64}", str(one)) for one in items(hashes)):
            raise CannotRenew("Poetry's answer is not a lock file")
        return found


def with_target(path: str, text: str, name: str, target: str) -> str:
    """pyproject.toml with each requirement of ``name`` that excludes the target moved to it. Raises CannotRenew."""
    version = Version(target)
    for wish in wishes.of_pyproject(toml_text.document(path, text)):
        if wish.name == name and not wishes.admits(wish, version):
            text = toml_text.with_value(text, wish.path, wishes.moved(wish, target))
    return text


def refuse_places(wanted: Wanted, manifest_path: str, manifest: str) -> None:
    """Raises CannotRenew for whatever would lead Poetry elsewhere than to the public index, or have it run something."""
    folder = posixpath.dirname(wanted.path)
    while True:
        path = posixpath.join(folder, "poetry.toml")
        if wanted.read(path) is not None:
            raise CannotRenew(f"{path} may lead Poetry elsewhere; files with it are not worked on")
        if not folder:
            break
        folder = posixpath.dirname(folder)
    document = toml_text.document(manifest_path, manifest)
    poetry = table(table(document.get("tool")).get("poetry"))
    for option in ("source", "requires-plugins"):
        if option in poetry:
            raise CannotRenew(f"pyproject.toml sets tool.poetry.{option}, with which it is not worked on")
    wishes.of_pyproject(document)


def check_public(lock: Lock) -> None:
    """Raises CannotRenew for a lock with a package from anywhere but the public index, or a file without its hash."""
    for entry in lock.packages:
        name = text_of(entry.get("name"))
        if source := table(entry.get("source")):
            raise CannotRenew(f"{limits.shown(name)} comes from {limits.shown(str(source))}, not from the public index")
        files = entry["files"] if "files" in entry else lock.files.get(name)
        for file in (table(one) for one in items(files)):
            if not _FILE.fullmatch(text_of(file.get("file"))) or not _SHA256.fullmatch(text_of(file.get("hash"))):
                raise CannotRenew(f"{limits.shown(name)} has a file without its SHA-256")
        if not items(files):
            raise CannotRenew(f"{limits.shown(name)} is locked without files")


def _asked(path: str, manifest: str) -> dict[str, list[Allowed]]:
    """What the project admits of each package it names."""
    asked: dict[str, list[Allowed]] = defaultdict(list)
    for wish in wishes.of_pyproject(toml_text.document(path, manifest)):
        asked[wish.name].append(Allowed(wish.constraint, partial(wishes.admits, wish)))
    return asked


def _told(lock: Lock) -> dict[tuple[str, Version], str]:
    """What the lock says of its packages, for those that have no wheel; they stay as they are, whatever it says."""
    found: dict[tuple[str, Version], str] = {}
    for entry in lock.packages:
        version, text = parsed(text_of(entry.get("version"))), metadata(entry)
        if version is not None and text is not None:
            found[canonicalize_name(text_of(entry.get("name"))), version] = text
    return found


def _pins(lock: Lock) -> dict[str, list[Version]]:
    pins: dict[str, list[Version]] = defaultdict(list)
    for name, version in lock.blocks:
        if (known := parsed(version)) is None:
            raise CannotRenew(f"{limits.shown(name)} stands at {limits.shown(version)}, which is no version")
        pins[canonicalize_name(name)].append(known)
    return pins
