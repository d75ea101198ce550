"""The GitHub forge over a real socket: each action once, each refusal with its own name."""

import base64
from dataclasses import replace

import pytest

from immune import git
from immune.forges import github as github_forge
from immune.forges.base import (
    ENTERED_QUEUE,
    Conclusion,
    Done,
    EscalationRequest,
    Failed,
    Failure,
    MergeMethod,
    NoteRequest,
    Part,
    PullState,
    Refusal,
    Refused,
    Retry,
    Style,
    VerdictReport,
)
from immune.forges.github import GitHubForge, GitHubRepository
from immune.forges.github_session import Session
from tests.immune.forges.conftest import BRANCH, KEYS, NAME, account


def refusal(answer):
    assert isinstance(answer, Refused), answer
    return answer.reason


# --- branches


def test_a_branch_holds_exactly_the_change_and_is_made_once(github):
    base = github.repo.head("main")
    first = github.forge.ensure_branch(github.branch_request())
    writes = [one for one in github.server.requests if one[0] != "GET"]
    again = github.forge.ensure_branch(github.branch_request())
    assert (first.already, again.already) == (False, True)
    assert [one for one in github.server.requests if one[0] != "GET"] == writes
    head = github.repo.head(BRANCH)
    assert first.value.commit == again.value.commit == head
    assert git.parents_of(github.repo.mirror, head) == (base,)
    changed = git.diff(github.repo.mirror, base, head)
    assert changed.count("diff --git") == 1
    assert "-requests==2.19.0\n+requests==2.32.0" in changed


def test_the_commit_is_the_one_a_local_repository_makes_of_the_same_request(github):
    request = github.branch_request(message="Update @scope/pkg\n\nBecause.")
    local = git.commit_files(
        github.repo.mirror, request.base_commit, request.changes,
        message=request.message, author=request.author, when=request.when,
    )  # fmt: skip
    assert github.forge.ensure_branch(request).value.commit == local


def test_files_deep_in_folders_new_ones_and_removed_ones_are_written(github):
    changes = {"app/lib/a.py": None, "app/new/deep/b.bin": b"\xff\x00", "app/main.py": b"x = 2\n"}
    made = github.forge.ensure_branch(github.branch_request(changes=changes)).value.commit
    files = {entry.path for entry in git.list_tree(github.repo.mirror, made)}
    assert files == {"requirements.txt", "app/main.py", "app/new/deep/b.bin"}
    assert git.read_file(github.repo.mirror, made, "app/new/deep/b.bin") == b"\xff\x00"


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"base_commit": "1" * 40}, Refusal.NOT_FOUND),
        ({"name": "-x"}, Refusal.INVALID),
        ({"changes": {"../x": b"x"}}, Refusal.INVALID),
        ({"changes": {".git/config": b"x"}}, Refusal.INVALID),
        ({"changes": {"app": b"x"}}, Refusal.INVALID),
        ({"changes": {"requirements.txt/x": b"x"}}, Refusal.INVALID),
        ({"changes": {"absent.txt": None}}, Refusal.NOT_FOUND),
        ({"changes": {"requirements.txt": b"requests==2.19.0\n"}}, Refusal.NOTHING_CHANGED),
        ({"name": "main/x"}, Refusal.BRANCH_NAME_TAKEN),
    ],
)
def test_a_branch_that_cannot_be_made_says_why(github, changed, reason):
    assert refusal(github.forge.ensure_branch(github.branch_request(**changed))) is reason
    assert git.branches(github.repo.mirror).keys() == {"main"}


def test_a_branch_with_commits_of_others_is_not_overwritten(github):
    ours = github.forge.ensure_branch(github.branch_request()).value.commit
    theirs = github.push()
    answer = github.forge.ensure_branch(github.branch_request(b"requests==2.33.0\n", replaces=ours))
    assert answer == Refused(Refusal.BRANCH_MOVED, answer.message, Retry.AFTER_REVIEW)
    assert github.repo.head(BRANCH) == theirs


def test_a_new_round_moves_our_own_branch_and_keeps_the_pull_request(github):
    pull = github.open_pull()
    moved = github.forge.ensure_branch(github.branch_request(b"requests==2.33.0\n", replaces=pull.head_commit)).value
    answer = github.forge.ensure_pull_request(github.pull_request(moved.commit, title="Update to 2.33.0"))
    assert (answer.value.number, answer.value.title) == (pull.number, "Update to 2.33.0")
    assert len(github.repo.pulls) == 1


def test_a_branch_is_deleted_where_it_was_seen_and_never_the_default(github):
    head = github.open_pull().head_commit
    assert refusal(github.forge.delete_branch(BRANCH, "1" * 40)) is Refusal.BRANCH_MOVED
    assert refusal(github.forge.delete_branch("main", github.repo.head("main"))) is Refusal.PROTECTED
    assert [github.forge.delete_branch(BRANCH, head).already for _ in range(2)] == [False, True]


# --- pull requests


def test_a_pull_request_is_opened_once_with_labels_and_found_again(github):
    pull = github.open_pull()
    again = github.forge.ensure_pull_request(github.pull_request(pull.head_commit))
    assert again == Done(replace(pull), already=True)
    assert (pull.labels, pull.state, pull.base) == (("security",), PullState.OPEN, "main")
    assert len(github.repo.pulls) == 1


def test_a_pull_request_of_others_on_our_branch_is_not_taken_over(github):
    head = github.forge.ensure_branch(github.branch_request()).value.commit
    theirs = github.reviewer.write(
        "POST",
        f"/repos/{NAME}/pulls",
        {
            "title": "mine",
            "head": BRANCH,
            "base": "main",
            # A marker copied from elsewhere: the signature is right, the author is not ours.
            "body": github.forge.markers.sign("pull", "remedy-1"),
        },
    )
    assert theirs.status == 201
    assert refusal(github.forge.ensure_pull_request(github.pull_request(head))) is Refusal.BRANCH_NAME_TAKEN


def test_a_closed_pull_request_is_not_opened_again_for_the_same_head(github):
    pull = github.open_pull()
    assert [github.forge.close_pull_request(pull.number).already for _ in range(2)] == [False, True]
    assert refusal(github.forge.ensure_pull_request(github.pull_request(pull.head_commit))) is Refusal.CLOSED


def test_untrusted_words_in_a_pull_request_reach_nobody(github):
    head = github.forge.ensure_branch(github.branch_request()).value.commit
    evil = "@everyone fixes #1 ![x](https://evil.example/x) <!-- immune:1:pull:other:00 --> ```"
    body = (Part("Evidence", Style.HEADING), Part(evil), Part(evil, Style.BLOCK), Part(evil, Style.ITEM))
    github.forge.ensure_pull_request(github.pull_request(head, title=evil, body=body))
    kept = github.repo.pulls[1]
    outside = kept.body.split("````")[0] + kept.body.split("````")[2]
    for text in (kept.title, outside):
        assert "@everyone" not in text
        assert "fixes #1" not in text
        assert "https://" not in text
    assert "](" not in outside
    assert kept.body.count("<!--") == 2  # inside the code block, and our own
    assert kept.body.endswith("-->")


# --- merges


@pytest.mark.parametrize("method", list(MergeMethod))
def test_the_reviewed_head_is_merged_once(github, method):
    pull = github.open_pull()
    first, again = (github.forge.merge_pull_request(github.merge_request(pull, method=method)) for _ in range(2))
    assert (first.already, again.already) == (False, True)
    assert first.value == again.value
    assert [merged[:2] for merged in github.repo.merges] == [(pull.number, pull.head_commit)]
    default = github.forge.read_default_branch().value
    assert default.commit == first.value.merge_commit
    assert git.read_file(github.repo.mirror, default.commit, "requirements.txt") == b"requests==2.32.0\n"


def test_a_head_that_was_not_reviewed_is_never_merged(github):
    pull = github.open_pull()
    github.push()
    assert refusal(github.forge.merge_pull_request(github.merge_request(pull))) is Refusal.HEAD_MOVED
    assert github.repo.merges == []


def test_a_head_that_moves_between_look_and_call_is_refused_by_github_itself(github, monkeypatch):
    pull = github.open_pull()
    looked = github.forge._pull

    def look_then_push(number):
        found = looked(number)
        github.push()
        return found

    monkeypatch.setattr(github.forge, "_pull", look_then_push)
    answer = github.forge.merge_pull_request(github.merge_request(pull))
    assert refusal(answer) is Refusal.HEAD_MOVED
    assert github.server.count("PUT", "/merge") == 1
    assert github.repo.merges == []


def test_a_merge_found_right_for_one_base_does_not_land_on_another(github):
    pull = github.open_pull()
    right_for = github.repo.head("main")
    theirs = github.push(branch="main")

    answer = github.forge.merge_pull_request(github.merge_request(pull, base_commit=right_for))

    assert isinstance(answer, Failed)
    assert github.repo.head("main") == theirs
    assert isinstance(github.forge.merge_pull_request(github.merge_request(pull, base_commit=theirs)), Done)


def test_a_pull_request_merged_with_another_head_is_no_success(github):
    pull = github.open_pull()
    github.push()
    theirs = github.reviewer.write("PUT", f"/repos/{NAME}/pulls/{pull.number}/merge", {"merge_method": "squash"})
    assert theirs.status == 200
    assert refusal(github.forge.merge_pull_request(github.merge_request(pull))) is Refusal.MERGED_OTHERWISE
    assert refusal(github.forge.close_pull_request(pull.number)) is Refusal.MERGED_OTHERWISE


def _conflict(github):
    theirs = git.commit_files(
        github.repo.mirror, github.repo.head("main"), {"requirements.txt": b"requests==2.20.0\n"},
        message="meanwhile", author=git.Identity("a", "a@example.org"), when=github.branch_request().when,
    )  # fmt: skip
    git.move_refs(github.repo.mirror, [git.RefMove("refs/heads/main", theirs, github.repo.head("main"))])


REFUSALS = {
    "archived": (lambda s: setattr(s.repo, "archived", True), Refusal.ARCHIVED, Retry.NEVER),
    "blocked": (
        lambda s: setattr(s.repo, "blocked", True), Refusal.UNAVAILABLE_FOR_LEGAL_REASONS, Retry.NEVER
    ),
    "not shown": (lambda s: s.repo.writers.clear(), Refusal.NOT_FOUND, Retry.LATER),
    "read only": (
        lambda s: (s.repo.writers.discard("immune-bot"), s.repo.readers.add("immune-bot")), Refusal.FORBIDDEN,
        Retry.LATER ), "token revoked": (lambda s: s.server.world.tokens.clear(), Refusal.UNAUTHENTICATED,
        Retry.LATER), "review required": ( lambda s: setattr(s.repo.protection, "required_reviews", 1),
        Refusal.REVIEW_REQUIRED, Retry.AFTER_REVIEW ), "checks missing": ( lambda s: setattr(s.repo.protection,
        "required_checks", ("ci",)), Refusal.CHECKS_MISSING, Retry.AFTER_REVIEW ), "merge queue": (lambda s:
        setattr(s.repo.protection, "merge_queue", True), Refusal.MERGE_QUEUE, Retry.AFTER_REVIEW), "protected":
        (lambda s: setattr(s.repo.protection, "locked", True), Refusal.PROTECTED, Retry.AFTER_REVIEW), "method":
        (lambda s: s.repo.merge_methods.discard("squash"), Refusal.METHOD_NOT_ALLOWED, Retry.AFTER_REVIEW), "draft":
        (lambda s: setattr(s.repo.pulls[1], "draft", True), Refusal.DRAFT, Retry.AFTER_REVIEW), "closed": (lambda s:
        setattr(s.repo.pulls[1], "state", "closed"), Refusal.CLOSED, Retry.AFTER_REVIEW), "conflict": (_conflict,
        Refusal.CONFLICT, Retry.AFTER_REVIEW), "branch gone": ( lambda s: git.delete_ref(s.repo.mirror,
        f"refs/heads/{BRANCH}", s.repo.head(BRANCH)), Refusal.CLOSED, Retry.AFTER_REVIEW, ), }  # fmt: skip


@pytest.mark.parametrize("name", REFUSALS)
def test_each_refusal_known_to_github_has_its_own_name_and_merges_nothing(github, name):
    pull = github.open_pull()
    happens, reason, retry = REFUSALS[name]
    happens(github)
    answer = github.forge.merge_pull_request(github.merge_request(pull))
    assert (refusal(answer), answer.retry) == (reason, retry)
    assert answer.message
    assert github.repo.merges == []


def test_what_a_protected_branch_asks_for_can_be_given(github):
    github.repo.protection.required_reviews = 1
    github.repo.protection.required_checks = ("wargame/remedy-1",)
    pull = github.open_pull()
    github.forge.report_verdict(VerdictReport(pull.head_commit, "remedy-1", "wargame", Conclusion.SUCCESS, "proved"))
    review = {"event": "APPROVE", "commit_id": pull.head_commit}
    assert github.reviewer.write("POST", f"/repos/{NAME}/pulls/{pull.number}/reviews", review).status == 200
    assert github.forge.merge_pull_request(github.merge_request(pull)).value.state is PullState.MERGED


def test_a_merge_queue_is_entered_once_and_waited_for(github):
    github.repo.protection.merge_queue = True
    forge = GitHubForge(GitHubRepository(NAME, KEYS, merge_queue=True), github.forge.session)
    pull = github.open_pull()
    for _ in range(2):
        answer = forge.merge_pull_request(github.merge_request(pull))
        assert isinstance(answer, Failed)
        assert (answer.reason, answer.may_have_acted) == (Failure.PENDING, False)
    assert github.repo.pulls[1].queued_head == pull.head_commit
    assert github.repo.merges == []


def test_what_the_merge_queue_put_out_often_enough_is_not_entered_again(github):
    github.repo.protection.merge_queue = True
    forge = GitHubForge(GitHubRepository(NAME, KEYS, merge_queue=True), github.forge.session)
    pull = github.open_pull()
    assert forge.merge_pull_request(github.merge_request(pull)).detail == ENTERED_QUEUE
    assert forge.merge_pull_request(github.merge_request(pull)).detail != ENTERED_QUEUE
    last = github.merge_request(pull, may_enter_queue=False)
    assert forge.merge_pull_request(last).reason is Failure.PENDING, "still in the queue it is waited for"

    github.repo.pulls[1].queued_head = None

    assert forge.merge_pull_request(last).reason is Refusal.QUEUE_EVICTED
    assert github.repo.pulls[1].queued_head is None


# --- people


def test_a_comment_stands_once_and_copies_of_its_marker_do_not_count(github):
    pull = github.open_pull()
    marker = github.forge.markers.sign("comment", "c-1")
    copied = {"body": f"spam {marker}"}
    assert github.reviewer.write("POST", f"/repos/{NAME}/issues/{pull.number}/comments", copied).status == 201
    assert [github.forge.comment(NoteRequest(pull.number, "c-1", "Hello.")).already for _ in range(2)] == [False, True]
    # Nor does one quoted in a text of our own.
    assert not github.forge.comment(NoteRequest(pull.number, "c-2", f"said: {marker}\n{marker}")).already
    assert github.forge.comment(NoteRequest(pull.number, "c-1", "Hello.")).already
    assert [one.author.login for one in github.repo.comments] == ["second-look", "immune-bot", "immune-bot"]


def test_a_comment_is_found_among_more_than_a_page_of_others(github):
    pull = github.open_pull()
    github.forge.comment(NoteRequest(pull.number, "c-1", "Hello."))
    for number in range(105):
        github.reviewer.write("POST", f"/repos/{NAME}/issues/{pull.number}/comments", {"body": f"{number}"})
    assert github.forge.comment(NoteRequest(pull.number, "c-1", "Hello.")).already
    github.repo.comments.append(github.repo.comments.pop(0))
    assert github.forge.comment(NoteRequest(pull.number, "c-1", "Hello.")).already


def test_changes_are_requested_as_a_review_by_a_second_identity(github):
    pull = github.open_pull()
    forge = GitHubForge(GitHubRepository(NAME, KEYS), github.forge.session, github.reviewer)
    request = NoteRequest(pull.number, "d-1", "Not like this, @everyone.", pull.head_commit)
    assert [forge.request_changes(request).already for _ in range(2)] == [False, True]
    (review,) = github.repo.reviews[pull.number]
    assert (review.state, review.author.login, review.commit) == ("CHANGES_REQUESTED", "second-look", pull.head_commit)
    assert "@everyone" not in review.body


def test_without_a_second_identity_comment_label_and_draft_stand_for_it(github):
    pull = github.open_pull()
    request = NoteRequest(pull.number, "d-1", "Not like this.", pull.head_commit)
    assert [github.forge.request_changes(request).already for _ in range(2)] == [False, True]
    kept = github.repo.pulls[pull.number]
    assert (kept.draft, kept.labels, len(github.repo.comments)) == (True, ["security", "changes-requested"], 1)
    assert refusal(github.forge.merge_pull_request(github.merge_request(pull))) is Refusal.DRAFT


def test_wanted_changes_hold_for_the_head_they_were_asked_of(github):
    pull = github.open_pull()
    github.forge.request_changes(NoteRequest(pull.number, "d-1", "Not like this.", pull.head_commit))
    same = github.forge.ensure_pull_request(github.pull_request(pull.head_commit)).value
    assert same.draft
    moved = github.forge.ensure_branch(github.branch_request(b"requests==2.33.0\n", replaces=pull.head_commit)).value
    now = github.forge.ensure_pull_request(github.pull_request(moved.commit)).value
    assert (now.draft, now.labels) == (False, ("security",))
    assert github.forge.merge_pull_request(github.merge_request(now)).value.state is PullState.MERGED


def test_a_file_is_shown_as_github_shows_it(github):
    shown = github.forge.session.get(f"/repos/{NAME}/contents/app/main.py", ref="main")
    assert base64.b64decode(shown["content"]) == b"x = 1\n"


def test_an_escalation_assigns_asks_the_team_labels_and_comments_once(github):
    pull = github.open_pull()
    request = EscalationRequest(pull.number, "e-1", "Please look.", ("second-look",), "security", ("escalated",))
    answers = [github.forge.escalate(request) for _ in range(2)]
    assert [answer.already for answer in answers] == [False, True]
    assert answers[1].value.assignees == ("second-look", "team:security")
    assert answers[1].value.labels == ("security", "escalated")
    assert len(github.repo.comments) == 1


def test_a_person_github_cannot_assign_is_named(github):
    pull = github.open_pull()
    answer = github.forge.escalate(EscalationRequest(pull.number, "e-1", "Please look.", ("nobody",)))
    assert refusal(answer) is Refusal.INVALID
    assert "nobody" in answer.message


# --- verdicts


def test_a_token_reports_a_verdict_as_a_status_and_never_as_success_what_was_not(github):
    pull = github.open_pull()
    report = VerdictReport(pull.head_commit, "remedy-1", "wargame", Conclusion.PENDING, "running")
    for conclusion in (Conclusion.PENDING, Conclusion.NEUTRAL, Conclusion.SUCCESS):
        now = replace(report, conclusion=conclusion)
        assert [github.forge.report_verdict(now).already for _ in range(2)] == [False, True]
    assert [one.state for one in github.repo.statuses] == ["pending", "failure", "success"]


def test_all_checks_of_a_commit_are_read_together(github, github_app):
    head = github.open_pull().head_commit
    path = f"/repos/{NAME}"

    def state():
        found = github.forge.read_checks(head).value
        return found.state.value, found.red, found.pending

    def status(context, state):
        asked = {"state": state, "context": context}
        assert github.reviewer.write("POST", f"{path}/statuses/{head}", asked).status == 201

    assert state() == ("none", (), ())
    status("lint", "success")
    assert state() == ("green", (), ())
    report = VerdictReport(head, "remedy-1", "wargame", Conclusion.PENDING, "running")
    github_app.report_verdict(report)
    assert state() == ("pending", (), ("wargame",))
    status("lint", "error")
    assert state() == ("red", ("lint",), ("wargame",))
    status("lint", "success")
    github_app.report_verdict(replace(report, conclusion=Conclusion.NEUTRAL))
    assert state() == ("green", (), ())
    for gone in ("cancelled", "timed_out", "action_required", "failure"):
        github.repo.checks[0].conclusion = gone
        assert state() == ("red", ("wargame",), ())


def test_a_commit_that_is_not_there_has_no_checks_and_no_verdict(github):
    assert refusal(github.forge.read_checks("1" * 40)) is Refusal.INVALID
    report = VerdictReport("1" * 40, "remedy-1", "wargame", Conclusion.SUCCESS, "proved")
    assert refusal(github.forge.report_verdict(report)) is Refusal.INVALID


def test_a_repository_that_has_moved_is_said_so(github):
    github.server.moved[f"/repos/{NAME}"] = "http://elsewhere.example/repos/acme/shop"
    assert refusal(github.forge.read_default_branch()) is Refusal.NOT_FOUND
    assert "moved" in github.forge.read_default_branch().message


def test_what_is_not_there_is_said_so(github):
    assert refusal(github.forge.read_pull_request(7)) is Refusal.NOT_FOUND
    assert refusal(github.forge.comment(NoteRequest(7, "k", "b"))) is Refusal.NOT_FOUND
    assert refusal(github.forge.ensure_pull_request(github.pull_request("1" * 40))) is Refusal.NOT_FOUND
    elsewhere = GitHubForge(GitHubRepository("acme/other", KEYS), github.forge.session)
    assert refusal(elsewhere.read_default_branch()) is Refusal.NOT_FOUND


def test_someone_who_may_only_read_changes_nothing(github):
    session = Session(account(github.server, "outsider-token"))
    forge = GitHubForge(GitHubRepository(NAME, KEYS), session)
    assert forge.read_default_branch().value.name == "main"
    assert refusal(forge.ensure_branch(github.branch_request())) is Refusal.FORBIDDEN
    assert git.branches(github.repo.mirror).keys() == {"main"}


@pytest.mark.parametrize(
    ("said", "shown", "reason"),
    [
        ("Base branch was modified. Review and try the merge again.", {}, Failure.BUSY),
        ("Pull Request is not mergeable", {"mergeable": None}, Refusal.NOT_MERGEABLE),
        ("Pull Request is not mergeable", {"mergeable": False}, Refusal.CONFLICT),
        ("Pull Request is not mergeable", {"mergeable_state": "dirty"}, Refusal.CONFLICT),
        ("Merge conflict between base and head", {}, Refusal.CONFLICT),
        ("At least 1 approving review is required", {}, Refusal.REVIEW_REQUIRED),
        ("2 of 3 required status checks are expected.", {}, Refusal.CHECKS_MISSING),
        ("Changes must be made through the merge queue", {}, Refusal.MERGE_QUEUE),
        ("Repository rule violations found", {}, Refusal.PROTECTED),
        ("Rebase merges are not allowed on this repository.", {}, Refusal.METHOD_NOT_ALLOWED),
    ],
)
def test_a_405_is_told_apart_by_githubs_own_words(said, shown, reason):
    assert github_forge._why_not(shown, said).reason is reason
