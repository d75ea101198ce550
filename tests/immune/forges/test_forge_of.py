"""Which forge a repository has, from settings alone."""

from __future__ import annotations

import pytest

from immune.forges.github import GitHubForge
from immune.forges.local import LocalForge
from immune.forges.store import ForgeNotConfigured, forge_of
from immune.models import Repository
from immune.services import Refused, register_remote


def repository(**fields):
    return Repository(name="app", location="https://github.com/team/app", **fields)


def test_a_local_repository_is_its_own_forge(settings, tmp_path):
    settings.WORK_DIR = tmp_path
    assert isinstance(forge_of(repository(forge="local")), LocalForge)


def test_github_without_access_says_which_settings_are_missing(settings):
    settings.GITHUB_TOKEN = ""
    with pytest.raises(ForgeNotConfigured, match="GITHUB_TOKEN"):
        forge_of(repository(forge="github"))


def test_github_with_a_token_is_reached_by_owner_and_name(settings, tmp_path):
    settings.WORK_DIR, settings.GITHUB_TOKEN = tmp_path, "a-token"
    forge = forge_of(repository(forge="github"))
    assert isinstance(forge, GitHubForge)
    assert "a-token" not in repr(forge)


@pytest.mark.django_db(transaction=True)
def test_a_bare_name_is_completed_only_with_a_configured_owner(settings):
    settings.GITHUB_REPO_OWNER = ""
    with pytest.raises(Refused, match="GITHUB_REPO_OWNER"):
        register_remote(actor=None, url="app")
