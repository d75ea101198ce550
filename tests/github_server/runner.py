"""Playing a run as GitHub's machine does: the steps of the workflow in its commit, one after the other, in a folder of their own.

What the actions of GitHub do for ours is done here (checkout, interpreters, upload); what a step says to ``run`` is really run.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import yaml

from immune import git
from tests.github_server.action_routes import Run, keep, packed
from tests.github_server.world import Repository, World

_PINNED = re.compile(r"(actions/[a-z-]+)@[0-9a-f]{40}")
# What tells a machine where its package index is; nothing else of ours reaches it.
_MACHINE = ("PIP_", "UV_", "SSL_CERT_", "npm_config_", "NPM_CONFIG_")


def play(world: World, repo: Repository, run: Run, folder: Path) -> None:
    """Runs it to its end: its conclusion, and the artifacts its workflow uploads."""
    workflow = yaml.safe_load(git.read_file(repo.mirror, run.head, run.path))
    workspace = folder / f"run-{run.id}"
    workspace.mkdir()
    run.status, run.conclusion = "completed", "success"
    for job in workflow["jobs"].values():
        for step in job["steps"]:
            if not _done(world, repo, run, step, workspace):
                run.conclusion = "failure"
                return


def _done(world: World, repo: Repository, run: Run, step: dict, workspace: Path) -> bool:
    if "run" in step:
        return (
            subprocess.run(
                ["bash", "-e", "-c", step["run"]], cwd=workspace, env=_environment(run), check=False
            ).returncode
            == 0
        )
    action, given = _PINNED.fullmatch(step["uses"])[1], step.get("with", {})
    if action == "actions/checkout":
        _checkout(repo, run, workspace, given.get("sparse-checkout", ""))
    elif action == "actions/upload-artifact":
        return _upload(world, run, workspace / given["path"], given["name"])
    else:
        assert action in ("actions/setup-python", "actions/setup-node"), action
    return True


def _environment(run: Run) -> dict[str, str]:
    machine = {name: value for name, value in os.environ.items() if name.startswith(_MACHINE)}
    # What setup-python brings is a `python` with pip; the project's own environment has both, wherever its interpreter comes from.
    paths = f"{sys.prefix}/bin:/usr/local/bin:/usr/bin:/bin"
    said = {"GITHUB_SHA": run.head, "GITHUB_RUN_ID": str(run.id), "GITHUB_REF": f"refs/heads/{run.branch}"}
    return {
        **machine,
        **said,
        "PATH": paths,
        "HOME": os.environ.get("HOME", "/"),
        "CI": "true",
        "GITHUB_ACTIONS": "true",
    }


def _checkout(repo: Repository, run: Run, workspace: Path, below: str) -> None:
    for entry in git.list_tree(repo.mirror, run.head):
        if entry.path.startswith(f"{below}/" if below else ""):
            path = workspace / entry.path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(git.read_file(repo.mirror, run.head, entry.path))


def _upload(world: World, run: Run, folder: Path, name: str) -> bool:
    found = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    if found:
        keep(world, run, name, packed(found))
    return bool(found)
