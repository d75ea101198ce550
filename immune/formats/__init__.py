"""Which file of a repository is a manifest or lock file, and which parser reads it. Pure.

One module per format; each offers ``parse(text, *, path, read) -> Inventory``. A new format is a module, a row in
``FORMATS`` and its samples under tests (see docs/formats.md).
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from immune.formats import (
    cargo_lock,
    gemfile_lock,
    go_mod,
    package_json,
    package_lock,
    pipfile_lock,
    pnpm_lock,
    poetry_lock,
    pom_xml,
    pylock_toml,
    pyproject_toml,
    requirements_txt,
    uv_lock,
    yarn_lock,
    yarn_v1,
)
from immune.inventory import Dependency, Inventory, Reader, Unreadable

__all__ = ["FORMATS", "Format", "detect", "distinct", "is_left_out", "manifests_in", "parse"]


class Parser(Protocol):
    def __call__(self, text: str, *, path: str, read: Reader) -> Inventory: ...


@dataclass(frozen=True, slots=True)
class Format:
    """One kind of manifest: its name, its OSV ecosystem, the paths it goes by, its parser."""

    name: str
    ecosystem: str
    pattern: re.Pattern[str]  # matched against the whole path
    parse: Parser


def _format(name: str, ecosystem: str, pattern: str, parser: Parser) -> Format:
    return Format(name, ecosystem, re.compile(rf"(?:.*/)?(?:{pattern})"), parser)


FORMATS: tuple[Format, ...] = (
    # requirements.txt, requirements-dev.txt, dev-requirements.txt, requirements/prod.txt
    _format(
        requirements_txt.FORMAT,
        "PyPI",
        r"requirements[^/]*\.txt|[^/]*[-_.]requirements\.txt|requirements/[^/]+\.txt",
        requirements_txt.parse,
    ),
    _format(pyproject_toml.FORMAT, "PyPI", r"pyproject\.toml", pyproject_toml.parse),
    _format(poetry_lock.FORMAT, "PyPI", r"poetry\.lock", poetry_lock.parse),
    _format(uv_lock.FORMAT, "PyPI", r"uv\.lock", uv_lock.parse),
    _format(pylock_toml.FORMAT, "PyPI", r"pylock(?:\.[^./]+)?\.toml", pylock_toml.parse),
    _format(pipfile_lock.FORMAT, "PyPI", r"Pipfile\.lock", pipfile_lock.parse),
    _format(package_json.FORMAT, "npm", r"package\.json", package_json.parse),
    _format(package_lock.FORMAT, "npm", r"package-lock\.json|npm-shrinkwrap\.json", package_lock.parse),
    _format(yarn_v1.FORMAT, "npm", r"yarn\.lock", yarn_lock.parse),
    _format(pnpm_lock.FORMAT, "npm", r"pnpm-lock\.yaml", pnpm_lock.parse),
    _format(go_mod.FORMAT, "Go", r"go\.mod", go_mod.parse),
    _format(cargo_lock.FORMAT, "crates.io", r"Cargo\.lock", cargo_lock.parse),
    _format(gemfile_lock.FORMAT, "RubyGems", r"Gemfile\.lock|gems\.locked", gemfile_lock.parse),
    _format(pom_xml.FORMAT, "Maven", r"pom\.xml", pom_xml.parse),
)

# Folders that hold other people's code, installed or copied: what is in them is not what this repository asks for.
_FOREIGN = frozenset(
    {
        "node_modules",
        "vendor",
        "bower_components",
        "site-packages",
        "__pypackages__",
        ".venv",
        "venv",
        ".tox",
        ".nox",
        ".git",
        ".yarn",
    }
)
# Folders of test inputs: anywhere for testdata (Go's rule), below a folder of tests for the others.
_TEST_FOLDERS = frozenset({"test", "tests", "__tests__", "spec", "specs"})
_FIXTURES = frozenset({"fixtures", "__fixtures__", "data", "samples"})


def detect(path: str) -> Format | None:
    """The format a file's path says it has; None when it is no manifest we know."""
    for known in FORMATS:
        if known.pattern.fullmatch(path):
            return known
    return None


def parse(path: str, text: str, read: Reader) -> Inventory:
    """What the manifest at ``path`` says. Raises Unreadable when it is none we know or cannot be understood."""
    known = detect(path)
    if known is None:
        raise Unreadable(path, "not a manifest or lock file of a known format")
    return known.parse(text, path=path, read=read)


def distinct(inventories: Iterable[Inventory]) -> list[Dependency]:
    """The rows of several inventories, each once: a requirements file that others include is read with each of them.

    A row read as a constraint (``groups == ("constraint",)``) gives way to the same line read as a requirement.
    """
    rows = list(dict.fromkeys(row for inventory in inventories for row in inventory.dependencies))
    asked = {(row.manifest, row.line, row.name) for row in rows if row.groups != ("constraint",)}
    return [row for row in rows if row.groups != ("constraint",) or (row.manifest, row.line, row.name) not in asked]


def manifests_in(paths: Iterable[str]) -> list[str]:
    """Of a tree listing (paths relative to its root), the files to read, sorted.

    Left out by rule: folders of installed or copied code (``node_modules``, ``vendor``, ``site-packages``, virtual
    environments …) and inputs of tests (``testdata``; ``fixtures``, ``__fixtures__``, ``data``, ``samples`` below a
    folder of tests). A manifest anywhere else counts, a test folder's own ``requirements.txt`` too: it is installed
    somewhere.
    """
    return sorted({path for path in paths if detect(path) and not is_left_out(path)})


def is_left_out(path: str) -> bool:
    """Whether the rule of ``manifests_in`` leaves the file out because of a folder it is in."""
    seen_tests = False
    for part in posixpath.dirname(path).split("/"):
        if part in _FOREIGN or part == "testdata" or (seen_tests and part in _FIXTURES):
            return True
        seen_tests = seen_tests or part in _TEST_FOLDERS
    return False
