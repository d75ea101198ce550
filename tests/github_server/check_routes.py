"""Check runs, commit statuses, who is asking, and tokens for installed Apps."""

from datetime import UTC, datetime, timedelta

import jwt

from immune import git
from tests.github_server.git_routes import REPO, repository_shape, user_shape
from tests.github_server.routes import Call, route
from tests.github_server.world import Account, Answer, App, CheckRun, Repository, Status


@route("GET", "/user")
def get_user(call: Call):
    if call.caller.app:
        raise Answer(403, "Resource not accessible by integration")
    return 200, user_shape(call.caller)


def app_of(call: Call) -> App:
    """The App whose key signed the request. Raises ``Answer`` (401)."""
    given = call.headers.get("authorization", "").removeprefix("Bearer ")
    for app in call.world.apps.values():
        try:
            said = jwt.decode(given, app.public_key, algorithms=["RS256"], options={"require": ["exp", "iat", "iss"]})
        except jwt.InvalidTokenError:
            continue
        if str(said["iss"]) == str(app.id) and said["exp"] - said["iat"] <= 660:
            return app
    raise Answer(401, "A JSON web token could not be decoded")


def app_shape(app: App) -> dict:
    return {
        "id": app.id,
        "slug": app.slug,
        "name": app.slug,
        "owner": user_shape(Account(1, "owner")),
        "permissions": {"contents": "write"},
        "events": ["pull_request"],
    }


@route("GET", "/app")
def get_app(call: Call):
    return 200, app_shape(app_of(call))


@route("GET", REPO + "/installation")
def get_installation(call: Call):
    app = app_of(call)
    if call.full_name.lower() not in {name.lower() for name in app.repositories}:
        raise Answer(404, "Not Found")
    return 200, {
        "id": app.installation_id,
        "account": None,
        "app_id": app.id,
        "app_slug": app.slug,
        "target_type": "Organization",
        "repository_selection": "selected",
        "permissions": {"contents": "write"},
        "events": ["pull_request"],
    }


@route("POST", "/app/installations/{installation_id}/access_tokens")
def create_token(call: Call):
    app = app_of(call)
    if app.installation_id != int(call.path["installation_id"]):
        raise Answer(404, "Not Found")
    token = f"ghs_{call.world.new_id()}"
    call.world.account(f"{app.slug}[bot]", token)
    expires = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    return 201, {"token": token, "expires_at": expires, "permissions": (call.body or {}).get("permissions", {})}


# --- check runs


@route("GET", REPO + "/commits/{ref}/check-runs")
def list_checks(call: Call):
    repo = call.seen()
    head = _need_commit(repo, repo.head(call.path["ref"]) or call.path["ref"])
    name = call.query.get("check_name")
    found = [run for run in repo.checks if run.head == head and name in (None, run.name)]
    return 200, {"total_count": len(found), "check_runs": [_check_shape(call, repo, run) for run in call.page(found)]}


@route("POST", REPO + "/check-runs")
def create_check(call: Call):
    repo, body = call.changed(), call.body
    if not call.caller.app:
        raise Answer(403, "You must authenticate via a GitHub App.")
    run = CheckRun(
        call.world.new_id(), body["head_sha"], body["name"], body.get("external_id", ""), "queued", None, None, None,
        body.get("details_url", ""), call.caller,
    )  # fmt: skip
    repo.checks.append(run)
    return 201, _check_shape(call, repo, _changed(run, body))


@route("PATCH", REPO + "/check-runs/{check_run_id}")
def change_check(call: Call):
    repo = call.changed()
    for run in repo.checks:
        if run.id == int(call.path["check_run_id"]):
            if run.app != call.caller:
                raise Answer(
                    403, "Invalid app_id `1` - check run can only be modified by the GitHub App that created it."
                )
            return 200, _check_shape(call, repo, _changed(run, call.body))
    raise Answer(404, "Not Found")


def _changed(run: CheckRun, body: dict) -> CheckRun:
    run.status = "completed" if body.get("conclusion") else body.get("status", run.status)
    run.conclusion = body.get("conclusion")
    output = body.get("output") or {}
    run.title, run.summary = output.get("title", run.title), output.get("summary", run.summary)
    return run


def _check_shape(call: Call, repo: Repository, run: CheckRun) -> dict:
    return {
        "id": run.id,
        "head_sha": run.head,
        "name": run.name,
        "external_id": run.external_id,
        "status": run.status,
        "conclusion": run.conclusion,
        "url": f"{call.base_url}/repos/{repo.full_name}/check-runs/{run.id}",
        "html_url": f"https://github.test/{repo.full_name}/runs/{run.id}",
        "details_url": run.details_url,
        "output": {"title": run.title, "summary": run.summary, "text": None, "annotations_count": 0},
        "app": app_shape(next(app for app in call.world.apps.values() if app.id == run.app.app_id)),
        "pull_requests": [],
    }


# --- statuses


@route("GET", REPO + "/commits/{ref}/statuses")
def list_statuses(call: Call):
    repo = call.seen()
    sha = _need_commit(repo, repo.head(call.path["ref"]) or call.path["ref"])
    newest_first = [one for one in reversed(repo.statuses) if one.sha == sha]
    return 200, [_status_shape(call, repo, one) for one in call.page(newest_first)]


@route("GET", REPO + "/commits/{ref}/status")
def combined_status(call: Call):
    repo = call.seen()
    sha = _need_commit(repo, repo.head(call.path["ref"]) or call.path["ref"])
    newest = {one.context: one for one in repo.statuses if one.sha == sha}
    states = {one.state for one in newest.values()}
    state = "failure" if states & {"failure", "error"} else "success" if states == {"success"} else "pending"
    return 200, {
        "sha": sha,
        "state": state,
        "total_count": len(newest),
        "statuses": [_status_shape(call, repo, one) for one in call.page(list(newest.values()))],
        "repository": repository_shape(call, repo),
    }


def _need_commit(repo: Repository, commit: str) -> str:
    try:
        if git.commit_exists(repo.mirror, commit):
            return commit
    except git.GitError:
        pass
    raise Answer(422, f"No commit found for SHA: {commit}")


@route("POST", REPO + "/statuses/{sha}")
def create_status(call: Call):
    repo, body = call.changed(), call.body
    _need_commit(repo, call.path["sha"])
    status = Status(
        call.world.new_id(), call.path["sha"], body["state"], body.get("context", "default"),
        body.get("description"), body.get("target_url"), call.caller,
    )  # fmt: skip
    repo.statuses.append(status)
    return 201, _status_shape(call, repo, status)


def _status_shape(call: Call, repo: Repository, status: Status) -> dict:
    return {
        "id": status.id,
        "node_id": f"S_{status.id}",
        "url": f"{call.base_url}/repos/{repo.full_name}/statuses/{status.sha}",
        "state": status.state,
        "context": status.context,
        "description": status.description,
        "target_url": status.target_url,
        "avatar_url": None,
        "creator": user_shape(status.author),
        "created_at": "2026-05-01T12:00:00Z",
        "updated_at": "2026-05-01T12:00:00Z",
    }
