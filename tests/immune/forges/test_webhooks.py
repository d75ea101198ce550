"""GitHub's webhooks: whom we believe, and what we read in what they really send."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from immune.forges.webhooks import (
    AlertChanged,
    ChecksChanged,
    InstallationChanged,
    Other,
    PullRequestChanged,
    Pushed,
    Reviewed,
    WebhookError,
    WebhookReason,
    read,
    receive,
    signature,
)

SECRET, OLDER = b"a secret of some length", b"the secret before that one"
RAW = b'{"zen": "Design for failure."}'
HEADERS = {
    "X-GitHub-Delivery": "72d3162e-cc78-11e3-81ab-4c9367dc0958",
    "X-GitHub-Event": "ping",
    "X-Hub-Signature-256": signature(RAW, SECRET),
}
SAMPLES = Path(os.environ.get("IMMUNE_DATA", Path(__file__).parents[4] / "shared")) / "data/reports/github-webhooks"


def refused(reason):
    return pytest.raises(WebhookError, check=lambda error: error.reason is reason)


def test_githubs_own_example_of_a_signature_is_met():
    # docs.github.com, "Validating webhook deliveries", Testing the webhook payload validation.
    made = signature(b"Hello, World!", b"It's a Secret to Everybody")
    assert made == "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"


@pytest.mark.parametrize("secrets", [[SECRET], [SECRET, OLDER], [OLDER, SECRET], [b"", SECRET]])
def test_a_delivery_signed_with_one_of_our_secrets_is_taken(secrets):
    assert receive(HEADERS, RAW, secrets).id == HEADERS["X-GitHub-Delivery"]
    assert receive({name.lower(): value for name, value in HEADERS.items()}, RAW, secrets).event == "ping"


@pytest.mark.parametrize(
    ("changed", "raw", "reason"),
    [
        ({"X-Hub-Signature-256": ""}, RAW, WebhookReason.UNSIGNED),
        ({"X-Hub-Signature-256": signature(RAW, b"somebody else's secret")}, RAW, WebhookReason.WRONG_SIGNATURE),
        ({"X-Hub-Signature-256": signature(RAW, SECRET).removeprefix("sha256=")}, RAW, WebhookReason.WRONG_SIGNATURE),
        ({"X-Hub-Signature-256": "sha256="}, RAW, WebhookReason.WRONG_SIGNATURE),
        ({"X-Hub-Signature-256": "sha256=é"}, RAW, WebhookReason.WRONG_SIGNATURE),
        ({}, RAW + b" ", WebhookReason.WRONG_SIGNATURE),
        ({}, b" " * (6 * 1024 * 1024), WebhookReason.TOO_LARGE),
        ({"X-GitHub-Delivery": ""}, RAW, WebhookReason.NO_DELIVERY_ID),
        ({"X-GitHub-Delivery": "x'; DROP TABLE"}, RAW, WebhookReason.NO_DELIVERY_ID),
        ({"X-GitHub-Event": "../ping"}, RAW, WebhookReason.NO_EVENT),
    ],
)
def test_every_other_delivery_is_refused_by_name(changed, raw, reason):
    with refused(reason):
        receive({**HEADERS, **changed}, raw, [SECRET, OLDER])


def test_the_older_and_weaker_signature_header_counts_for_nothing():
    headers = {"X-Hub-Signature": "sha1=0", **{k: v for k, v in HEADERS.items() if k != "X-Hub-Signature-256"}}
    with refused(WebhookReason.UNSIGNED):
        receive(headers, RAW, [SECRET])


@pytest.mark.parametrize("secrets", [[], [b""], [b"short"]])
def test_without_a_secret_nothing_can_be_received(secrets):
    with pytest.raises(ValueError, match="at least 16 bytes"):
        receive({**HEADERS, "X-Hub-Signature-256": signature(RAW, b"")}, RAW, secrets)


def sample(name):
    if not SAMPLES.is_dir():
        pytest.skip(f"no webhook samples in {SAMPLES} (IMMUNE_DATA)")
    return read(name.split(".")[0], (SAMPLES / f"{name}.json").read_bytes())


HELLO = "Codertocat/Hello-World"
HEAD = "ec26c3e57ca3a959ca5aad62de7213c562f8c821"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "pull_request.opened",
            PullRequestChanged(HELLO, "opened", 2, "changes", "master", HEAD, "open", False, None, False),
        ),
        ("push", Other("push", "", HELLO)),  # the sample deletes a tag
        ("check_run.completed", ChecksChanged(HELLO, HEAD, "check_run", "Octocoders-linter", "success", "", 128620228)),
        (
            "status",
            ChecksChanged(HELLO, "6113728f27ae82c7b1a177c8d03f9e96e0adf246", "status", "default", "success"),
        ),
        ("pull_request_review.submitted", Reviewed(HELLO, "submitted", 2, "Codertocat", "commented", HEAD)),
        (
            "dependabot_alert.created",
            AlertChanged(
                "wolfy1339/pika-pack", "created", 20, "open", "npm", "semver", "package-lock.json",
                "GHSA-c2qf-rxjj-qqgw", "CVE-2022-25883", "< 7.5.2", "7.5.2",
            ),
        ),
        ("installation.created", InstallationChanged("created", 957387, (HELLO,), ())),
        ("issue_comment.created", Other("issue_comment", "created", HELLO)),
        ("ping", Other("ping", "", "Octocoders/Hello-World")),
    ],
)  # fmt: skip
def test_what_github_really_sends_is_read(name, expected):
    assert sample(name) == expected


@pytest.mark.parametrize(
    "name",
    [
        "check_suite.completed", "workflow_run.completed", "pull_request.labeled",
        "repository_vulnerability_alert.create", "security_advisory.published",
    ],
)  # fmt: skip
def test_every_other_sample_is_read_too(name):
    assert sample(name) is not None


def push(**changed):
    body = {
        "ref": "refs/heads/main", "before": "1" * 40, "after": "2" * 40, "forced": False,
        "repository": {"full_name": "acme/shop", "default_branch": "main"},
    }  # fmt: skip
    return json.dumps({**body, **changed}).encode()


def test_a_push_says_which_branch_moved_from_where_to_where():
    assert read("push", push()) == Pushed("acme/shop", "main", "1" * 40, "2" * 40, False, True)
    assert read("push", push(after="0" * 40, ref="refs/heads/a/b")) == Pushed(
        "acme/shop", "a/b", "1" * 40, None, False, False
    )


def test_the_trial_merge_of_an_open_pull_request_is_not_its_merge():
    pull = {
        "number": 1, "head": {"ref": "b", "sha": "1" * 40}, "base": {"ref": "main"}, "state": "open", "merged": False,
        "merge_commit_sha": "3" * 40,
    }  # fmt: skip
    body = {"action": "synchronize", "pull_request": pull, "repository": {"full_name": "acme/shop"}}
    assert read("pull_request", json.dumps(body).encode()).merge_commit is None


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"null", b"[]", b"\xff", b"[" * 100_000, push(after="main"), push(after=None), push(ref=7),
        push(forced="no"), push(repository=None), push(repository={"full_name": "../../etc", "default_branch": "main"}),
    ],
)  # fmt: skip
def test_a_delivery_that_cannot_be_read_is_not_guessed_at(raw):
    with refused(WebhookReason.UNREADABLE):
        read("push", raw)


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=3),
    max_leaves=12,
)


def test_an_installation_tells_what_was_added_and_what_removed():
    def told(action, **lists):
        body = {"action": action, "installation": {"id": 7}, **lists}
        return read("installation_repositories", json.dumps(body).encode())

    one, two = [{"full_name": "acme/one"}], [{"full_name": "acme/two"}]
    assert told("added", repositories_added=one, repositories_removed=two) == InstallationChanged(
        "added", 7, ("acme/one",), ("acme/two",)
    )
    assert told("deleted", repositories=one) == InstallationChanged("deleted", 7, (), ("acme/one",))
    with refused(WebhookReason.UNREADABLE):
        told("created", repositories=5)


@given(event=st.sampled_from(["push", "pull_request", "status", "installation", "ping"]), body=_json)
def test_no_json_makes_the_reader_fail_otherwise(event, body):
    try:
        read(event, json.dumps(body).encode())
    except WebhookError as error:
        assert error.reason is WebhookReason.UNREADABLE  # noqa: PT017  # the other outcome is an event
