"""From what the files of a repository use to how near its code comes to a package. Pure.

Unreachable is said only where everything was read and nothing speaks against it; whatever is in the way gives unknown. What other
packages do is not looked at: for one that is not known to be required by the repository itself, "not imported here" says nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from immune.formats import limits
from immune.priority import Reachability
from immune.reachability.names import python_modules
from immune.reachability.uses import Uses

ECOSYSTEMS = {"PyPI": "python", "npm": "javascript"}


@dataclass(frozen=True, slots=True)
class Sources:
    """What was read of one commit. ``uses``: language → path → uses. ``unread``: language → why something was not read, the first.
    ``other``: path → names found in other files in which programs are named (scripts, images, pipelines)."""

    uses: Mapping[str, Mapping[str, Uses]]
    unread: Mapping[str, str]
    other: Mapping[str, frozenset[str]]


@dataclass(frozen=True, slots=True)
class Reach:
    """``source``: the file it was seen in, or why it is not known."""

    value: Reachability
    source: str = ""

    def __post_init__(self) -> None:
        # Paths are a stranger's, and may not even be text.
        object.__setattr__(self, "source", limits.shown(self.source.encode("utf-8", "replace").decode()))


NOT_KNOWN = Reach(Reachability.UNKNOWN)


def names_of(ecosystem: str, package: str, symbols: Iterable[str] = ()) -> frozenset[str]:
    """Every name ``reach_of`` will ask about: what a look at the sources needs to keep of them."""
    language = ECOSYSTEMS.get(ecosystem)
    return frozenset({package, *_modules(language, package)[0], *_last_parts(symbols)}) if language else frozenset()


def _modules(language: str, package: str) -> tuple[tuple[str, ...], bool]:
    return python_modules(package) if language == "python" else ((package.lower(),), True)


def _last_parts(symbols: Iterable[str]) -> set[str]:
    return {symbol.rstrip("()").replace("#", ".").replace("::", ".").rpartition(".")[2] for symbol in symbols} - {""}


def reach_of(
    sources: Sources, *, ecosystem: str, package: str, symbols: Iterable[str] = (), direct: bool | None = None
) -> Reach:
    """How near the code comes to the package (normalised name). ``symbols``: functions the advisory names."""
    language = ECOSYSTEMS.get(ecosystem)
    if language is None:
        return Reach(Reachability.UNKNOWN, "not looked at for this ecosystem")
    modules, sure = _modules(language, package)
    files = sources.uses.get(language, {})
    importing = sorted(path for path, uses in files.items() if not uses.imports.isdisjoint(modules))
    if importing:
        return _used(files, importing, symbols)
    mentioned = sorted(path for path, uses in files.items() if not uses.mentions.isdisjoint(modules))
    named = mentioned or sorted(
        path for path, names in sources.other.items() if not names.isdisjoint({package, *modules})
    )
    why = ""
    if named:
        why = f"named in {named[0]}"
    elif not sure:
        why = "by which name it is imported is not known"
    elif language in sources.unread:
        why = sources.unread[language]
    elif not files:
        why = f"there is no {'Python' if language == 'python' else 'JavaScript'} here"
    elif computed := sorted(path for path, uses in files.items() if uses.dynamic):
        why = f"{computed[0]} imports what it computes"
    elif direct is not True:
        why = "not imported here, other packages may"
    return Reach(Reachability.UNKNOWN, why) if why else Reach(Reachability.UNREACHABLE, f"{len(files)} files read")


def _used(files: Mapping[str, Uses], importing: list[str], symbols: Iterable[str]) -> Reach:
    """Static where a file that imports the package uses a name the advisory gives; of a dotted one its last part."""
    wanted = _last_parts(symbols)
    for path in importing:
        if not wanted.isdisjoint(files[path].words):
            return Reach(Reachability.STATIC, path)
    return Reach(Reachability.POTENTIAL, importing[0])
