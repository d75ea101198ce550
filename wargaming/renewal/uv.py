"""uv.lock and the pyproject.toml beside it, renewed by uv in the sandbox.

uv keeps every locked version that still fits and moves the remedied package to its target, and with it what holds it down. What an
index says anew of a release that stays (wheels added since) is left out of the change: a package that stays keeps its text.
"""

from __future__ import annotations

import os
import posixpath
import re
import shutil
import tempfile
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import httpx
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from immune.formats import limits
from immune.formats.documents import items, table, text_of
from immune.renewal import CannotRenew, Wanted, one_target
from wargaming.environments.tools import uv_program
from wargaming.renewal import fetch, pypi, sandboxed, toml_text
from wargaming.renewal.index import PUBLIC_FILES, Index
from wargaming.sandbox.base import Driver

# What [tool.uv] may say without leading uv anywhere else or changing what is built.
ALLOWED_OPTIONS = frozenset(
    {"constraint-dependencies", "override-dependencies", "exclude-dependencies", "default-groups", "dev-dependencies"}
    | {"package", "environments", "required-environments", "conflicts", "managed", "resolution", "prerelease"}
    | {"fork-strategy", "dependency-groups"}
)
MAX_LOCK = 16 * 1024 * 1024
_UPLOAD_TIME = re.compile(r", upload-time = \"[^\"]*\"")
_SIZE = re.compile(r", size = [0-9]+")


class UvRenewer:
    """Renews uv's files. ``opened`` gives a sandbox driver as a context; ``work`` is a folder of ours."""

    def __init__(self, opened: Callable[[], AbstractContextManager[Driver]], work: Callable[[], Path]) -> None:
        self._opened = opened
        self._work = work

    def lock(self, wanted: Wanted) -> dict[str, str]:
        """A lock file and, where its requirements do not admit the target, pyproject.toml. Raises as a Renewer does."""
        manifest_path = posixpath.join(posixpath.dirname(wanted.path), "pyproject.toml")
        manifest = wanted.read(manifest_path)
        if manifest is None:
            raise CannotRenew("there is no pyproject.toml beside it")
        _refuse_places(wanted, manifest_path, manifest)
        _refuse_builds(manifest_path, manifest)
        target = one_target(wanted)
        changed = with_target(manifest_path, manifest, wanted.name, target)
        order = {"manifest": changed, "lock": wanted.text, "upgrades": [f"{wanted.name}=={target}"]}
        with fetch.client() as client, self._opened() as driver:
            pypi.release(client, wanted.name, target)
            unchanged = self._run({**order, "manifest": manifest, "upgrades": []}, client, driver)
            if _parts(unchanged)[1].keys() != _parts(wanted.text)[1].keys():
                raise CannotRenew("uv.lock is not what uv makes of pyproject.toml; run uv lock first")
            found = self._run(order, client, driver)
        text = spliced(wanted.text, found)
        _check_public(wanted.path, text)
        files = {wanted.path: text} if text != wanted.text else {}
        return files | ({manifest_path: changed} if changed != manifest else {})

    def manifest(self, wanted: Wanted) -> dict[str, str]:
        """An exact version in a pyproject.toml without a lock file beside it. Raises as a Renewer does."""
        _refuse_places(wanted, wanted.path, wanted.text)
        target = one_target(wanted)
        with fetch.client() as client:
            pypi.release(client, wanted.name, target)
        return {wanted.path: with_target(wanted.path, wanted.text, wanted.name, target)}

    def _run(self, order: dict[str, Any], client: httpx.Client, driver: Driver) -> str:
        tool = sandboxed.index_tool("uv", uv_folder(self._work()))
        found = sandboxed.run(tool, order, Index(client).answer, driver=driver, work=self._work())
        if not isinstance(found.get("lock"), str):
            raise CannotRenew("uv's answer is not a lock file")
        return str(found["lock"])


def with_target(path: str, text: str, name: str, target: str) -> str:
    """pyproject.toml with each requirement of ``name`` that excludes the target at it; only ``==`` can be moved alone."""
    document = toml_text.document(path, text)
    moved: dict[str, str] = {}
    for written in _requirements(document):
        try:
            requirement = Requirement(written)
        except (InvalidRequirement, RecursionError):
            continue
        if canonicalize_name(requirement.name) != name or requirement.specifier.contains(target, prereleases=True):
            continue
        pins = [one for one in requirement.specifier if one.operator == "==" and not one.version.endswith("*")]
        if len(requirement.specifier) != 1 or not pins:
            raise CannotRenew(f"{path} asks for {limits.shown(written)}, which does not admit {target}")
        head, _, tail = written.partition(pins[0].version)
        moved[written] = head + target + tail
    new = text
    for before, after in moved.items():
        for quote in "\"'":
            new = new.replace(f"{quote}{before}{quote}", f"{quote}{after}{quote}")
    if tomllib.loads(limits.without_mark(new)) != _moved(document, moved):
        raise CannotRenew(f"{path}: the requirement of {name} is not written so that it can be changed alone")
    return new


def spliced(old: str, new: str) -> str:
    """The lock ``new`` with the text ``old`` has for everything that did not change but in what an index adds with time."""
    old_head, old_blocks = _parts(old)
    new_head, new_blocks = _parts(new)
    head_facts = [{k: v for k, v in tomllib.loads(head).items() if k != "revision"} for head in (old_head, new_head)]
    head = old_head if head_facts[0] == head_facts[1] else new_head
    timeless, sizeless = "upload-time" not in old, _SIZE.search(old) is None
    out = [head]
    for key, block in new_blocks.items():
        before = old_blocks.get(key)
        if before is None:
            block = _UPLOAD_TIME.sub("", block) if timeless else block  # noqa: PLW2901
            block = _SIZE.sub("", block) if sizeless else block  # noqa: PLW2901
        elif _facts(before) == _facts(block):
            block = before  # noqa: PLW2901
        else:
            block = _with_files_of(before, block)  # noqa: PLW2901
        out.append(block.rstrip("\n") + "\n")
    tail = re.search(r"\n*\Z", old)
    return "\n".join(out).rstrip("\n") + (tail[0] if tail else "\n")


# --- what comes in --------------------------------------------------------------------------------------------


def _refuse_places(wanted: Wanted, manifest_path: str, manifest: str) -> None:
    """Raises CannotRenew for whatever would lead uv elsewhere than to the public index, or have it build something."""
    folder = posixpath.dirname(wanted.path)
    while True:
        if wanted.read(posixpath.join(folder, "uv.toml")) is not None:
            raise CannotRenew(
                f"{posixpath.join(folder, 'uv.toml')} may lead uv elsewhere; files with it are not worked on"
            )
        if not folder:
            break
        folder = posixpath.dirname(folder)
    document = toml_text.document(manifest_path, manifest)
    for option in table(table(document.get("tool")).get("uv")):
        if option not in ALLOWED_OPTIONS:
            raise CannotRenew(f"pyproject.toml sets tool.uv.{limits.shown(option)}, with which it is not worked on")
    for written in _requirements(document):
        try:
            if Requirement(written).url is not None:
                raise CannotRenew(f"pyproject.toml takes {limits.shown(written)} from an address")
        except (InvalidRequirement, RecursionError) as error:
            raise CannotRenew(f"pyproject.toml asks for {limits.shown(written)}, which is no requirement") from error
    if posixpath.basename(wanted.path) == "uv.lock":
        _check_public(wanted.path, wanted.text)


def _refuse_builds(path: str, manifest: str) -> None:
    """Raises CannotRenew for a project that says what it is only by being built: uv would run its code to find out."""
    project = table(toml_text.document(path, manifest).get("project"))
    if not project:
        raise CannotRenew(f"{path} has no [project], so it would have to be built to know what it asks for")
    if dynamic := items(project.get("dynamic")):
        raise CannotRenew(f"{path} leaves {limits.shown(str(dynamic[0]))} to a build, and nothing is built here")


def _check_public(path: str, text: str) -> None:
    """Raises CannotRenew for a lock with a package or file from anywhere but the public index, the project itself aside."""
    if len(text) > MAX_LOCK:
        raise CannotRenew("the lock file is too large to be worked on")
    versions: dict[str, set[str]] = {}
    for entry in (table(one) for one in items(toml_text.document(path, text).get("package"))):
        name, source = text_of(entry.get("name")), table(entry.get("source"))
        versions.setdefault(name, set()).add(text_of(entry.get("version")))
        if source in ({"virtual": "."}, {"editable": "."}):
            continue
        if source != {"registry": pypi.PUBLIC_INDEX}:
            raise CannotRenew(f"{limits.shown(name)} comes from {limits.shown(str(source))}, not from the public index")
        for file in (table(one) for one in (entry.get("sdist"), *items(entry.get("wheels"))) if one is not None):
            good = text_of(file.get("url")).startswith(PUBLIC_FILES) and text_of(file.get("hash")).startswith("sha256:")
            if not good:
                raise CannotRenew(f"{limits.shown(name)} has a file that is not one of the public index with its hash")


def _requirements(document: Mapping[str, Any]) -> Iterator[str]:
    """Every requirement a project writes down, wherever uv reads one."""
    project, options = table(document.get("project")), table(table(document.get("tool")).get("uv"))
    groups = [project.get("dependencies"), *table(project.get("optional-dependencies")).values()]
    groups += [*table(document.get("dependency-groups")).values()]
    groups += [options.get(key) for key in ("dev-dependencies", "constraint-dependencies", "override-dependencies")]
    for group in groups:
        yield from (one for one in items(group) if isinstance(one, str))


def _moved(value: Any, moved: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _moved(one, moved) for key, one in value.items()}
    if isinstance(value, list):
        return [_moved(one, moved) for one in value]
    return moved.get(value, value) if isinstance(value, str) else value


# --- the text of a lock ---------------------------------------------------------------------------------------

_Key = tuple[str, str]


def _parts(text: str) -> tuple[str, dict[_Key, str]]:
    """What stands before the packages, and the text of each by name and version. Raises CannotRenew."""
    head, *rest = re.split(r"^(?=\[\[package\]\]$)", text, flags=re.MULTILINE)
    blocks: dict[_Key, str] = {}
    try:
        for block in rest:
            [entry] = tomllib.loads(block)["package"]
            key = (str(entry["name"]), str(entry.get("version", "")))
            if key in blocks:
                raise CannotRenew(f"uv.lock holds {limits.shown(' '.join(key))} twice")
            blocks[key] = block.rstrip("\n") + "\n"
        tomllib.loads(head)
    except (tomllib.TOMLDecodeError, KeyError, ValueError, TypeError, RecursionError) as error:
        raise CannotRenew("uv.lock is not laid out as uv lays it out") from error
    return head.rstrip("\n") + "\n", blocks


def _facts(block: str) -> dict[str, Any]:
    """What a package says of itself, without its files."""
    [entry] = tomllib.loads(block)["package"]
    return {key: value for key, value in entry.items() if key not in ("sdist", "wheels")}


_FILES = re.compile(r"^sdist = .*\n|^wheels = \[\n(?:    .*\n)*\]\n", re.MULTILINE)


def _with_files_of(old: str, new: str) -> str:
    kept = {found[0].partition(" ")[0]: found[0] for found in _FILES.finditer(old)}
    return _FILES.sub(lambda found: kept.get(found[0].partition(" ")[0], found[0]), new)


def uv_folder(work: Path) -> Path:
    """A folder that holds uv alone, to be shown inside."""
    program = Path(uv_program())
    facts = program.stat()
    folder = work / "tools" / f"uv-{facts.st_size}-{facts.st_mtime_ns}"
    if not (folder / "uv").exists():
        folder.mkdir(parents=True, exist_ok=True)
        folder.parent.chmod(0o755)
        folder.chmod(0o755)
        number, name = tempfile.mkstemp(dir=folder, prefix=".uv-")
        with os.fdopen(number, "wb") as copy, program.open("rb") as whole:
            shutil.copyfileobj(whole, copy)
            os.fchmod(number, 0o555)
        os.replace(name, folder / "uv")
    return folder
