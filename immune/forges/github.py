"""The forge that is GitHub.

Every call looks before it acts, so that asking twice is harmless, and answers what GitHub says.

Handles of idempotency: a branch is its name and the tree its commit holds; a pull request, a comment and a review are
found by a signed marker of ours under our own account; a merge names the reviewed head; a check run has our key as
external id, a commit status its context. What a status means in general stands in ``github_session``, what it means
for a merge here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any
from urllib.parse import quote

from immune import git
from immune.forges import base
from immune.forges import github_text as text
from immune.forges.base import Answer, Done, Failed, Failure, PullState, Refusal, Refused, Retry
from immune.forges.github_branches import Branches
from immune.forges.github_checks import CommitChecks
from immune.forges.github_session import Reply, Session, Stopped

_CHANGES_LABEL = "changes-requested"
_QUEUE_POLL = 60.0


@dataclass(frozen=True, slots=True)
class GitHubRepository:
    """One repository and how it wants its merges. ``marker_keys``: the first signs, all are recognised (rotation)."""

    full_name: str
    marker_keys: tuple[bytes, ...] = field(repr=False)
    merge_queue: bool = False


class GitHubForge:
    """See ``immune.forges.base.Forge``.

    ``reviewer`` is a second identity, which may ask for changes on our pull requests.
    """

    def __init__(self, repository: GitHubRepository, session: Session, reviewer: Session | None = None) -> None:
        owner, _, name = repository.full_name.partition("/")
        if not owner or not name or "/" in name:
            raise ValueError("a GitHub repository is named owner/name")
        self.repository = repository
        self.owner = owner
        self.session = session
        self.reviewer = reviewer
        self.markers = text.Markers(repository.full_name, repository.marker_keys)
        self.path = f"/repos/{quote(owner)}/{quote(name)}"
        self.branches = Branches(session, self.path)
        self.checks = CommitChecks(session, self.path)

    def _told(self, ask: Callable[[], Answer[base.T]]) -> Answer[base.T]:
        try:
            return ask()
        except Stopped as stopped:
            return stopped.answer
        except git.GitError as error:
            return Refused(Refusal.INVALID, error.message, Retry.NEVER)
        except (KeyError, TypeError, IndexError, AttributeError, ValueError) as odd:
            # An answer of another shape than documented: it says nothing, least of all that all is well.
            message = "GitHub's answer could not be read"
            again = self.session.grace_over()
            return Failed(Failure.UNREADABLE_ANSWER, message, again, may_have_acted=True, detail=repr(odd)[:200])

    # --- reading

    def read_default_branch(self) -> Answer[base.Branch]:
        def read() -> Answer[base.Branch]:
            name = str(self._get(self.path)["default_branch"])
            return Done(base.Branch(name, str(self._get(f"{self.path}/git/ref/heads/{quote(name)}")["object"]["sha"])))

        return self._told(read)

    def read_pull_request(self, number: int) -> Answer[base.PullRequest]:
        return self._told(lambda: Done(_shown(self._pull(number))))

    def _get(self, path: str, **parameters: str | int) -> Any:
        return self.session.get(path, **parameters)

    def _pull(self, number: int) -> dict[str, Any]:
        found = self._get(f"{self.path}/pulls/{int(number)}")
        if not isinstance(found, dict):
            raise Stopped(Failed(Failure.UNREADABLE_ANSWER, "GitHub's answer could not be read"))
        return found

    def _branch_head(self, name: str) -> str | None:
        reply = self.session.read(f"{self.path}/git/ref/heads/{quote(name)}")
        if reply.status == 404:
            return None
        return str(self.session.need(reply, 200).data["object"]["sha"])

    # --- branch

    def ensure_branch(self, request: base.BranchRequest) -> Answer[base.Branch]:
        return self._told(lambda: self.branches.ensure(request))

    def branch_head(self, name: str) -> Answer[str | None]:
        """The commit a branch stands at now, None where there is no such branch."""
        return self._told(lambda: Done(self.branches.head(name)))

    def delete_branch(self, name: str, expected_commit: str) -> Answer[None]:
        def delete() -> Answer[None]:
            git.check_branch_name(name)
            if name == self._get(self.path)["default_branch"]:
                return Refused(Refusal.PROTECTED, "the default branch is not deleted")
            return self.branches.delete(name, expected_commit)

        return self._told(delete)

    # --- pull request

    def ensure_pull_request(self, request: base.PullRequestRequest) -> Answer[base.PullRequest]:
        def ensure() -> Answer[base.PullRequest]:
            head = self.branches.head(request.branch)
            if head is None:
                return Refused(Refusal.NOT_FOUND, f"there is no branch {request.branch}", Retry.AFTER_REVIEW)
            if head != request.head_commit:
                return _head_moved(request.branch)
            title = text.plain(request.title)
            body = self.markers.signed(request.body, "pull", request.key)
            answer = self._existing_pull(request, title, body)
            if answer is not None:
                return answer
            asked = {"title": title, "head": request.branch, "base": request.base, "body": body, "draft": request.draft}
            reply = self.session.write("POST", f"{self.path}/pulls", asked)
            said = reply.message.lower()
            if reply.status == 422 and "already exists" in said:
                found = self._existing_pull(request, title, body)
                if found is not None:
                    return found
            if reply.status == 422 and "no commits between" in said:
                return Refused(Refusal.NOTHING_CHANGED, "the branch changes nothing", Retry.AFTER_REVIEW)
            made = self.session.need(reply, 201).data
            return Done(_shown(self._labelled(made, tuple(request.labels))))

        return self._told(ensure)

    def _existing_pull(
        self, request: base.PullRequestRequest, title: str, body: str
    ) -> Answer[base.PullRequest] | None:
        listed = self.session.pages(f"{self.path}/pulls", head=f"{self.owner}:{request.branch}", state="all")
        pulls = sorted(listed, key=lambda pull: int(pull["number"]), reverse=True)
        for pull in pulls:
            ours = pull["user"] is not None and pull["user"]["login"] == self.session.login()
            same = ours and self.markers.has(pull["body"], "pull", request.key)
            if pull["state"] == "open" and not same:
                message = f"the branch {request.branch} has an open pull request of something else"
                return Refused(Refusal.BRANCH_NAME_TAKEN, message, Retry.AFTER_REVIEW)
            if not same:
                continue
            if pull["state"] == "open":
                return Done(_shown(self._renewed(pull, request, title, body)), already=True)
            if pull["head"]["sha"] == request.head_commit:
                if pull.get("merged_at"):
                    return Done(_shown(self._pull(pull["number"])), already=True)
                return Refused(Refusal.CLOSED, "this pull request was closed", Retry.AFTER_REVIEW)
        return None

    def _renewed(
        self, pull: Mapping[str, Any], request: base.PullRequestRequest, title: str, body: str
    ) -> dict[str, Any]:
        now = dict(pull)
        if (pull["title"], (pull["body"] or "").replace("\r\n", "\n")) != (title, body):
            changed = {"title": title, "body": body}
            now = self.session.need(
                self.session.write("PATCH", f"{self.path}/pulls/{pull['number']}", changed), 200
            ).data
        return self._labelled(self._lift_changes(now, request.head_commit), tuple(request.labels))

    def _labelled(self, pull: dict[str, Any], labels: tuple[str, ...]) -> dict[str, Any]:
        missing = [label for label in labels if label not in {one["name"] for one in pull["labels"]}]
        if not missing:
            return pull
        path = f"{self.path}/issues/{pull['number']}/labels"
        now = self.session.need(self.session.write("POST", path, {"labels": missing}), 200).data
        return {**pull, "labels": now}

    def close_pull_request(self, number: int) -> Answer[base.PullRequest]:
        def close() -> Answer[base.PullRequest]:
            pull = self._pull(number)
            if pull["merged"]:
                message = "the pull request had been merged already"
                return Refused(Refusal.MERGED_OTHERWISE, message, Retry.AFTER_REVIEW)
            if pull["state"] == "closed":
                return Done(_shown(pull), already=True)
            closed = self.session.write("PATCH", f"{self.path}/pulls/{number}", {"state": "closed"})
            now = self.session.need(closed, 200).data
            if now["merged"]:  # somebody merged it between the look and the call
                message = "the pull request was merged before it could be closed"
                return Refused(Refusal.MERGED_OTHERWISE, message, Retry.AFTER_REVIEW)
            return Done(_shown(now))

        return self._told(close)

    # --- merge

    def merge_pull_request(self, request: base.MergeRequest) -> Answer[base.PullRequest]:
        def merge() -> Answer[base.PullRequest]:
            seen = self._settled(request, self._pull(request.number), already=True)
            if seen is not None:
                return seen
            if request.base_commit is not None:
                base_now = self.read_default_branch()
                if not isinstance(base_now, Done):
                    return base_now
                if base_now.value.commit != request.base_commit:
                    return Failed(Failure.BUSY, "the base moved after the merge was found right")
            if self.repository.merge_queue:
                return self._enqueue(request)
            asked = {
                "sha": request.head_commit,
                "merge_method": request.method.value,
                "commit_title": text.plain(request.title),
                "commit_message": text.message(request.message),
            }
            try:
                reply = self.session.write("PUT", f"{self.path}/pulls/{request.number}/merge", asked)
            except Stopped as stopped:
                return self._after_silence(request, stopped)
            return self._merged(request, reply)

        return self._told(merge)

    def _settled(
        self, request: base.MergeRequest, pull: Mapping[str, Any], *, already: bool
    ) -> Answer[base.PullRequest] | None:
        """The answer, when no call is needed any more or none makes sense."""
        head = pull["head"]["sha"]
        if pull["merged"]:
            if head == request.head_commit:
                return Done(_shown(pull), already=already)
            message = "the pull request was merged with another head than the one reviewed"
            return Refused(Refusal.MERGED_OTHERWISE, message, Retry.AFTER_REVIEW)
        if pull["state"] == "closed":
            return Refused(Refusal.CLOSED, "the pull request was closed", Retry.AFTER_REVIEW)
        if head != request.head_commit:
            return _head_moved(str(pull["head"]["ref"]))
        if pull.get("draft") or _CHANGES_LABEL in {label["name"] for label in pull["labels"]}:
            return Refused(Refusal.DRAFT, "changes were requested on this pull request", Retry.AFTER_REVIEW)
        return None

    def _merged(self, request: base.MergeRequest, reply: Reply) -> Answer[base.PullRequest]:
        if reply.status == 409:
            return _head_moved(str(request.number), reply.message)
        if reply.status not in (200, 405):
            self.session.need(reply, 200)
        # 200 and 405 are both settled by what the pull request now says: 405 is also what a second merge gets.
        pull = self._pull(request.number)
        answer = self._settled(request, pull, already=reply.status == 405)
        if answer is not None:
            return answer
        if reply.status == 200:
            message = "GitHub says it merged, but the pull request is still open"
            return Failed(Failure.PENDING, message, retry_at=self.session.grace_over(), may_have_acted=True)
        return _why_not(pull, reply.message)

    def _after_silence(self, request: base.MergeRequest, stopped: Stopped) -> Answer[base.PullRequest]:
        """No answer to a merge: if the merge shows already it is done, else it may still be under way."""
        if not isinstance(stopped.answer, Failed) or not stopped.answer.may_have_acted:
            return stopped.answer
        try:
            pull = self._pull(request.number)
        except Stopped:
            return stopped.answer
        if pull["merged"]:
            return self._settled(request, pull, already=False) or stopped.answer
        return stopped.answer

    def _enqueue(self, request: base.MergeRequest) -> Answer[base.PullRequest]:
        node = str(self._pull(request.number)["node_id"])
        query = (
            "mutation Enqueue($input: EnqueuePullRequestInput!) "
            "{ enqueuePullRequest(input: $input) { mergeQueueEntry { state } } }"
        )
        waits = Failed(
            Failure.PENDING,
            "the pull request waits in GitHub's merge queue",
            retry_at=self.session.now() + timedelta(seconds=_QUEUE_POLL),
        )
        if not request.may_enter_queue:
            message = "GitHub's merge queue put the pull request out each time it was entered"
            return waits if self._is_queued(node) else Refused(Refusal.QUEUE_EVICTED, message, Retry.AFTER_REVIEW)
        try:
            self.session.graphql(query, {"input": {"pullRequestId": node, "expectedHeadOid": request.head_commit}})
        except Stopped as stopped:
            said = stopped.answer.detail.lower()
            if isinstance(stopped.answer, Failed) or "already" in said:
                return stopped.answer if isinstance(stopped.answer, Failed) else waits
            if "head" in said:
                return _head_moved(str(request.number), stopped.answer.detail)
            message = "GitHub does not take the pull request into its merge queue"
            return Refused(Refusal.MERGE_QUEUE, message, Retry.AFTER_REVIEW, detail=stopped.answer.detail)
        return replace(waits, detail=base.ENTERED_QUEUE)

    def _is_queued(self, node: str) -> bool:
        query = "query Queued($id: ID!) { node(id: $id) { ... on PullRequest { mergeQueueEntry { state } } } }"
        found = self.session.graphql(query, {"id": node})
        return bool((found.get("node") or {}).get("mergeQueueEntry"))

    # --- people

    def comment(self, request: base.NoteRequest) -> Answer[base.Note]:
        return self._told(lambda: self._commented(request.number, "comment", request.key, request.body))

    def _commented(self, number: int, kind: str, key: str, body: base.Body) -> Done[base.Note]:
        path = f"{self.path}/issues/{int(number)}/comments"
        if found := self._only_comment(number, kind, key):
            return Done(base.Note(key, str(found["html_url"])), already=True)
        whole = {"body": self.markers.signed(body, kind, key)}
        made = self.session.need(self.session.write("POST", path, whole), 201).data
        # Something in between may have carried it out twice and told us of one: nobody would look for the other later.
        return Done(base.Note(key, str((self._only_comment(number, kind, key) or made)["html_url"])))

    def _only_comment(self, number: int, kind: str, key: str) -> dict[str, Any] | None:
        """Our comment with this marker. Of several, as two calls in flight at once can leave, the first one stays."""
        found = [one for one in self._our_comments(number) if self.markers.has(one["body"], kind, key)]
        for extra in found[1:]:
            gone = self.session.write("DELETE", f"{self.path}/issues/comments/{int(extra['id'])}")
            if gone.status != 404:
                self.session.need(gone, 204)
        return found[0] if found else None

    def _our_comments(self, number: int) -> list[dict[str, Any]]:
        me = self.session.login()
        listed = self.session.pages(f"{self.path}/issues/{int(number)}/comments")
        return [one for one in listed if one["user"] is not None and one["user"]["login"] == me]

    def request_changes(self, request: base.NoteRequest) -> Answer[base.PullRequest]:
        def ask() -> Answer[base.PullRequest]:
            pull = self._pull(request.number)
            if pull["state"] != "open":
                return Refused(Refusal.CLOSED, "the pull request is no longer open", Retry.AFTER_REVIEW)
            fresh = self._review(request) if self.reviewer is not None else self._mark_changes(request, pull)
            return Done(_shown(self._pull(request.number)), already=not fresh)

        return self._told(ask)

    def _review(self, request: base.NoteRequest) -> bool:
        """A review by the second identity: nobody can ask for changes on a pull request of their own."""
        reviewer = self.reviewer
        if reviewer is None:
            raise ValueError("no second identity")
        path, me = f"{self.path}/pulls/{request.number}/reviews", reviewer.login()
        for one in reviewer.pages(path):
            by_us = one["user"] is not None and one["user"]["login"] == me
            if by_us and self.markers.has(one["body"], "review", request.key):
                return False
        body = self.markers.signed(request.body, "review", request.key)
        asked = {"body": body, "event": "REQUEST_CHANGES"}
        if request.head_commit:
            asked["commit_id"] = request.head_commit
        reviewer.need(reviewer.write("POST", path, asked), 200)
        return True

    def _mark_changes(self, request: base.NoteRequest, pull: dict[str, Any]) -> bool:
        # The marker says of which head the changes were asked, so that a new one lifts the request.
        key = f"{request.key}.at.{request.head_commit or 'any'}"
        noted = self._commented(request.number, "changes", key, request.body)
        labelled = self._labelled(pull, (_CHANGES_LABEL,))
        if not pull.get("draft"):
            self._set_draft(pull, "convertPullRequestToDraft", "ConvertPullRequestToDraftInput")
        return not noted.already or labelled is not pull or not pull.get("draft")

    def _set_draft(self, pull: Mapping[str, Any], mutation: str, kind: str) -> None:
        query = f"mutation Draft($input: {kind}!) {{ {mutation}(input: $input) {{ pullRequest {{ isDraft }} }} }}"
        self.session.graphql(query, {"input": {"pullRequestId": pull["node_id"]}})

    def _lift_changes(self, pull: dict[str, Any], head: str) -> dict[str, Any]:
        """Wanted changes hold for the head they were asked of: a new one is looked at anew."""
        if _CHANGES_LABEL not in {label["name"] for label in pull["labels"]}:
            return pull
        asked = [self.markers.key_in(one["body"], "changes") for one in self._our_comments(pull["number"])]
        if any(key is not None and key.endswith((f".at.{head}", ".at.any")) for key in asked):
            return pull
        path = f"{self.path}/issues/{pull['number']}/labels/{_CHANGES_LABEL}"
        gone = self.session.write("DELETE", path)
        if gone.status != 404:
            self.session.need(gone, 200)
        if pull.get("draft"):
            self._set_draft(pull, "markPullRequestReadyForReview", "MarkPullRequestReadyForReviewInput")
        return self._pull(pull["number"])

    def escalate(self, request: base.EscalationRequest) -> Answer[base.PullRequest]:
        def escalate() -> Answer[base.PullRequest]:
            pull = self._pull(request.number)
            if pull["state"] != "open":
                return Refused(Refusal.CLOSED, "the pull request is no longer open", Retry.AFTER_REVIEW)
            changed = self._labelled(pull, tuple(request.labels)) is not pull
            changed |= self._assigned(pull, request) | self._asked_team(pull, request)
            changed |= not self._commented(request.number, "escalation", request.key, request.body).already
            now = self._pull(request.number)
            absent = set(request.assignees) - {one["login"] for one in now["assignees"] or []}
            if absent:  # GitHub leaves out without a word whom it cannot assign
                message = f"GitHub cannot assign {', '.join(sorted(absent))}; all else is done"
                return Refused(Refusal.INVALID, message, Retry.LATER)
            return Done(_shown(now), already=not changed)

        return self._told(escalate)

    def _assigned(self, pull: Mapping[str, Any], request: base.EscalationRequest) -> bool:
        missing = [name for name in request.assignees if name not in {one["login"] for one in pull["assignees"] or []}]
        if missing:
            path = f"{self.path}/issues/{request.number}/assignees"
            self.session.need(self.session.write("POST", path, {"assignees": missing}), 201)
        return bool(missing)

    def _asked_team(self, pull: Mapping[str, Any], request: base.EscalationRequest) -> bool:
        asked = {one["slug"] for one in pull["requested_teams"] or []}
        if not request.team or request.team in asked:
            return False
        path = f"{self.path}/pulls/{request.number}/requested_reviewers"
        self.session.need(self.session.write("POST", path, {"team_reviewers": [request.team]}), 201)
        return True

    # --- verdict and checks

    def report_verdict(self, report: base.VerdictReport) -> Answer[base.Note]:
        """A check run when we are an App, else a commit status, which any token may write."""
        return self._told(lambda: self.checks.report(report))

    def read_checks(self, commit: str) -> Answer[base.Checks]:
        return self._told(lambda: self.checks.read(commit))


def _shown(pull: Mapping[str, Any]) -> base.PullRequest:
    merged = bool(pull.get("merged") or pull.get("merged_at"))
    state = PullState.MERGED if merged else PullState(pull["state"])
    return base.PullRequest(
        number=int(pull["number"]),
        branch=str(pull["head"]["ref"]),
        base=str(pull["base"]["ref"]),
        head_commit=str(pull["head"]["sha"]),
        state=state,
        title=str(pull["title"]),
        draft=bool(pull.get("draft")),
        labels=tuple(str(label["name"]) for label in pull["labels"]),
        assignees=tuple(str(one["login"]) for one in pull.get("assignees") or [])
        + tuple(f"team:{one['slug']}" for one in pull.get("requested_teams") or []),
        merge_commit=str(pull["merge_commit_sha"]) if merged and pull.get("merge_commit_sha") else None,
        url=str(pull["html_url"]),
    )


def _head_moved(name: str, detail: str = "") -> Refused:
    message = f"the head of {name} is not the commit that was reviewed"
    return Refused(Refusal.HEAD_MOVED, message, Retry.AFTER_REVIEW, detail=detail)


# What GitHub says with a 405, in its own words. Order matters: the narrower first.
_NOT_MERGED: tuple[tuple[str, Refusal, str], ...] = (
    ("merge queue", Refusal.MERGE_QUEUE, "the repository merges only through its merge queue"),
    ("review", Refusal.REVIEW_REQUIRED, "the branch asks for an approving review at GitHub"),
    ("status check", Refusal.CHECKS_MISSING, "required checks are missing or red"),
    ("check runs", Refusal.CHECKS_MISSING, "required checks are missing or red"),
    ("not allowed on this repository", Refusal.METHOD_NOT_ALLOWED, "the repository does not allow this merge method"),
    ("draft", Refusal.DRAFT, "the pull request is a draft"),
    ("rule violations", Refusal.PROTECTED, "a protection rule of the branch forbids the merge"),
    ("protected branch", Refusal.PROTECTED, "a protection rule of the branch forbids the merge"),
    ("conflict", Refusal.CONFLICT, "the branch conflicts with the branch it should be merged into"),
)


def _why_not(pull: Mapping[str, Any], said: str) -> Answer[base.PullRequest]:
    words = said.lower()
    if "base branch was modified" in words:
        return Failed(Failure.BUSY, "the base branch was changing; it will be tried again", detail=said)
    for word, refusal, message in _NOT_MERGED:
        if word in words:
            return Refused(refusal, message, Retry.AFTER_REVIEW, detail=said)
    if pull.get("mergeable") is False or pull.get("mergeable_state") == "dirty":
        message = "the branch conflicts with the branch it should be merged into"
        return Refused(Refusal.CONFLICT, message, Retry.AFTER_REVIEW, detail=said)
    return Refused(Refusal.NOT_MERGEABLE, "GitHub does not allow this merge", Retry.AFTER_REVIEW, detail=said)
