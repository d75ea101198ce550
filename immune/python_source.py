"""Reading Python source as a tree, whatever it holds and however many threads do so. Pure."""

from __future__ import annotations

import ast
import threading

# CPython 3.11 counts the depth of a tree it hands over for the whole process: two threads at it, switched by a finalizer, end in
# a SystemError (python/cpython#106905). Whatever else compiles meanwhile can still disturb one, hence the attempts.
_ONE_AT_A_TIME = threading.Lock()
_ATTEMPTS = 3


def parsed(source: str) -> ast.Module | None:
    """The tree of a source; None when it cannot be read."""
    for _ in range(_ATTEMPTS):
        try:
            with _ONE_AT_A_TIME:
                return ast.parse(source)
        except SystemError:
            continue
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            break
    return None
