"""Reading a scenario folder: strict, bounded, pure once the bytes are there. Format: docs/scenarios.md.

A scenario may come from a stranger. Nothing in it is believed: sizes and counts are capped before anything is
parsed, YAML is read without aliases, tags and repeated keys, unknown keys are refused, versions are exact registry
versions, and what a scenario asks for (time, memory) is held within caps. Everything wrong with it is reported at once.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Final

import yaml

from wargaming.errors import ScenarioRefused
from wargaming.sandbox.base import Need, Trust

MAX_FILES: Final = 64
MAX_FILE_BYTES: Final = 1 << 20
MAX_TOTAL_BYTES: Final = 4 << 20
MAX_CASE_BYTES: Final = 64 << 10
MAX_VARIANTS: Final = 8
MAX_REPEATS: Final = 5
MAX_TIME_S: Final = 120
MAX_MEMORY_MB: Final = 2048
DEFAULT_TIME_S: Final = 30
DEFAULT_MEMORY_MB: Final = 512

ECOSYSTEMS: Final = {"PyPI": ".py", "npm": ".js"}
CASE_FILE: Final = "case.yaml"

_ID = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")
_PYPI_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,98}[A-Za-z0-9])?")
_NPM_NAME = re.compile(r"(?:@[a-z0-9~-][a-z0-9._~-]{0,98}/)?[a-z0-9~-][a-z0-9._~-]{0,98}", re.IGNORECASE)
_PYPI_VERSION = re.compile(r"(?:[0-9]+!)?[0-9]+(?:\.[0-9]+)*[A-Za-z0-9.+_-]{0,40}")
_NPM_VERSION = re.compile(r"[0-9]+\.[0-9]+\.[0-9]+(?:-[0-9A-Za-z.-]{1,60})?(?:\+[0-9A-Za-z.-]{1,60})?")
_CVE = re.compile(r"CVE-[0-9]{4}-[0-9]{4,}")
_GHSA = re.compile(r"GHSA(?:-[23456789cfghjmpqrvwx]{4}){3}")
_CWE = re.compile(r"CWE-[0-9]{1,5}")
_FILE_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")

# Keys of the published format, then ours (variants, repeats, protocol, observer).
_KEYS: Final = frozenset(
    [
        "id",
        "kind",
        "trap",
        "cve",
        "ghsa",
        "cwe",
        "summary",
        "ecosystem",
        "package",
        "vulnerable_version",
        "fixed_version",
        "with",
        "needs",
        "time_limit_s",
        "memory_mb",
        "lock",
        "source_builds",
        "expected",
        "variants",
        "repeats",
        "protocol",
        "observer",
    ]
)
_REQUIRED: Final = ("id", "ecosystem", "package", "vulnerable_version", "fixed_version")


@dataclass(frozen=True, slots=True)
class Variant:
    """One reproduction of the flaw: its name and the script that runs it."""

    id: str
    script: str


@dataclass(frozen=True, slots=True)
class Scenario:
    """A checked scenario. ``digest`` is over the names and bytes of all its files; ``locks`` are the pins that were in
    force when it was verified, by side; ``expected`` is what a verified scenario should give (raw, for test
    benches)."""

    id: str
    digest: str
    trust: Trust
    cve: str
    ghsa: str
    cwe: str
    summary: str
    ecosystem: str
    package: str
    vulnerable_version: str
    fixed_version: str
    with_: tuple[str, ...]
    needs: frozenset[Need]
    time_limit_s: float
    memory_mb: int
    variants: tuple[Variant, ...]
    control: str
    repeats: int
    protocol: int
    observed_from_outside: bool
    locks: Mapping[str, tuple[str, ...] | None]
    files: Mapping[str, bytes]
    expected: Mapping[str, Any] = field(default_factory=dict)


def scenario_from_folder(folder: Path, trust: Trust) -> Scenario:
    """Read a folder, without following links out of it. Raises :class:`ScenarioRefused`."""
    if not folder.is_dir():
        raise ScenarioRefused(((str(folder.name), "not a folder"),))
    files: dict[str, bytes] = {}
    total = 0
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if "__pycache__" in path.parts or (path.is_dir() and not path.is_symlink()):
            continue
        if path.is_symlink() or not path.is_file():
            raise ScenarioRefused(((name, "not a regular file"),))
        size = path.stat().st_size
        total += size
        if size > MAX_FILE_BYTES or total > MAX_TOTAL_BYTES or len(files) >= MAX_FILES:
            raise ScenarioRefused(((name, _too_much()),))
        files[name] = path.read_bytes()
    return scenario_from_files(files, trust)


def digest_of(files: Mapping[str, bytes]) -> str:
    """SHA-256 over the sorted (name, length, bytes) of every file. Evidence is bound to it: it must never change."""
    whole = hashlib.sha256()
    for name in sorted(files):
        encoded = name.encode()
        whole.update(b"%d:%s%d:" % (len(encoded), encoded, len(files[name])))
        whole.update(files[name])
    return whole.hexdigest()


def scenario_from_files(files: Mapping[str, bytes], trust: Trust) -> Scenario:
    """Check a mapping of relative name to content (from git blobs, an archive, a folder). Raises
    :class:`ScenarioRefused`."""
    problems = _file_problems(files)
    if problems:
        raise ScenarioRefused(tuple(problems))
    try:
        raw = yaml.load(files[CASE_FILE].decode("utf-8"), Loader=_StrictLoader)  # noqa: S506
    except (UnicodeDecodeError, yaml.YAMLError, RecursionError, ValueError) as error:
        raise ScenarioRefused(((CASE_FILE, " ".join(str(error).split())[:300]),)) from error
    if not isinstance(raw, dict):
        raise ScenarioRefused(((CASE_FILE, "is not a mapping of keys to values"),))
    case = _Case(raw, files, trust)
    scenario = case.scenario()
    if case.problems or scenario is None:
        raise ScenarioRefused(tuple(case.problems))
    return scenario


def _too_much() -> str:
    return f"too large: at most {MAX_FILES} files, {MAX_FILE_BYTES} bytes each, {MAX_TOTAL_BYTES} bytes together"


def _file_problems(files: Mapping[str, bytes]) -> list[tuple[str, str]]:
    problems: list[tuple[str, str]] = []
    if len(files) > MAX_FILES or sum(map(len, files.values())) > MAX_TOTAL_BYTES:
        problems.append(("files", _too_much()))
    for name, content in files.items():
        parts = PurePosixPath(name).parts
        plain = bool(parts) and len(parts) <= 4 and all(_FILE_PART.fullmatch(part) for part in parts)
        if not plain or PurePosixPath(name).as_posix() != name:
            problems.append((name[:100], "not a plain relative file name"))
        elif len(content) > (MAX_CASE_BYTES if name == CASE_FILE else MAX_FILE_BYTES):
            problems.append((name, "too large"))
    if CASE_FILE not in files:
        problems.append((CASE_FILE, "missing"))
    return problems


class _StrictLoader(yaml.SafeLoader):
    """SafeLoader without aliases (they can blow up), repeated keys (the later one would win silently) or deep
    nesting."""

    _depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases are not allowed")
        self._depth += 1
        if self._depth > 12:
            raise yaml.YAMLError("nested too deeply")
        try:
            return super().compose_node(parent, index)
        finally:
            self._depth -= 1

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        twice = {str(key) for key in keys if keys.count(key) > 1}
        if twice:
            raise yaml.YAMLError(f"key given twice: {', '.join(sorted(twice))}")
        return super().construct_mapping(node, deep)


class _Case:
    """One pass over case.yaml that collects every problem instead of stopping at the first."""

    def __init__(self, raw: dict[Any, Any], files: Mapping[str, bytes], trust: Trust) -> None:
        self.raw, self.files, self.trust = raw, files, trust
        self.problems: list[tuple[str, str]] = []

    def wrong(self, where: str, what: str) -> None:
        self.problems.append((where, what))

    def text(self, key: str, pattern: re.Pattern[str] | None = None, *, longest: int = 2000, default: str = "") -> str:
        value = self.raw.get(key, default)
        if value is None:
            return default
        if not isinstance(value, str):
            self.wrong(key, "must be text (write versions in quotes)")
            return default
        if len(value) > longest:
            self.wrong(key, f"longer than {longest} characters")
        elif pattern is not None and value and not pattern.fullmatch(value):
            self.wrong(key, f"{value[:80]!r} is not of the right form")
        return value

    def number(self, key: str, default: float, low: float, high: float) -> float:
        value = self.raw.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            self.wrong(key, f"must be a number from {low:g} to {high:g}")
            return default
        return value

    def texts(self, key: str, longest: int) -> list[str]:
        value = self.raw.get(key)
        if value is None:
            return []
        if not isinstance(value, list) or len(value) > longest or not all(isinstance(item, str) for item in value):
            self.wrong(key, f"must be a list of at most {longest} texts")
            return []
        return value

    def scenario(self) -> Scenario | None:
        for key in self.raw:
            if key not in _KEYS:
                self.wrong(str(key)[:100], "unknown key")
        for key in _REQUIRED:
            if not self.raw.get(key):
                self.wrong(key, "missing")
        ecosystem = self.text("ecosystem")
        if ecosystem not in ECOSYSTEMS:
            self.wrong("ecosystem", f"must be one of {', '.join(ECOSYSTEMS)}")
            return None
        npm = ecosystem == "npm"
        version = _NPM_VERSION if npm else _PYPI_VERSION
        suffix = ECOSYSTEMS[ecosystem]
        scenario = Scenario(
            id=self.text("id", _ID),
            digest=digest_of(self.files),
            trust=self.trust,
            cve=self.text("cve", _CVE),
            ghsa=self.text("ghsa", _GHSA),
            cwe=self.text("cwe", _CWE),
            summary=self.text("summary"),
            ecosystem=ecosystem,
            package=self.text("package", _NPM_NAME if npm else _PYPI_NAME),
            vulnerable_version=self.text("vulnerable_version", version),
            fixed_version=self.text("fixed_version", version),
            with_=tuple(self.pin("with", text, npm) for text in self.texts("with", 50)),
            needs=self.needs(),
            time_limit_s=self.number("time_limit_s", DEFAULT_TIME_S, 1, MAX_TIME_S),
            memory_mb=int(self.number("memory_mb", DEFAULT_MEMORY_MB, 64, MAX_MEMORY_MB)),
            variants=self.variants(suffix),
            control=f"control{suffix}",
            repeats=int(self.number("repeats", 3, 1, MAX_REPEATS)),
            protocol=int(self.number("protocol", 1, 1, 2)),
            observed_from_outside=self.observer(),
            locks=self.locks(npm),
            files=dict(self.files),
            expected=self.expected(),
        )
        if scenario.control not in self.files:
            self.wrong(scenario.control, "missing")
        return scenario

    def pin(self, where: str, text: str, npm: bool) -> str:
        """An exact registry version, so that no path, URL or range can be smuggled into an installer."""
        name, _, version = text.rpartition("@") if npm else text.partition("==")
        names, versions = (_NPM_NAME, _NPM_VERSION) if npm else (_PYPI_NAME, _PYPI_VERSION)
        if not names.fullmatch(name) or not versions.fullmatch(version):
            self.wrong(where, f"{text[:80]!r} is not an exact version ({'name@1.2.3' if npm else 'name==1.2.3'})")
        return text

    def needs(self) -> frozenset[Need]:
        found = set()
        for text in self.texts("needs", len(Need)):
            try:
                found.add(Need(text))
            except ValueError:
                self.wrong("needs", f"{text[:80]!r} is not one of {', '.join(Need)}")
        return frozenset(found)

    def variants(self, suffix: str) -> tuple[Variant, ...]:
        main = f"reproduce{suffix}"
        found = [Variant("main", main)]
        if main not in self.files:
            self.wrong(main, "missing")
        value = self.raw.get("variants") or []
        if not isinstance(value, list) or len(value) >= MAX_VARIANTS:
            self.wrong("variants", f"must be a list of fewer than {MAX_VARIANTS}")
            return tuple(found)
        for item in value:
            if not isinstance(item, dict) or set(item) != {"id", "reproduce"}:
                self.wrong("variants", "each needs exactly id and reproduce")
                continue
            identifier, script = str(item["id"]), str(item["reproduce"])
            if not _ID.fullmatch(identifier) or identifier in {variant.id for variant in found}:
                self.wrong("variants", f"{identifier[:80]!r} is not a new id")
            elif script not in self.files or not script.endswith(suffix):
                self.wrong("variants", f"{script[:80]!r} is not a {suffix} file of this scenario")
            else:
                found.append(Variant(identifier, script))
        return tuple(found)

    def observer(self) -> bool:
        value = self.raw.get("observer", "script")
        if value not in {"script", "outside"}:
            self.wrong("observer", "must be script or outside")
        return bool(value == "outside")

    def locks(self, npm: bool) -> dict[str, tuple[str, ...] | None]:
        value = self.raw.get("lock")
        if value is None:
            return {}
        if not isinstance(value, dict) or not set(value) <= {"vulnerable", "fixed"}:
            self.wrong("lock", "must hold vulnerable and fixed")
            return {}
        locks: dict[str, tuple[str, ...] | None] = {}
        for side, pins in value.items():
            if pins is None:
                locks[side] = None
            elif isinstance(pins, list) and len(pins) <= 500 and all(isinstance(pin, str) for pin in pins):
                locks[side] = tuple(self.pin(f"lock.{side}", pin, npm) for pin in pins)
            else:
                self.wrong(f"lock.{side}", "must be a list of at most 500 pins, or null")
        return locks

    def expected(self) -> dict[str, Any]:
        value = self.raw.get("expected")
        if value is None:
            return {}
        if not isinstance(value, dict):
            self.wrong("expected", "must be a mapping")
            return {}
        return value
