"""Channels and notices over REST and in the console: who may, what is shown, and what never is."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

import pytest
from django.urls import reverse

from immune.models import Role
from reviews.notices.models import Notice, NoticeChannel
from tests.reviews import cast as made
from tests.reviews.api.conftest import bearer, session
from tests.reviews.cast import Cast

HOOK = {"name": "ops", "kind": "webhook", "address": "https://127.0.0.1/hook?key=s3cret", "topics": ["threats"]}


@pytest.fixture
def cast(db: None, settings: Any) -> Cast:
    settings.NOTICE_PRIVATE_NETWORKS = [ip_network("127.0.0.0/8")]
    return Cast()


def test_a_channel_is_made_changed_tried_and_removed_and_its_secret_shown_once(cast: Cast) -> None:
    api = session(cast.person(Role.LEAD))
    made_ = api.post("/hitl/channels/", {**HOOK, "team_id": str(cast.team.pk)})
    assert made_.status_code == 201
    assert made_.headers["Cache-Control"] == "no-store"
    row = made_.json()
    assert row["secret"].startswith("whsec_")
    assert (row["shown"], row["team"]) == ("127.0.0.1", "Board")
    path = f"/hitl/channels/{row['id']}"
    changed = api.post(f"{path}/change", {"pace": "digest", "is_on": False, "hour": 6, "language": "pt-br"}).json()
    assert (changed["pace"], changed["hour"], changed["language"]) == ("digest", 6, "pt-br")
    tried = api.post(f"{path}/try")
    assert tried.status_code == 202
    new = api.post(f"{path}/rotate").json()["secret"]
    listed = api.get("/hitl/channels/").content + api.get("/hitl/notices/").content
    for secret in (row["secret"], new, "s3cret"):
        assert secret.encode() not in listed
    Notice.objects.update(state="parked")
    notice = api.get(tried.headers["Location"]).json()
    assert (notice["state"], notice["log"]) == ("parked", [])
    assert api.post(f"/hitl/notices/{notice['id']}/redeliver").json()["state"] == "pending"
    assert api.post(f"/hitl/notices/{notice['id']}/redeliver").status_code == 422
    assert api.post(f"{path}/remove").status_code == 200
    assert api.post(f"{path}/try").status_code == 404


def test_others_find_nothing_and_who_may_not_is_told(cast: Cast) -> None:
    row = NoticeChannel.objects.create(team=cast.team, name="theirs", kind="mail", topics=["reviews"])
    notice = Notice.objects.create(channel=row, key="test:1", state="done")
    outside = made.account("lea", Role.LEAD)
    addresses = [f"/hitl/channels/{row.pk}/{name}" for name in ("change", "rotate", "remove", "try")]
    addresses.append(f"/hitl/notices/{notice.pk}/redeliver")
    for address in addresses:
        assert session(outside).post(address).status_code == 404
        assert session(cast.rita).post(address).status_code == 403
        assert bearer(cast.person(Role.LEAD) if not cast.team.members.filter(role="lead") else cast.team.members.get(role="lead"),
                      "read", "lead").post(address).status_code == 403  # fmt: skip
    assert session(outside).get("/hitl/channels/").json()["items"] == []
    assert session(outside).get("/hitl/notices/").json()["items"] == []
    assert session(outside).post("/hitl/channels/", {**HOOK, "team_id": str(cast.team.pk)}).status_code == 404


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"address": "https://10.0.0.1/x"}, 422),
        ({"address": "http://127.0.0.1\r\nX: y"}, 422),
        ({"kind": "carrier-pigeon"}, 400),
        ({"topics": []}, 400),
        ({"topics": ["everything"]}, 400),
        ({"name": "   "}, 400),
        ({"hour": 24}, 400),
        ({"language": "tlh"}, 422),
        ({"colour": "red"}, 400),
    ],
)
def test_bad_channels_are_refused(cast: Cast, change: dict[str, Any], status: int) -> None:
    assert session(cast.person(Role.LEAD)).post("/hitl/channels/", {**HOOK, **change}).status_code == status
    assert not NoticeChannel.objects.exists()


@pytest.mark.parametrize("hour", ["9" * 5000, "24", "x", "\u0663"])
def test_an_hour_that_is_none_is_refused_and_nothing_is_made(cast: Cast, hour: str) -> None:
    client = session(cast.person(Role.LEAD)).client
    form = {"name": "late", "kind": "webhook", "address": HOOK["address"], "topic": ["threats"], "pace": "digest"}
    page = client.post(reverse("admin:reviews_noticechannel_create"), form | {"hour": hour}, follow=True)
    assert "An hour is a number from 0 to 23." in page.content.decode()
    assert not NoticeChannel.objects.exists()


def test_the_console_shows_a_new_secret_once_and_the_log_of_what_was_sent(cast: Cast) -> None:
    client = session(cast.person(Role.LEAD)).client
    form = {"name": "<b>ops", "kind": "webhook", "address": HOOK["address"], "topic": ["threats"], "pace": "digest"}
    form |= {"hour": "17", "language": "pt-br"}
    page = client.post(reverse("admin:reviews_noticechannel_create"), form)
    assert b"whsec_" in page.content
    assert b"<b>ops" not in page.content
    row = NoticeChannel.objects.get()
    assert (row.hour, row.language) == (17, "pt-br")
    detail = client.get(reverse("admin:reviews_noticechannel_change", args=(row.pk,)))
    assert b"whsec_" not in detail.content
    assert b"s3cret" not in detail.content
    assert client.get(reverse("admin:reviews_noticechannel_changelist")).status_code == 200
    client.post(reverse("admin:reviews_noticechannel_try", args=(row.pk,)))
    notice = Notice.objects.get()
    notice.log.create(outcome="refused", status=410, said="<script>gone")
    shown = client.get(reverse("admin:reviews_notice_change", args=(notice.pk,)))
    assert b"410" in shown.content
    assert b"<script>gone" not in shown.content
    assert client.get(reverse("admin:reviews_notice_changelist")).status_code == 200
    client.post(reverse("admin:reviews_noticechannel_rotate", args=(row.pk,)))
    client.post(reverse("admin:reviews_noticechannel_remove", args=(row.pk,)))
    row.refresh_from_db()
    assert row.removed_at is not None
