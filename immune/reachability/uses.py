"""What one source file uses, as far as its text says. Pure.

Python is read by ``ast``. JavaScript is scanned for quoted specifiers: every literal one is seen, also in comments and odd places, so
that the mistake is always towards "used"; what is put together at run time is reported as such.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass

from immune.python_source import parsed


@dataclass(frozen=True, slots=True)
class Uses:
    """``imports``: Python modules by their first name, JavaScript packages. ``mentions``: what stands in texts and might be imported
    from there. ``words``: every name used. ``dynamic``: something is imported whose name the text does not hold."""

    imports: frozenset[str] = frozenset()
    mentions: frozenset[str] = frozenset()
    words: frozenset[str] = frozenset()
    dynamic: bool = False

    def only(self, names: frozenset[str]) -> Uses:
        """The same, of these names alone."""
        return Uses(self.imports & names, self.mentions & names, self.words & names, self.dynamic)


_MODULE = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*(?::[\w.]+)?")
_IMPORTERS = frozenset({"__import__", "import_module", "import_string", "find_spec", "run_module", "load_module"})


def python_uses(source: str) -> Uses | None:
    """What a Python module uses; None when it cannot be parsed."""
    tree = parsed(source)
    if tree is None:
        return None
    imports: set[str] = set()
    mentions: set[str] = set()
    words: set[str] = set()
    dynamic = False
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imports |= {alias.name.partition(".")[0] for alias in node.names}
            words |= {part for alias in node.names for part in alias.name.split(".")}
        elif isinstance(node, ast.ImportFrom):
            if node.level == 0 and node.module:
                imports.add(node.module.partition(".")[0])
                words |= set(node.module.split("."))
            words |= {alias.name for alias in node.names}
        elif isinstance(node, ast.Name):
            words.add(node.id)
        elif isinstance(node, ast.Attribute):
            words.add(node.attr)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            if len(node.value) <= 300 and _MODULE.fullmatch(node.value):
                mentions.add(node.value.partition(".")[0].partition(":")[0])
        elif isinstance(node, ast.Call):
            dynamic = dynamic or _imports_what_it_computes(node)
    return Uses(frozenset(imports), frozenset(mentions), frozenset(words), dynamic)


def _imports_what_it_computes(call: ast.Call) -> bool:
    called = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    if called in ("exec", "eval"):
        return isinstance(call.func, ast.Name)
    if called not in _IMPORTERS:
        return False
    first = call.args[0] if call.args else None
    return not (isinstance(first, ast.Constant) and isinstance(first.value, str))


# A specifier of a package: "name", "@scope/name", either with a path behind it. Bounded, so that no text makes it slow.
_NAME = r"(?:@[a-z0-9~._-]{1,100}/)?[a-z0-9~._-]{1,214}"
_QUOTED = re.compile(rf"(?=(?P<quote>['\"`])(?P<name>{_NAME})(?:/[^'\"`\n\\]{{0,200}})?(?P=quote))", re.IGNORECASE)
_BEFORE = re.compile(
    r"(?:\b(?:from|import)|\b(?:require|require\.resolve|import|mock|unstable_mockModule)\s{0,9}\()\s{0,9}$"
)
_COMPUTED = re.compile(
    r"\b(?:require|import)\s{0,20}\(\s{0,20}(?!\s|['\"`]|\))|\b(?:require|import)\s{0,20}\(\s{0,20}`[^`\n]{0,200}\$\{"
)
_ESCAPED = re.compile(r"(?:from|import|require\s{0,9}\()\s{0,9}['\"`][^'\"`\n]{0,200}\\")
_WORD = re.compile(r"[A-Za-z_$][\w$]{0,100}")


def javascript_uses(source: str) -> Uses:
    """What a JavaScript or TypeScript module uses."""
    imports: set[str] = set()
    mentions: set[str] = set()
    for found in _QUOTED.finditer(source):
        start = found.start("quote")
        before = source[max(0, start - 40) : start]
        (imports if _BEFORE.search(before) else mentions).add(found["name"].lower())
    dynamic = bool(_COMPUTED.search(source) or _ESCAPED.search(source))
    words = frozenset(match[0] for match in _WORD.finditer(source))
    return Uses(frozenset(imports), frozenset(mentions - imports), words, dynamic)
