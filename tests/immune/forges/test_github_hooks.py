"""The test GitHub's webhooks, received and read as ours would be: signed, in GitHub's own shape, lost and repeated."""

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from immune.forges.base import Conclusion, VerdictReport
from immune.forges.webhooks import ChecksChanged, PullRequestChanged, Pushed, Reviewed, read, receive
from tests.immune.forges.conftest import BRANCH, NAME

SECRET = b"the webhook's secret"


@pytest.fixture
def received(github):
    """What arrives at a receiver of the test, verified and read."""
    events = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self):
            raw = self.rfile.read(int(self.headers["Content-Length"]))
            delivery = receive(dict(self.headers.items()), raw, [SECRET])
            events.append((delivery.id, read(delivery.event, delivery.raw)))
            self.send_response(202)
            self.end_headers()

        def log_message(self, *_):
            """Silent."""

    with HTTPServer(("127.0.0.1", 0), Receiver) as http:
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        github.server.hooks.url = f"http://127.0.0.1:{http.server_address[1]}/hooks/github"
        github.server.hooks.secret = SECRET
        yield events
        github.server.hooks.settle()
        http.shutdown()
        thread.join(timeout=10)
    assert github.server.hooks.violations == []


def test_the_way_of_a_pull_request_is_told_as_it_goes(github, received, github_app):
    base = github.repo.head("main")
    pull = github.open_pull()
    report = VerdictReport(pull.head_commit, "remedy-1", "wargame", Conclusion.SUCCESS, "proved")
    github_app.report_verdict(report)
    review = {"event": "APPROVE", "commit_id": pull.head_commit}
    github.reviewer.write("POST", f"/repos/{NAME}/pulls/{pull.number}/reviews", review)
    merged = github.forge.merge_pull_request(github.merge_request(pull)).value
    github.server.hooks.settle()
    told = [event for _, event in received]
    assert told == [
        Pushed(NAME, BRANCH, None, pull.head_commit, False, False),
        PullRequestChanged(NAME, "opened", 1, BRANCH, "main", pull.head_commit, "open", False, None, False),
        ChecksChanged(NAME, pull.head_commit, "check_run", "wargame", "success", "remedy-1", github.repo.checks[0].id),
        Reviewed(NAME, "submitted", 1, "second-look", "approved", pull.head_commit),
        Pushed(NAME, "main", base, merged.merge_commit, False, True),
        PullRequestChanged(
            NAME, "closed", 1, BRANCH, "main", pull.head_commit, "closed", True, merged.merge_commit, False
        ),
    ]


def test_a_new_head_is_told_as_a_forced_push_and_a_synchronisation(github, received):
    pull = github.open_pull()
    moved = github.forge.ensure_branch(github.branch_request(b"requests==2.33.0\n", replaces=pull.head_commit)).value
    github.server.hooks.settle()
    push, changed = (event for _, event in received[-2:])
    assert push == Pushed(NAME, BRANCH, pull.head_commit, moved.commit, True, False)
    assert (changed.action, changed.head_commit) == ("synchronize", moved.commit)


def test_deliveries_are_repeated_under_one_id_or_lost_when_asked(github, received):
    github.server.hooks.times = 2
    github.server.hooks.lose.add("push")
    github.open_pull()
    github.server.hooks.settle()
    assert len(received) == 2
    assert len({delivery_id for delivery_id, _ in received}) == 1
    assert {one.event for one in github.server.hooks.delivered} == {"pull_request"}
