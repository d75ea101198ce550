"""Fetching a repository from a forge over https: the pinned address, the token on its way, and what is not followed."""

import ssl
from ipaddress import ip_network
from pathlib import Path

import pytest

from immune import git
from immune.forges.base import Done
from immune.forges.github import GitHubForge, GitHubRepository
from immune.forges.github_session import Session
from immune.forges.urls import UrlPolicy, check_repository_url
from immune.git import GitError, Reason
from immune.git_mirror import mirror, update
from tests.github_server import GitHubServer
from tests.immune.forges.conftest import KEYS, NAME, account
from tests.immune.repositories import checkout


@pytest.fixture
def server(tmp_path, github_description):
    source = checkout(tmp_path / "source", {"requirements.txt": "requests==2.19.0\n"})
    with GitHubServer(tmp_path / "github", tls=True) as running:
        running.world.account("immune-bot", "bot-token")
        running.world.repository(NAME, source, "immune-bot")
        yield running
    assert running.violations == []


def checked(server, *, host="localhost", resolver=None):
    policy = UrlPolicy(
        hosts=frozenset({f"{host}:{server.port}"}),
        private_networks=(ip_network("127.0.0.0/8"),),
        ca_file=server.ca_file,
    )
    return check_repository_url(
        f"https://{host}:{server.port}/{NAME}.git", policy, resolver or (lambda host, port: ["127.0.0.1"])
    )


def refused(reason):
    return pytest.raises(GitError, check=lambda error: error.reason is reason)


def test_a_repository_is_fetched_with_a_token_that_stays_nowhere(server, tmp_path):
    source = checked(server).source(token="bot-token")
    made = mirror(source, tmp_path / "m.git")
    assert git.head_of(made, "main") == server.world.repositories[NAME].head("main")
    kept = b"".join(path.read_bytes() for path in made.path.rglob("*") if path.is_file())
    assert b"bot-token" not in kept
    assert b"localhost" not in kept
    assert update(made, source).moved == ()


@pytest.mark.parametrize("token", ["", "wrong"])
def test_without_the_right_token_it_says_so_and_leaves_nothing(server, tmp_path, token):
    with refused(Reason.AUTHENTICATION):
        mirror(checked(server).source(token=token), tmp_path / "m.git")
    assert not (tmp_path / "m.git").exists()


def test_a_repository_that_is_not_there_is_said_so(server, tmp_path):
    server.world.repositories[NAME].writers.clear()
    with refused(Reason.NOT_A_REPOSITORY):
        mirror(checked(server).source(token="bot-token"), tmp_path / "m.git")


def test_a_redirect_is_not_followed(server, tmp_path):
    server.moved[f"/{NAME}.git/info/refs"] = f"https://localhost:{server.port}/acme/elsewhere.git/info/refs"
    with refused(Reason.REDIRECTED):
        mirror(checked(server).source(token="bot-token"), tmp_path / "m.git")
    assert server.count("GET", "elsewhere") == 0


def test_the_checked_address_is_the_one_that_is_called_whatever_the_name_means_later(server, tmp_path):
    # A name that no name server knows: only the pin can lead there. The certificate is not for it, so TLS refuses after.
    with refused(Reason.UNREACHABLE) as caught:
        mirror(checked(server, host="forge.example").source(token="bot-token"), tmp_path / "m.git")
    assert "certificate" in caught.value.detail.lower()
    assert "resolve" not in caught.value.detail.lower()


def test_a_certificate_nobody_vouches_for_is_refused(server, tmp_path):
    source = checked(server).source(token="bot-token")
    plain = git.Source(url=source.url, resolve=source.resolve, token=source.token)
    with refused(Reason.UNREACHABLE):
        mirror(plain, tmp_path / "m.git")


def test_the_forge_itself_speaks_over_tls_with_its_own_authority(server):
    session = Session(account(server, "bot-token", ca_file=server.ca_file))
    assert isinstance(GitHubForge(GitHubRepository(NAME, KEYS), session).read_default_branch(), Done)
    strangers = Session(account(server, "bot-token", read_retries=0))
    assert GitHubForge(GitHubRepository(NAME, KEYS), strangers).read_default_branch().reason.value == "unreachable"
    assert ssl.create_default_context(cafile=server.ca_file)
    assert Path(server.ca_file).exists()
