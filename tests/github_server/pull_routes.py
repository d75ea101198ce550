"""Pull requests: opening, changing, reviewing, merging with the sha guard, and GraphQL's two mutations on them."""

from immune import git
from tests.github_server.git_routes import REPO, repository_shape, user_shape
from tests.github_server.routes import Call, route
from tests.github_server.world import Answer, Comment, Pull, Repository, Review

PULL = REPO + "/pulls/{pull_number}"
ISSUE = REPO + "/issues/{issue_number}"


def _pull(call: Call, repo: Repository) -> Pull:
    number = int(call.path.get("pull_number") or call.path["issue_number"])
    if number not in repo.pulls:
        raise Answer(404, "Not Found")
    return repo.refresh(repo.pulls[number])


def label_shape(name: str) -> dict:
    return {"id": sum(name.encode()), "name": name, "color": "ededed", "default": False, "description": ""}


def pull_shape(call: Call, repo: Repository, pull: Pull, *, whole: bool) -> dict:
    url = f"{call.base_url}/repos/{repo.full_name}"
    number = pull.number
    links = {
        "self": f"{url}/pulls/{number}", "html": f"https://github.test/{repo.full_name}/pull/{number}",
        "issue": f"{url}/issues/{number}", "comments": f"{url}/issues/{number}/comments",
        "review_comments": f"{url}/pulls/{number}/comments", "review_comment": f"{url}/pulls/comments",
        "commits": f"{url}/pulls/{number}/commits", "statuses": f"{url}/statuses/{pull.head}",
    }  # fmt: skip
    shape = {
        "url": links["self"],
        "id": repo.id * 1000 + number,
        "node_id": f"{repo.full_name}:{pull.node_id}",
        "html_url": links["html"],
        "number": number,
        "state": "closed" if pull.merged else pull.state,
        "title": pull.title,
        "user": user_shape(pull.author),
        "body": pull.body,
        "labels": [label_shape(name) for name in pull.labels],
        "assignees": [user_shape(one) for one in pull.assignees],
        "requested_teams": [{"slug": slug, "name": slug, "id": 1} for slug in pull.teams],
        "requested_reviewers": [],
        "draft": pull.draft,
        "merge_commit_sha": pull.merge_commit,
        "merged_at": "2026-05-01T12:00:00Z" if pull.merged else None,
        "closed_at": None if pull.state == "open" else "2026-05-01T12:00:00Z",
        "head": _side(call, repo, pull.branch, pull.head),
        "base": _side(call, repo, pull.base, pull.base_sha),
        "_links": {name: {"href": href} for name, href in links.items()},
        "auto_merge": None,
        "author_association": "MEMBER",
    }
    if whole:
        dirty = pull.state == "open" and repo.conflicts(pull)
        shape |= {
            "merged": pull.merged,
            "mergeable": None if pull.state != "open" else not dirty,
            "mergeable_state": "dirty" if dirty else "clean",
            "merged_by": user_shape(pull.merged_by) if pull.merged_by else None,
        }
    return shape


def _side(call: Call, repo: Repository, branch: str, sha: str) -> dict:
    return {
        "label": f"{repo.owner}:{branch}",
        "ref": branch,
        "sha": sha,
        "repo": repository_shape(call, repo),
        "user": user_shape(call.world.account(repo.owner)),
    }


@route("GET", REPO + "/pulls")
def list_pulls(call: Call):
    repo = call.seen()
    state, head, base = call.query.get("state", "open"), call.query.get("head"), call.query.get("base")
    found = [repo.refresh(pull) for pull in sorted(repo.pulls.values(), key=lambda one: -one.number)]
    found = [
        pull
        for pull in found
        if (state == "all" or pull.state == state)
        and (head is None or head == f"{repo.owner}:{pull.branch}")
        and (base is None or base == pull.base)
    ]
    return 200, [pull_shape(call, repo, pull, whole=False) for pull in call.page(found)]


@route("POST", REPO + "/pulls")
def create_pull(call: Call):
    repo, body = call.changed(), call.body
    branch, base = body["head"].split(":")[-1], body["base"]
    head, base_sha = repo.head(branch), repo.head(base)
    if head is None or base_sha is None:
        field = "head" if head is None else "base"
        raise Answer(422, "Validation Failed", errors=[{"resource": "PullRequest", "code": "invalid", "field": field}])
    if any(
        one.branch == branch and one.base == base
        for one in map(repo.refresh, repo.pulls.values())
        if one.state == "open"
    ):
        said = f"A pull request already exists for {repo.owner}:{branch}."
        raise Answer(422, "Validation Failed", errors=[{"resource": "PullRequest", "code": "custom", "message": said}])
    if git.is_ancestor(repo.mirror, head, base_sha):
        said = f"No commits between {base} and {branch}"
        raise Answer(422, "Validation Failed", errors=[{"resource": "PullRequest", "code": "custom", "message": said}])
    number = call.world.next_number(repo)
    draft = bool(body.get("draft"))
    pull = Pull(number, call.caller, body["title"], body.get("body") or "", branch, base, head, base_sha, draft)
    repo.pulls[number] = pull
    return 201, pull_shape(call, repo, pull, whole=True)


@route("GET", PULL)
def get_pull(call: Call):
    repo = call.seen()
    return 200, pull_shape(call, repo, _pull(call, repo), whole=True)


@route("PATCH", PULL)
def change_pull(call: Call):
    repo = call.changed()
    pull = _pull(call, repo)
    pull.title = call.body.get("title", pull.title)
    pull.body = call.body.get("body", pull.body)
    if not pull.merged:
        pull.state = call.body.get("state", pull.state)
    return 200, pull_shape(call, repo, pull, whole=True)


@route("PUT", PULL + "/merge")
def merge_pull(call: Call):
    repo = call.changed()
    pull, body = _pull(call, repo), call.body or {}
    method = body.get("merge_method", "merge")
    if pull.merged or pull.state != "open":
        raise Answer(405, "Pull Request is not mergeable")
    if body.get("sha", pull.head) != pull.head:
        raise Answer(409, "Head branch was modified. Review and try the merge again.")
    why = _why_not(repo, pull, method)
    if why:
        raise Answer(405, why)
    land(
        call,
        repo,
        pull,
        method,
        f"{body.get('commit_title') or pull.title}\n\n{body.get('commit_message') or ''}".strip(),
    )
    return 200, {"sha": pull.merge_commit, "merged": True, "message": "Pull Request successfully merged"}


def _why_not(repo: Repository, pull: Pull, method: str) -> str:
    rules = repo.protection
    missing = repo.missing_checks(pull)
    reasons = {
        "Changes must be made through the merge queue": rules.merge_queue,
        "Pull Request is still a draft": pull.draft,
        f"{method.capitalize()} merges are not allowed on this repository.": method not in repo.merge_methods,
        "Protected branch update failed for refs/heads/main.": rules.locked,
        "At least 1 approving review is required by reviewers with write access.": repo.approvals(pull)
        < rules.required_reviews,
        f'Required status check "{missing[0] if missing else ""}" is expected.': bool(missing),
        "Pull Request is not mergeable": repo.conflicts(pull),
    }
    return next((said for said, holds in reasons.items() if holds), "")


def land(call: Call, repo: Repository, pull: Pull, method: str, message: str) -> None:
    base = repo.head(pull.base)
    made = repo.plan(pull, message, squash=method == "squash")
    git.move_refs(repo.mirror, [git.RefMove(f"refs/heads/{pull.base}", made, base)])
    pull.merge_commit, pull.state, pull.merged_by = made, "closed", call.caller
    repo.merges.append((pull.number, pull.head, made))


# --- reviews and reviewers


@route("GET", PULL + "/reviews")
def list_reviews(call: Call):
    repo = call.seen()
    pull = _pull(call, repo)
    return 200, [_review_shape(call, repo, pull, one) for one in call.page(repo.reviews.get(pull.number, []))]


@route("POST", PULL + "/reviews")
def create_review(call: Call):
    repo = call.seen()
    pull, body = _pull(call, repo), call.body
    states = {"APPROVE": "APPROVED", "REQUEST_CHANGES": "CHANGES_REQUESTED", "COMMENT": "COMMENTED"}
    state = states.get(body.get("event", ""), "PENDING")
    if state in ("APPROVED", "CHANGES_REQUESTED") and pull.author == call.caller:
        verb = "approve" if state == "APPROVED" else "request changes on"
        raise Answer(422, "Unprocessable Entity", errors=[f"Can not {verb} your own pull request"])
    commit = body.get("commit_id", pull.head)
    made = Review(call.world.new_id(), call.caller, body.get("body", ""), state, commit)
    repo.reviews.setdefault(pull.number, []).append(made)
    return 200, _review_shape(call, repo, pull, made)


def _review_shape(call: Call, repo: Repository, pull: Pull, review: Review) -> dict:
    html = f"https://github.test/{repo.full_name}/pull/{pull.number}#review-{review.id}"
    url = f"{call.base_url}/repos/{repo.full_name}/pulls/{pull.number}"
    return {
        "id": review.id,
        "node_id": f"PRR_{review.id}",
        "user": user_shape(review.author),
        "body": review.body,
        "state": review.state,
        "commit_id": review.commit,
        "html_url": html,
        "pull_request_url": url,
        "author_association": "MEMBER",
        "_links": {"html": {"href": html}, "pull_request": {"href": url}},
    }


@route("POST", PULL + "/requested_reviewers")
def request_reviewers(call: Call):
    repo = call.changed()
    pull = _pull(call, repo)
    for slug in call.body.get("team_reviewers", []):
        if slug.startswith("no-such"):
            raise Answer(422, "Reviews may only be requested from collaborators. One or more of the teams is not one.")
        if slug not in pull.teams:
            pull.teams.append(slug)
    return 201, pull_shape(call, repo, pull, whole=False)


# --- the issue side of a pull request


@route("GET", ISSUE + "/comments")
def list_comments(call: Call):
    repo = call.seen()
    number = _pull(call, repo).number
    return 200, [_comment_shape(call, repo, one) for one in call.page([c for c in repo.comments if c.number == number])]


@route("POST", ISSUE + "/comments")
def create_comment(call: Call):
    repo = call.changed()
    made = Comment(call.world.new_id(), call.caller, call.body["body"], _pull(call, repo).number)
    repo.comments.append(made)
    return 201, _comment_shape(call, repo, made)


@route("DELETE", REPO + "/issues/comments/{comment_id}")
def delete_comment(call: Call):
    repo = call.changed()
    kept = [one for one in repo.comments if one.id != int(call.path["comment_id"])]
    if len(kept) == len(repo.comments):
        raise Answer(404, "Not Found")
    repo.comments[:] = kept
    return 204, None


def _comment_shape(call: Call, repo: Repository, comment: Comment) -> dict:
    return {
        "id": comment.id,
        "node_id": f"IC_{comment.id}",
        "url": f"{call.base_url}/repos/{repo.full_name}/issues/comments/{comment.id}",
        "html_url": f"https://github.test/{repo.full_name}/pull/{comment.number}#issuecomment-{comment.id}",
        "issue_url": f"{call.base_url}/repos/{repo.full_name}/issues/{comment.number}",
        "body": comment.body,
        "user": user_shape(comment.author),
        "author_association": "MEMBER",
    }


@route("POST", ISSUE + "/labels")
def add_labels(call: Call):
    repo = call.changed()
    pull = _pull(call, repo)
    given = call.body["labels"] if isinstance(call.body, dict) else call.body
    for one in given:
        name = one if isinstance(one, str) else one["name"]
        if name not in pull.labels:
            pull.labels.append(name)
    return 200, [label_shape(name) for name in pull.labels]


@route("DELETE", ISSUE + "/labels/{name}")
def remove_label(call: Call):
    repo = call.changed()
    pull = _pull(call, repo)
    if call.path["name"] not in pull.labels:
        raise Answer(404, "Label does not exist")
    pull.labels.remove(call.path["name"])
    return 200, [label_shape(name) for name in pull.labels]


@route("POST", ISSUE + "/assignees")
def add_assignees(call: Call):
    repo = call.changed()
    pull = _pull(call, repo)
    for login in call.body["assignees"]:
        account = call.world.accounts.get(login)
        # Whom GitHub cannot assign it leaves out without a word.
        if account is not None and login in repo.writers | repo.readers and account not in pull.assignees:
            pull.assignees.append(account)
    url = f"{call.base_url}/repos/{repo.full_name}"
    return 201, {
        "number": pull.number,
        "title": pull.title,
        "state": pull.state,
        "user": user_shape(pull.author),
        "assignees": [user_shape(one) for one in pull.assignees],
        "labels": [label_shape(name) for name in pull.labels],
        "url": f"{url}/issues/{pull.number}",
    }


# --- GraphQL


@route("POST", "/graphql", described=False)
def graphql(call: Call):
    variables = call.body["variables"]
    given = variables.get("input") or {"pullRequestId": variables["id"]}
    full_name, _, node = given["pullRequestId"].partition(":")
    repo = call.world.changed_by(full_name, call.caller)
    pull = repo.refresh(repo.pulls[int(node.removeprefix("PR_"))])
    if "convertPullRequestToDraft" in call.body["query"]:
        pull.draft = True
        return 200, {"data": {"convertPullRequestToDraft": {"pullRequest": {"isDraft": True}}}}
    if "markPullRequestReadyForReview" in call.body["query"]:
        pull.draft = False
        return 200, {"data": {"markPullRequestReadyForReview": {"pullRequest": {"isDraft": False}}}}
    if "query Queued" in call.body["query"]:
        entry = {"state": "QUEUED"} if pull.queued_head else None
        return 200, {"data": {"node": {"mergeQueueEntry": entry}}}
    if "enqueuePullRequest" in call.body["query"]:
        return 200, _enqueue(repo, pull, given["expectedHeadOid"])
    return 200, {"errors": [{"type": "NOT_FOUND", "message": "no such mutation here"}]}


def _enqueue(repo: Repository, pull: Pull, head: str) -> dict:
    why = {
        "The merge queue is not enabled for this branch": not repo.protection.merge_queue,
        "Pull request head does not match the expected head oid": head != pull.head,
        "Pull request is already in the queue": pull.queued_head is not None,
        "Pull request is not open": pull.state != "open",
    }
    said = next((said for said, holds in why.items() if holds), "")
    if said:
        return {"data": {"enqueuePullRequest": None}, "errors": [{"type": "UNPROCESSABLE", "message": said}]}
    pull.queued_head = head
    return {"data": {"enqueuePullRequest": {"mergeQueueEntry": {"state": "QUEUED"}}}}
