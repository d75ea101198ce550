"""The lists: what they show, to whom, and at what cost."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.messages import get_messages
from django.db import connection
from django.http import HttpResponse
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from immune.events.actors import SYSTEM
from immune.events.log import act
from immune.models import Account, Advisory, ApiToken, Delivery, Event, Job, Repository, Role, Scan, Team
from immune.people.selectors import EVERYTHING
from reviews import rounds
from reviews.console.base import ReadOnlyAdmin
from reviews.models import Campaign, ReflexRule, Review, Rule
from reviews.notices.models import Notice, NoticeChannel
from tests.reviews import cast as builders
from tests.reviews.cast import Cast

SignedIn = Callable[[Account], Client]
PAGES = [page for page in admin.site._registry.values() if isinstance(page, ReadOnlyAdmin)]
NAMES = [page.opts.label_lower for page in PAGES]
QUEUE = "/admin/reviews/review/"


def said(answer: HttpResponse) -> str:
    return " ".join(str(message) for message in get_messages(answer.wsgi_request))  # type: ignore[attr-defined]


def rows_of(answer: Any) -> list[Any]:
    return list(answer.context["cl"].result_list)


def test_only_pages_of_this_console_are_offered() -> None:
    assert len(PAGES) == len(admin.site._registry)


def test_the_queue_puts_the_most_urgent_first(cast: Cast, signed_in: SignedIn) -> None:
    now = timezone.now()
    late = builders.proved_review(cast, package="late", priority="P1", due_at=now - timedelta(days=1))
    mild = builders.proved_review(cast, package="mild", priority="P4", due_at=now - timedelta(days=9))
    soon = builders.proved_review(cast, package="soon", priority="P1", due_at=now + timedelta(days=1))
    answer = signed_in(cast.rita).get(QUEUE)
    assert rows_of(answer) == [late, soon, mild]
    assert "1 day overdue" in answer.content.decode()


def test_the_queue_shows_what_waits_unless_asked_for_more(cast: Cast, signed_in: SignedIn) -> None:
    waiting, decided = builders.proved_review(cast, package="a"), builders.proved_review(cast, package="b")
    Review.objects.filter(pk=decided.pk).update(state="decided")
    client = signed_in(cast.rita)
    assert rows_of(client.get(QUEUE)) == [waiting]
    assert rows_of(client.get(f"{QUEUE}?state=decided")) == [decided]
    assert len(rows_of(client.get(f"{QUEUE}?state=all"))) == 2


def test_mine_overdue_and_verdict(cast: Cast, signed_in: SignedIn) -> None:
    mine = builders.proved_review(cast, package="a", priority="P1")
    late = builders.proved_review(cast, package="b", verdict="INCONCLUSIVE", due_at=timezone.now() - timedelta(hours=1))
    client = signed_in(cast.rita)
    client.post(reverse("admin:reviews_review_claim", args=(mine.pk,)))
    assert rows_of(client.get(f"{QUEUE}?pick=mine")) == [mine]
    assert rows_of(signed_in(cast.sol).get(f"{QUEUE}?pick=mine")) == []
    assert rows_of(client.get(f"{QUEUE}?pick=overdue")) == [late]
    assert rows_of(client.get(f"{QUEUE}?weakest_verdict__exact=INCONCLUSIVE")) == [late]
    assert rows_of(client.get(f"{QUEUE}?priority__exact=P1")) == [mine]
    assert len(rows_of(client.get(f"{QUEUE}?repository={cast.repository.pk}"))) == 2


def test_search_finds_by_code_cve_package_and_repository(cast: Cast, signed_in: SignedIn) -> None:
    wanted = builders.proved_review(cast, package="wanted", apvs=2)
    builders.proved_review(cast, package="decoy")
    apv = wanted.items.first().apv  # type: ignore[union-attr]
    client = signed_in(cast.rita)
    for query in (apv.apv_code, apv.cve_id, apv.advisory_id, "wanted"):
        assert rows_of(client.get(QUEUE, {"q": query})) == [wanted], query
    assert len(rows_of(client.get(QUEUE, {"q": "noticeboard"}))) == 2


def test_a_filter_nobody_offered_is_refused(cast: Cast, signed_in: SignedIn) -> None:
    # Lookups could otherwise be used to guess at what is not shown, such as password digests, letter by letter.
    client = signed_in(cast.rita)
    assert client.get(f"{QUEUE}?claimed_by__password__startswith=a").status_code == 400


# Advisories are public knowledge, and rules hold for all: everybody who may read sees them.
@pytest.mark.parametrize("page", [page for page in PAGES if page.model not in (Advisory, Rule, ReflexRule)], ids=str)
def test_an_outsider_sees_nothing_of_others(cast: Cast, signed_in: SignedIn, page: ReadOnlyAdmin) -> None:
    seed_everything(cast, signed_in)
    answer = signed_in(cast.otto).get(page.url("changelist"))
    if page.right == "read":
        assert rows_of(answer) == []
    else:
        assert answer.status_code == 403
    row = page.model._default_manager.first()
    assert row is not None, "the test seeded no row of this kind"
    assert signed_in(cast.otto).get(page.url("change", row.pk)).status_code == (404 if page.right == "read" else 403)


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_a_list_costs_the_same_however_long(cast: Cast, signed_in: SignedIn, page: ReadOnlyAdmin) -> None:
    client = signed_in(builders.account("root", Role.ADMIN))
    seed_everything(cast, signed_in)
    with CaptureQueriesContext(connection) as few:
        assert client.get(page.url("changelist")).status_code == 200
    for number in range(6):
        where = builders.repository(f"more/{number}")
        Scan.objects.create(repository=where, cause="test")
        Job.objects.create(repository=where, source="trivy.json", size=2)
        change = builders.proved_review(cast, where=where, package=f"p{number}", apvs=3)
        decide(client, change)
        builders.account(f"person{number}")
        Team.objects.create(name=f"team{number}").members.add(cast.rita)
        builders.set_aside(where, cast.rita, f"aside{number}")
        builders_token(cast, f"token{number}")
        builders.freeze(where)
        for kind in ("policy", "reflex"):
            builders.rule(kind, f"rule{number}")
        builders.alarmed(where)
    with CaptureQueriesContext(connection) as many:
        assert client.get(page.url("changelist")).status_code == 200
    assert len(many) == len(few)
    assert len(many) <= 14


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_detail_page_opens(cast: Cast, signed_in: SignedIn, page: ReadOnlyAdmin) -> None:
    seed_everything(cast, signed_in)
    client = signed_in(builders.account("root", Role.ADMIN))
    for row in page.rows(EVERYTHING)[:3]:
        assert client.get(page.url("change", row.pk)).status_code == 200


def test_the_overview_counts_what_the_viewer_may_see(cast: Cast, signed_in: SignedIn) -> None:
    builders.proved_review(cast, due_at=timezone.now() - timedelta(days=1))
    mine = {figure["label"]: figure["value"] for figure in signed_in(cast.rita).get("/admin/").context["figures"]}
    others = {figure["label"]: figure["value"] for figure in signed_in(cast.otto).get("/admin/").context["figures"]}
    assert (mine["waiting"], mine["overdue"]) == (1, 1)
    assert (others["waiting"], others["overdue"]) == (0, 0)


def test_the_sidebar_counts_what_waits(cast: Cast, signed_in: SignedIn) -> None:
    for number in range(3):
        builders.proved_review(cast, package=f"p{number}")
    groups = signed_in(cast.rita).get("/admin/").context["sidebar_navigation"]
    [badge] = [str(item["badge_callback"]) for group in groups for item in group["items"] if "badge_callback" in item]
    assert badge == "3"


# -- asking for work ------------------------------------------------------------------------------------------------


def test_immunize_asks_for_a_scan(cast: Cast, signed_in: SignedIn) -> None:
    answer = signed_in(cast.rita).post(reverse("admin:immune_repository_immunize", args=(cast.repository.pk,)))
    assert answer.status_code == 302
    scan = Scan.objects.get()
    assert (scan.repository, scan.requested_by) == (cast.repository, cast.rita)


def test_a_repository_is_registered_by_its_address_for_a_team(cast: Cast, signed_in: SignedIn, settings: Any) -> None:
    settings.GIT_HOSTS, settings.GIT_ALLOW_PRIVATE_ADDRESSES = ["localhost"], True
    register = reverse("admin:immune_repository_register")
    operator = signed_in(cast.person(Role.OPERATOR))
    operator.post(register, {"url": "https://localhost/board/app.git", "team": [str(cast.team.pk)]})
    made = Repository.objects.exclude(pk=cast.repository.pk).get()
    assert list(made.owners.all()) == [cast.team]
    assert Scan.objects.get().repository == made


@pytest.mark.parametrize("role", [Role.VIEWER, Role.REVIEWER, Role.LEAD])
def test_who_does_not_see_all_registers_nothing_and_learns_nothing_of_what_others_have(
    cast: Cast, signed_in: SignedIn, settings: Any, role: str
) -> None:
    settings.GIT_HOSTS, settings.GIT_ALLOW_PRIVATE_ADDRESSES = ["localhost"], True
    register = reverse("admin:immune_repository_register")
    theirs = Repository.objects.create(name="other/secret", location="https://localhost/other/secret.git")
    cast.other_team.repositories.add(theirs)
    person = signed_in(cast.person(role))
    answers = [
        person.post(register, {"url": f"https://localhost/other/{name}.git", "team": [str(cast.team.pk)]})
        for name in ("secret", "new")
    ]
    assert [answer.status_code for answer in answers] == [403, 403]
    assert b"c-url" not in person.get(reverse("admin:immune_repository_changelist")).content
    assert Repository.objects.count() == 2
    assert not Scan.objects.exists()


@pytest.mark.parametrize(
    "url", ["", "/etc", "file:///etc", "https://user:pw@localhost/a/b", "https://unlisted.example/a/b", "ext::sh -c id"]
)
def test_an_address_that_will_not_do_is_refused_with_words(
    cast: Cast, signed_in: SignedIn, settings: Any, url: str
) -> None:
    settings.GIT_HOSTS = ["localhost"]
    register = reverse("admin:immune_repository_register")
    answer = signed_in(cast.person(Role.OPERATOR)).post(register, {"url": url, "team": [str(cast.team.pk)]})
    assert said(answer)
    assert Repository.objects.count() == 1


# -- people ---------------------------------------------------------------------------------------------------------


def test_an_admin_makes_an_account_that_can_sign_in(cast: Cast, signed_in: SignedIn) -> None:
    client = signed_in(builders.account("root", Role.ADMIN))
    data = {"username": "nia", "password": builders.PASSWORD, "role": "lead", "full_name": "Nia Neves"}
    client.post(reverse("admin:immune_account_create"), data)
    assert Account.objects.get(username="nia").role == Role.LEAD
    assert Client().login(username="nia", password=builders.PASSWORD)
    assert "that name already" in said(client.post(reverse("admin:immune_account_create"), data))


@pytest.mark.parametrize("more", [{"password": "short"}, {"role": "emperor"}, {"role": ""}])
def test_an_account_that_will_not_do_is_refused(cast: Cast, signed_in: SignedIn, more: dict[str, str]) -> None:
    client = signed_in(builders.account("root", Role.ADMIN))
    data = {"username": "nia", "password": builders.PASSWORD, "role": "lead", **more}
    assert said(client.post(reverse("admin:immune_account_create"), data))
    assert not Account.objects.filter(username="nia").exists()


def test_a_tokens_text_is_shown_once(cast: Cast, signed_in: SignedIn) -> None:
    client = signed_in(builders.account("root", Role.ADMIN))
    answer = client.post(
        reverse("admin:immune_apitoken_create"),
        {"name": "ci", "account": cast.rita.pk, "days": "30", "scopes": ["read", "decide"]},
    )
    assert answer.status_code == 201
    assert "no-store" in answer["Cache-Control"]
    text = answer.context["text"]
    token = ApiToken.objects.get()
    assert text in answer.content.decode()
    for url in (reverse("admin:immune_apitoken_changelist"), reverse("admin:immune_apitoken_change", args=(token.pk,))):
        page = client.get(url).content.decode()
        assert text not in page
        assert token.digest not in page
    client.post(reverse("admin:immune_apitoken_revoke", args=(token.pk,)))
    token.refresh_from_db()
    assert token.revoked_at is not None


def test_a_team_is_made_with_its_members_and_repositories(cast: Cast, signed_in: SignedIn) -> None:
    client = signed_in(builders.account("root", Role.ADMIN))
    client.post(
        reverse("admin:immune_team_create"),
        {"name": "New", "members": [cast.otto.pk], "repositories": [str(cast.repository.pk)]},
    )
    assert signed_in(cast.otto).get(QUEUE).status_code == 200
    assert Team.objects.get(name="New").repositories.get() == cast.repository


# -- seeds ----------------------------------------------------------------------------------------------------------


def decide(client: Client, review: Review) -> None:
    data = {
        "decision": "approve",
        "justification": "read the evidence",
        "head_commit": review.head_commit,
        "patch_digest": review.patch_digest,
        "version": review.version,
    }
    assert client.post(reverse("admin:reviews_review_decide", args=(review.pk,)), data).status_code == 302


def builders_token(cast: Cast, name: str) -> None:
    ApiToken.objects.create(
        account=cast.rita, name=name, prefix="imm_x", digest=name, scopes=["read"], expires_at=timezone.now()
    )


def seed_everything(cast: Cast, signed_in: SignedIn) -> None:
    """At least one row behind every page."""
    decide(signed_in(cast.rita), builders.proved_review(cast, package="seeded"))
    builders.proved_review(cast, package="waiting", apvs=2)
    Job.objects.create(repository=cast.repository, source="trivy.json", size=2)
    Scan.objects.create(repository=cast.repository, cause="test")
    Delivery.objects.get_or_create(event=Event.objects.latest("position"), handler="x", defaults={"state": "parked"})
    builders.set_aside(cast.repository, cast.rita)
    builders.alarmed(cast.repository)
    builders_token(cast, "seed")
    builders.freeze(cast.repository)
    for kind in ("reflex", "policy"):
        builders.rule(kind)
    review = Review.objects.latest("opened_at")
    record = Advisory.objects.get(pk=review.items.all()[0].apv.advisory_id)
    campaign = Campaign.objects.create(advisory=record, decision="escalate", author=cast.sol, until="2999-01-01T00:00Z")
    campaign.items.create(review=review, seen_version=1, state="shown")
    channel = NoticeChannel.objects.create(team=cast.team, name="theirs", kind="mail", topics=["reviews"])
    Notice.objects.create(channel=channel, key="seed:1", state="done")


def test_each_shortcut_counts_what_it_leads_to(cast: Cast, signed_in: SignedIn) -> None:
    builders.proved_review(cast, verdict="INCONCLUSIVE", package="unsure")
    builders.proved_review(cast, package="late", due_at=timezone.now() - timedelta(hours=1), priority="P1")
    threat = builders.apv(cast.repository, builders.advisory("GHSA-nofix"), package="nofix", fixed_versions=[])
    with act(SYSTEM) as log:
        assert rounds.open_no_fix_round(log, apv=threat) is not None
    client = signed_in(cast.rita)
    shown = client.get(QUEUE).context
    for chip in shown["chips"]:
        listed = client.get(f"{QUEUE}?{chip['query']}").context["cl"].result_count
        assert chip["count"] in (None, listed), chip["label"]
