"""The local forge: real branches and merges, exactly once, whatever dies in between."""

import threading
from dataclasses import replace

import pytest

from immune import git
from immune.forges.base import (
    BranchRequest,
    ChecksState,
    Conclusion,
    Done,
    EscalationRequest,
    Failed,
    MergeMethod,
    MergeRequest,
    NoteRequest,
    PullRequestRequest,
    PullState,
    Refusal,
    Refused,
    Retry,
    VerdictReport,
)
from immune.forges.local import LocalForge
from immune.git_mirror import mirror, update
from tests.immune.forges.faulty import Fault, FaultPlan, FaultyForge
from tests.immune.forges.store import SqliteStore
from tests.immune.repositories import IMMUNE, NOON, checkout, save

BRANCH = "immune/requests-2.32.0"
FIXED = b"requests==2.32.0\n"


@pytest.fixture
def person(tmp_path):
    return checkout(tmp_path / "person", {"requirements.txt": "requests==2.19.0\n"})


@pytest.fixture
def where(person, tmp_path):
    return mirror(person, tmp_path / "forge.git")


@pytest.fixture
def store(tmp_path):
    return SqliteStore(tmp_path / "pulls.sqlite3")


@pytest.fixture
def forge(where, store):
    return LocalForge(where, store, IMMUNE)


def branch_request(where, content=FIXED, **changed):
    base = changed.pop("base_commit", None) or git.head_of(where, "main")
    made = BranchRequest(BRANCH, base, {"requirements.txt": content}, "Update requests", IMMUNE, NOON)
    return replace(made, **changed)


def pull_request(head, **changed):
    return replace(
        PullRequestRequest("remedy-1", BRANCH, "main", head, "Update requests", "Why.", ("security",)), **changed
    )


def merge_request(pull, head=None, **changed):
    return replace(MergeRequest(pull.number, head or pull.head_commit, "Update requests", "Reviewed.", NOON), **changed)


@pytest.fixture
def pull(forge, where):
    branch = forge.ensure_branch(branch_request(where))
    return forge.ensure_pull_request(pull_request(branch.value.commit)).value


def refusal(answer):
    assert isinstance(answer, Refused), answer
    return answer.reason


def commits_on(where, branch="main"):
    head, count = git.head_of(where, branch), 1
    while parents := git.parents_of(where, head):
        head, count = parents[0], count + 1
    return count


def test_a_branch_and_its_pull_request_are_made_once(forge, where):
    first, again = (forge.ensure_branch(branch_request(where)) for _ in range(2))
    assert (first.already, again.already) == (False, True)
    assert first.value == again.value
    one, two = (forge.ensure_pull_request(pull_request(first.value.commit)) for _ in range(2))
    assert one == Done(one.value)
    assert two == Done(one.value, already=True)
    assert one.value.state is PullState.OPEN


def test_a_branch_that_somebody_else_moved_is_not_overwritten(forge, where, pull):
    theirs = git.commit_files(where, pull.head_commit, {"x": b"x"}, message="theirs", author=IMMUNE, when=NOON)
    git.create_branch(where, BRANCH, theirs, pull.head_commit)
    answer = forge.ensure_branch(branch_request(where, b"requests==2.33.0\n", replaces=pull.head_commit))
    assert answer == Refused(Refusal.BRANCH_MOVED, answer.message, Retry.AFTER_REVIEW)
    assert git.head_of(where, BRANCH) == theirs


def test_a_new_round_moves_our_branch_and_keeps_the_pull_request(forge, where, pull):
    forge.request_changes(NoteRequest(pull.number, "decision-1", "Please use 2.33."))
    moved = forge.ensure_branch(branch_request(where, b"requests==2.33.0\n", replaces=pull.head_commit))
    answer = forge.ensure_pull_request(pull_request(moved.value.commit, title="Update requests to 2.33.0"))
    assert answer.value.number == pull.number
    assert (answer.value.title, answer.value.draft) == ("Update requests to 2.33.0", False)
    assert forge.read_pull_request(pull.number).value.head_commit == moved.value.commit


@pytest.mark.parametrize("method", list(MergeMethod))
def test_an_approved_head_is_merged_and_the_default_branch_holds_it(forge, where, pull, method):
    merged = forge.merge_pull_request(merge_request(pull, method=method))
    assert (merged.already, merged.value.state) == (False, PullState.MERGED)
    head = forge.read_default_branch().value
    assert head.commit == merged.value.merge_commit
    assert git.read_file(where, head.commit, "requirements.txt") == FIXED


def test_merging_twice_is_one_merge(forge, where, pull):
    first, again = (forge.merge_pull_request(merge_request(pull)) for _ in range(2))
    assert again == Done(first.value, already=True)
    assert commits_on(where) == 2


def test_a_head_that_was_not_reviewed_is_never_merged(forge, where, pull):
    theirs = git.commit_files(where, pull.head_commit, {"x": b"x"}, message="theirs", author=IMMUNE, when=NOON)
    git.create_branch(where, BRANCH, theirs, pull.head_commit)
    assert refusal(forge.merge_pull_request(merge_request(pull))) is Refusal.HEAD_MOVED
    assert commits_on(where) == 1
    assert forge.read_pull_request(pull.number).value.head_commit == theirs


def test_a_pull_request_merged_with_another_head_is_no_success(forge, pull):
    forge.merge_pull_request(merge_request(pull))
    other = merge_request(pull, head="1" * 40)
    assert refusal(forge.merge_pull_request(other)) is Refusal.MERGED_OTHERWISE


def test_a_merge_found_right_for_one_base_does_not_land_on_another(forge, where, pull):
    right_for = git.head_of(where, "main")
    theirs = git.commit_files(where, right_for, {"x": b"x"}, message="theirs", author=IMMUNE, when=NOON)
    git.move_refs(where, [git.RefMove("refs/heads/main", theirs, right_for)])

    answer = forge.merge_pull_request(merge_request(pull, base_commit=right_for))

    assert isinstance(answer, Failed)
    assert not answer.may_have_acted
    assert git.head_of(where, "main") == theirs
    assert isinstance(forge.merge_pull_request(merge_request(pull, base_commit=theirs)), Done)
    # Asked again by whoever did not hear of it, the base having moved by this very merge.
    assert forge.merge_pull_request(merge_request(pull, base_commit=theirs)).already


def test_an_attempt_that_lingers_does_not_land_a_head_that_has_moved(where, store, pull, monkeypatch):
    moved = git.commit_files(where, pull.head_commit, {"x": b"x"}, message="theirs", author=IMMUNE, when=NOON)
    real = store.get
    looks = []

    def get(number):
        looks.append(number)
        if len(looks) == 2:  # its last look before it lands
            git.move_refs(where, [git.RefMove(f"refs/heads/{BRANCH}", moved, pull.head_commit)])
        return real(number)

    monkeypatch.setattr(store, "get", get)
    before = git.head_of(where, "main")

    assert refusal(LocalForge(where, store, IMMUNE).merge_pull_request(merge_request(pull))) is Refusal.HEAD_MOVED
    assert git.head_of(where, "main") == before


def test_a_conflict_comes_back_with_the_file_and_merges_nothing(forge, where, person, pull):
    save(person, {"requirements.txt": "requests==2.20.0\n"}, "meanwhile")
    update(where, person)
    answer = forge.merge_pull_request(merge_request(pull))
    assert refusal(answer) is Refusal.CONFLICT
    assert "requirements.txt" in answer.message
    assert commits_on(where) == 2


def test_what_the_base_already_holds_is_not_merged_again(forge, where, person, pull):
    save(person, {"requirements.txt": FIXED.decode()}, "fixed by hand")
    update(where, person)
    assert refusal(forge.merge_pull_request(merge_request(pull))) is Refusal.NOTHING_CHANGED


def test_a_closed_pull_request_is_not_merged_and_a_merged_one_not_closed(forge, where, pull):
    assert not forge.close_pull_request(pull.number).already
    assert forge.close_pull_request(pull.number).already
    assert refusal(forge.merge_pull_request(merge_request(pull))) is Refusal.CLOSED
    assert commits_on(where) == 1


def test_a_merged_pull_request_is_not_closed(forge, pull):
    forge.merge_pull_request(merge_request(pull))
    assert refusal(forge.close_pull_request(pull.number)) is Refusal.MERGED_OTHERWISE


def test_wanted_changes_keep_it_from_being_merged(forge, where, pull):
    answer = forge.request_changes(NoteRequest(pull.number, "decision-1", "Not like this."))
    assert answer.value.draft
    assert "changes-requested" in answer.value.labels
    assert refusal(forge.merge_pull_request(merge_request(pull))) is Refusal.DRAFT
    forge.ensure_pull_request(pull_request(pull.head_commit))
    assert refusal(forge.merge_pull_request(merge_request(pull))) is Refusal.DRAFT


def test_comments_and_escalations_are_there_once(forge, store, pull):
    for already in (False, True):
        assert forge.comment(NoteRequest(pull.number, "c-1", "Hello.")).already is already
        request = EscalationRequest(pull.number, "e-1", "Please look.", ("lead",), "security", ("escalated",))
        assert forge.escalate(request).already is already
    assert sorted(kind for _, kind, _ in store.notes(pull.number)) == ["comment", "escalation"]
    assert forge.read_pull_request(pull.number).value.assignees == ("lead", "team:security")


def test_a_verdict_stands_beside_its_commit_and_is_renewed(forge, pull):
    report = VerdictReport(pull.head_commit, "remedy-1", "wargame", Conclusion.PENDING, "running")
    assert not forge.report_verdict(report).already
    assert forge.report_verdict(report).already
    assert not forge.report_verdict(replace(report, conclusion=Conclusion.SUCCESS)).already
    assert refusal(forge.report_verdict(replace(report, head_commit="1" * 40))) is Refusal.NOT_FOUND


def test_no_checks_is_an_answer_of_its_own(forge, where, pull):
    assert forge.read_checks(pull.head_commit).value.state is ChecksState.NONE
    assert refusal(forge.read_checks("1" * 40)) is Refusal.NOT_FOUND


def test_a_branch_is_deleted_only_where_it_was_seen_and_never_the_default(forge, where, pull):
    assert refusal(forge.delete_branch(BRANCH, "1" * 40)) is Refusal.BRANCH_MOVED
    assert refusal(forge.delete_branch("main", git.head_of(where, "main"))) is Refusal.PROTECTED
    assert [forge.delete_branch(BRANCH, pull.head_commit).already for _ in range(2)] == [False, True]


def test_what_is_not_there_is_said_so(forge, where):
    assert refusal(forge.read_pull_request(7)) is Refusal.NOT_FOUND
    assert refusal(forge.close_pull_request(7)) is Refusal.NOT_FOUND
    assert refusal(forge.comment(NoteRequest(7, "k", "b"))) is Refusal.NOT_FOUND
    assert refusal(forge.ensure_branch(branch_request(where, base_commit="1" * 40))) is Refusal.NOT_FOUND
    assert refusal(forge.ensure_pull_request(pull_request("1" * 40))) is Refusal.NOT_FOUND
    assert refusal(forge.ensure_branch(branch_request(where, name="-x"))) is Refusal.INVALID


# --- death in between


class Killed(BaseException):
    """The process ends here."""


class DyingStore(SqliteStore):
    """A store whose process dies at its nth use."""

    def __init__(self, path, at):
        super().__init__(path)
        self.left = at

    def _count(self):
        self.left -= 1
        if self.left < 0:
            raise Killed

    def get(self, number):
        self._count()
        return super().get(number)

    def change(self, before, after):
        self._count()
        return super().change(before, after)


@pytest.mark.parametrize("at", range(6))
@pytest.mark.parametrize("dies_in", ["store", "move_refs"])
def test_a_merge_interrupted_anywhere_is_finished_once(where, store, pull, at, dies_in, monkeypatch):
    real, left = git.move_refs, [at]

    def dying(*arguments):
        left[0] -= 1
        if left[0] < -1:
            raise Killed
        real(*arguments)
        if left[0] == -1:
            raise Killed

    with monkeypatch.context() as patch:
        first = DyingStore(store.path, at) if dies_in == "store" else store
        if dies_in == "move_refs":
            patch.setattr(git, "move_refs", dying)
        try:
            LocalForge(where, first, IMMUNE).merge_pull_request(merge_request(pull))
            died = False
        except Killed:
            died = True
    answer = LocalForge(where, store, IMMUNE).merge_pull_request(merge_request(pull))
    assert answer.value.state is PullState.MERGED
    assert answer.value.merge_commit == git.head_of(where, "main")
    assert commits_on(where) == 2
    assert died or at > 1


def test_an_interrupted_merge_whose_base_moved_is_planned_anew(where, store, person, pull, monkeypatch):
    real = git.move_refs

    def only_the_intent(*arguments):
        real(*arguments)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(git, "move_refs", only_the_intent)
        with pytest.raises(Killed):
            LocalForge(where, store, IMMUNE).merge_pull_request(merge_request(pull))
    base = save(person, {"b.txt": "b"}, "meanwhile")
    update(where, person)
    answer = LocalForge(where, store, IMMUNE).merge_pull_request(merge_request(pull))
    assert git.parents_of(where, answer.value.merge_commit) == (base,)
    assert commits_on(where) == 3


def test_an_interrupted_merge_that_was_closed_meanwhile_never_lands(where, store, pull, monkeypatch):
    real = git.move_refs

    def only_the_intent(*arguments):
        real(*arguments)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(git, "move_refs", only_the_intent)
        with pytest.raises(Killed):
            LocalForge(where, store, IMMUNE).merge_pull_request(merge_request(pull))
    forge = LocalForge(where, store, IMMUNE)
    assert isinstance(forge.close_pull_request(pull.number), Done)
    assert refusal(forge.merge_pull_request(merge_request(pull))) is Refusal.CLOSED
    assert commits_on(where) == 1


def test_many_workers_merging_one_pull_request_make_one_merge(where, store, pull):
    answers = _at_once(6, lambda: LocalForge(where, store, IMMUNE).merge_pull_request(merge_request(pull)))
    assert {answer.value.merge_commit for answer in answers} == {git.head_of(where, "main")}
    assert commits_on(where) == 2


def test_who_is_overtaken_after_the_look_hears_of_the_one_merge_and_no_refusal(where, store, pull):
    class Overtaken(LocalForge):
        def _try_to_land(self, row, request):
            LocalForge(where, store, IMMUNE).merge_pull_request(request)
            return super()._try_to_land(row, request)

    answer = Overtaken(where, store, IMMUNE).merge_pull_request(merge_request(pull))
    assert answer.value.merge_commit == git.head_of(where, "main")
    assert commits_on(where) == 2


def test_closing_and_merging_at_once_have_one_outcome(where, store, forge, pull):
    calls = [
        lambda: LocalForge(where, store, IMMUNE).merge_pull_request(merge_request(pull)),
        lambda: LocalForge(where, store, IMMUNE).close_pull_request(pull.number),
    ]
    merged, closed = _at_once(2, *calls)
    assert isinstance(merged, Done) != isinstance(closed, Done)
    state = forge.read_pull_request(pull.number).value.state
    assert state is (PullState.MERGED if isinstance(merged, Done) else PullState.CLOSED)
    assert commits_on(where) == (2 if isinstance(merged, Done) else 1)


@pytest.mark.parametrize("fault", list(Fault))
def test_an_action_that_goes_wrong_on_the_way_is_done_once_in_the_end(forge, where, store, pull, fault):
    plan = FaultPlan()
    faulty = FaultyForge(forge, plan)
    branch = branch_request(where, b"requests==2.34.0\n", name="immune/other")
    asked = {
        "merge_pull_request": merge_request(pull),
        "comment": NoteRequest(pull.number, "c-1", "Hello."),
        "ensure_branch": branch,
        "report_verdict": VerdictReport(pull.head_commit, "remedy-1", "wargame", Conclusion.SUCCESS, "proved"),
    }
    for action, request in asked.items():
        plan.add(action, fault)
        first = getattr(faulty, action)(request)
        assert isinstance(first, Failed) == (fault is not Fault.TWICE)
        assert getattr(faulty, action)(request).already == (fault is not Fault.FAIL_BEFORE)
    assert [action for action, _ in plan.happened] == list(asked)
    assert commits_on(where) == 2
    assert len(store.notes(pull.number)) == 1


def _at_once(count, *calls):
    calls = calls * count if len(calls) == 1 else calls
    answers, gate = [None] * len(calls), threading.Barrier(len(calls))

    def work(index):
        gate.wait()
        answers[index] = calls[index]()

    threads = [threading.Thread(target=work, args=(index,)) for index in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    return answers
