"""yarn.lock of Yarn 1 and the package.json beside it, renewed by Yarn in the sandbox.

Yarn keeps every entry it finds. The entries that are to move are taken out, and it is shown the remedied package at its targets only,
and what holds that down at the smallest version that does not; where there is none, package.json resolves it for that parent.
"""

from __future__ import annotations

import itertools
import json
import posixpath
import re
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from immune.formats import limits, yarn_v1
from immune.formats.documents import table
from immune.formats.npm_spec import wish
from immune.inventory import Origin, Unreadable
from immune.renewal import CannotRenew, Wanted
from wargaming.renewal import fetch, json_text, npm, sandboxed, tools
from wargaming.sandbox.base import Driver

PUBLIC_REGISTRIES = ("https://registry.yarnpkg.com/", npm.PUBLIC_REGISTRY)
MAX_LOCK = 16 * 1024 * 1024
_RESOLVED = re.compile(r"https://registry\.(?:yarnpkg\.com|npmjs\.org)/[^\s#?]+\.tgz(?:#[0-9a-f]{40})?")
_PROPERTIES = frozenset({"version", "resolved", "integrity", "uid", "registry"})


@dataclass(frozen=True, slots=True)
class Lock:
    """A lock in its parts: what stands before the first entry, each entry with its text, and the breaks at the end."""

    head: str
    blocks: tuple[tuple[str, yarn_v1.Entry], ...]
    end: str


class YarnRenewer:
    """Renews Yarn's files. ``opened`` gives a sandbox driver as a context; ``work`` is a folder of ours."""

    def __init__(self, opened: Callable[[], AbstractContextManager[Driver]], work: Callable[[], Path]) -> None:
        self._opened = opened
        self._work = work

    def lock(self, wanted: Wanted) -> dict[str, str]:
        """A lock file and, where its wishes do not admit the target, package.json. Raises as a Renewer does."""
        manifest_path = posixpath.join(posixpath.dirname(wanted.path), "package.json")
        manifest = wanted.read(manifest_path)
        if manifest is None:
            raise CannotRenew("there is no package.json beside it")
        lock = _checked(wanted, manifest_path, manifest)
        order = {
            "name": wanted.name,
            "targets": dict(wanted.targets),
            "manifest": limits.without_mark(manifest),
            "head": lock.head,
            "entries": [_shown(block, entry) for block, entry in lock.blocks],
        }
        registry = _registry_of(lock)
        with fetch.client() as client, self._opened() as driver:
            found = self._run(order, registry, client, driver)
        try:
            return _files(wanted, manifest_path, manifest, lock, registry, found)
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
            raise CannotRenew("Yarn's answer is not a lock file") from error

    def _run(self, order: dict[str, Any], registry: str, client: httpx.Client, driver: Driver) -> dict[str, Any]:
        folder = tools.yarn_folder(self._work(), client, npm.registry_address())
        tool = sandboxed.registry_tool("yarn", folder)

        def answer(path: str) -> bytes | None:
            return npm.answer(client, path, registry)

        return sandboxed.run(tool, order, answer, driver=driver, work=self._work())


def parsed(path: str, text: str) -> Lock:
    """The parts of a lock; line breaks are those of Unix. Raises CannotRenew."""
    text = limits.without_mark(text).replace("\r\n", "\n")
    try:
        entries = list(yarn_v1.entries(path, text))
    except Unreadable as error:
        raise CannotRenew(str(error)) from error
    lines = text.split("\n")
    starts = [entry.line - 1 for entry in entries] + [len(lines)]
    blocks = ["\n".join(lines[start:end]).rstrip("\n") for start, end in itertools.pairwise(starts)]
    head = "".join(f"{line}\n" for line in lines[: starts[0]]) if entries else text
    end = re.search(r"\n*\Z", text)
    return Lock(head, tuple(zip(blocks, entries, strict=True)), end[0] if end else "")


def spliced(old: str, base: str, new: str) -> str:
    """``old`` with what changed from ``base`` (what Yarn makes of the unchanged files) to ``new``. Raises CannotRenew."""
    before, made, final = (parsed("yarn.lock", text) for text in (old, base, new))
    if {tuple(entry.keys): entry.values.get("version") for _, entry in before.blocks} != {
        tuple(entry.keys): entry.values.get("version") for _, entry in made.blocks
    }:
        raise CannotRenew("yarn.lock is not what Yarn makes of package.json; run yarn install first")
    kept = {tuple(entry.keys): block for block, entry in before.blocks}
    same = {tuple(entry.keys): block for block, entry in made.blocks}
    blocks = [
        kept[tuple(entry.keys)] if same.get(tuple(entry.keys)) == block else block for block, entry in final.blocks
    ]
    text = before.head + "\n\n".join(blocks) + before.end
    return text.replace("\n", "\r\n") if "\r\n" in old else text


# --- what comes in --------------------------------------------------------------------------------------------


def _checked(wanted: Wanted, manifest_path: str, manifest: str) -> Lock:
    """The lock, when neither it nor what lies beside it points anywhere but to the public registry. Raises CannotRenew."""
    if len(wanted.text) > MAX_LOCK:
        raise CannotRenew("the lock file is too large to be worked on")
    if yarn_v1.HEADER not in wanted.text[:4096] and "__metadata:" in wanted.text:
        raise CannotRenew("a yarn.lock of Yarn 2 or later is not prepared yet")
    document = npm.document_of(manifest_path, manifest)
    npm.refuse_places(wanted, document)
    if document.get("flat"):
        raise CannotRenew("package.json asks for a flat installation, with which it is not worked on")
    for key, value in table(document.get("resolutions")).items():
        if not isinstance(value, str) or wish(key, value).origin is not Origin.REGISTRY:
            raise CannotRenew(f"package.json resolves {limits.shown(key)} to {limits.shown(str(value))}")
    lock = parsed(wanted.path, wanted.text)
    for _, entry in lock.blocks:
        _check_public(entry)
    return lock


def _check_public(entry: yarn_v1.Entry) -> None:
    """Raises CannotRenew for an entry from anywhere but the public registry."""
    shown = limits.shown(entry.keys[0])
    if more := sorted(entry.values.keys() - _PROPERTIES):
        raise CannotRenew(f"{shown} says {limits.shown(more[0])}, with which it is not worked on")
    resolved = entry.values.get("resolved", "")
    if not _RESOLVED.fullmatch(resolved):
        raise CannotRenew(f"{shown} comes from {limits.shown(resolved or 'nowhere')}, not from the public registry")
    for key in entry.keys:
        name, wanted = yarn_v1.split_key(key)
        if wish(name, wanted).origin is not Origin.REGISTRY:
            raise CannotRenew(f"{limits.shown(key)} asks for a place outside the public registry")


def _shown(block: str, entry: yarn_v1.Entry) -> dict[str, Any]:
    _, name, _ = yarn_v1.identity(entry)
    version = entry.values.get("version", "")
    return {"text": block, "keys": entry.keys, "name": name, "version": version, "wishes": entry.wishes}


def _registry_of(lock: Lock) -> str:
    """The public registry's address that most entries have; Yarn's own where there are none."""
    count = {
        one: sum(entry.values["resolved"].startswith(one) for _, entry in lock.blocks) for one in PUBLIC_REGISTRIES
    }
    return max(PUBLIC_REGISTRIES, key=lambda one: count[one])


# --- what goes out --------------------------------------------------------------------------------------------


def _files(
    wanted: Wanted, manifest_path: str, manifest: str, lock: Lock, registry: str, found: Mapping[str, Any]
) -> dict[str, str]:
    text = spliced(wanted.text, str(found["base"]), str(found["final"]))
    _check_new(wanted, lock, parsed(wanted.path, text), registry)
    files = {wanted.path: text}
    changed = json_text.replaced(manifest, [(str(one), str(key), str(value)) for one, key, value in found["ranges"]])
    if found["resolutions"]:
        resolutions = dict(table(json.loads(limits.without_mark(changed)).get("resolutions")))
        resolutions |= {str(pattern): str(target) for pattern, target in found["resolutions"]}
        changed = json_text.with_member(changed, "resolutions", resolutions)
    if changed != manifest:
        files[manifest_path] = changed
    return files


def _check_new(wanted: Wanted, old: Lock, new: Lock, registry: str) -> None:
    """Every entry that is not as it was is an exact release of the public registry with its hash, and none is left. Raises CannotRenew."""
    before = {block for block, _ in old.blocks}
    for block, entry in new.blocks:
        name, version = yarn_v1.identity(entry)[1], entry.values.get("version", "")
        shown = limits.shown(entry.keys[0])
        if name == wanted.name and version in wanted.targets:
            raise CannotRenew(f"{shown} cannot be moved away from {version}")
        if block in before:
            continue
        _check_public(entry)
        good = npm.VERSION.fullmatch(version) and entry.values["resolved"].startswith(registry)
        if not good or not npm.INTEGRITY.fullmatch(entry.values.get("integrity", "")):
            raise CannotRenew(f"Yarn gave no exact public release with its hash for {shown}")
