"""What stands beside a commit at GitHub: our verdict, written; everybody's checks, read.

An App writes a check run, found again by its external id; a token may only write a commit status, found by its context.
GitHub: docs.github.com/rest/checks/runs, docs.github.com/rest/commits/statuses.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from immune.forges import base
from immune.forges import github_text as text
from immune.forges.base import Answer, ChecksState, Done, Failed, Failure
from immune.forges.github_session import Session, Stopped

# Anything else that has ended is red: what was cancelled or went stale has not shown that all is well.
_GREEN = frozenset({"success", "neutral", "skipped"})
_MOST_PAGES = 10


class CommitChecks:
    """The checks of one repository's commits (``path``: /repos/owner/name)."""

    def __init__(self, session: Session, path: str) -> None:
        self.session = session
        self.path = path

    def read(self, commit: str) -> Answer[base.Checks]:
        """See ``Forge.read_checks``. Raises ``Stopped``."""
        here = f"{self.path}/commits/{quote(commit)}"
        results = {run["name"]: _result(run["status"], run["conclusion"]) for run in self._runs(here)}
        # The combined status holds the newest word of each context.
        for one in self.session.get(f"{here}/status", per_page=100)["statuses"]:
            results[one["context"]] = {"success": ChecksState.GREEN, "pending": ChecksState.PENDING}.get(
                one["state"], ChecksState.RED
            )
        red = tuple(sorted(name for name, state in results.items() if state is ChecksState.RED))
        pending = tuple(sorted(name for name, state in results.items() if state is ChecksState.PENDING))
        state = ChecksState.GREEN if results else ChecksState.NONE
        state = ChecksState.RED if red else ChecksState.PENDING if pending else state
        return Done(base.Checks(commit, state, red, pending))

    def _runs(self, here: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for page in range(1, _MOST_PAGES + 1):
            listed = self.session.get(f"{here}/check-runs", filter="latest", per_page=100, page=page)
            found += listed["check_runs"]
            if len(found) >= listed["total_count"] or not listed["check_runs"]:
                return found
        raise Stopped(Failed(Failure.UNREADABLE_ANSWER, "GitHub lists more checks than can be looked through"))

    def report(self, report: base.VerdictReport) -> Answer[base.Note]:
        """See ``Forge.report_verdict``. Raises ``Stopped``."""
        return self._check_run(report) if self.session.is_app else self._status(report)

    def _check_run(self, report: base.VerdictReport) -> Answer[base.Note]:
        wanted: dict[str, Any] = {
            "name": text.plain(report.name, 100),
            "external_id": report.key,
            "status": "in_progress" if report.conclusion is base.Conclusion.PENDING else "completed",
            "output": {"title": text.plain(report.name, 100), "summary": text.markdown(report.summary)},
        }
        if report.conclusion is not base.Conclusion.PENDING:
            wanted["conclusion"] = report.conclusion.value
        if report.url:
            wanted["details_url"] = report.url
        path = f"{self.path}/commits/{quote(report.head_commit)}/check-runs"
        runs = self.session.get(path, check_name=wanted["name"], per_page=100)["check_runs"]
        for run in runs:
            if run["external_id"] == report.key:
                shown = (run["status"], run["conclusion"], run["output"]["summary"])
                if shown == (wanted["status"], wanted.get("conclusion"), wanted["output"]["summary"]):
                    return Done(base.Note(report.key, str(run["html_url"] or "")), already=True)
                changed = self.session.write("PATCH", f"{self.path}/check-runs/{int(run['id'])}", wanted)
                return Done(base.Note(report.key, str(self.session.need(changed, 200).data["html_url"] or "")))
        asked = {**wanted, "head_sha": report.head_commit}
        made = self.session.need(self.session.write("POST", f"{self.path}/check-runs", asked), 201).data
        return Done(base.Note(report.key, str(made["html_url"] or "")))

    def _status(self, report: base.VerdictReport) -> Answer[base.Note]:
        # A status has no neutral; what could not be told is not a success.
        states = {base.Conclusion.SUCCESS: "success", base.Conclusion.PENDING: "pending"}
        wanted: dict[str, Any] = {
            "state": states.get(report.conclusion, "failure"),
            "context": text.plain(f"{report.name}/{report.key}", 100),
            "description": text.plain(report.summary, 140),
        }
        if report.url:
            wanted["target_url"] = report.url
        for one in self.session.pages(f"{self.path}/commits/{quote(report.head_commit)}/statuses"):
            if one["context"] == wanted["context"]:  # newest first: only the last word counts
                if (one["state"], one["description"]) == (wanted["state"], wanted["description"]):
                    return Done(base.Note(report.key), already=True)
                break
        path = f"{self.path}/statuses/{quote(report.head_commit)}"
        self.session.need(self.session.write("POST", path, wanted), 201)
        return Done(base.Note(report.key))


def _result(status: str, conclusion: str | None) -> ChecksState:
    if status != "completed":
        return ChecksState.PENDING
    return ChecksState.GREEN if conclusion in _GREEN else ChecksState.RED
