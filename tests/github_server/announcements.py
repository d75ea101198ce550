"""Which webhooks follow which operation."""

from typing import Any

from tests.github_server.hooks import check_event, pull_event, push_event, review_event
from tests.github_server.pull_routes import pull_shape
from tests.github_server.routes import Call, Route


def announce(call: Call, route: Route, answer: Any) -> None:
    """Send what GitHub would send after this operation. References are compared with what was last told."""
    if not call.hooks.url or "repo" not in call.path:
        return
    repo = call.world.repositories[call.full_name.lower()]
    _references(call, repo)
    tail = route.path.removeprefix("/repos/{owner}/{repo}")
    if (route.method, tail) == ("POST", "/pulls"):
        pull = repo.pulls[answer["number"]]
        pull.told_head = pull.head
        pull_event(call, repo, pull, "opened", answer)
    elif tail in ("/pulls/{pull_number}", "/pulls/{pull_number}/merge"):
        pull = repo.pulls[int(call.path["pull_number"])]
        if pull.state == "closed" and not pull.told_closed:
            pull.told_closed = True
            pull_event(call, repo, pull, "closed", pull_shape(call, repo, pull, whole=True))
    elif (route.method, tail) == ("POST", "/pulls/{pull_number}/reviews"):
        pull = repo.pulls[int(call.path["pull_number"])]
        review_event(call, repo, pull_shape(call, repo, pull, whole=False), answer)
    elif tail.startswith("/check-runs") and answer["status"] == "completed":
        check_event(call, repo, answer)


def _references(call: Call, repo: Any) -> None:
    from_before, now = repo.told_branches, repo.branches()
    for name in from_before.keys() | now.keys():
        before, after = from_before.get(name), now.get(name)
        if before != after:
            push_event(call, repo, f"refs/heads/{name}", before, after, repo.is_forced(before, after))
    repo.told_branches = now
    for pull in map(repo.refresh, repo.pulls.values()):
        if pull.state == "open" and pull.told_head and pull.told_head != pull.head:
            pull_event(call, repo, pull, "synchronize", pull_shape(call, repo, pull, whole=True))
            pull.told_head = pull.head
