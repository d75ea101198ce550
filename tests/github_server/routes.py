"""The operations the test GitHub speaks: method and path as GitHub's description writes them, and who carries
them out.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.github_server.world import Account, World


@dataclass
class Call:
    """One request, taken apart."""

    world: World
    caller: Account
    path: dict[str, str]
    query: dict[str, str]
    body: Any
    base_url: str
    headers: dict[str, str] = field(default_factory=dict)
    hooks: Any = None

    @property
    def full_name(self) -> str:
        return f"{self.path['owner']}/{self.path['repo']}"

    def seen(self):
        """The repository, for reading."""
        return self.world.seen_by(self.full_name, self.caller)

    def changed(self):
        """The repository, for writing."""
        return self.world.changed_by(self.full_name, self.caller)

    def pushed(self, repo, ref: str, commit: str) -> None:
        """A reference moved by a push: what starts on push starts."""
        for start in ON_PUSH:
            start(self, repo, ref, commit)

    def page(self, items: list) -> list:
        """The asked part of a list."""
        size, number = int(self.query.get("per_page", 30)), int(self.query.get("page", 1))
        return items[(number - 1) * size : number * size]


Handler = Callable[[Call], tuple[int, Any]]


@dataclass(frozen=True)
class Route:
    """One operation. ``described``: it stands in GitHub's REST description (GraphQL does not)."""

    method: str
    path: str
    handler: Handler
    described: bool = True


ROUTES: list[Route] = []
ON_PUSH: list[Callable[..., None]] = []


def route(method: str, path: str, *, described: bool = True) -> Callable[[Handler], Handler]:
    """Registers a handler for an operation."""

    def register(handler: Handler) -> Handler:
        ROUTES.append(Route(method, path, handler, described))
        return handler

    return register
