"""The game's other forge: the test GitHub in the process that plays, which nothing kills, and what must hold there at the end.

Its faults are on the wire: answers that fail, connections that end before or after the act, silence after it, calls carried
out twice, pages of HTML. Webhooks go to the web process, each twice, and are lost while that is dead.
"""

from __future__ import annotations

import re
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.github_server import FaultPlan, GitHubServer, Repository

BOT, TOKEN, SECRET = "immune-bot", "bot-token", "a secret of the game's own"
# On every single call, and one action is several: more of them and a job would be given up before it came through.
RATE = 0.1
# Requests a window and its length in seconds: some three quarters of what is asked, so that an account's limit is met again and again.
LIMIT, WINDOW_S = 1000, 120
_MARKER = re.compile(r"<!-- immune:1:[^>]*-->\s*\Z")


@contextmanager
def github(folder: Path, seed: int) -> Iterator[GitHubServer]:
    with GitHubServer(folder / "github", faults=FaultPlan(rate=RATE, seed=seed), tls=True) as server:
        server.world.account(BOT, TOKEN)
        server.limit, server.window_s = LIMIT, WINDOW_S
        server.reset_at = int(time.time()) + WINDOW_S
        yield server


def environment(server: GitHubServer, web_port: str) -> dict[str, str]:
    """What makes the product use it, and it tell the product."""
    server.hooks.url, server.hooks.secret, server.hooks.times = (
        f"http://127.0.0.1:{web_port}/hooks/github", SECRET.encode(), 2,
    )  # fmt: skip
    return {
        "FORGE": "github",
        "GITHUB_API_URL": server.url,
        "GITHUB_CA_FILE": server.ca_file,
        "GITHUB_TOKEN": TOKEN,
        "GITHUB_WRITE_PAUSE_MS": "0",
        "GITHUB_WEBHOOK_SECRETS": SECRET,
        "GIT_HOSTS": f"localhost:{server.port}",
        "GIT_ALLOW_PRIVATE_ADDRESSES": "true",
        "RECONCILE_SECONDS": "10",
    }


def put(server: GitHubServer, place: Path) -> str:
    """A repository there that holds what is at ``place``; its address."""
    server.world.repository(f"acme/{place.name}", place, BOT)
    return f"https://localhost:{server.port}/acme/{place.name}"


def happened(server: GitHubServer) -> Counter[str]:
    """How often each fault happened; ``actions`` counts all that was asked to be changed."""
    writes = sum(method != "GET" for method, path, _ in server.requests if not path.endswith("git-upload-pack"))
    return Counter({"actions": writes}) + Counter(kind for kind, _, _ in server.faults.happened)


def problems(server: GitHubServer, jobs: list[dict[str, Any]]) -> list[str]:
    """What does not fit between GitHub and the decisions carried out there. ``jobs``: see ``inside.forge_jobs``."""
    found = [
        f"GitHub's description does not know: {said}" for said in server.violations[:5] + server.hooks.violations[:5]
    ]
    for name, there in server.world.repositories.items():
        here = [job for job in jobs if job["repository"].lower() == name]
        found += [f"{name}: {problem}" for problem in _problems(there, here)]
    return found


def _problems(there: Repository, jobs: list[dict[str, Any]]) -> Iterator[str]:
    done = {
        kind: [job for job in jobs if job["kind"] == kind and job["state"] == "done"]
        for kind in ("merge_pr", "close_pr")
    }
    decided = {(job["number"], job["head"]) for job in done["merge_pr"]}
    merged = Counter((number, head) for number, head, _ in there.merges)
    if set(merged) != decided or any(count > 1 for count in merged.values()):
        yield f"merged {dict(merged)}, decided and done {decided}"
    log = subprocess.run(
        ["git", f"--git-dir={there.mirror.path}", "log", "--first-parent", "--format=%s", "HEAD"],
        check=True, capture_output=True, text=True,
    ).stdout.splitlines()  # fmt: skip
    if sum(line.startswith("Upgrade ") for line in log) != len(there.merges):
        yield f"{log} on the default branch, {len(there.merges)} merges"
    for job in done["close_pr"]:
        pull = there.pulls[job["number"]]
        if pull.merged or pull.state != "closed":
            yield f"pull request {pull.number} is {'merged' if pull.merged else pull.state}, though its closing is done"
    subjects = Counter(marker[0] for pull in there.pulls.values() if (marker := _MARKER.search(pull.body)))
    yield from (f"{count} pull requests of one remedy" for count in subjects.values() if count > 1)
    notes = Counter(marker[0] for one in there.comments if (marker := _MARKER.search(one.body)))
    yield from (f"{count} comments of one marker" for count in notes.values() if count > 1)
    for job in jobs:
        if (
            job["kind"] == "escalate_to_lead"
            and job["state"] == "done"
            and "escalated" not in there.pulls[job["number"]].labels
        ):
            yield f"pull request {job['number']} is not escalated, though that is done"
