"""Campaigns: one decision over many repositories in their author's name; what comes later is shown, and decided only where it may be."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from immune import work
from immune.models import APV, Account, Advisory, AdvisoryName, Event, ForgeJob, Repository, Role
from immune.models.apvs import APVStatus
from immune.people.selectors import Viewer, viewer_of
from reviews import campaigns, selectors, services
from reviews.bulk import Seen
from reviews.decisions import Asked, Suppression
from reviews.errors import BadDecision, NotAllowed
from reviews.models import Campaign, CampaignItem, Decision, Review
from tests.reviews import cast as made
from tests.reviews.cast import Cast
from wargaming.models import Wargame

BECAUSE = "The release only mends the redirect."


@pytest.fixture
def cast(db: None) -> Cast:
    return Cast()


@pytest.fixture
def record(db: None) -> Advisory:
    found = made.advisory("GHSA-everywhere")
    AdvisoryName.objects.create(advisory=found, name=found.pk)
    return found


def proved(cast: Cast, record: Advisory, name: str, verdict: str = "PATCH_EFFECTIVE", **more: Any) -> Review:
    """An open review of the same change, in a repository of the team."""
    where = Repository.objects.filter(name=name).first() or made.repository(name)
    cast.team.repositories.add(where)
    threat = made.apv(where, record)
    confidence, scenario = more.pop("confidence", 0.81), more.pop("scenario", "5" * 64)
    change = made.remedy(where, threat, **more)
    game = made.wargame(change, threat, verdict, confidence=confidence)
    Wargame.objects.filter(pk=game.pk).update(scenario_digest=scenario)
    return made.review(change)


def seen(*reviews: Review) -> list[Seen]:
    return [Seen(review, review.head_commit, review.patch_digest, review.version) for review in reviews]


def start(by: Account, record: Advisory, *reviews: Review, viewer: Viewer | None = None, **more: Any) -> Campaign:
    asked = more.pop("asked", Asked("approve", BECAUSE))
    return campaigns.start(
        account=by, viewer=viewer or viewer_of(by), advisory=record, asked=asked, seen=seen(*reviews), **more
    )


def deliver() -> None:
    """Hands over every event that is owed, as the workers do."""
    while work.run_one("delivery"):
        pass


def became(campaign: Campaign) -> list[tuple[str, str, bool]]:
    rows = CampaignItem.objects.filter(campaign=campaign).order_by("pk")
    return [(row.state, row.reason, row.is_late) for row in rows]


@pytest.mark.both_databases
def test_each_repository_is_decided_once_in_the_authors_name(cast: Cast, record: Advisory) -> None:
    reviews = [proved(cast, record, f"team/app{n}") for n in range(3)]
    campaign = start(cast.rita, record, *reviews)
    assert not Decision.objects.exists(), "starting it is quick; workers decide"
    deliver()
    assert became(campaign) == [("decided", "", False)] * 3
    assert {(d.reviewer, d.justification, d.decision) for d in Decision.objects.all()} == {
        (cast.rita, BECAUSE, "approve")
    }
    assert ForgeJob.objects.filter(kind="merge_pr").count() == 3
    assert set(APV.objects.values_list("status", flat=True)) == {APVStatus.APPROVED}
    assert campaigns.settle(campaign.pk) == 0
    assert Decision.objects.count() == 3


def test_interrupted_between_deciding_and_noting_it_decides_nothing_twice(cast: Cast, record: Advisory) -> None:
    campaign = start(cast.rita, record, proved(cast, record, "team/app"))
    campaigns.settle(campaign.pk)
    CampaignItem.objects.update(state="waiting", decision=None)
    assert campaigns.settle(campaign.pk) == 1
    assert became(campaign) == [("decided", "", False)]
    assert CampaignItem.objects.get().decision == Decision.objects.get()


def test_every_rule_of_a_single_decision_holds(cast: Cast, record: Advisory) -> None:
    claimed, moved, double, gone, free = (
        proved(cast, record, f"team/{name}") for name in ("claimed", "moved", "double", "gone", "free")
    )
    Review.objects.filter(pk=double.pk).update(required_approvals=2)
    campaign = start(cast.rita, record, claimed, moved, double, gone, free)
    services.claim_review(account=cast.sol, viewer=viewer_of(cast.sol), review=claimed)
    Review.objects.filter(pk=moved.pk).update(version=99)
    cast.team.repositories.remove(gone.repository)
    deliver()
    assert became(campaign) == [
        ("refused", "claimed_by_another", False),
        ("refused", "stale_evidence", False),
        ("noted", "", False),
        ("refused", "not_allowed", False),
        ("decided", "", False),
    ]
    double.refresh_from_db()
    assert double.state == "pending", "its author is one person, however often the campaign asks"
    second = start(cast.rita, record, double)
    deliver()
    assert became(second) == [("refused", "second_person_needed", False)]
    start(cast.sol, record, double)
    deliver()
    double.refresh_from_db()
    assert double.state == "decided"


@pytest.mark.parametrize("what", ["role", "inactive", "deleted"])
def test_it_has_the_rights_its_author_has_when_it_decides(cast: Cast, record: Advisory, what: str) -> None:
    campaign = start(cast.rita, record, proved(cast, record, "team/app"))
    if what == "deleted":
        Campaign.objects.update(author=None)
    else:
        Account.objects.filter(pk=cast.rita.pk).update(
            **({"role": Role.VIEWER} if what == "role" else {"is_active": False})
        )
    deliver()
    assert became(campaign) == [("refused", "not_allowed" if what == "role" else "author_gone", False)]
    assert not Decision.objects.exists()


@pytest.mark.parametrize(
    ("takes_later", "change", "expected"),
    [
        (True, {}, ("decided", "")),
        (False, {}, ("shown", "not_asked_for")),
        (True, {"verdict": "INCONCLUSIVE"}, ("shown", "other_evidence")),
        (True, {"new": "3.0.0"}, ("shown", "other_evidence")),
        (True, {"bump": "major"}, ("shown", "other_evidence")),
        (True, {"scenario": "6" * 64}, ("shown", "other_evidence")),
        (True, {"confidence": 0.7}, ("shown", "less_confidence")),
    ],
)
def test_what_comes_later_is_shown_and_decided_only_on_evidence_of_the_same_kind(
    cast: Cast, record: Advisory, takes_later: bool, change: dict[str, Any], expected: tuple[str, str]
) -> None:
    campaign = start(cast.rita, record, proved(cast, record, "team/first"), takes_later=takes_later)
    deliver()
    proved(cast, record, "team/later", **change)
    deliver()
    assert became(campaign)[1:] == [(*expected, True)]
    assert Decision.objects.count() == (2 if expected[0] == "decided" else 1)


@pytest.mark.parametrize("ended", ["by hand", "by time"])
def test_an_ended_campaign_takes_nothing_more(cast: Cast, record: Advisory, ended: str) -> None:
    campaign = start(cast.rita, record, proved(cast, record, "team/first"), takes_later=True)
    deliver()
    if ended == "by hand":
        with pytest.raises(NotAllowed):
            campaigns.end(account=cast.sol, viewer=viewer_of(cast.sol), campaign=campaign)
        campaigns.end(account=cast.rita, viewer=viewer_of(cast.rita), campaign=campaign)
    else:
        Campaign.objects.update(until=timezone.now())
    proved(cast, record, "team/later")
    deliver()
    assert len(became(campaign)) == Decision.objects.count() == 1


def test_a_round_that_opens_again_is_left_to_a_person(cast: Cast, record: Advisory) -> None:
    campaign = start(cast.rita, record, proved(cast, record, "team/first"), takes_later=True)
    deliver()
    services.withdraw_decision(account=cast.rita, viewer=viewer_of(cast.rita), decision=Decision.objects.get())
    deliver()
    assert became(campaign)[1:] == [("shown", "asked_again", True)]
    assert Decision.objects.filter(withdrawn_at__isnull=True).count() == 0


def test_what_its_author_cannot_see_never_joins(cast: Cast, record: Advisory) -> None:
    campaign = start(cast.rita, record, proved(cast, record, "team/first"), takes_later=True)
    deliver()
    foreign = made.repository("elsewhere/app")
    threat = made.apv(foreign, record)
    change = made.remedy(foreign, threat)
    made.wargame(change, threat)
    made.review(change)
    deliver()
    assert len(became(campaign)) == 1


def test_a_token_cannot_have_later_ones_decided(cast: Cast, record: Advisory) -> None:
    review = proved(cast, record, "team/app")
    token = viewer_of(cast.rita, ["read", "decide"])
    with pytest.raises(NotAllowed):
        start(cast.rita, record, review, viewer=token, takes_later=True)
    assert start(cast.rita, record, review, viewer=token).takes_later is False
    with pytest.raises(NotAllowed):
        start(cast.rita, record, review, viewer=viewer_of(cast.rita, ["read"]))


@pytest.mark.parametrize(
    ("field", "more"),
    [
        ("decision", {"asked": Asked("modify", BECAUSE)}),
        ("justification", {"asked": Asked("approve", "short")}),
        ("suppress", {"asked": Asked("approve", BECAUSE, suppress=Suppression("x", timezone.now()))}),
        ("until", {"until": timezone.now() - timedelta(days=1)}),
        ("until", {"until": timezone.now() + timedelta(days=400)}),
    ],
)
def test_what_cannot_be_started_names_its_field(cast: Cast, record: Advisory, field: str, more: dict[str, Any]) -> None:
    review = proved(cast, record, "team/app")
    with pytest.raises(BadDecision) as refused:
        start(cast.rita, record, review, **more)
    assert field in refused.value.details["fields"]
    assert not Campaign.objects.exists()


def test_it_is_about_open_reviews_of_this_advisory_in_sight_each_once(cast: Cast, record: Advisory) -> None:
    review = proved(cast, record, "team/app")
    other = made.proved_review(cast, package="flask")
    for wrong in ([], [review, review], [other]):
        with pytest.raises(BadDecision):
            start(cast.rita, record, *wrong)
    with pytest.raises(BadDecision):
        start(cast.otto, record, review)


def test_a_rejection_carries_its_suppression_to_every_job(cast: Cast, record: Advisory) -> None:
    aside = Suppression("No redirects leave the cluster.", timezone.now() + timedelta(days=30), "accepted_risk")
    start(cast.rita, record, proved(cast, record, "team/app"), asked=Asked("reject", BECAUSE, suppress=aside))
    deliver()
    assert ForgeJob.objects.get(kind="close_pr").arguments["suppress"]["ground"] == "accepted_risk"


def test_progress_tells_each_viewer_what_is_in_sight(cast: Cast, record: Advisory) -> None:
    campaign = start(cast.rita, record, *(proved(cast, record, f"team/app{n}") for n in range(2)))
    deliver()
    where = made.repository("team/straggler")
    cast.team.repositories.add(where)
    made.apv(where, record, status=APVStatus.WARGAMING)
    found = selectors.campaign_progress(viewer_of(cast.sol), campaign)
    assert found["reviews"]["decided"] == 2
    assert found["jobs"] == {"pending": 2}
    assert found["apvs"] == {"approved": 2, "wargaming": 1}
    cast.team.repositories.remove(where)
    assert selectors.campaign_progress(viewer_of(cast.sol), campaign)["apvs"] == {"approved": 2}
    assert not selectors.campaigns(viewer_of(cast.otto)).exists()
    assert selectors.campaigns(viewer_of(cast.sol)).get() == campaign


def test_every_step_is_in_the_log_and_no_words_are(cast: Cast, record: Advisory) -> None:
    campaign = start(cast.rita, record, proved(cast, record, "team/first"), takes_later=True)
    deliver()
    proved(cast, record, "team/later")
    deliver()
    campaigns.end(account=cast.rita, viewer=viewer_of(cast.rita), campaign=campaign)
    kinds = [event.kind for event in Event.objects.filter(kind__startswith="campaign").order_by("position")]
    assert kinds == [
        "campaign.started", "campaign_item.moved", "campaign.joined", "campaign_item.moved", "campaign.ended",
    ]  # fmt: skip
    assert not Event.objects.filter(body__contains=BECAUSE).exists()
