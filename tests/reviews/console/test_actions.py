"""What people do on the review page: each a POST of its own, through one service, with its outcome said."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.messages import get_messages
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from immune.models import APV, Account, Event, ForgeJob
from reviews.models import Decision, Review, ReviewState
from tests.reviews import cast as builders
from tests.reviews.cast import Cast

SignedIn = Callable[[Account], Client]
ACTIONS = ("claim", "release", "comment", "decide")


def form(review: Review, choice: str, **more: Any) -> dict[str, Any]:
    return {
        "decision": choice,
        "justification": "read the evidence and the notes",
        "head_commit": review.head_commit,
        "patch_digest": review.patch_digest,
        "version": review.version,
        **more,
    }


def decide(client: Client, review: Review, choice: str, **more: Any) -> Any:
    return client.post(reverse("admin:reviews_review_decide", args=(review.pk,)), form(review, choice, **more))


def said(answer: HttpResponse) -> str:
    return " ".join(str(message) for message in get_messages(answer.wsgi_request))  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("choice", "action", "more"),
    [
        ("approve", "merge_pr", {}),
        ("reject", "close_pr", {}),
        ("modify", "request_changes", {"target_version": "2.33.0"}),
        ("escalate", "escalate_to_lead", {}),
    ],
)
def test_each_decision_is_recorded_with_its_forge_job_and_said(
    cast: Cast, signed_in: SignedIn, choice: str, action: str, more: dict[str, str]
) -> None:
    review = builders.proved_review(cast, apvs=2)
    answer = decide(signed_in(cast.rita), review, choice, **more)
    assert answer.status_code == 302
    decision = Decision.objects.get()
    assert (decision.decision, decision.reviewer, decision.head_commit) == (choice, cast.rita, review.head_commit)
    assert ForgeJob.objects.get().kind == action
    words = said(answer)
    for item in review.items.all():
        assert item.apv.apv_code in words
    assert "forge job" in words


def test_after_a_decision_the_page_shows_the_job_and_what_the_forge_said(cast: Cast, signed_in: SignedIn) -> None:
    review = builders.proved_review(cast)
    client = signed_in(cast.rita)
    decide(client, review, "approve")
    ForgeJob.objects.update(state="refused", message="The head moved: <b>someone</b> pushed.")
    page = client.get(reverse("admin:reviews_review_change", args=(review.pk,))).content.decode()
    assert "refused" in page
    assert "The head moved: &lt;b&gt;someone&lt;/b&gt; pushed." in page


def test_reject_can_suppress_until_a_day(cast: Cast, signed_in: SignedIn) -> None:
    review = builders.proved_review(cast)
    day = (timezone.now() + timedelta(days=30)).date()
    decide(signed_in(cast.rita), review, "reject", suppress_reason="only in tests", suppress_until=day.isoformat())
    assert Decision.objects.get().suppress == {"reason": "only in tests", "expires_at": f"{day}T23:59:59+00:00"}


@pytest.mark.parametrize(
    ("choice", "more", "complaint"),
    [
        ("approve", {"justification": "short"}, "at least 10 characters"),
        ("approve", {"target_version": "2.33.0"}, "goes with modify only"),
        ("approve", {"suppress_reason": "x", "suppress_until": "2999-01-01"}, "goes with reject only"),
        ("reject", {"suppress_reason": "x"}, "needs the day on which it ends"),
        ("reject", {"suppress_reason": "x", "suppress_until": "2001-01-01"}, "must expire in the future"),
        ("reject", {"suppress_reason": "x", "suppress_until": "2001-99-99"}, "needs the day on which it ends"),
        ("modify", {}, "needs target_version"),
        ("approve", {"confidence_override": "very"}, "number between 0 and 1"),
        ("approve", {"confidence_override": "1.5"}, "between 0 and 1"),
        ("approve", {"confidence_override": "nan"}, "between 0 and 1"),
        ("merge", {}, "must be one of"),
        ("", {}, "must be one of"),
    ],
)
def test_what_cannot_be_taken_is_said_and_what_was_written_is_kept(
    cast: Cast, signed_in: SignedIn, choice: str, more: dict[str, str], complaint: str
) -> None:
    review = builders.proved_review(cast)
    answer = decide(signed_in(cast.rita), review, choice, **{"justification": "a justification to keep", **more})
    assert answer.status_code == 400
    page = answer.content.decode()
    assert complaint in page
    assert more.get("justification", "a justification to keep") in page
    assert not Decision.objects.exists()


@pytest.mark.parametrize(
    "seen",
    [{"head_commit": "0" * 40}, {"patch_digest": "0" * 64}, {"version": "99"}, {"version": ""}, {"version": "x"}],
)
def test_a_decision_on_stale_evidence_is_refused_and_says_so(
    cast: Cast, signed_in: SignedIn, seen: dict[str, str]
) -> None:
    review = builders.proved_review(cast)
    answer = decide(signed_in(cast.rita), review, "approve", **seen)
    assert answer.status_code == 409
    page = answer.content.decode()
    assert "no longer what there is" in page
    # The form now carries what the page shows now.
    assert f'name="head_commit" value="{review.head_commit}"' in page
    assert not Decision.objects.exists()


def test_a_double_click_decides_once(cast: Cast, signed_in: SignedIn) -> None:
    review = builders.proved_review(cast)
    client = signed_in(cast.rita)
    for _ in range(2):
        assert decide(client, review, "approve", idempotency_key="one-page").status_code == 302
    assert Decision.objects.count() == 1
    assert ForgeJob.objects.count() == 1


def test_the_second_of_two_people_is_told_who_was_first(cast: Cast, signed_in: SignedIn) -> None:
    review = builders.proved_review(cast)
    decide(signed_in(cast.rita), review, "approve")
    answer = decide(signed_in(cast.sol), review, "reject")
    assert answer.status_code == 409
    assert "Rita Reis decided meanwhile" in answer.content.decode()
    assert Decision.objects.get().decision == "approve"


def test_a_claimed_review_is_not_decided_by_another(cast: Cast, signed_in: SignedIn) -> None:
    review = builders.proved_review(cast)
    signed_in(cast.sol).post(reverse("admin:reviews_review_claim", args=(review.pk,)))
    review.refresh_from_db()
    answer = decide(signed_in(cast.rita), review, "approve")
    assert answer.status_code == 409
    assert "Sol Serra is looking at it" in answer.content.decode()
    assert not Decision.objects.exists()


@pytest.mark.parametrize("first", ["claim", "decide"])
def test_what_was_written_is_shown_again_when_somebody_was_first(cast: Cast, signed_in: SignedIn, first: str) -> None:
    review = builders.proved_review(cast)
    signed_in(cast.sol).post(reverse(f"admin:reviews_review_{first}", args=(review.pk,)), form(review, "reject"))
    answer = decide(signed_in(cast.rita), review, "approve", justification="An hour of reading went into <this>.")
    assert answer.status_code == 409
    page = answer.content.decode()
    assert "An hour of reading went into &lt;this&gt;." in page
    assert "data-console-refresh" not in page  # it would go with the page


def test_claim_release_and_comment(cast: Cast, signed_in: SignedIn) -> None:
    review = builders.proved_review(cast)
    client = signed_in(cast.rita)
    client.post(reverse("admin:reviews_review_claim", args=(review.pk,)))
    review.refresh_from_db()
    assert (review.state, review.claimed_by) == (ReviewState.CLAIMED, cast.rita)
    client.post(reverse("admin:reviews_review_release", args=(review.pk,)))
    review.refresh_from_db()
    assert review.state == ReviewState.PENDING
    client.post(reverse("admin:reviews_review_comment", args=(review.pk,)), {"text": "<i>hello</i>"})
    page = client.get(reverse("admin:reviews_review_change", args=(review.pk,))).content.decode()
    assert "&lt;i&gt;hello&lt;/i&gt;" in page


def test_a_decision_is_withdrawn_while_its_job_waits(cast: Cast, signed_in: SignedIn) -> None:
    review = builders.proved_review(cast)
    client = signed_in(cast.rita)
    decide(client, review, "approve")
    url = reverse("admin:reviews_review_withdraw", args=(review.pk, Decision.objects.get().pk))
    assert url in client.get(reverse("admin:reviews_review_change", args=(review.pk,))).content.decode()
    client.post(url)
    assert ForgeJob.objects.get().state == "cancelled"
    assert Review.objects.latest("round").round == 2


def test_a_decision_whose_job_has_begun_stands(cast: Cast, signed_in: SignedIn) -> None:
    review = builders.proved_review(cast)
    client = signed_in(cast.rita)
    decide(client, review, "approve")
    ForgeJob.objects.update(state="running", attempts=1)
    answer = client.post(reverse("admin:reviews_review_withdraw", args=(review.pk, Decision.objects.get().pk)))
    assert "the decision stands" in said(answer)
    assert ForgeJob.objects.get().state == "running"


@pytest.mark.parametrize("action", ACTIONS)
def test_nothing_changes_by_following_a_link(cast: Cast, signed_in: SignedIn, action: str) -> None:
    review = builders.proved_review(cast)
    before = Event.objects.count()
    url = reverse(f"admin:reviews_review_{action}", args=(review.pk,))
    for method in ("get", "head", "put", "delete"):
        assert getattr(signed_in(cast.rita), method)(url, form(review, "approve")).status_code == 405
    assert Event.objects.count() == before


@pytest.mark.parametrize("action", ACTIONS)
def test_nothing_changes_without_the_csrf_token(cast: Cast, action: str) -> None:
    review = builders.proved_review(cast)
    client = Client(enforce_csrf_checks=True)
    client.force_login(cast.rita)
    answer = client.post(reverse(f"admin:reviews_review_{action}", args=(review.pk,)), form(review, "approve"))
    assert answer.status_code == 403
    assert not Decision.objects.exists()


@pytest.mark.parametrize("action", ACTIONS)
def test_out_of_sight_nothing_can_be_asked(cast: Cast, signed_in: SignedIn, action: str) -> None:
    review = builders.proved_review(cast)
    before = Event.objects.count()
    url = reverse(f"admin:reviews_review_{action}", args=(review.pk,))
    assert signed_in(cast.otto).post(url, form(review, "approve", text="hi")).status_code == 404
    assert Event.objects.count() == before


def test_djangos_own_change_form_does_not_exist(cast: Cast, signed_in: SignedIn) -> None:
    review = builders.proved_review(cast)
    client = signed_in(builders.account("root", "admin", is_superuser=True))
    for row in (review, review.remedy, APV.objects.first(), cast.repository, cast.rita):
        assert row is not None
        base = f"/admin/{row._meta.app_label}/{row._meta.model_name}"
        assert client.post(f"{base}/{row.pk}/change/", {"state": "decided"}).status_code == 405
        assert client.post(f"{base}/", {"action": "delete_selected", "_selected_action": row.pk}).status_code == 405
        assert client.get(f"{base}/add/").status_code == 404
        assert client.get(f"{base}/{row.pk}/delete/").status_code == 404
        assert client.get(f"{base}/{row.pk}/history/").status_code == 404
    review.refresh_from_db()
    assert review.state == ReviewState.PENDING


def test_the_way_back_never_leads_elsewhere(cast: Cast, signed_in: SignedIn) -> None:
    review = builders.proved_review(cast)
    url = reverse("admin:reviews_review_claim", args=(review.pk,))
    answer = signed_in(cast.rita).post(url, {"next": "https://evil.example/"})
    assert answer["Location"] == reverse("admin:reviews_review_change", args=(review.pk,))


def test_what_is_wrong_with_a_decision_is_said_in_the_readers_language(cast: Cast, signed_in: SignedIn) -> None:
    review = builders.proved_review(cast)
    asked = form(review, "reject", justification="x", confidence_override="7", target_version="2")
    address = reverse("admin:reviews_review_decide", args=(review.pk,))
    page = signed_in(cast.rita).post(address, asked, headers={"accept-language": "pt-BR"}).content.decode()
    assert "<b>Justificativa</b> precisa de pelo menos 10 caracteres" in page
    assert "<b>Confiança própria</b> fica entre 0 e 1" in page
    assert "só cabe ao modificar" in page
