"""pip's requirements files: what they pin, what they leave open, what they include. Pure.

Sources: "Requirements File Format" in pip's documentation and its reader (``req_file.py``); PEP 508 through
``packaging``. Exact pins (``==X`` without wildcard, ``===X``) give a version; everything else is kept as unresolved
with its reason. A line that no installer could read is a ``Refusal`` with file and line; the rest of the file is
still taken.

Includes (``-r``) add their lines under their own path. Constraints (``-c``) resolve what is required without a pin, and
the row then names the constraint's file and line, since that is the line to edit; a constraint nobody requires by name
is kept as ``Scope.OPTIONAL``, group ``constraint``, not direct: it decides the version of whatever brings the package
in.
"""

from __future__ import annotations

import optparse
import posixpath
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, NoReturn
from urllib.parse import unquote, urlsplit

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    canonicalize_name,
    parse_sdist_filename,
    parse_wheel_filename,
)
from packaging.version import InvalidVersion

from immune.formats import limits
from immune.formats.requirements_lines import VARIABLE, LogicalLine, logical_lines
from immune.formats.requirements_via import with_origins
from immune.inventory import Dependency, Inventory, Note, Origin, Reader, Refusal, Scope, Unreadable

FORMAT = "requirements.txt"
ECOSYSTEM = "PyPI"

# Stands in for an environment variable while a line is parsed: legal in a name, a version and an address alike.
_STAND_IN = "0"
_VCS = re.compile(r"(git|hg|svn|bzr)\+", re.IGNORECASE)
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://|file:", re.IGNORECASE)
_ARCHIVE = (
    ".whl",
    ".zip",
    ".tar.gz",
    ".tgz",
    ".tar.bz2",
    ".tbz",
    ".tar.xz",
    ".txz",
    ".tlz",
    ".tar.lz",
    ".tar.lzma",
    ".tar",
)
_EXTRAS_AT_END = re.compile(r"^(.+?)(\[[^\]]*\])$")
_NO_PATH = re.compile(r"[\s<>|?*\"]")  # a slash alone does not make a path of a line
_HASH = re.compile(r"(sha256|sha384|sha512):[0-9a-fA-F]{64,128}")
_DIGEST = {"sha256": 64, "sha384": 96, "sha512": 128}


class _OptionError(Exception):
    """A line's options could not be read as pip's."""


class _Options(optparse.OptionParser):
    """pip reads these with optparse, abbreviations included, so it is the one to agree with."""

    def error(self, msg: str) -> NoReturn:
        raise _OptionError(msg)

    def exit(self, status: int = 0, msg: str | None = None) -> NoReturn:
        raise _OptionError(msg or "options")


def _options() -> _Options:
    parser = _Options(add_help_option=False, prog="")
    parser.add_option("-r", "--requirement", action="append", default=[])
    parser.add_option("-c", "--constraint", action="append", default=[])
    parser.add_option("-e", "--editable", action="append", default=[])
    parser.add_option("-i", "--index-url", "--pypi-url", dest="index_url", action="append", default=[])
    parser.add_option("--extra-index-url", action="append", default=[])
    parser.add_option("-f", "--find-links", action="append", default=[])
    parser.add_option("--trusted-host", action="append", default=[])
    parser.add_option("--no-index", action="store_true")
    parser.add_option("--no-binary", action="append", default=[])
    parser.add_option("--only-binary", action="append", default=[])
    parser.add_option("--prefer-binary", action="store_true")
    parser.add_option("--require-hashes", action="store_true")
    parser.add_option("--pre", action="store_true")
    parser.add_option("--use-feature", action="append", default=[])
    # of one requirement
    parser.add_option("--hash", dest="hashes", action="append", default=[])
    parser.add_option("--global-option", action="append", default=[])
    parser.add_option("--install-option", action="append", default=[])
    parser.add_option(
        "-C", "--config-settings", "--config-setting", dest="config_settings", action="append", default=[]
    )
    return parser


_PARSER = _options()
# What an option means to somebody building a remedy.
_KINDS = {
    "index_url": "index",
    "extra_index_url": "index",
    "find_links": "index",
    "trusted_host": "index",
    "no_index": "index",
    "no_binary": "source-build",
    "global_option": "source-build",
    "install_option": "source-build",
    "config_settings": "source-build",
    "only_binary": "option",
    "prefer_binary": "option",
    "require_hashes": "option",
    "pre": "option",
    "use_feature": "option",
}


@dataclass(slots=True)
class _Read:
    """What has been read so far, over all files of one parse."""

    read: Reader
    required: list[Dependency] = field(default_factory=list)
    constraints: list[Dependency] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    done: set[tuple[str, bool]] = field(default_factory=set)


def parse(text: str, *, path: str, read: Reader) -> Inventory:
    """The inventory of a requirements file and of what it includes.

    ``read`` fetches included files; what it cannot fetch, what lies outside the tree and loops become refusals. Raises
    Unreadable when the file is larger than any requirements file may be or holds no text at all (NUL bytes).
    """
    limits.check_size(path, text)
    if "\0" in text:
        raise Unreadable(path, "holds NUL characters: not a text file")
    state = _Read(read)
    _take_file(state, text, path, constraint=False, above=())
    return Inventory(
        format=FORMAT,
        path=path,
        dependencies=tuple(_resolved(state.required, state.constraints)),
        refused=tuple(state.refused),
        notes=tuple(state.notes),
    )


def _take_file(state: _Read, text: str, path: str, *, constraint: bool, above: tuple[str, ...]) -> None:
    state.done.add((path, constraint))
    lines = list(logical_lines(text))
    began = len(state.required)
    for line in lines:
        source = f"{path}:{line.number}"
        if len(line.text) > limits.MAX_LINE:
            state.refused.append(Refusal(source, f"line longer than {limits.MAX_LINE} characters"))
            continue
        if len(state.required) + len(state.constraints) >= limits.MAX_DEPENDENCIES:
            raise Unreadable(path, f"more than {limits.MAX_DEPENDENCIES} dependencies")
        try:
            _take_line(state, line, path, constraint=constraint, above=above)
        except _OptionError as error:
            state.refused.append(Refusal(source, f"options not understood: {limits.shown(str(error))}"))
        except Unreadable as error:
            state.refused.append(Refusal(source, error.reason))
    if not constraint:
        state.required[began:] = with_origins(path, text, lines, state.required[began:])


def split_options(line: str) -> tuple[str, str]:
    """The requirement and the options of a line: options begin at the first word that starts with a dash, as in pip."""
    at = 0
    for word in line.split(" "):
        if word.startswith("-"):
            return line[:at].rstrip(), line[at:]
        at += len(word) + 1
    return line, ""


def _given(rest: str) -> Any:
    # optparse appends to the parser's own default lists unless given fresh ones
    fresh: Any = optparse.Values({k: list(v) if isinstance(v, list) else v for k, v in _PARSER.defaults.items()})
    if len(rest) > limits.MAX_OPTIONS:
        raise _OptionError(f"longer than {limits.MAX_OPTIONS} characters")
    if rest:
        try:
            _PARSER.parse_args(shlex.split(rest), values=fresh)
        except ValueError as error:
            raise _OptionError(str(error)) from error
    return fresh


def _take_line(state: _Read, line: LogicalLine, path: str, *, constraint: bool, above: tuple[str, ...]) -> None:
    source = f"{path}:{line.number}"
    wanted, rest = split_options(line.text)
    wanted = wanted.strip()
    given = _given(rest)
    for name, kind in _KINDS.items() if rest else ():
        if value := getattr(given, name):
            flag = "--" + name.replace("_", "-")
            shown = flag if value is True else f"{flag} {limits.shown(' '.join(value))}"
            state.notes.append(Note(source, kind, shown))
    if wanted:
        found = _requirement(wanted, path, line)
        _keep(state, _with_hashes(state, found, given.hashes, source), source, constraint=constraint)
        return
    for wish in given.editable:
        found = _requirement(wish, path, line, editable=True)
        _keep(state, found, source, constraint=constraint)
    for target in given.requirement:
        _include(state, target, path, constraint=False, above=above)
    for target in given.constraint:
        _include(state, target, path, constraint=True, above=above)
    if given.hashes:
        raise Unreadable(source, "hashes without a requirement")


def _keep(state: _Read, found: Dependency | Note, source: str, *, constraint: bool) -> None:
    if isinstance(found, Note):
        state.notes.append(found)
    elif not constraint:
        state.required.append(found)
    elif found.extras:
        raise Unreadable(source, "a constraint cannot have extras")
    else:
        state.constraints.append(replace(found, scope=Scope.OPTIONAL, direct=False, groups=("constraint",)))


def _with_hashes(state: _Read, found: Dependency | Note, hashes: list[str], source: str) -> Dependency | Note:
    if isinstance(found, Note) or not hashes:
        return found
    for one in hashes:
        if not _is_hash(one):
            # The version is certain all the same; that the file cannot be installed as it stands is said.
            state.refused.append(Refusal(source, f"{found.name}: malformed hash {limits.shown(one)!r}"))
    return replace(found, hashes=tuple(one for one in hashes if _is_hash(one)))


def _is_hash(value: str) -> bool:
    kind, _, digest = value.partition(":")
    return bool(_HASH.fullmatch(value)) and len(digest) == _DIGEST[kind]


# --- includes -------------------------------------------------------------------------------------------------


def _include(state: _Read, target: str, path: str, *, constraint: bool, above: tuple[str, ...]) -> None:
    place = _inside(target, path)
    if place == path or place in above:
        raise Unreadable(path, f"includes itself through {limits.shown(place)}")
    if (place, constraint) in state.done:
        return
    if len(state.done) >= limits.MAX_INCLUDES:
        raise Unreadable(path, f"more than {limits.MAX_INCLUDES} included files")
    if len(above) >= limits.MAX_DEPTH:
        raise Unreadable(path, f"includes nested deeper than {limits.MAX_DEPTH}")
    try:
        text = state.read(place)
        limits.check_size(place, text)
        if "\0" in text:
            raise Unreadable(place, "holds NUL characters: not a text file")
    except Unreadable as error:
        raise Unreadable(path, f"includes {limits.shown(place)}, which cannot be read: {error.reason}") from error
    _take_file(state, text, place, constraint=constraint, above=(*above, path))


def _inside(target: str, path: str) -> str:
    """The included path relative to the repository root; Unreadable when it is an address, absolute or outside."""
    if VARIABLE.search(target):
        raise Unreadable(path, f"includes {limits.shown(target)}, which depends on an environment variable")
    if _SCHEME.match(target):
        raise Unreadable(path, f"includes {limits.shown(target)}: an address is not fetched")
    if target.startswith(("/", "~")) or re.match(r"[A-Za-z]:", target):
        raise Unreadable(path, f"includes {limits.shown(target)}, which lies outside the repository")
    place = posixpath.normpath(posixpath.join(posixpath.dirname(path), target.replace("\\", "/")))
    if place == ".." or place.startswith("../"):
        raise Unreadable(path, f"includes {limits.shown(target)}, which lies outside the repository")
    return place


# --- one requirement ------------------------------------------------------------------------------------------


def _requirement(wanted: str, path: str, line: LogicalLine, *, editable: bool = False) -> Dependency | Note:
    """The dependency one requirement names; a Note for a folder or file without a name. Raises Unreadable."""
    source = f"{path}:{line.number}"
    if len(wanted) > limits.MAX_REQUIREMENT:
        raise Unreadable(source, f"requirement longer than {limits.MAX_REQUIREMENT} characters")
    variables = sorted(set(VARIABLE.findall(wanted)))
    plain = VARIABLE.sub(_STAND_IN, wanted)
    if editable or _is_link(plain):
        found = _link(plain, wanted, path, line)
    else:
        try:
            parsed = Requirement(plain)
        except InvalidRequirement as error:
            raise Unreadable(source, f"not a requirement: {limits.shown(wanted)!r} ({_first_line(error)})") from error
        except (ValueError, RecursionError) as error:  # numbers of thousands of digits; markers nested too deep
            raise Unreadable(source, f"not a requirement: {limits.shown(wanted)!r} (too deep or too long)") from error
        found = _named(parsed, wanted, path, line)
    if variables and isinstance(found, Dependency):
        reason = f"depends on the environment variable {', '.join(variables)}"
        if not VARIABLE.sub("", wanted).strip() or VARIABLE.match(wanted):
            raise Unreadable(source, f"its name {reason}")
        return replace(found, version=None, reason=reason)
    return found


def _named(parsed: Requirement, wanted: str, path: str, line: LogicalLine) -> Dependency:
    found = Dependency(
        ecosystem=ECOSYSTEM,
        name=canonicalize_name(parsed.name),
        version=None,
        manifest=path,
        line=line.number,
        raw_name=parsed.name,
        requirement=limits.without_credentials(wanted),
        direct=True,
        extras=tuple(sorted(parsed.extras)),
        marker=str(parsed.marker) if parsed.marker else "",
    )
    if parsed.url is not None:
        origin = Origin.GIT if _VCS.match(parsed.url) else Origin.PATH if _is_local(parsed.url) else Origin.URL
        return replace(found, origin=origin, reason=_ORIGIN_REASONS[origin])
    version, reason = pinned(parsed.specifier)
    return replace(found, version=version, reason=reason)


def pinned(specifier: SpecifierSet) -> tuple[str | None, str]:
    """The one version a specifier allows, as written, or None with the reason why it pins none."""
    exact = [
        one for one in specifier if one.operator == "===" or (one.operator == "==" and not one.version.endswith(".*"))
    ]
    if not specifier:
        return None, "no version given"
    if not exact:
        return None, f"not pinned: {limits.shown(str(specifier))}"
    version = exact[0].version
    try:
        fits = len({one.version for one in exact}) == 1 and (
            len(specifier) == 1 or specifier.contains(version, prereleases=True)
        )
    except InvalidVersion:
        fits = False
    if not fits:
        return None, f"contradicts itself: {limits.shown(str(specifier))}"
    return version, ""


_ORIGIN_REASONS = {
    Origin.GIT: "comes from a repository, not from the package index",
    Origin.URL: "comes from an address, not from the package index",
    Origin.PATH: "comes from a path, not from the package index",
}


def _is_local(url: str) -> bool:
    return url.lower().startswith("file:") or not _SCHEME.match(url)


def _is_link(wanted: str) -> bool:
    """Is it an address or a path rather than a name? A path is one that pip would see as such: by its first character
    or a slash."""
    first = wanted.split(";", 1)[0].split(" ", 1)[0]
    if _VCS.match(first) or _SCHEME.match(first) or first.startswith((".", "/", "~", "\\")):
        return True
    bare = first.split("[", 1)[0]
    return "@" not in wanted and ("/" in bare or "\\" in bare or bare.lower().endswith(_ARCHIVE))


def _link(plain: str, wanted: str, path: str, line: LogicalLine) -> Dependency | Note:
    source = f"{path}:{line.number}"
    # pip cuts a marker after " ;" (an address may hold a semicolon) and extras in brackets at the end of a path
    address, _, marker = plain.partition(" ;") if _SCHEME.match(plain) or _VCS.match(plain) else plain.partition(";")
    address = address.strip()
    extras: tuple[str, ...] = ()
    if "@" in address and not _SCHEME.match(address) and not _VCS.match(address) and "://" in address:
        # an editable in PEP 508 form: name @ address
        try:
            return replace(_named(Requirement(plain), wanted, path, line))
        except (ValueError, RecursionError) as error:
            raise Unreadable(source, f"not a requirement: {limits.shown(wanted)!r}") from error
    if not address:
        raise Unreadable(source, "an empty address")
    if not _SCHEME.match(address) and not _VCS.match(address) and (cut := _EXTRAS_AT_END.match(address)):
        address = cut[1]
        extras = tuple(sorted(one.strip() for one in cut[2][1:-1].split(",") if one.strip()))
    origin = Origin.GIT if _VCS.match(address) else Origin.PATH if _is_local(address) else Origin.URL
    try:
        parts = urlsplit(address)
    except ValueError as error:
        raise Unreadable(source, f"not an address: {limits.shown(wanted)!r}") from error
    name, egg_extras = _egg(parts.fragment)
    version = None
    if not name and origin is not Origin.GIT:
        name, version = _from_file_name(posixpath.basename(unquote(parts.path).replace("\\", "/")))
    if not name and origin is Origin.PATH:
        if _NO_PATH.search(address) and not address.startswith((".", "/", "~", "\\")) and not _SCHEME.match(address):
            raise Unreadable(source, f"neither a requirement nor a path: {limits.shown(wanted)!r}")
        return Note(source, "path", limits.shown(wanted))
    if not name:
        raise Unreadable(source, f"an address that names no package: {limits.shown(wanted)!r}")
    reason = _ORIGIN_REASONS[origin] + (f"; its file name says {version}" if version else "")
    return Dependency(
        ecosystem=ECOSYSTEM,
        name=canonicalize_name(name),
        version=None,
        manifest=path,
        line=line.number,
        raw_name=name,
        requirement=limits.without_credentials(wanted),
        origin=origin,
        direct=True,
        extras=extras or egg_extras,
        marker=marker.strip(),
        reason=reason,
    )


def _egg(fragment: str) -> tuple[str, tuple[str, ...]]:
    for part in fragment.split("&"):
        key, _, value = part.partition("=")
        if key == "egg":
            found = re.fullmatch(r"([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[([^\]]*)\])?(?:[<>=!~].*)?", unquote(value))
            if found:
                return found[1].rstrip("-._"), tuple(
                    sorted(e.strip() for e in (found[2] or "").split(",") if e.strip())
                )
    return "", ()


def _from_file_name(name: str) -> tuple[str, str | None]:
    """Name and version as a wheel's or source archive's file name gives them; ("", None) when it gives none."""
    try:
        if name.endswith(".whl"):
            project, version, _, _ = parse_wheel_filename(name)
            return project, str(version)
        if name.endswith((".tar.gz", ".zip")):
            project, version = parse_sdist_filename(name)
            return project, str(version)
    except (InvalidWheelFilename, InvalidSdistFilename, ValueError):
        pass
    return "", None


def _first_line(error: Exception) -> str:
    return limits.shown(str(error).split("\n", 1)[0])


# --- constraints ----------------------------------------------------------------------------------------------


def _resolved(required: list[Dependency], constraints: list[Dependency]) -> Iterator[Dependency]:
    """The requirements, those without a pin resolved by a constraint that has one; then the constraints left over."""
    pins: dict[str, list[Dependency]] = {}
    for one in constraints:
        if one.version is not None:
            pins.setdefault(one.name, []).append(one)
    used: set[tuple[str, int | None]] = set()
    for wish in required:
        fitting = pins.get(wish.name, []) if wish.origin is Origin.REGISTRY else []
        used.update((pin.manifest, pin.line) for pin in fitting)
        if wish.version is None and fitting:
            for pin in fitting:
                yield replace(pin, direct=True, extras=wish.extras, scope=wish.scope, marker=pin.marker or wish.marker)
        else:
            yield wish
    for one in constraints:
        if one.version is not None and (one.manifest, one.line) not in used:
            yield one
