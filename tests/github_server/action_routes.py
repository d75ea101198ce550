"""Workflow runs and their artifacts: started by a push that brings a workflow, played (``runner``) or ended by the test."""

import fnmatch
import io
import zipfile
from dataclasses import dataclass, field

import yaml

from immune import git
from tests.github_server.git_routes import REPO, repository_shape, user_shape
from tests.github_server.routes import ON_PUSH, Call, route
from tests.github_server.world import Account, Answer, Repository

FOLDER = ".github/workflows/"


@dataclass
class Run:
    """One run of a workflow. ``artifacts``: name → (id, zip archive); ``attempt``: how often it was run."""

    id: int
    branch: str
    head: str
    path: str
    actor: Account
    status: str = "queued"
    conclusion: str | None = None
    artifacts: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    title: str = ""
    attempt: int = 1


def start_runs(call: Call, repo: Repository, ref: str, commit: str) -> None:
    """Queue a run for each workflow in the commit that starts on push, as GitHub does."""
    branch = ref.removeprefix("refs/heads/")
    for entry in git.list_tree(repo.mirror, commit):
        if not entry.path.startswith(FOLDER):
            continue
        workflow = yaml.safe_load(git.read_file(repo.mirror, commit, entry.path))
        if _starts(workflow, branch):
            title = str(workflow.get("run-name", ""))
            repo.runs.append(Run(call.world.new_id(), branch, commit, entry.path, call.caller, title=title))


def _starts(workflow: dict, branch: str) -> bool:
    """Whether a push to this branch starts it. YAML 1.1 reads the word ``on`` as true."""
    events = workflow.get("on", workflow.get(True))
    if not isinstance(events, dict):
        return "push" in events
    patterns = (events.get("push") or {}).get("branches", ["*"]) if "push" in events else []
    return any(fnmatch.fnmatch(branch, pattern) for pattern in patterns)


ON_PUSH.append(start_runs)


def finish(world, run: Run, conclusion: str, **files: bytes) -> None:
    """End a run; ``files`` become one artifact named ``evidence``."""
    run.status, run.conclusion = "completed", conclusion
    if files:
        keep(world, run, "evidence", packed(files))


def packed(files: dict[str, bytes]) -> bytes:
    """A zip archive of these files."""
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return whole.getvalue()


def keep(world, run: Run, name: str, archive: bytes) -> None:
    """What a run leaves behind."""
    run.artifacts[name] = (world.new_id(), archive)


def _run_shape(call: Call, repo: Repository, run: Run) -> dict:
    url = f"{call.base_url}/repos/{repo.full_name}/actions/runs/{run.id}"
    return {
        "id": run.id,
        "name": run.path.removeprefix(FOLDER),
        "node_id": f"WFR_{run.id}",
        "display_title": run.title or "Their commit",
        "run_attempt": run.attempt,
        "head_branch": run.branch,
        "head_sha": run.head,
        "path": run.path,
        "event": "push",
        "status": run.status,
        "conclusion": run.conclusion,
        "run_number": 1,
        "workflow_id": 1,
        "url": url,
        "html_url": f"https://github.test/{repo.full_name}/actions/runs/{run.id}",
        "artifacts_url": f"{url}/artifacts",
        "repository": repository_shape(call, repo),
        "head_repository": repository_shape(call, repo),
        "actor": user_shape(run.actor),
    }


@route("GET", REPO + "/actions/runs")
def list_runs(call: Call):
    repo, query = call.seen(), call.query
    found = [
        run
        for run in reversed(repo.runs)
        if query.get("branch", run.branch) == run.branch and query.get("head_sha", run.head) == run.head
    ]
    shown = [_run_shape(call, repo, run) for run in call.page(found)]
    return 200, {"total_count": len(found), "workflow_runs": shown}


def _run(call: Call, repo: Repository) -> Run:
    for run in repo.runs:
        if run.id == int(call.path["run_id"]):
            return run
    raise Answer(404, "Not Found")


@route("GET", REPO + "/actions/runs/{run_id}")
def get_run(call: Call):
    repo = call.seen()
    return 200, _run_shape(call, repo, _run(call, repo))


@route("GET", REPO + "/actions/runs/{run_id}/artifacts")
def list_artifacts(call: Call):
    repo = call.seen()
    run = _run(call, repo)
    name = call.query.get("name")
    found = [
        {
            "id": number,
            "node_id": f"A_{number}",
            "name": kept,
            "size_in_bytes": len(content),
            "url": f"{call.base_url}/repos/{repo.full_name}/actions/artifacts/{number}",
            "archive_download_url": f"{call.base_url}/repos/{repo.full_name}/actions/artifacts/{number}/zip",
            "expired": False,
        }
        for kept, (number, content) in run.artifacts.items()
        if name in (None, kept)
    ]
    return 200, {"total_count": len(found), "artifacts": call.page(found)}


@route("GET", REPO + "/actions/artifacts/{artifact_id}/{archive_format}")
def download_artifact(call: Call):
    repo = call.seen()
    for run in repo.runs:
        for number, content in run.artifacts.values():
            if number == int(call.path["artifact_id"]):
                call.world.downloads[f"/_download/{number}"] = content
                moved = Answer(302, "Found")
                moved.body = None
                moved.headers = {"Location": f"{call.base_url}/_download/{number}"}
                raise moved
    raise Answer(404, "Not Found")
