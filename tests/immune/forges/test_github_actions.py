"""Workflow runs: found by the commit that started them, their artifacts fetched within bounds."""

import io
import zipfile

import pytest

from immune.forges.base import Done, Failure, Refusal
from immune.forges.github_actions import WorkflowRuns
from tests.github_server.action_routes import finish
from tests.immune.forges.conftest import BRANCH, NAME

WORKFLOW = ".github/workflows/wargame.yml"


@pytest.fixture
def runs(github):
    return WorkflowRuns(github.forge.session, NAME)


@pytest.fixture
def head(github):
    changes = {WORKFLOW: b"on: push\n", ".github/workflows/other.yml": b"on: push\n"}
    return github.forge.ensure_branch(github.branch_request(changes=changes)).value.commit


def test_the_run_that_a_push_started_is_found_and_followed_to_its_end(github, runs, head):
    found = runs.find(BRANCH, head, WORKFLOW).value
    assert (found.head_commit, found.path, found.ended, found.conclusion) == (head, WORKFLOW, False, None)
    finish(github.server.world, next(run for run in github.repo.runs if run.id == found.id), "success")
    now = runs.read(found.id).value
    assert (now.ended, now.conclusion) == (True, "success")


def test_a_run_of_another_commit_is_not_taken_for_it(github, runs, head):
    assert runs.find(BRANCH, github.repo.head("main"), WORKFLOW).reason is Failure.PENDING
    assert runs.find("main", head, WORKFLOW).reason is Failure.PENDING
    assert runs.find(BRANCH, head, ".github/workflows/absent.yml").reason is Failure.PENDING


def test_an_artifact_is_fetched_whole_and_our_credentials_stay_with_github(github, runs, head):
    run = github.repo.runs[0]
    finish(github.server.world, run, "success", evidence=b"{}")
    answer = runs.artifact(run.id, "evidence")
    assert isinstance(answer, Done)
    with zipfile.ZipFile(io.BytesIO(answer.value)) as archive:
        assert archive.read("evidence") == b"{}"


def test_what_is_missing_too_large_or_of_no_run_is_refused(github, runs, head):
    run = github.repo.runs[0]
    assert runs.artifact(run.id, "evidence").reason is Refusal.NOT_FOUND
    finish(github.server.world, run, "success", evidence=b"x" * 5000)
    assert runs.artifact(run.id, "evidence", max_bytes=1000).reason is Refusal.INVALID
    assert runs.artifact(7, "evidence").reason is Refusal.NOT_FOUND


def test_a_size_that_was_lied_about_does_not_get_through(github, runs, head, monkeypatch):
    run = github.repo.runs[0]
    finish(github.server.world, run, "success", evidence=b"x" * 5000)
    _, content = run.artifacts["evidence"]
    said = github.forge.session.get

    def lying(path, **parameters):
        answer = said(path, **parameters)
        return {"artifacts": [{**one, "size_in_bytes": 1} for one in answer["artifacts"]]}

    monkeypatch.setattr(github.forge.session, "get", lying)
    assert runs.artifact(run.id, "evidence", max_bytes=len(content) - 1).reason is Refusal.INVALID
    assert isinstance(runs.artifact(run.id, "evidence", max_bytes=len(content)), Done)
