"""Campaigns in the console: from the advisory's page to a page that follows it. What they decide stands in tests/reviews."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client
from django.urls import reverse

from immune import work
from immune.models import Account, Role
from reviews import bulk
from reviews.models import Campaign, Decision
from tests.reviews import cast as builders
from tests.reviews.cast import Cast

SignedIn = Callable[[Account], Client]


def test_from_the_advisory_to_the_page_that_follows_it(cast: Cast, signed_in: SignedIn) -> None:
    review = builders.proved_review(cast)
    code, record = review.items.get().apv.apv_code, review.items.get().apv.advisory_id
    rita = signed_in(cast.rita)
    prepare = reverse("admin:reviews_campaign_prepare")
    assert prepare in rita.get(reverse("admin:immune_advisory_change", args=(record,))).content.decode()
    page = rita.post(prepare, {"advisory": record}).content.decode()
    assert code in page
    assert f'name="head_{review.pk}" value="{review.head_commit}"' in page
    form = {
        "advisory": record,
        "decision": "approve",
        "justification": "short",
        "review": [str(review.pk), "odd"],
        f"head_{review.pk}": review.head_commit,
        f"patch_{review.pk}": review.patch_digest,
        f"version_{review.pk}": review.version,
        "until": "odd",
        "takes_later": "on",
    }
    create = reverse("admin:reviews_campaign_create")
    again = rita.post(create, form)
    assert again.status_code == 400
    assert 'name="takes_later" checked' in again.content.decode()
    assert not Campaign.objects.exists()
    answer = rita.post(create, form | {"justification": "<b>read both runs</b>"})
    campaign = Campaign.objects.get()
    assert campaign.takes_later
    while work.run_one("delivery"):
        pass
    assert Decision.objects.get().reviewer == cast.rita
    followed = signed_in(cast.sol).get(answer["Location"]).content.decode()
    assert code in followed
    assert "<b>read" not in followed
    assert signed_in(cast.otto).get(answer["Location"]).status_code == 404
    sections = rita.get(answer["Location"], headers={"accept-language": "pt-BR"}).context["sections"]
    states = {str(name.value): str(state.value) for name, state, _ in sections[1].rows}
    assert (states["revisões"], states["tarefas da forja"]) == ("decidida", "pendente")


def test_who_may_not_decide_is_offered_none_and_an_unknown_advisory_is_not_there(
    cast: Cast, signed_in: SignedIn
) -> None:
    record = builders.advisory("GHSA-one").pk
    prepare = reverse("admin:reviews_campaign_prepare")
    viewer = signed_in(cast.person(Role.VIEWER))
    assert prepare not in viewer.get(reverse("admin:immune_advisory_change", args=(record,))).content.decode()
    assert viewer.post(prepare, {"advisory": record}).status_code == 403
    for name in ("GHSA-nobody", "", "a\x00b"):
        assert signed_in(cast.rita).post(prepare, {"advisory": name}).status_code == 404


def test_what_does_not_fit_into_one_campaign_is_said(
    cast: Cast, signed_in: SignedIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "MOST", 2)
    record = builders.advisory("GHSA-wide")
    rita = signed_in(cast.rita)

    def page() -> str:
        return str(rita.post(reverse("admin:reviews_campaign_prepare"), {"advisory": record.pk}).content.decode())

    for number in range(3):
        where = builders.repository(f"demo/{number}")
        cast.team.repositories.add(where)
        threat = builders.apv(where, record)
        builders.review(builders.remedy(where, threat))
        assert ("most urgent" in page()) == (number == 2)
    assert "3 wait about it; this decides the 2 most urgent" in page()
