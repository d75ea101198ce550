"""A repository at the test GitHub and the whole pipeline on it: cloned over its git, acted on through its REST, by token or App."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import requests
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from immune import git
from immune.events.actors import COMMAND
from immune.models import Remedy, Repository
from immune.services import register_remote
from tests import github_server
from tests.github_server import GitHubServer
from tests.github_server.world import Pull, Status
from tests.immune.repositories import IMMUNE, NOON, checkout

BOT, TOKEN, SECOND_LOOK = "immune-bot", "bot-token", "reviewer-token"
CLICK = "click==8.3.2\n"
TOKEN_AUTH: dict[str, Any] = {"GITHUB_TOKEN": TOKEN, "GITHUB_APP_ID": "", "GITHUB_APP_PRIVATE_KEY": ""}

_numbers = count(1)


@cache
def _keys() -> tuple[str, str]:
    """A private key and its public half, made once: making one takes longer than a test."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private.decode(), public.decode()


@dataclass
class Hub:
    """The running test GitHub. One serves a whole module; each test has a repository of its own there."""

    server: GitHubServer
    folder: Path

    def settle(self, settings: Any, **auth: Any) -> None:
        """The settings with which the product reaches it."""
        settings.FORGE = "github"
        settings.GITHUB_API_URL = self.server.url
        settings.GITHUB_CA_FILE = self.server.ca_file
        settings.GITHUB_WRITE_PAUSE_MS = 0
        settings.GIT_HOSTS = [f"localhost:{self.server.port}"]
        settings.GIT_ALLOW_PRIVATE_ADDRESSES = True
        for name, value in (auth or TOKEN_AUTH).items():
            setattr(settings, name, value)

    def put(self, **files: str) -> Repository:
        """A registered repository that holds these files; double underscores in names stand for dots."""
        name = f"acme/shop-{next(_numbers)}"
        source = checkout(self.folder / name, {path.replace("__", "."): text for path, text in files.items()})
        there = self.server.world.repository(name, source, BOT, "second-look")
        there.readers.add("lead")
        return register_remote(actor=COMMAND, url=f"https://localhost:{self.server.port}/{name}")

    def at(self, repository: Repository) -> github_server.Repository:
        return self.server.world.repositories[repository.name.lower()]

    def pull(self, remedy: Remedy) -> Pull:
        there = self.at(remedy.repository)
        return there.refresh(there.pulls[remedy.pull_request_number])

    def text(self, repository: Repository, path: str = "requirements.txt") -> str:
        there = self.at(repository)
        return git.read_file(there.mirror, there.head("main"), path).decode()

    def push(self, repository: Repository, branch: str = "main", **files: str) -> str:
        """Somebody commits to a branch there."""
        there = self.at(repository)
        head = there.head(branch)
        changes = {path.replace("__", "."): text.encode() for path, text in files.items()}
        made = git.commit_files(there.mirror, head, changes, message="theirs", author=IMMUNE, when=NOON)
        git.move_refs(there.mirror, [git.RefMove(f"refs/heads/{branch}", made, head)])
        return made

    def by_hand(self, remedy: Remedy, method: str, tail: str = "", **body: Any) -> None:
        """Somebody with an account there does something to a pull request of ours, through GitHub's own API."""
        path = f"{self.server.url}/repos/{remedy.repository.name}/pulls/{remedy.pull_request_number}{tail}"
        headers = {"Authorization": f"Bearer {SECOND_LOOK}"}
        answer = requests.request(method, path, json=body, headers=headers, verify=self.server.ca_file, timeout=10)
        assert answer.ok, answer.text

    def status(self, repository: Repository, commit: str, context: str, state: str) -> None:
        """What somebody's build says of a commit."""
        there, who = self.at(repository), self.server.world.account("ci")
        there.statuses.append(Status(self.server.world.new_id(), commit, state, context, "", None, who))

    def install_app(self, repository: Repository) -> dict[str, Any]:
        """An App on this repository, and the settings that use it; no token beside it."""
        private, public = _keys()
        app = self.server.world.install_app(f"immune-{next(_numbers)}", public, repository.name)
        return {"GITHUB_TOKEN": "", "GITHUB_APP_ID": str(app.id), "GITHUB_APP_PRIVATE_KEY": private}


@contextmanager
def running(folder: Path) -> Iterator[Hub]:
    """A hub over TLS; at its end nothing may have been said that GitHub's description does not know."""
    with GitHubServer(folder / "github", tls=True) as server:
        server.world.account(BOT, TOKEN)
        server.world.account("second-look", SECOND_LOOK)
        server.world.account("lead", "lead-token")
        yield Hub(server, folder)
    assert not server.violations, server.violations[:5]
