"""Who brings a package in: shortest ways through a lock file's graph of dependencies. Pure.

Nodes are any hashable keys; edges may point at nodes that do not exist and are then ignored. Everything is by
breadth-first search without recursion: linear in nodes and edges.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from immune.formats import limits
from immune.inventory import Scope, Unreadable

_STRENGTH = [Scope.RUNTIME, Scope.OPTIONAL, Scope.DEV, Scope.UNKNOWN]

Node = TypeVar("Node", bound=Hashable)


def collected(source: str, arrows: Iterable[tuple[Node, Iterable[Node]]]) -> dict[Node, list[Node]]:
    """The edges as lists. Raises Unreadable when there are more than any real lock file has: a thousand packages of one
    name that all depend on that name are a million arrows."""
    edges: dict[Node, list[Node]] = {}
    count = 0
    for node, targets in arrows:
        held = edges.setdefault(node, [])
        for target in targets:
            held.append(target)
            count += 1
            if count > limits.MAX_EDGES:
                raise Unreadable(source, f"more than {limits.MAX_EDGES} arrows between its packages")
    return edges


def reached(edges: Mapping[Node, Iterable[Node]], roots: Iterable[Node]) -> dict[Node, Node | None]:
    """Every node reachable from the roots, with the node before it on a shortest way (None for a root)."""
    before: dict[Node, Node | None] = {root: None for root in roots if root in edges}
    waiting = deque(before)
    while waiting:
        node = waiting.popleft()
        for following in edges[node]:
            if following not in before and following in edges:
                before[following] = node
                waiting.append(following)
    return before


@dataclass(frozen=True, slots=True)
class Standing(Generic[Node]):
    """How one node stands to the project."""

    direct: bool | None
    scope: Scope
    path: tuple[str, ...]

    @property
    def rank(self) -> tuple[int, int, int]:
        """Lower stands nearer the running project: to choose one standing for several nodes that are one package."""
        return (_STRENGTH.index(self.scope), 0 if self.direct else 1 if self.path else 2, len(self.path))


def standings(
    edges: Mapping[Node, Iterable[Node]],
    roots: Mapping[Scope, Iterable[Node]],
    name: Callable[[Node], str],
) -> dict[Node, Standing[Node]]:
    """For every node: direct or not, the strongest scope that reaches it, and the names that bring it in.

    ``roots`` are the directly required nodes by scope, strongest first: what the running program needs counts as that
    even where a test needs it too. Nodes nothing reaches are not direct, of unknown scope, without a path.
    """
    asked = {scope: list(nodes) for scope, nodes in roots.items()}
    direct = {node for nodes in asked.values() for node in nodes}
    found: dict[Node, Standing[Node]] = {}
    for scope, nodes in asked.items():
        before = reached(edges, nodes)
        for node in before:
            if node not in found:
                way = () if node in direct else _way(before, node, name)
                found[node] = Standing(node in direct, scope, way)
    for node in edges:
        if node not in found:
            found[node] = Standing(False, Scope.UNKNOWN, ())
    return found


def _way(before: Mapping[Node, Node | None], node: Node, name: Callable[[Node], str]) -> tuple[str, ...]:
    way: list[str] = []
    at = before[node]
    while at is not None and len(way) < limits.MAX_DEPTH:
        way.append(name(at))
        at = before[at]
    return tuple(reversed(way))
