"""Notices: who is told of what, that it arrives signed and once, that what fails is tried again and kept, and the attacks."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email import message_from_string
from ipaddress import ip_network
from typing import Any

import pytest
from django.utils import timezone, translation

from immune import claims, deliveries
from immune.events.actors import SYSTEM
from immune.events.log import act
from immune.events.subscriptions import Happened
from immune.forges.urls import UrlError
from immune.models import Event, Role
from immune.people.selectors import viewer_of
from immune.people.services import NotPermitted
from immune.services import Refused
from reviews.models import Review
from reviews.notices import content, outgoing, sending, services
from reviews.notices.content import Message
from reviews.notices.models import Notice, NoticeAttempt, NoticeChannel
from reviews.notices.sealing import CannotOpen, seal, unseal
from reviews.notices.wording import line_of
from tests.github_server import transport
from tests.reviews import cast as made
from tests.reviews.cast import Cast
from tests.reviews.notices.servers import Mails, Posts, served

KEY = "R" * 32


@pytest.fixture(scope="module")
def web() -> Iterator[Posts]:
    with served(Posts()) as server:
        yield server


@pytest.fixture
def posts(web: Posts, settings: Any) -> Posts:
    web.forget()
    settings.NOTICE_PRIVATE_NETWORKS = [ip_network("127.0.0.0/8")]
    settings.PAGERDUTY_URL = web.url
    return web


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Posts, str]]:
    """A receiver over TLS and the file of the authority that signed its certificate."""
    file = transport.certificate(tmp_path_factory.mktemp("tls"))
    with served(Posts(file)) as server:
        yield server, str(file)


@pytest.fixture(scope="module")
def mails() -> Iterator[Mails]:
    with served(Mails()) as server:
        yield server


@pytest.fixture
def cast(db: None) -> Cast:
    return Cast()


def channel(cast: Cast, kind: str = "webhook", *, person: Any = None, **more: Any) -> tuple[NoticeChannel, str]:
    person = person or cast.person(Role.LEAD)
    return services.create_channel(
        account=person, viewer=viewer_of(person), name="mine", kind=kind, topics=more.pop("topics", ["threats"]), **more
    )


def opened(cast: Cast, where: Any = None, **data: Any) -> Event:
    with act(SYSTEM) as log:
        log.record(
            "apv.opened",
            subject="apv:1",
            repository=(where or cast.repository).pk,
            data={"apv_code": "APV-2026-000001", "severity": "HIGH", "package": "requests", **data},
        )
    return Event.objects.latest("position")


def tell(event: Event) -> None:
    sending.tell(deliveries.happened(event))


def work_off() -> Notice:
    """Claims the one notice that is due and runs it as a worker does."""
    row = claims.claim(sending.NOTICES.rows(), lease=timedelta(seconds=60), owner="me")
    assert row is not None
    sending.run(row, threading.Event())
    return Notice.objects.select_related("channel").get(pk=row.pk)


# --- the ways out


def test_a_webhook_arrives_signed_over_id_time_and_body(cast: Cast, posts: Posts) -> None:
    _, secret = channel(cast, address=posts.url)
    event = opened(cast)
    tell(event)
    tell(event)  # handed over again
    notice = work_off()
    assert notice.state == "done"
    ((path, headers, body),) = posts.got
    assert path == "/hook?key=s3cret"
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    key = base64.b64decode(secret.removeprefix("whsec_"))
    wanted = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{wanted}"
    said = json.loads(body)
    assert said["severity"] == "error"
    assert [one["position"] for one in said["events"]] == [event.position]
    assert NoticeAttempt.objects.get().outcome == "done"


def test_over_tls_only_a_receiver_whose_authority_is_trusted_is_told(
    cast: Cast, settings: Any, secure: tuple[Posts, str]
) -> None:
    web, authority = secure
    settings.NOTICE_PRIVATE_NETWORKS = [ip_network("127.0.0.0/8")]
    _, secret = channel(cast, address=web.url)
    tell(opened(cast))
    notice = work_off()
    assert (notice.state, notice.last_error, web.got) == ("pending", "unreachable", [])

    settings.NOTICE_CA_FILE = authority
    Notice.objects.update(due_at=timezone.now())
    assert work_off().state == "done"
    ((_, headers, body),) = web.got
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    key = base64.b64decode(secret.removeprefix("whsec_"))
    wanted = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{wanted}"
    # The certificate is for the name that was asked for, not for whoever answers at the address.
    other = f"https://other.example:{web.server_port}/hook"
    assert outgoing.post(other, b"{}", {}, lambda *_: ["127.0.0.1"]).outcome == "unreachable"
    assert len(web.got) == 1


def test_slack_gets_a_message_of_plain_blocks(cast: Cast, posts: Posts) -> None:
    channel(cast, "slack", address=posts.url)
    tell(opened(cast, advisory="GHSA-1"))
    assert work_off().state == "done"
    ((path, headers, body),) = posts.got
    assert (path, headers["content-type"]) == ("/hook?key=s3cret", "application/json")
    said = json.loads(body)
    assert said["text"] == "[demo/noticeboard] high APV-2026-000001: GHSA-1 in requests"
    assert [block["type"] for block in said["blocks"]] == ["header", "section"]
    assert (said["unfurl_links"], said["unfurl_media"]) == (False, False)


def test_each_is_told_in_the_language_of_the_channel(cast: Cast, posts: Posts, settings: Any) -> None:
    for language in ("en", "pt-br"):
        channel(cast, address=posts.url, language=language, person=made.account(f"a-{language}", Role.ADMIN))
    settings.LANGUAGE_CODE = "pt-br"
    channel(cast, address=posts.url, person=made.account("a-site", Role.ADMIN))
    tell(opened(cast, advisory="GHSA-1"))
    for _ in range(3):
        work_off()
    titles = sorted(json.loads(body)["title"] for _, _, body in posts.got)
    where = "[demo/noticeboard]"
    assert titles == [
        *[f"{where} alta APV-2026-000001: GHSA-1 em requests"] * 2,
        f"{where} high APV-2026-000001: GHSA-1 in requests",
    ]


def test_every_kind_of_event_has_a_sentence_in_both_languages() -> None:
    data = {"kind": "merge_pr", "state": "refused", "reason": "conflict", "type": "approve", "cause": "checks_red"}
    events = [
        Happened(1, kind, "x:1", None, "system", data | {"from": "rest", "to": "emergency"}) for kind in content.KINDS
    ]
    said = {}
    for language in ("en", "pt-br"):
        with translation.override(language):
            said[language] = [line_of(event, "") for event in events]
    assert not {kind for kind in content.KINDS if kind in said["en"]}
    unchanged = {one for one in zip(*said.values(), strict=True) if one[0] == one[1]}
    assert {english for english, _ in unchanged} <= {"unknown :  in "}


def test_what_the_other_side_cannot_take_now_is_tried_again_not_before_it_asks(cast: Cast, posts: Posts) -> None:
    channel(cast, address=posts.url)
    tell(opened(cast))
    posts.status, posts.headers = 429, {"Retry-After": "600"}
    notice = work_off()
    assert (notice.state, notice.attempts) == ("pending", 1)
    assert notice.due_at > timezone.now() + timedelta(minutes=9)
    Notice.objects.update(attempts=7, due_at=timezone.now())
    assert work_off().state == "parked", "given up after the last attempt, and kept"
    assert list(NoticeAttempt.objects.values_list("outcome", "status")) == [("try_again", 429)] * 2


def test_what_is_refused_is_parked_at_once_and_can_be_sent_once_more_under_its_id(cast: Cast, posts: Posts) -> None:
    lead = cast.person(Role.LEAD)
    channel(cast, address=posts.url, person=lead)
    tell(opened(cast))
    posts.status = 410
    notice = work_off()
    assert (notice.state, notice.last_error) == ("parked", "refused")
    posts.status = 204
    services.redeliver(account=lead, viewer=viewer_of(lead), notice=notice)
    assert work_off().state == "done"
    assert len({headers["webhook-id"] for _, headers, _ in posts.got}) == 1
    with pytest.raises(NotPermitted):
        services.redeliver(account=cast.otto, viewer=viewer_of(cast.otto), notice=notice)


def test_a_redirect_is_not_followed(cast: Cast, posts: Posts) -> None:
    channel(cast, address=posts.url)
    tell(opened(cast))
    posts.status, posts.headers = 302, {"Location": posts.url}
    assert work_off().state == "parked"
    assert len(posts.got) == 1


def test_pagerduty_gets_the_key_and_one_name_for_the_same_notice(cast: Cast, posts: Posts) -> None:
    channel(cast, "pagerduty", secret=KEY)
    tell(opened(cast, severity="CRITICAL"))
    notice = work_off()
    said = json.loads(posts.got[0][2])
    assert (said["routing_key"], said["event_action"], said["payload"]["severity"]) == (KEY, "trigger", "critical")
    assert said["dedup_key"] == f"msg_{notice.pk.hex}"


def test_mail_goes_to_the_persons_own_address_in_plain_text(cast: Cast, mails: Mails, settings: Any) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", mails.port
    settings.EMAIL_USE_TLS = settings.EMAIL_USE_SSL = False
    channel(cast, "mail", person=cast.rita)
    tell(opened(cast, package="evil\r\nBcc: all@victim.example\r\n\r\nboo"))
    assert work_off().state == "done"
    to, text = mails.got[-1]
    assert to == ["rita@team.example"]
    mail = message_from_string(text)
    assert mail["Bcc"] is None
    assert mail.get_content_type() == "text/plain"
    cast.rita.email = "refused@team.example"
    cast.rita.save()
    tell(opened(cast))
    notice = work_off()
    assert (notice.state, notice.last_error) == ("parked", "mail_refused")


def test_without_a_mail_server_or_address_it_is_parked_with_the_reason(cast: Cast, settings: Any) -> None:
    channel(cast, "mail", person=cast.sol)
    tell(opened(cast))
    assert work_off().last_error == "mail_not_configured"
    settings.EMAIL_HOST = "127.0.0.1"
    tell(opened(cast))
    assert work_off().last_error == "no_mail_address"


# --- attacks


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example/x",
        "https://user:word@hooks.example/x",
        "https://127.0.0.1/x",
        "https://[::1]/x",
        "https://169.254.169.254/latest/meta-data",
        "https://10.0.0.1/x",
        "https://[::ffff:10.0.0.1]/x",
        "ftp://hooks.example/x",
        "https://hooks.example/x\r\nHost: other",
        "https:///x",
        "",
    ],
)
def test_addresses_that_are_not_posted_to(cast: Cast, url: str) -> None:
    with pytest.raises(Refused):
        channel(cast, address=url)
    assert outgoing.post(url, b"", {}).outcome != "done"


def test_a_name_that_leads_inside_the_second_time_is_not_connected_to(posts: Posts, settings: Any) -> None:
    settings.NOTICE_PRIVATE_NETWORKS = []
    answers = iter([["93.184.216.34"], ["127.0.0.1"]])
    assert outgoing.checked("https://hooks.example/x", lambda *_: next(answers))[1] == "93.184.216.34"
    url = f"https://hooks.example:{posts.server_port}/x"
    answer = outgoing.post(url, b"", {}, lambda *_: next(answers))
    assert (answer.outcome, answer.again, posts.got) == ("private_address", False, [])
    with pytest.raises(UrlError):
        outgoing.checked(url, lambda *_: ["93.184.216.34", "127.0.0.1"])


def test_the_connection_goes_to_the_address_that_was_checked(posts: Posts) -> None:
    looked_up = []

    def resolver(host: str, port: int) -> list[str]:
        looked_up.append(host)
        return ["127.0.0.1"]

    url = f"http://no-such-name.example:{posts.server_port}/x"
    assert outgoing.post(url, b"{}", {}, resolver).outcome == "done"
    assert looked_up == ["no-such-name.example"]
    assert posts.got[0][1]["host"] == f"no-such-name.example:{posts.server_port}"


@pytest.mark.parametrize("text", ["<!channel> & <https://evil.example|click>", "a\nb\u202egnp", "x" * 9000])
def test_slack_is_sent_no_markup(text: str) -> None:
    event = Happened(1, "apv.opened", "apv:1", None, "system", {"package": text, "apv_code": "A"})
    line = line_of(event, text)
    said = json.loads(content.slack(Message("k", line, (line,))))
    assert "<" not in said["text"]
    assert {block["text"]["type"] for block in said["blocks"]} == {"plain_text"}
    assert len(line) < 1000
    assert not {"\n", "\u202e"} & set(line)


def test_secrets_are_sealed_and_neither_shown_nor_logged(cast: Cast, posts: Posts) -> None:
    row, secret = channel(cast, address=posts.url)
    row.refresh_from_db()
    kept = json.dumps([row.address, row.secret, row.shown, *Event.objects.values_list("body", flat=True)])
    assert secret not in kept
    assert "s3cret" not in kept
    assert unseal(row.secret) == secret
    assert seal("a") != seal("a")


def test_what_was_sealed_with_another_key_is_parked_and_says_so(cast: Cast, posts: Posts, settings: Any) -> None:
    row, _ = channel(cast, address=posts.url)
    settings.SECRET_KEY = "another" * 10
    with pytest.raises(CannotOpen):
        unseal(row.secret)
    tell(opened(cast))
    assert work_off().last_error == "secret_unreadable"


# --- who is told of what


def test_nobody_is_told_of_what_they_may_not_see(cast: Cast, posts: Posts) -> None:
    outside = made.account("lea", Role.LEAD)
    cast.other_team.members.add(outside)
    channel(cast, address=posts.url, person=outside)
    tell(opened(cast))
    assert not Notice.objects.exists()


def test_who_left_the_team_before_it_was_sent_is_not_told(cast: Cast, posts: Posts) -> None:
    lead = cast.person(Role.LEAD)
    channel(cast, address=posts.url, person=lead)
    tell(opened(cast))
    cast.team.members.remove(lead)
    assert work_off().state == "cancelled"
    assert posts.got == []


def test_a_team_is_told_of_its_repositories_alone(cast: Cast, posts: Posts) -> None:
    admin = cast.person(Role.ADMIN)
    channel(cast, address=posts.url, person=admin, team=cast.team)
    tell(opened(cast, made.repository("other/one")))
    assert not Notice.objects.exists()
    tell(opened(cast))
    assert work_off().state == "done"


@pytest.mark.parametrize(
    ("kind", "data", "topics", "told"),
    [
        ("apv.opened", {}, ["threats"], True),
        ("apv.opened", {}, ["reviews"], False),
        ("forge_job.finished", {"state": "done"}, ["refusals"], False),
        ("forge_job.finished", {"state": "refused"}, ["refusals"], True),
        ("reflex.fired", {"notify": False}, ["alarms"], False),
        ("reflex.fired", {"notify": True}, ["alarms"], True),
        ("token.created", {}, list(content.TOPICS), False),
    ],
)
def test_what_each_topic_tells(kind: str, data: dict[str, Any], topics: list[str], told: bool) -> None:
    assert content.tells(Happened(1, kind, "x:1", None, "system", data), topics) is told


def at(monkeypatch: pytest.MonkeyPatch, day: int, hour: int) -> None:
    """It is this hour (UTC) of this day."""
    moment = datetime(2099, 5, day, hour, 30, tzinfo=UTC)
    monkeypatch.setattr("django.utils.timezone.now", lambda: moment)


def test_a_digest_tells_once_a_day_from_its_hour_on(cast: Cast, posts: Posts, monkeypatch: pytest.MonkeyPatch) -> None:
    at(monkeypatch, 1, 9)
    row, _ = channel(cast, address=posts.url, pace="digest", hour=14)
    events = [opened(cast)]
    assert sending.gather() == 0, "its hour has not come"
    at(monkeypatch, 1, 16)
    assert (sending.gather(), sending.gather()) == (1, 0), "an hour that was missed is made up for, once"
    opened(cast)
    at(monkeypatch, 1, 23)
    assert sending.gather() == 0, "what happens later is told tomorrow"
    at(monkeypatch, 2, 13)
    assert sending.gather() == 0
    at(monkeypatch, 2, 14)
    assert sending.gather() == 1
    positions = [notice.positions for notice in Notice.objects.order_by("created_at")]
    assert positions == [[events[0].position], [Event.objects.filter(kind="apv.opened").latest("position").position]]

    services.change_channel(account=row.account, viewer=viewer_of(row.account), channel=row, hour=3, pace="overdue")
    at(monkeypatch, 2, 20)
    assert sending.gather() == 0, "it begins when its hour comes next"
    at(monkeypatch, 3, 3)
    assert sending.gather() == 1


def test_what_ended_long_ago_is_forgotten_with_its_attempts(cast: Cast, posts: Posts, settings: Any) -> None:
    row, _ = channel(cast, address=posts.url)
    long_ago = timezone.now() - timedelta(days=91)
    ends = {"done": long_ago, "parked": long_ago, "lately": timezone.now() - timedelta(days=89), "waits": None}
    for key, finished in ends.items():
        notice = Notice.objects.create(
            channel=row, key=key, state="parked" if finished else "pending", finished_at=finished
        )
        notice.log.create(outcome="refused")
    settings.NOTICE_LOG_DAYS = 0
    assert sending.forget() == 0
    settings.NOTICE_LOG_DAYS = 90
    assert sending.forget() == 2
    assert set(Notice.objects.values_list("key", flat=True)) == {"lately", "waits"}
    assert NoticeAttempt.objects.count() == 2


def test_a_digest_tells_once_of_all_since_the_last(cast: Cast, posts: Posts) -> None:
    opened(cast)
    channel(cast, address=posts.url, pace="digest")
    NoticeChannel.objects.update(hour=0, told_on=None)
    events = [opened(cast), opened(cast)]
    tell(events[0])
    assert not Notice.objects.exists(), "not at once"
    assert (sending.gather(), sending.gather()) == (1, 0)
    assert work_off().positions == [event.position for event in events]
    assert json.loads(posts.got[0][2])["title"] == "2 things happened"


def test_overdue_reviews_are_told_once_a_day_while_there_are_any(cast: Cast, posts: Posts) -> None:
    channel(cast, address=posts.url, pace="overdue")
    NoticeChannel.objects.update(hour=0, told_on=None)
    review = made.proved_review(cast)
    assert (sending.gather(), sending.gather()) == (1, 0)
    assert work_off().state == "cancelled", "nothing is overdue"
    Review.objects.filter(pk=review.pk).update(due_at=timezone.now() - timedelta(days=1))
    Notice.objects.all().delete()
    NoticeChannel.objects.update(told_on=None)
    sending.gather()
    work_off()
    assert json.loads(posts.got[0][2])["title"] == "1 review is overdue"


def test_who_may_make_and_change_which_channel(cast: Cast, posts: Posts) -> None:
    with pytest.raises(NotPermitted):
        channel(cast, address=posts.url, person=cast.rita)  # a reviewer sends nothing to an address of their choice
    with pytest.raises(NotPermitted):
        channel(cast, "mail", person=cast.rita, team=cast.team)
    row, _ = channel(cast, "mail", person=cast.person(Role.LEAD), team=cast.team)
    with pytest.raises(NotPermitted):
        services.change_channel(account=cast.rita, viewer=viewer_of(cast.rita), channel=row, is_on=False)
    with pytest.raises(NotPermitted):
        services.try_channel(account=cast.sol, viewer=viewer_of(cast.sol, ["read", "lead"]), channel=row)
    assert services.channels(viewer_of(cast.rita)).get() == row
    assert not services.channels(viewer_of(cast.otto)).exists()


def test_a_removed_channel_forgets_its_secrets_and_sends_nothing(cast: Cast, posts: Posts) -> None:
    lead = cast.person(Role.LEAD)
    row, _ = channel(cast, address=posts.url, person=lead)
    tell(opened(cast))
    services.remove_channel(account=lead, viewer=viewer_of(lead), channel=row)
    row.refresh_from_db()
    assert (row.address, row.secret) == ("", "")
    assert work_off().state == "cancelled"
