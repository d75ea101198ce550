"""The way to GitHub and back goes wrong: nothing is done twice, and nothing unknown is called done or undone."""

import itertools
import time
from datetime import UTC, datetime, timedelta

import pytest

from immune import git
from immune.forges.base import Conclusion, Done, Failed, Failure, NoteRequest, PullState, Refused, VerdictReport
from immune.forges.github import GitHubForge, GitHubRepository
from immune.forges.github_session import Account, Pace, Session
from tests.immune.forges.conftest import KEYS, NAME, account

ACTED = ["drop_after", "silent_after", "garbage", "twice"]
NOT_ACTED = ["status", "drop_before"]


class Clock:
    """The session's time, moved by hand."""

    def __init__(self):
        self.time = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)

    def __call__(self):
        return self.time


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def forge(github, clock):
    """The forge with little patience."""
    session = Session(account(github.server, "bot-token", timeout=1), now=clock)
    return GitHubForge(GitHubRepository(NAME, KEYS), session)


def test_a_lost_merge_is_one_merge_whatever_was_lost(github, forge, clock):
    for kind in ACTED + NOT_ACTED:
        head = github.forge.ensure_branch(github.branch_request(f"requests=={kind}\n".encode(), name=f"b-{kind}")).value
        pull = github.forge.ensure_pull_request(
            github.pull_request(head.commit, branch=head.name, key=kind, title=kind)
        ).value
        before = len(github.repo.merges)
        github.server.faults.add(kind, method="PUT", path="/merge$")
        first = forge.merge_pull_request(github.merge_request(pull))
        assert len(github.repo.merges) - before == (kind in ACTED), kind
        if kind in NOT_ACTED:
            # It may yet be carried out: not "undone", and not to be asked again at once.
            assert isinstance(first, Failed)
            assert first.may_have_acted
            assert first.retry_at >= clock() + timedelta(seconds=6)
        again = forge.merge_pull_request(github.merge_request(pull))
        assert isinstance(again, Done), (kind, again)
        assert again.value.state is PullState.MERGED
        assert len(github.repo.merges) - before == 1, kind
        # What conflicts with the next one is put back.
        git_back(github)


def git_back(github):
    now = github.repo.head("main")
    before = git.parents_of(github.repo.mirror, now)[0]
    git.move_refs(github.repo.mirror, [git.RefMove("refs/heads/main", before, now)])


@pytest.mark.parametrize("kind", ACTED + NOT_ACTED)
def test_a_lost_comment_is_one_comment(github, forge, kind):
    pull = github.open_pull()
    github.server.faults.add(kind, method="POST", path="/comments$")
    first = forge.comment(NoteRequest(pull.number, "c-1", "Hello."))
    assert isinstance(first, Done) or first.may_have_acted
    if isinstance(first, Done):
        assert len(github.repo.comments) == 1, "nobody looks again after an answer that was fine"
    again = forge.comment(NoteRequest(pull.number, "c-1", "Hello."))
    assert isinstance(again, Done)
    assert len(github.repo.comments) == 1


@pytest.mark.parametrize("kind", ACTED + NOT_ACTED)
@pytest.mark.parametrize("path", ["/git/blobs$", "/git/trees$", "/git/commits$", "/git/refs$", "/pulls$", "/labels$"])
def test_a_lost_step_of_opening_a_pull_request_ends_in_one_pull_request(github, forge, kind, path):
    github.server.faults.add(kind, method="POST", path=path)
    for _ in range(3):
        branch = forge.ensure_branch(github.branch_request())
        if isinstance(branch, Done):
            pull = forge.ensure_pull_request(github.pull_request(branch.value.commit))
    assert isinstance(pull, Done), pull
    assert github.server.faults.happened
    assert [one.labels for one in github.repo.pulls.values()] == [["security"]]


def test_a_write_is_never_repeated_by_itself(github, forge):
    pull = github.open_pull()
    github.server.faults.add("status", method="POST", path="/comments$", times=5)
    answer = forge.comment(NoteRequest(pull.number, "c-1", "Hello."))
    assert (answer.reason, answer.may_have_acted) == (Failure.SERVER_ERROR, True)
    assert github.server.count("POST", "/comments$") == 1


def test_a_read_is_repeated_a_few_times_and_then_given_up(github, forge):
    github.server.faults.add("status", method="GET", path=f"/repos/{NAME}$", times=2)
    assert isinstance(forge.read_default_branch(), Done)
    github.server.faults.add("status", method="GET", path=f"/repos/{NAME}$", times=9)
    answer = forge.read_default_branch()
    assert (answer.reason, answer.may_have_acted) == (Failure.SERVER_ERROR, False)


def test_a_page_that_is_no_answer_is_not_taken_for_one(github, forge):
    github.server.faults.add("garbage", method="GET", path="/pulls/1$")
    assert forge.read_pull_request(1).reason in (Failure.UNREADABLE_ANSWER,)


def test_a_server_that_is_not_there_has_certainly_not_acted(tmp_path, clock):
    session = Session(Account(token="x", base_url="http://127.0.0.1:9", read_retries=0, between_writes=0), now=clock)
    forge = GitHubForge(GitHubRepository(NAME, KEYS), session)
    answer = forge.read_default_branch()
    assert (answer.reason, answer.may_have_acted) == (Failure.UNREACHABLE, False)


# --- limits and pace


def test_a_secondary_limit_stops_the_whole_account_for_as_long_as_github_says(github, forge, clock):
    pull = github.open_pull()
    github.server.faults.add("limited", method="POST", path="/comments$", retry_after=40)
    answer = forge.comment(NoteRequest(pull.number, "c-1", "Hello."))
    assert (answer.reason, answer.may_have_acted) == (Failure.SECONDARY_RATE_LIMITED, False)
    assert timedelta(seconds=40) <= answer.retry_at - clock() <= timedelta(seconds=46)
    asked = len(github.server.requests)
    assert forge.read_default_branch().retry_at == answer.retry_at
    assert len(github.server.requests) == asked
    clock.time = answer.retry_at
    assert isinstance(forge.comment(NoteRequest(pull.number, "c-1", "Hello.")), Done)


def test_a_secondary_limit_without_a_time_is_waited_out_longer_each_time_up_to_an_hour(github, forge, clock):
    pull = github.open_pull()
    pauses = []
    for _ in range(8):
        github.server.faults.add("limited", path="/user$", retry_after=0)
        clock.time += timedelta(hours=2)
        answer = forge.comment(NoteRequest(pull.number, "c-1", "Hello."))
        pauses.append((answer.retry_at - clock()).total_seconds())
    assert pauses[0] >= 60
    assert all(later > earlier for earlier, later in itertools.pairwise(pauses[:6]))
    assert max(pauses) <= 3605


def test_a_used_up_hour_is_waited_for_and_not_slept_through(github, forge, clock):
    github.server.now = lambda: clock().timestamp()
    github.server.reset_at = int(clock().timestamp()) + 600
    github.server.remaining["immune-bot"] = 0
    before = time.monotonic()
    answer = forge.read_default_branch()
    assert time.monotonic() - before < 5
    assert answer.reason is Failure.RATE_LIMITED
    assert timedelta(seconds=600) <= answer.retry_at - clock() <= timedelta(seconds=610)
    clock.time = answer.retry_at
    assert isinstance(forge.read_default_branch(), Done)


def test_what_has_not_changed_is_read_again_for_nothing(github, forge):
    pull = github.open_pull()
    forge.read_pull_request(pull.number)
    left = github.server.remaining["immune-bot"]
    again = [forge.read_pull_request(pull.number) for _ in range(5)]
    assert github.server.remaining["immune-bot"] == left
    assert {one.value.head_commit for one in again} == {pull.head_commit}
    moved = github.push()
    assert forge.read_pull_request(pull.number).value.head_commit == moved


def test_writers_of_one_installation_take_turns_also_across_processes(tmp_path):
    paces = [Pace(0.2, tmp_path / "pace"), Pace(0.2, tmp_path / "pace")]
    begun = time.monotonic()
    for pace in paces * 2:
        with pace.turn():
            pass
    assert time.monotonic() - begun >= 0.55


# --- a GitHub App


def test_the_whole_way_runs_as_an_app_and_is_found_again_under_its_name(github, github_app):
    assert github_app.session.login() == "immune[bot]"
    branch = github_app.ensure_branch(github.branch_request()).value
    pull = github_app.ensure_pull_request(github.pull_request(branch.commit)).value
    assert github_app.ensure_pull_request(github.pull_request(branch.commit)).already
    assert [github_app.comment(NoteRequest(pull.number, "c-1", "Hi.")).already for _ in range(2)] == [False, True]
    merged = github_app.merge_pull_request(github.merge_request(pull))
    assert merged.value.state is PullState.MERGED
    assert github_app.delete_branch(branch.name, branch.commit) == Done(None)
    assert github.repo.pulls[1].author.login == "immune[bot]"


def test_an_app_reports_a_verdict_as_a_check_run_that_is_renewed(github, github_app):
    head = github_app.ensure_branch(github.branch_request()).value.commit
    for conclusion in (Conclusion.PENDING, Conclusion.FAILURE, Conclusion.SUCCESS):
        report = VerdictReport(
            head, "remedy-1", "wargame", conclusion, "4 runs, @everyone", "https://immune.example/r/1"
        )
        assert [github_app.report_verdict(report).already for _ in range(2)] == [False, True]
    (run,) = github.repo.checks
    assert (run.external_id, run.status, run.conclusion) == ("remedy-1", "completed", "success")
    assert "@everyone" not in run.summary


def test_a_key_that_is_not_the_apps_is_refused_by_name(github, github_app):
    github.server.world.apps.clear()
    answer = github_app.read_default_branch()
    assert isinstance(answer, Refused)
    assert answer.reason.value == "unauthenticated"


# --- everything at once


def test_under_faults_at_random_each_merge_and_comment_happens_once(github, forge, clock):
    github.server.faults.rate = 0.3
    for number in range(4):
        request = github.branch_request(
            f"requests=={number}\n".encode(), name=f"b-{number}", changes={f"f{number}": b"x"}
        )
        for _ in range(60):
            branch = forge.ensure_branch(request)
            if not isinstance(branch, Done):
                continue
            wanted = github.pull_request(branch.value.commit, branch=request.name, key=f"k-{number}")
            pull = forge.ensure_pull_request(wanted)
            if not isinstance(pull, Done):
                continue
            note = forge.comment(NoteRequest(pull.value.number, f"c-{number}", "Approved."))
            if not isinstance(note, Done):
                continue
            if isinstance(forge.merge_pull_request(github.merge_request(pull.value)), Done):
                break
        else:
            pytest.fail("never got through")
    assert github.server.faults.happened
    assert sorted(number for number, _, _ in github.repo.merges) == [1, 2, 3, 4]
    assert len(github.repo.comments) == 4
