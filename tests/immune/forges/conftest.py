"""The cast around the test GitHub: our bot, a reviewer of ours, an outsider who only reads."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from immune import git
from immune.forges.base import BranchRequest, MergeRequest, PullRequest, PullRequestRequest
from immune.forges.github import GitHubForge, GitHubRepository
from immune.forges.github_session import Account, AppCredentials, Session
from tests.github_server import GitHubServer, Repository
from tests.immune.repositories import IMMUNE, NOON, checkout

NAME = "acme/shop"
BRANCH = "immune/requests-2.32.0"
KEYS = (b"0123456789abcdef-first", b"0123456789abcdef-older")


@dataclass
class Scene:
    """A running test GitHub with one repository, and the forge that acts on it."""

    server: GitHubServer
    repo: Repository
    forge: GitHubForge
    reviewer: Session
    accounts: dict[str, Account] = field(default_factory=dict)

    def branch_request(self, content: bytes = b"requests==2.32.0\n", **changed: Any) -> BranchRequest:
        """The change a remedy makes."""
        base = changed.pop("base_commit", None) or self.repo.head("main")
        changes = changed.pop("changes", {"requirements.txt": content})
        asked = {"name": BRANCH, "message": "Update requests", "author": IMMUNE, "when": NOON, **changed}
        return BranchRequest(base_commit=base, changes=changes, **asked)

    def pull_request(self, head: str, **changed: Any) -> PullRequestRequest:
        """The pull request of that change."""
        asked = {"title": "Update requests", "body": "Why.", "labels": ("security",), **changed}
        return PullRequestRequest(**{"key": "remedy-1", "branch": BRANCH, "base": "main", "head_commit": head, **asked})

    def open_pull(self) -> PullRequest:
        """Branch and pull request, made through the forge."""
        branch = self.forge.ensure_branch(self.branch_request()).value
        return self.forge.ensure_pull_request(self.pull_request(branch.commit)).value

    def merge_request(self, pull: PullRequest, **changed: Any) -> MergeRequest:
        """Merge the head the pull request has now."""
        asked = {"head_commit": pull.head_commit, "title": "Update requests", "message": "Reviewed.", "when": NOON}
        return MergeRequest(number=pull.number, **{**asked, **changed})

    def push(self, content: bytes = b"x", branch: str = BRANCH) -> str:
        """Somebody else commits to a branch."""
        head = self.repo.head(branch)
        made = git.commit_files(self.repo.mirror, head, {"x": content}, message="theirs", author=IMMUNE, when=NOON)
        git.move_refs(self.repo.mirror, [git.RefMove(f"refs/heads/{branch}", made, head)])
        return made


def account(server: GitHubServer, token: str, **changed: Any) -> Account:
    """An identity at the test server, without pauses."""
    calm = {"timeout": 5, "margin": 5.0, "between_requests": 0.0, "between_writes": 0.0, "read_retries": 2}
    return Account(**{"token": token, "base_url": server.url, **calm, **changed})


@pytest.fixture
def github(tmp_path: Path, github_description: Path):
    """A scene; at its end nothing may have been said that GitHub's description does not know."""
    source = checkout(
        tmp_path / "source", {"requirements.txt": "requests==2.19.0\n", "app/main.py": "x = 1\n", "app/lib/a.py": ""}
    )
    with GitHubServer(tmp_path / "github") as server:
        server.world.account("immune-bot", "bot-token")
        server.world.account("second-look", "reviewer-token")
        server.world.account("outsider", "outsider-token")
        repo = server.world.repository(NAME, source, "immune-bot", "second-look")
        repo.readers.add("outsider")
        session = Session(account(server, "bot-token"))
        forge = GitHubForge(GitHubRepository(NAME, KEYS), session)
        yield Scene(server, repo, forge, Session(account(server, "reviewer-token")))
    assert server.violations == []


@pytest.fixture
def github_app(github):
    """The same repository, acted on by a GitHub App."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    public = (
        key.public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode()
    )
    app = github.server.world.install_app("immune", public, NAME)
    credentials = AppCredentials(app.id, private, app.installation_id)
    session = Session(account(github.server, "", app=credentials))
    return GitHubForge(GitHubRepository(NAME, KEYS), session)
