"""The forge that is a bare repository on this machine: real branches, real merges, pull requests as rows of a store.

Merging must be exact across a killed process, and git and the rows cannot share a transaction. So the merge commit is
made first and noted in git itself (``refs/immune/merges/<number>/<head>``: the intent), then the base branch is moved
onto it in one git transaction that also names the intent. Whoever comes next sees from the intent whether the commit
landed: it did exactly if the base branch contains it. The row is only told afterwards.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from immune import git
from immune.forges import base
from immune.forges.base import Answer, Done, Failed, Failure, PullState, Refusal, Refused, Retry
from immune.git import GitError, Identity, Mirror, Reason, RefMove

_ATTEMPTS = 8


@dataclass(frozen=True, slots=True)
class StoredPull:
    """A pull request as the store keeps it. ``version`` counts its changes and guards them."""

    number: int
    key: str
    branch: str
    base: str
    head_commit: str
    title: str
    body: str
    state: PullState = PullState.OPEN
    draft: bool = False
    labels: tuple[str, ...] = ()
    assignees: tuple[str, ...] = ()
    merge_commit: str | None = None
    version: int = 0


class PullRequestStore(Protocol):
    """Rows of one repository's pull requests, notes and verdicts. Each call is atomic on its own."""

    def get(self, number: int) -> StoredPull | None:
        """The pull request with this number."""
        ...

    def latest(self, branch: str) -> StoredPull | None:
        """The newest pull request of a branch, whatever its state."""
        ...

    def create(self, pull: StoredPull) -> StoredPull | None:
        """Keep a new one, numbered by the store; None when the branch has an open one (a unique constraint)."""
        ...

    def change(self, before: StoredPull, after: StoredPull) -> bool:
        """Write ``after`` if the row still has ``before.version``, which grows by one; False when it has not."""
        ...

    def add_note(self, number: int, key: str, kind: str, body: str) -> bool:
        """Keep a comment, review or escalation; False when one of this number and key is there."""
        ...

    def put_verdict(self, report: base.VerdictReport) -> bool:
        """Keep or renew the verdict of (head_commit, key); False when it was there like this."""
        ...


class LocalForge:
    """See ``immune.forges.base.Forge``. One instance per call is fine: it holds no state of its own."""

    def __init__(self, repository: Mirror, store: PullRequestStore, merger: Identity) -> None:
        self.repository = repository
        self.store = store
        self.merger = merger

    # --- reading

    def read_default_branch(self) -> Answer[base.Branch]:
        def read() -> Answer[base.Branch]:
            name = git.default_branch(self.repository)
            return Done(base.Branch(name, git.head_of(self.repository, name)))

        return _told(read)

    def read_pull_request(self, number: int) -> Answer[base.PullRequest]:
        def read() -> Answer[base.PullRequest]:
            row = self.store.get(number)
            return _no_such_pull(number) if row is None else Done(self._shown(self._settled(row)))

        return _told(read)

    def read_checks(self, commit: str) -> Answer[base.Checks]:
        """Nothing checks commits here; verdicts are ours and no second opinion."""

        def read() -> Answer[base.Checks]:
            if not git.commit_exists(self.repository, commit):
                return Refused(Refusal.NOT_FOUND, "the commit is not in the repository")
            return Done(base.Checks(commit, base.ChecksState.NONE))

        return _told(read)

    # --- branch and pull request

    def ensure_branch(self, request: base.BranchRequest) -> Answer[base.Branch]:
        def ensure() -> Answer[base.Branch]:
            ref = "refs/heads/" + git.check_branch_name(request.name)
            made = git.commit_files(
                self.repository,
                request.base_commit,
                request.changes,
                message=request.message,
                author=request.author,
                when=request.when,
            )
            here = git.ref_value(self.repository, ref)
            if here == made:
                return Done(base.Branch(request.name, made), already=True)
            if here is not None and here != request.replaces:
                message = f"the branch {request.name} holds commits that are not ours"
                return Refused(Refusal.BRANCH_MOVED, message, Retry.AFTER_REVIEW)
            git.create_branch(self.repository, request.name, made, here)
            return Done(base.Branch(request.name, made))

        return _told(ensure)

    def ensure_pull_request(self, request: base.PullRequestRequest) -> Answer[base.PullRequest]:
        def ensure() -> Answer[base.PullRequest]:
            head = git.head_of(self.repository, request.branch)
            git.head_of(self.repository, request.base)
            if head != request.head_commit:
                return _head_moved(request.branch)
            for _ in range(_ATTEMPTS):
                row = self.store.latest(request.branch)
                if row is None or (row.state is not PullState.OPEN and not _same_subject(row, request)):
                    made = self.store.create(_new_row(request))
                    if made is not None:
                        return Done(self._shown(made))
                    continue
                answer = self._renewed(self._settled(row), request)
                if answer is not None:
                    return answer
            return _busy()

        return _told(ensure)

    def _renewed(self, row: StoredPull, request: base.PullRequestRequest) -> Answer[base.PullRequest] | None:
        """The answer for a row that is there; None when somebody else was changing it."""
        if row.state is PullState.MERGED:
            return Done(self._shown(row), already=True)
        if row.state is PullState.CLOSED:
            return Refused(Refusal.CLOSED, "this pull request was closed", Retry.AFTER_REVIEW)
        if row.key != request.key:
            message = f"the branch {request.branch} has an open pull request of something else"
            return Refused(Refusal.BRANCH_NAME_TAKEN, message, Retry.AFTER_REVIEW)
        wanted = replace(
            row,
            head_commit=request.head_commit,
            title=request.title,
            body=base.words(request.body),
            base=request.base,
            # Changes stay requested until there is a new head.
            draft=row.draft if row.head_commit == request.head_commit else request.draft,
            labels=tuple(dict.fromkeys((*row.labels, *request.labels))),
        )
        if wanted == row or self.store.change(row, wanted):
            return Done(self._shown(wanted), already=True)
        return None

    # --- the end of a pull request

    def merge_pull_request(self, request: base.MergeRequest) -> Answer[base.PullRequest]:
        def merge() -> Answer[base.PullRequest]:
            for attempt in range(_ATTEMPTS):
                row = self.store.get(request.number)
                if row is None:
                    return _no_such_pull(request.number)
                row = self._settled(row)
                refusal = self._why_not(row, request)
                if refusal is not None:
                    return refusal
                if row.state is PullState.MERGED:
                    return Done(self._shown(row), already=attempt == 0)
                if not self._try_to_land(row, request):
                    return Failed(Failure.BUSY, "the base moved after the merge was found right", may_have_acted=False)
            return _busy()

        return _told(merge)

    def _why_not(self, row: StoredPull, request: base.MergeRequest) -> Refused | None:
        if row.state is PullState.MERGED:
            if row.head_commit == request.head_commit:
                return None
            message = "the pull request was merged with another head than the one reviewed"
            return Refused(Refusal.MERGED_OTHERWISE, message, Retry.AFTER_REVIEW)
        if row.state is PullState.CLOSED:
            return Refused(Refusal.CLOSED, "the pull request was closed", Retry.AFTER_REVIEW)
        if row.draft:
            return Refused(Refusal.DRAFT, "changes were requested on this pull request", Retry.AFTER_REVIEW)
        if git.ref_value(self.repository, f"refs/heads/{row.branch}") != request.head_commit:
            return _head_moved(row.branch)
        return None

    def _try_to_land(self, row: StoredPull, request: base.MergeRequest) -> bool:
        """One attempt; False when the base is not where it was asked to be. Whether it worked is read again by the caller;
        being overtaken is no error."""
        intent = _intent_ref(row.number, request.head_commit)
        here = git.head_of(self.repository, row.base)
        if request.base_commit not in (None, here):
            return self._settled(row).state is PullState.MERGED  # it moved by this very merge, or by another's
        noted = git.ref_value(self.repository, intent)
        if noted is not None and self._landed(row, noted):
            # Another's attempt did, since the row was looked at: to plan it anew would change nothing, and be refused for it.
            return True
        try:
            if noted is not None and git.parents_of(self.repository, noted)[0] != here:
                git.delete_ref(self.repository, intent, noted)  # planned on a base that has moved since
                noted = None
            if noted is None:
                noted = git.plan_merge(
                    self.repository,
                    here,
                    request.head_commit,
                    message=f"{request.title}\n\n{request.message}".strip() + "\n",
                    author=self.merger,
                    when=request.when,
                    squash=request.method is not base.MergeMethod.MERGE,  # one commit: rebased, it is the same
                )
                git.move_refs(self.repository, [RefMove(intent, noted, None)])
            # Closing writes the row first and deletes the intent second, so reading the row here, after the intent was
            # written, and naming the intent in the transaction leaves closing and merging no way to both succeed.
            now = self.store.get(row.number)
            if now is not None and now.state is PullState.OPEN and not now.draft:
                # The head too: an attempt that lingers must not land what its successor found to have moved.
                same = [RefMove(intent, noted, noted), _unmoved(row.branch, request.head_commit)]
                git.move_refs(self.repository, [*same, RefMove(f"refs/heads/{row.base}", noted, here)])
        except GitError as error:
            if error.reason is not Reason.MOVED:
                raise
        return True

    def close_pull_request(self, number: int) -> Answer[base.PullRequest]:
        def close() -> Answer[base.PullRequest]:
            already = True
            for _ in range(_ATTEMPTS):
                row = self.store.get(number)
                if row is None:
                    return _no_such_pull(number)
                row = self._settled(row)
                if row.state is PullState.OPEN:
                    already = False
                    self.store.change(row, replace(row, state=PullState.CLOSED))
                elif row.state is PullState.CLOSED and not self._drop_intents(row):
                    return Done(self._shown(row), already=already)
                elif row.state is PullState.MERGED:
                    message = "the pull request had been merged already"
                    return Refused(Refusal.MERGED_OTHERWISE, message, Retry.AFTER_REVIEW)
            return _busy()

        return _told(close)

    def _intents(self, number: int) -> dict[str, str]:
        return git.refs_below(self.repository, f"refs/immune/merges/{number}/")

    def _drop_intents(self, row: StoredPull) -> bool:
        """Give up planned merges; True when one of them has landed instead, or is landing now."""
        landed = False
        for head, noted in self._intents(row.number).items():
            if self._landed(row, noted):
                landed = True
                continue
            try:
                git.delete_ref(self.repository, _intent_ref(row.number, head), noted)
            except GitError as error:
                if error.reason is not Reason.MOVED:
                    raise
                landed = True
        return landed

    def _landed(self, row: StoredPull, noted: str) -> bool:
        return git.is_ancestor(self.repository, noted, git.head_of(self.repository, row.base))

    def _settled(self, row: StoredPull) -> StoredPull:
        """The row, after git has been asked whether a merge landed that the row was not told of."""
        if row.state is PullState.MERGED:
            return row
        for head, noted in self._intents(row.number).items():
            if self._landed(row, noted):
                merged = replace(row, state=PullState.MERGED, head_commit=head, merge_commit=noted)
                if self.store.change(row, merged):
                    return merged
                return self._settled(self.store.get(row.number) or row)
        return row

    # --- people

    def request_changes(self, request: base.NoteRequest) -> Answer[base.PullRequest]:
        def mark(row: StoredPull) -> StoredPull:
            return replace(row, draft=True, labels=tuple(dict.fromkeys((*row.labels, "changes-requested"))))

        return _told(lambda: self._marked(request.number, mark, (request.key, "changes", base.words(request.body))))

    def escalate(self, request: base.EscalationRequest) -> Answer[base.PullRequest]:
        people = (*request.assignees, *((f"team:{request.team}",) if request.team else ()))

        def mark(row: StoredPull) -> StoredPull:
            return replace(
                row,
                labels=tuple(dict.fromkeys((*row.labels, *request.labels))),
                assignees=tuple(dict.fromkeys((*row.assignees, *people))),
            )

        return _told(lambda: self._marked(request.number, mark, (request.key, "escalation", base.words(request.body))))

    def _marked(
        self, number: int, mark: Callable[[StoredPull], StoredPull], note: tuple[str, str, str]
    ) -> Answer[base.PullRequest]:
        for _ in range(_ATTEMPTS):
            row = self.store.get(number)
            if row is None:
                return _no_such_pull(number)
            row = self._settled(row)
            if row.state is not PullState.OPEN:
                return Refused(Refusal.CLOSED, f"the pull request is {row.state.value}", Retry.AFTER_REVIEW)
            wanted = mark(row)
            if wanted == row or self.store.change(row, wanted):
                if wanted.draft:
                    self._drop_intents(wanted)
                fresh = self.store.add_note(number, *note)
                return Done(self._shown(self._settled(wanted)), already=wanted == row and not fresh)
        return _busy()

    def comment(self, request: base.NoteRequest) -> Answer[base.Note]:
        if self.store.get(request.number) is None:
            return _no_such_pull(request.number)
        fresh = self.store.add_note(request.number, request.key, "comment", base.words(request.body))
        return Done(base.Note(request.key), already=not fresh)

    def report_verdict(self, report: base.VerdictReport) -> Answer[base.Note]:
        def put() -> Answer[base.Note]:
            if not git.commit_exists(self.repository, report.head_commit):
                return Refused(Refusal.NOT_FOUND, "the commit is not in the repository")
            return Done(base.Note(report.key), already=not self.store.put_verdict(report))

        return _told(put)

    def delete_branch(self, name: str, expected_commit: str) -> Answer[None]:
        def delete() -> Answer[None]:
            if name == git.default_branch(self.repository):
                return Refused(Refusal.PROTECTED, "the default branch is not deleted")
            ref = "refs/heads/" + git.check_branch_name(name)
            if git.ref_value(self.repository, ref) not in (None, expected_commit):
                message = f"the branch {name} holds commits that are not ours"
                return Refused(Refusal.BRANCH_MOVED, message, Retry.AFTER_REVIEW)
            return Done(None, already=not git.delete_ref(self.repository, ref, expected_commit))

        return _told(delete)

    def _shown(self, row: StoredPull) -> base.PullRequest:
        head = row.head_commit
        if row.state is PullState.OPEN:
            head = git.ref_value(self.repository, f"refs/heads/{row.branch}") or head
        return base.PullRequest(
            number=row.number,
            branch=row.branch,
            base=row.base,
            head_commit=head,
            state=row.state,
            title=row.title,
            draft=row.draft,
            labels=row.labels,
            assignees=row.assignees,
            merge_commit=row.merge_commit,
        )


def _unmoved(branch: str, commit: str) -> RefMove:
    return RefMove(f"refs/heads/{branch}", commit, commit)


def _intent_ref(number: int, head: str) -> str:
    return f"refs/immune/merges/{number}/{head}"


def _new_row(request: base.PullRequestRequest) -> StoredPull:
    return StoredPull(
        number=0,
        key=request.key,
        branch=request.branch,
        base=request.base,
        head_commit=request.head_commit,
        title=request.title,
        body=base.words(request.body),
        draft=request.draft,
        labels=tuple(dict.fromkeys(request.labels)),
    )


def _same_subject(row: StoredPull, request: base.PullRequestRequest) -> bool:
    return row.key == request.key and row.head_commit == request.head_commit


def _no_such_pull(number: int) -> Refused:
    return Refused(Refusal.NOT_FOUND, f"there is no pull request {number}")


def _head_moved(branch: str) -> Refused:
    message = f"the branch {branch} is not at the commit that was reviewed"
    return Refused(Refusal.HEAD_MOVED, message, Retry.AFTER_REVIEW)


def _busy() -> Failed:
    return Failed(Failure.BUSY, "others kept changing this pull request")


_REFUSED: dict[Reason, tuple[Refusal, Retry]] = {
    Reason.CONFLICT: (Refusal.CONFLICT, Retry.AFTER_REVIEW),
    Reason.UNRELATED: (Refusal.CONFLICT, Retry.AFTER_REVIEW),
    Reason.NOTHING_CHANGED: (Refusal.NOTHING_CHANGED, Retry.AFTER_REVIEW),
    Reason.UNKNOWN_REF: (Refusal.NOT_FOUND, Retry.AFTER_REVIEW),
    Reason.NOT_FOUND: (Refusal.NOT_FOUND, Retry.AFTER_REVIEW),
    Reason.NOT_A_FILE: (Refusal.INVALID, Retry.NEVER),
    Reason.BAD_NAME: (Refusal.INVALID, Retry.NEVER),
    Reason.NAME_TAKEN: (Refusal.BRANCH_NAME_TAKEN, Retry.AFTER_REVIEW),
    Reason.NOT_A_REPOSITORY: (Refusal.NOT_FOUND, Retry.LATER),
    Reason.FOREIGN_OWNER: (Refusal.FORBIDDEN, Retry.LATER),
}


_FAILURES = {Reason.TIMED_OUT: Failure.TIMED_OUT, Reason.MOVED: Failure.BUSY, Reason.LOCKED: Failure.BUSY}


def _told(ask: Callable[[], Answer[base.T]]) -> Answer[base.T]:
    """What git refuses becomes an answer; what could not be done now becomes a failure."""
    try:
        return ask()
    except GitError as error:
        if error.reason in _REFUSED:
            refusal, retry = _REFUSED[error.reason]
            named = f": {', '.join(error.paths[:5])}" if error.paths else ""
            return Refused(refusal, error.message + named, retry, detail=error.detail)
        failure = _FAILURES.get(error.reason, Failure.SERVER_ERROR)
        may_have_acted = error.reason in (Reason.TIMED_OUT, Reason.FAILED, Reason.KILLED)
        return Failed(failure, error.message, may_have_acted=may_have_acted, detail=error.detail)
