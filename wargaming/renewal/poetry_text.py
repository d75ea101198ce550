"""The text of a poetry.lock, of every version of the format: what did not change stays, what did is written in the lock's own form. Pure.

Poetry writes the newest form only. Versions up to 1.1 keep the files at the end and a category for each package, 2.0 keeps the files with
the package, 2.1 also says for which groups and under which markers a package is wanted.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from typing import Any

from packaging.markers import InvalidMarker, Marker
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from immune.formats import limits
from immune.formats.documents import items, table, text_of
from immune.renewal import CannotRenew
from wargaming.renewal.wishes import specifiers

Key = tuple[str, str]
_TAIL = re.compile(r"^\[(?:extras|metadata)", re.MULTILINE)
_PACKAGE = re.compile(r"^(?=\[\[package\]\]$)", re.MULTILINE)
_FILES = re.compile(r"^files = (?:\[\]\n|\[\n(?:    .*\n)*\]\n)", re.MULTILINE)
_SAID_BY_2_1 = re.compile(r"^(?:groups|markers) = .*\n", re.MULTILINE)
_HASH = re.compile(r"^(content-hash = )\"[0-9a-f]*\"$", re.MULTILINE)
_FILES_OF = re.compile(r"^\"?([A-Za-z0-9._-]+)\"? = (?:\[\]\n|\[\n(?:    .*\n)*\]\n)", re.MULTILINE)
_FACTS_OF_2_1 = frozenset({"groups", "markers"})


class Lock:
    """A lock in its parts: what stands before the packages, the text of each, and what stands after them."""

    def __init__(self, text: str) -> None:
        """Raises CannotRenew for a text that is not laid out as Poetry lays it out."""
        self.newline = "\r\n" if "\r\n" in text else "\n"
        text = text.replace("\r\n", "\n")
        try:
            document = tomllib.loads(limits.without_mark(text))
            tail = _TAIL.search(text)
            self.tail = text[tail.start() :] if tail else ""
            self.head, *blocks = _PACKAGE.split(text[: tail.start()] if tail else text)
            self.blocks: dict[Key, str] = {}
            for block in blocks:
                [entry] = tomllib.loads(block)["package"]
                key = (str(entry["name"]), str(entry["version"]))
                if key in self.blocks:
                    raise CannotRenew(f"poetry.lock holds {limits.shown(' '.join(key))} twice")
                self.blocks[key] = block.rstrip("\n") + "\n"
        except (tomllib.TOMLDecodeError, KeyError, ValueError, TypeError, RecursionError) as error:
            raise CannotRenew("poetry.lock is not laid out as Poetry lays it out") from error
        metadata = table(document.get("metadata"))
        self.packages = [table(one) for one in items(document.get("package"))]
        self.form = _form(text_of(metadata.get("lock-version")))
        self.content_hash = text_of(metadata.get("content-hash"))
        self.files = table(metadata.get("files"))
        if len(self.packages) != len(self.blocks):
            raise CannotRenew("poetry.lock is not laid out as Poetry lays it out")


def spliced(old: Lock, base: Lock, new: Lock, content_hash: str) -> str:
    """``old`` with what changed from ``base`` (what Poetry makes of the unchanged files) to ``new``. Raises CannotRenew."""
    if base.blocks.keys() != old.blocks.keys():
        raise CannotRenew("poetry.lock is not what Poetry makes of pyproject.toml; run poetry lock first")
    blocks = []
    came: list[Mapping[str, Any]] = []
    for key, block in new.blocks.items():
        if key not in old.blocks:
            came.append(_entry(block))
            blocks.append(_in_form(block, old.form))
        elif _said(base.blocks[key], old.form) == _said(block, old.form):
            blocks.append(old.blocks[key])
        else:
            blocks.append(_with_files_of(old.blocks[key], _in_form(block, old.form)))
    tail, counted = _HASH.subn(lambda found: f'{found[1]}"{content_hash}"', old.tail)
    if counted != 1:
        raise CannotRenew("poetry.lock has no content hash where Poetry writes it")
    if old.form < (2, 0):
        gone = {name for name, _ in old.blocks} - {name for name, _ in new.blocks}
        stay = {
            name: [one for key, one in old.blocks.items() if key[0] == name and key in new.blocks]
            for name, _ in old.blocks
        }
        tail = _with_files_at_the_end(tail, gone, came, stay, old)
    text = "\n".join([old.head.rstrip("\n") + "\n", *blocks, tail]) if old.head.strip() else "\n".join([*blocks, tail])
    return text.replace("\n", old.newline)


def metadata(entry: Mapping[str, Any]) -> str | None:
    """METADATA of a locked package by what the lock itself says of it; None where that cannot be said in PEP 508's words."""
    lines = ["Metadata-Version: 2.1", f"Name: {entry.get('name')}", f"Version: {entry.get('version')}"]
    lines.append(f"Summary: {limits.shown(text_of(entry.get('description')))}")
    if (python := text_of(entry.get("python-versions"))) not in ("", "*"):
        lines.append(f"Requires-Python: {python}")
    try:
        for name, wishes in table(entry.get("dependencies")).items():
            for one in wishes if isinstance(wishes, list) else [wishes]:
                wish = {"version": one} if isinstance(one, str) else table(one)
                if wish.get("optional") is not True:
                    lines.append(f"Requires-Dist: {_requirement(name, wish)}")
        for extra, wanted in table(entry.get("extras")).items():
            lines.append(f"Provides-Extra: {extra}")
            for written in items(wanted):
                requirement = _of_the_index(text_of(written))
                requirement.marker = Marker(_with_extra(requirement.marker, extra))
                lines.append(f"Requires-Dist: {requirement}")
    except (InvalidRequirement, InvalidMarker, CannotRenew, RecursionError):
        return None
    text = "\n".join(lines) + "\n"
    return text if all(line.isprintable() for line in lines) else None


def _requirement(name: str, wish: Mapping[str, Any]) -> Requirement:
    extras = ",".join(text_of(one) for one in items(wish.get("extras")))
    alternatives = specifiers(text_of(wish.get("version")))
    if len(alternatives) != 1:
        raise InvalidRequirement(f"{name} is wanted in one of several ranges")
    marker = text_of(wish.get("markers"))
    written = f"{name}{f'[{extras}]' if extras else ''} {alternatives[0]}"
    return _of_the_index(written + (f" ; {marker}" if marker else ""))


def _of_the_index(written: str) -> Requirement:
    requirement = Requirement(written)
    if requirement.url is not None:
        raise InvalidRequirement(f"{requirement.name} comes from an address")
    return requirement


def _with_extra(marker: Marker | None, extra: str) -> str:
    mine = f'extra == "{extra}"'
    return f"({marker}) and {mine}" if marker else mine


def _form(version: str) -> tuple[int, int]:
    found = re.fullmatch(r"([12])\.(\d+)", version)
    if found is None:
        raise CannotRenew(f"a poetry.lock of version {limits.shown(version or 'unknown')} is not worked on")
    return int(found[1]), int(found[2])


def _entry(block: str) -> dict[str, Any]:
    [entry] = tomllib.loads(block)["package"]
    return dict(entry)


def _said(block: str, form: tuple[int, int]) -> dict[str, Any]:
    """What a package says of itself in the old lock's form, without its files."""
    left = {"files"} | (_FACTS_OF_2_1 if form < (2, 1) else set())
    return {key: value for key, value in _entry(block).items() if key not in left}


def _in_form(block: str, form: tuple[int, int]) -> str:
    if form >= (2, 1):
        return block
    category = "main" if "main" in items(_entry(block).get("groups")) else "dev"
    block = _SAID_BY_2_1.sub("", block)
    if form < (2, 0):
        block = _FILES.sub("", block)
        block = re.sub(r"^(?=optional = )", f'category = "{category}"\n', block, count=1, flags=re.MULTILINE)
    return block


def _with_files_of(old: str, new: str) -> str:
    kept = _FILES.search(old)
    return _FILES.sub(lambda found: kept[0] if kept else found[0], new)


def _with_files_at_the_end(
    tail: str, gone: set[str], came: list[Mapping[str, Any]], stay: Mapping[str, list[str]], old: Lock
) -> str:
    """[metadata.files] without what went and with what came, by name as Poetry orders it."""
    start = tail.find("[metadata.files]\n")
    if start == -1:
        raise CannotRenew("poetry.lock does not say its files where this version of it does")
    head, rest = tail[: start + len("[metadata.files]\n")], tail[start + len("[metadata.files]\n") :]
    found = {match[1]: match[0] for match in _FILES_OF.finditer(rest)}
    if "".join(found.values()).strip() != rest.strip():
        raise CannotRenew("poetry.lock is not laid out as Poetry lays it out")
    for name in gone:
        found.pop(name, None)
    for entry in came:
        name = str(entry["name"])
        if stay.get(name):
            raise CannotRenew(f"poetry.lock holds {name} several times, and this form of it keeps their files together")
        files = "".join(f'    {{file = "{one["file"]}", hash = "{one["hash"]}"}},\n' for one in entry["files"])
        found[name] = f"{name} = [\n{files}]\n"
    # Before 1.5 the order is that of the names as they are written.
    return head + "".join(found[name] for name in sorted(found, key=canonicalize_name))
