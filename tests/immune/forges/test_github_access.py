"""Sessions are shared: what one forge learns of an account's limits, every other of that account knows."""

from dataclasses import replace

import pytest

from immune.forges.base import Done, Failure
from immune.forges.github_access import GitHubConfig, github_forge, session_of
from immune.forges.github_session import Account, AppCredentials
from tests.immune.forges.conftest import KEYS, NAME, account


def test_forges_of_one_account_share_its_session_and_so_its_limits(github):
    config = GitHubConfig(account(github.server, "bot-token"), KEYS)
    one, two = (github_forge(config, NAME) for _ in range(2))
    assert isinstance(one.read_default_branch(), Done)
    github.server.faults.add("limited", path="/repos/")
    assert one.read_default_branch().reason is Failure.SECONDARY_RATE_LIMITED
    assert two.read_default_branch().reason is Failure.RATE_LIMITED
    other = replace(config, account=account(github.server, "reviewer-token"))
    assert isinstance(github_forge(other, NAME).read_default_branch(), Done)


def test_the_reviewer_is_another_identity(github):
    config = GitHubConfig(
        account(github.server, "bot-token"), KEYS, account(github.server, "reviewer-token", timeout=4)
    )
    forge = github_forge(config, NAME)
    assert forge.reviewer is not None
    assert (forge.session.login(), forge.reviewer.login()) == ("immune-bot", "second-look")


def test_an_app_is_an_account_like_any_other():
    app = Account(app=AppCredentials(1, "key", 2))
    assert session_of(app) is session_of(replace(app))


@pytest.mark.parametrize("name", ["", "shop", "/shop", "acme/", "a/b/c"])
def test_a_name_that_is_no_repository_is_refused(name):
    with pytest.raises(ValueError, match="owner/name"):
        github_forge(GitHubConfig(Account(token="x"), KEYS), name)


def test_without_credentials_there_is_no_session():
    with pytest.raises(ValueError, match="token or an App"):
        session_of(Account())


def test_no_secret_is_shown_by_accident():
    config = GitHubConfig(Account(token="s3cret", app=AppCredentials(1, "k3y", 2)), (b"m4rker-key-of-some-length",))
    assert not {"s3cret", "k3y", "m4rker"} & {word for word in ("s3cret", "k3y", "m4rker") if word in repr(config)}
