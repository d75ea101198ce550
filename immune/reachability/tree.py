"""Reading the sources of one commit for the look at what they use: bounded in files, bytes and time. Runs git."""

from __future__ import annotations

import json
import posixpath
import re
import time
from collections.abc import Callable, Iterable, Iterator

from immune import formats, git
from immune.formats import limits
from immune.git import Mirror, TreeEntry
from immune.git_process import GitError
from immune.inventory import Unreadable
from immune.reachability.judging import Sources
from immune.reachability.uses import Uses, javascript_uses, python_uses

MAX_FILES = 5_000  # of both languages together
MAX_FILE = 512 * 1024  # bytes of one file; its tree takes some hundred times that
MAX_BYTES = 64 * 1024 * 1024  # of all
MAX_SECONDS = 20.0
MAX_OTHER = 256 * 1024  # bytes of a file in which programs may be named
BATCH = 200
BATCH_BYTES = 4 * 1024 * 1024

_REGULAR = ("100644", "100755", "100664")
_LANGUAGES = {
    **dict.fromkeys((".py", ".pyw"), "python"),
    **dict.fromkeys((".js", ".cjs", ".mjs", ".jsx", ".ts", ".cts", ".mts", ".tsx"), "javascript"),
}
# Code of the language that is not read: nothing can be said to be absent where there is some.
_UNREAD = {
    **dict.fromkeys((".pyx", ".ipynb", ".pth"), "python"),
    **dict.fromkeys((".vue", ".svelte", ".astro", ".coffee", ".html", ".mdx"), "javascript"),
}
_OTHER = frozenset({".sh", ".bash", ".cfg", ".ini", ".yml", ".yaml", ".json", ".service", ".conf", ".mk", ".tox", ""})
# Manifests and lock files name everything, installed packages use each other. (Besides the manifests that ``formats`` reads.)
_MANIFESTS = frozenset({"setup.cfg", "npm-shrinkwrap.json", "environment.yml", "environment.yaml"})
_INSTALLED = frozenset({"node_modules", "site-packages", ".venv", "venv", ".yarn"})
_REQUIRES = (
    "dependencies",
    "devDependencies",
    "peerDependencies",
    "optionalDependencies",
    "bundledDependencies",
    "overrides",
)


def sources_of(
    mirror: Mirror, commit: str, names: frozenset[str], *, clock: Callable[[], float] = time.monotonic
) -> Sources:
    """What the commit's sources use of ``names`` (modules, packages, functions; the rest is not kept). What could not be read within
    the bounds stands in ``unread``. Raises GitError for the tree itself."""
    return _Looking(mirror, names, clock).at(commit)


class _Looking:
    def __init__(self, mirror: Mirror, names: frozenset[str], clock: Callable[[], float]) -> None:
        self.mirror = mirror
        self.names = names
        self.words = {name: re.compile(rf"(?<![\w-]){re.escape(name.lower())}(?![\w-])") for name in names}
        self.clock = clock
        self.until = clock() + MAX_SECONDS
        self.uses: dict[str, dict[str, Uses]] = {"python": {}, "javascript": {}}
        self.unread: dict[str, str] = {}
        self.other: dict[str, frozenset[str]] = {}

    def at(self, commit: str) -> Sources:
        code: list[TreeEntry] = []
        other: list[TreeEntry] = []
        bytes_left, files_left, other_left = MAX_BYTES, MAX_FILES, MAX_BYTES // 4
        for entry in git.list_tree(self.mirror, commit):
            name = posixpath.basename(entry.path)
            suffix = posixpath.splitext(name)[1].lower()
            language = _LANGUAGES.get(suffix)
            if _INSTALLED.intersection(entry.path.split("/")):
                continue
            if missed := _UNREAD.get(suffix):
                self._miss(missed, f"{entry.path} is of a kind that is not read")
            elif language is None:
                speaks = name == "package.json" or (name not in _MANIFESTS and not formats.detect(entry.path))
                if suffix not in _OTHER or not speaks or entry.mode not in _REGULAR:
                    continue
                if entry.size <= min(MAX_OTHER, other_left):
                    other.append(entry)
                    other_left -= entry.size
                elif entry.size > MAX_OTHER:
                    continue  # no script of a person's hand is as long
                else:
                    self._miss_all(f"{entry.path} and more are beyond the bounds of this look")
            elif entry.mode not in _REGULAR:
                self._miss(language, f"{entry.path} is a link or a submodule")
            elif entry.size > MAX_FILE or entry.size > bytes_left or files_left == 0:
                self._miss(language, f"{entry.path} is beyond the bounds of this look")
            else:
                code.append(entry)
                bytes_left -= entry.size
                files_left -= 1
        self._read(code, self._code)
        self._read(other, self._named)
        return Sources(self.uses, self.unread, self.other)

    def _read(self, entries: Iterable[TreeEntry], look: Callable[[TreeEntry, bytes], None]) -> None:
        for part in _in_batches(entries):
            try:
                for entry, data in git.read_blobs(self.mirror, part, max_bytes=MAX_BYTES):
                    if self.clock() > self.until:
                        self._miss_all(f"{entry.path} and more were not read in time")
                        return
                    look(entry, data)
            except GitError as error:
                if error.passing:
                    raise
                self._miss_all(f"{part[0].path}: {error.message}")

    def _code(self, entry: TreeEntry, data: bytes) -> None:
        language = _LANGUAGES[posixpath.splitext(entry.path)[1].lower()]
        try:
            text = limits.decode(entry.path, data)
        except Unreadable as error:
            self._miss(language, f"{entry.path}: {error.reason}")
            return
        found = python_uses(text) if language == "python" else javascript_uses(text)
        if found is None:
            self._miss(language, f"{entry.path} cannot be parsed")
        else:
            self.uses[language][entry.path] = found.only(self.names)

    def _named(self, entry: TreeEntry, data: bytes) -> None:
        text = data.decode("utf-8", "replace")
        if posixpath.basename(entry.path) == "package.json":
            text = _beside_requirements(text)
        text = text.lower()
        self.other[entry.path] = frozenset(name for name, word in self.words.items() if word.search(text))

    def _miss(self, language: str, why: str) -> None:
        self.unread.setdefault(language, why)

    def _miss_all(self, why: str) -> None:
        for language in self.uses:
            self._miss(language, why)


def _in_batches(entries: Iterable[TreeEntry]) -> Iterator[list[TreeEntry]]:
    """A few at a time, so that what is held at once is small."""
    part: list[TreeEntry] = []
    for entry in entries:
        if part and (len(part) == BATCH or sum(one.size for one in part) + entry.size > BATCH_BYTES):
            yield part
            part = []
        part.append(entry)
    if part:
        yield part


def _beside_requirements(text: str) -> str:
    """A package.json without what it requires: scripts and settings of tools name what they use."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return text
    if not isinstance(found, dict):
        return text
    kept: Iterable[tuple[str, object]] = ((name, value) for name, value in found.items() if name not in _REQUIRES)
    return json.dumps(dict(kept))
