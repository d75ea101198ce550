"""Workflow runs at GitHub: found by branch and head, watched, and their artifacts fetched within a size. No decisions.

A run is found by the commit that started it, never by its place in a list. An artifact is an archive of files that
somebody else wrote: it is fetched whole or not at all, and what is inside is for the caller to distrust.
GitHub: docs.github.com/rest/actions/workflow-runs, docs.github.com/rest/actions/artifacts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from immune.forges.base import Answer, Done, Failed, Failure, Refusal, Refused, Retry, T
from immune.forges.github_session import Session, Stopped

MAX_ARTIFACT = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class WorkflowRun:
    """A run. ``conclusion`` is None until it has ended; only then does ``ended`` hold. ``title``: what its ``run-name`` gave it;
    ``attempt``: more than 1 once somebody had it run again."""

    id: int
    branch: str
    head_commit: str
    path: str
    ended: bool
    conclusion: str | None
    url: str
    title: str = ""
    attempt: int = 1


class WorkflowRuns:
    """The runs of one repository (owner/name)."""

    def __init__(self, session: Session, full_name: str) -> None:
        self.session = session
        self.path = f"/repos/{quote(full_name)}"

    def find(self, branch: str, head_commit: str, workflow: str, title: str = "") -> Answer[WorkflowRun]:
        """The run of the workflow file ``workflow`` that this commit on this branch started, with this title where one is given.

        Failed (pending) while GitHub shows none yet. Several (somebody asked for a re-run): the first one counts.
        """

        def find() -> Answer[WorkflowRun]:
            asked: dict[str, str | int] = {"branch": branch, "head_sha": head_commit, "event": "push", "per_page": 100}
            listed = self.session.get(f"{self.path}/actions/runs", **asked)["workflow_runs"]
            wanted = (branch, head_commit, workflow)
            runs = [run for run in map(_shown, listed) if (run.branch, run.head_commit, run.path) == wanted]
            runs = [run for run in runs if title in ("", run.title)]
            if not runs:
                return Failed(Failure.PENDING, "GitHub shows no run of the workflow yet")
            return Done(min(runs, key=lambda run: run.id))

        return _told(find)

    def read(self, run_id: int) -> Answer[WorkflowRun]:
        """The run, read now."""
        return _told(lambda: Done(_shown(self.session.get(f"{self.path}/actions/runs/{int(run_id)}"))))

    def artifact(self, run_id: int, name: str, *, max_bytes: int = MAX_ARTIFACT) -> Answer[bytes]:
        """The zip archive of a run's artifact. Refused: not_found (also expired), invalid (larger than allowed)."""

        def fetch() -> Answer[bytes]:
            listed = self.session.get(f"{self.path}/actions/runs/{int(run_id)}/artifacts", name=name, per_page=100)
            found = [one for one in listed["artifacts"] if one["name"] == name and not one["expired"]]
            if len(found) != 1:
                return Refused(Refusal.NOT_FOUND, f"the run has no artifact {name}", Retry.LATER)
            if int(found[0]["size_in_bytes"]) > max_bytes:
                return Refused(Refusal.INVALID, f"the artifact is larger than {max_bytes} bytes")
            path = f"{self.path}/actions/artifacts/{int(found[0]['id'])}/zip"
            return Done(self.session.download(path, max_bytes))

        return _told(fetch)


def _shown(run: dict[str, Any]) -> WorkflowRun:
    ended = run["status"] == "completed"
    return WorkflowRun(
        id=int(run["id"]),
        branch=str(run["head_branch"]),
        head_commit=str(run["head_sha"]),
        path=str(run["path"]).partition("@")[0],
        ended=ended,
        conclusion=str(run["conclusion"]) if ended and run["conclusion"] else None,
        url=str(run["html_url"]),
        title=str(run.get("display_title") or ""),
        attempt=int(run.get("run_attempt") or 1),
    )


def _told(ask: Callable[[], Answer[T]]) -> Answer[T]:
    try:
        return ask()
    except Stopped as stopped:
        return stopped.answer
    except (KeyError, TypeError, ValueError) as odd:
        return Failed(Failure.UNREADABLE_ANSWER, "GitHub's answer could not be read", detail=repr(odd)[:200])
