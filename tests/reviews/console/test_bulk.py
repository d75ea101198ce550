"""One decision on many reviews: a preview first, then each row with its own outcome."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import reverse

from immune.models import Account, ForgeJob, Role
from reviews import bulk
from reviews.models import Decision, Review
from tests.reviews import cast as builders
from tests.reviews.cast import Cast

SignedIn = Callable[[Account], Client]
PREVIEW = "/admin/reviews/review/bulk/"
DECIDE = "/admin/reviews/review/bulk/decide/"


def form(*reviews: Review, **more: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"review": [str(review.pk) for review in reviews], "decision": "approve"}
    found["justification"] = "all of them are patch releases"
    for review in reviews:
        found[f"head_{review.pk}"] = review.head_commit
        found[f"patch_{review.pk}"] = review.patch_digest
        found[f"version_{review.pk}"] = review.version
    return {**found, **more}


def three(cast: Cast) -> list[Review]:
    return [builders.proved_review(cast, package=name) for name in ("one", "two", "three")]


def test_the_preview_shows_every_row_and_changes_nothing(cast: Cast, signed_in: SignedIn) -> None:
    reviews = three(cast)
    answer = signed_in(cast.rita).post(PREVIEW, {"review": [str(review.pk) for review in reviews]})
    page = answer.content.decode()
    for review in reviews:
        assert review.items.get().apv.apv_code in page
        assert f'name="head_{review.pk}" value="{review.head_commit}"' in page
    assert not Decision.objects.exists()


def test_each_row_is_decided_once(cast: Cast, signed_in: SignedIn) -> None:
    reviews = three(cast)
    client = signed_in(cast.rita)
    for _ in range(2):
        assert client.post(DECIDE, form(*reviews, idempotency_key="k")).status_code == 200
    assert Decision.objects.filter(decision="approve").count() == 3
    assert ForgeJob.objects.count() == 3


def test_one_refusal_keeps_none_of_the_others_back(cast: Cast, signed_in: SignedIn) -> None:
    one, claimed, stale = three(cast)
    signed_in(cast.sol).post(reverse("admin:reviews_review_claim", args=(claimed.pk,)))
    claimed.refresh_from_db()
    page = signed_in(cast.rita).post(DECIDE, form(one, claimed, stale, **{f"head_{stale.pk}": "0" * 40}))
    assert [decision.review_id for decision in Decision.objects.all()] == [one.pk]
    text = page.content.decode()
    assert "Sol Serra is looking at it" in text
    assert "no longer what there is" in text


def test_a_row_without_what_was_seen_is_refused(cast: Cast, signed_in: SignedIn) -> None:
    [review, *_] = three(cast)
    signed_in(cast.rita).post(
        DECIDE, {"review": [str(review.pk)], "decision": "approve", "justification": "ten characters and more"}
    )
    assert not Decision.objects.exists()


def test_the_second_person_rule_holds_in_bulk(cast: Cast, signed_in: SignedIn) -> None:
    reviews = three(cast)
    Review.objects.update(required_approvals=2)
    client = signed_in(cast.rita)
    client.post(DECIDE, form(*reviews))
    page = client.post(DECIDE, form(*reviews)).content.decode()
    assert "another person has to" in page
    assert not Decision.objects.filter(is_final=True).exists()
    signed_in(cast.sol).post(DECIDE, form(*reviews))
    assert Decision.objects.filter(is_final=True).count() == 3


def test_what_is_out_of_sight_is_not_there(cast: Cast, signed_in: SignedIn) -> None:
    reviews = three(cast)
    assert signed_in(cast.otto).post(PREVIEW, {"review": [str(reviews[0].pk)]}).status_code == 302
    signed_in(cast.otto).post(DECIDE, form(*reviews))
    assert not Decision.objects.exists()


@pytest.mark.parametrize("more", [{"justification": "short"}, {"decision": "modify"}, {"decision": ""}])
def test_what_cannot_be_taken_shows_the_preview_again(cast: Cast, signed_in: SignedIn, more: dict[str, str]) -> None:
    reviews = three(cast)
    answer = signed_in(cast.rita).post(DECIDE, form(*reviews, **more))
    assert answer.status_code == 400
    assert str(reviews[0].pk) in answer.content.decode()
    assert not Decision.objects.exists()


def test_odd_ids_and_too_many_are_refused(cast: Cast, signed_in: SignedIn) -> None:
    client = signed_in(cast.rita)
    assert client.post(PREVIEW, {"review": ["x", "' OR 1=1", str(uuid4())]}).status_code == 302
    review = three(cast)[0]
    with pytest.raises(ValueError, match="at most"):
        bulk.decide_each(
            account=cast.rita,
            viewer=None,
            seen=[None] * (bulk.MOST + 1),
            asked=None,  # type: ignore[arg-type,list-item]
        )
    assert review.state == "pending"


@pytest.mark.parametrize("role", [Role.VIEWER, Role.OPERATOR])
def test_who_may_not_decide_may_not_in_bulk(cast: Cast, signed_in: SignedIn, role: str) -> None:
    reviews = three(cast)
    client = signed_in(cast.person(role))
    assert client.post(PREVIEW, form(*reviews)).status_code == 403
    assert client.post(DECIDE, form(*reviews)).status_code == 403
    assert not Decision.objects.exists()
    assert "c-pick" not in client.get("/admin/reviews/review/").content.decode()


def test_each_refusal_is_said_in_the_readers_language_and_in_no_words_of_the_machine(
    cast: Cast, signed_in: SignedIn
) -> None:
    one, claimed, stale = three(cast)
    client = signed_in(cast.sol)
    client.post(DECIDE, form(one, decision="reject"))
    client.post(reverse("admin:reviews_review_claim", args=(claimed.pk,)))
    claimed.refresh_from_db()
    asked = form(one, claimed, stale, **{f"head_{stale.pk}": "0" * 40})
    text = signed_in(cast.rita).post(DECIDE, asked, headers={"accept-language": "pt-BR"}).content.decode()
    assert "Sol Serra decidiu nesse meio-tempo: rejeitar." in text
    assert "Sol Serra está olhando para isto." in text
    assert "já não é o que existe: a ponta que foi revisada" in text
    text = signed_in(cast.rita).post(DECIDE, asked).content.decode()
    assert "no longer what there is: the head that was reviewed" in text


def test_what_waits_for_a_second_person_is_not_counted_as_decided(cast: Cast, signed_in: SignedIn) -> None:
    one, two, three_ = three(cast)
    Review.objects.filter(pk__in=[two.pk, three_.pk]).update(required_approvals=2)
    text = signed_in(cast.rita).post(DECIDE, form(one, two, three_)).content.decode()
    assert "1 review was decided." in text
    assert "2 were noted; their rounds stay open." in text
    assert "refused" not in text


def test_a_preview_shown_again_carries_what_was_seen_first(cast: Cast, signed_in: SignedIn) -> None:
    review = builders.proved_review(cast)
    Review.objects.filter(pk=review.pk).update(head_commit="e" * 40, version=7)
    answer = signed_in(cast.rita).post(DECIDE, form(review, justification="   short    "))
    assert answer.status_code == 400
    text = answer.content.decode()
    assert f'name="head_{review.pk}" value="{review.head_commit}"' in text
    assert f'name="version_{review.pk}" value="{review.version}"' in text


def test_what_somebody_escalated_after_the_preview_is_not_decided(cast: Cast, signed_in: SignedIn) -> None:
    review = builders.proved_review(cast)
    signed_in(cast.sol).post(DECIDE, form(review, decision="escalate"))
    text = signed_in(cast.rita).post(DECIDE, form(review)).content.decode()
    assert "somebody claimed, released or escalated it" in text
    assert not Decision.objects.filter(decision="approve").exists()
    review.refresh_from_db()
    signed_in(cast.rita).post(DECIDE, form(review))
    assert Decision.objects.filter(decision="approve").exists()


def test_what_went_out_of_sight_after_the_preview_is_said_and_not_decided(cast: Cast, signed_in: SignedIn) -> None:
    reviews = three(cast)
    elsewhere = builders.repository("demo/elsewhere")
    Review.objects.filter(pk=reviews[0].pk).update(repository=elsewhere)
    text = signed_in(cast.rita).post(DECIDE, form(*reviews)).content.decode()
    assert "1 is no longer yours to see; nothing was decided about it." in text
    assert set(Decision.objects.values_list("review", flat=True)) == {reviews[1].pk, reviews[2].pk}


def test_more_than_may_be_decided_at_once_is_said_as_that(
    cast: Cast, signed_in: SignedIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "MOST", 2)
    answer = signed_in(cast.rita).post(DECIDE, form(*three(cast)), follow=True)
    assert "At most 2 reviews at once." in answer.content.decode()
    assert not Decision.objects.exists()
