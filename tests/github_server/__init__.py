"""A GitHub to test against: the part of its REST that the forge uses, over a real socket, with real git behind it.

``server.GitHubServer`` listens on a local address; ``world`` holds accounts, repositories and pull requests; every
request and every answer is checked against GitHub's published OpenAPI description (``description``), and what does not
fit is kept in ``server.violations``. ``faults`` makes it fail, act and then fall silent, or carry out a call twice.
"""

from tests.github_server.faults import Fault, FaultPlan
from tests.github_server.server import GitHubServer
from tests.github_server.world import Protection, Repository, World

__all__ = ["Fault", "FaultPlan", "GitHubServer", "Protection", "Repository", "World"]
