"""What an upgrade takes away from a repository: names gone from a package against names the repository uses. Pure, by ``ast``.

A static look and no more: names made at run time (``__getattr__``, star imports from elsewhere, C extensions) are not seen, so
an empty answer is no promise. A module whose source cannot be read is reported as such, never as one without names.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from immune.python_source import parsed

_DYNAMIC = "__getattr__"  # a module that makes names when asked (PEP 562)


@dataclass(frozen=True, slots=True)
class PublicApi:
    """Dotted public names (``pkg.mod.Class.method``), and the modules that could not be read or make names when asked."""

    names: frozenset[str]
    unclear: frozenset[str]


@dataclass(frozen=True, slots=True)
class Use:
    """One place in the repository that uses a name of a package."""

    name: str
    file: str
    line: int


@dataclass(frozen=True, slots=True)
class Risk:
    """A used name that the new release no longer has; ``sure`` is False where its module could not be read in full."""

    name: str
    file: str
    line: int
    sure: bool


def public_api(sources: Mapping[str, str | None]) -> PublicApi:
    """The public names of a package from its files (path relative to the layer, like ``pkg/mod.py``, to source).

    ``None`` stands for a module without readable source (an extension).
    """
    names: set[str] = set()
    unclear: set[str] = set()
    for path, source in sources.items():
        module = _module_name(path)
        if not module or any(_private(part) for part in module.split(".")):
            continue
        names.add(module)
        if source is None:
            unclear.add(module)
            continue
        tree = parsed(source)
        if tree is None:
            unclear.add(module)
            continue
        found, dynamic = _names_of(tree.body)
        names |= {f"{module}.{name}" for name in found}
        if dynamic:
            unclear.add(module)
    return PublicApi(frozenset(names), frozenset(unclear))


def _module_name(path: str) -> str:
    stem, _, suffix = path.partition(".")
    if not suffix.endswith(("py", "pyi", "so", "pyd")):
        return ""
    parts = stem.split("/")
    if parts[-1] == "__init__":
        parts.pop()
    return ".".join(parts) if all(part.isidentifier() for part in parts) else ""


def _private(name: str) -> bool:
    return name.startswith("_") and not (name.startswith("__") and name.endswith("__"))


def _names_of(body: list[ast.stmt], *, inside_class: bool = False) -> tuple[set[str], bool]:
    """Public names bound by ``body`` (also under if and try), and whether more may come at run time."""
    names: set[str] = set()
    dynamic = False
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            dynamic |= node.name == _DYNAMIC
            names.add(node.name)
        elif isinstance(node, ast.ClassDef):
            names.add(node.name)
            members, _ = _names_of(node.body, inside_class=True)
            names |= {f"{node.name}.{member}" for member in members}
        elif isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {part.id for target in targets for part in ast.walk(target) if isinstance(part, ast.Name)}
        elif isinstance(node, ast.Import | ast.ImportFrom) and not inside_class:
            for alias in node.names:
                dynamic |= alias.name == "*"
                names.add(alias.asname or alias.name.partition(".")[0])
        elif isinstance(node, ast.If | ast.Try | ast.With | ast.For | ast.While):
            parts: list[ast.stmt] = list(node.body)
            parts += getattr(node, "orelse", [])
            parts += getattr(node, "finalbody", [])
            for handler in getattr(node, "handlers", []):
                parts += handler.body
            more, more_dynamic = _names_of(parts, inside_class=inside_class)
            names |= more
            dynamic |= more_dynamic
    return {name for name in names if not _private(name.rpartition(".")[2])}, dynamic


def uses_of(packages: Iterable[str], sources: Mapping[str, str]) -> tuple[tuple[Use, ...], tuple[str, ...]]:
    """Every name of the import ``packages`` (top-level names) used in the repository's Python ``sources`` (path to text),
    and the files that could not be read."""
    wanted = frozenset(packages)
    uses: set[Use] = set()
    unreadable = []
    for path, source in sources.items():
        tree = parsed(source)
        if tree is None:
            unreadable.append(path)
            continue
        uses |= _uses_in(tree, path, wanted)
    return tuple(sorted(uses, key=lambda use: (use.file, use.line, use.name))), tuple(sorted(unreadable))


def _uses_in(tree: ast.Module, path: str, wanted: frozenset[str]) -> set[Use]:
    bound: dict[str, str] = {}  # local name -> dotted name in the package
    uses: set[Use] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.partition(".")[0] in wanted:
                    uses.add(Use(alias.name, path, node.lineno))
                    bound[alias.asname or alias.name.partition(".")[0]] = (
                        alias.name if alias.asname else alias.name.partition(".")[0]
                    )
        elif isinstance(node, ast.ImportFrom) and not node.level and (node.module or "").partition(".")[0] in wanted:
            uses.add(Use(str(node.module), path, node.lineno))
            for alias in node.names:
                if alias.name != "*":
                    uses.add(Use(f"{node.module}.{alias.name}", path, node.lineno))
                    bound[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    for node in ast.walk(tree):
        dotted = _dotted(node) if isinstance(node, ast.Attribute) else ""
        first, _, rest = dotted.partition(".")
        if rest and first in bound:
            uses.add(Use(f"{bound[first]}.{rest}", path, node.lineno))  # type: ignore[attr-defined]
    return uses


def _dotted(node: ast.expr) -> str:
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(parts)]) if isinstance(node, ast.Name) else ""


def risks(before: PublicApi, after: PublicApi, uses: Iterable[Use]) -> tuple[Risk, ...]:
    """Uses of names the old release had and the new one lacks, each with file and line."""
    removed = before.names - after.names
    found = set()
    for use in uses:
        # The longest part of the name that is known: beyond it lie attributes of objects, which a static look cannot judge.
        parts = use.name.split(".")
        for length in range(len(parts), 0, -1):
            name = ".".join(parts[:length])
            if name in removed:
                unclear = any(name.startswith(f"{module}.") for module in after.unclear)
                found.add(Risk(name, use.file, use.line, not unclear))
                break
            if name in after.names:
                break
    return tuple(sorted(found, key=lambda risk: (risk.file, risk.line, risk.name)))
