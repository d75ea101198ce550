"""What a reading finds after a merge: what was closed and is there again alarms, opens the APVs, and is not fought over."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from immune.aftermath import order_revert, watch_all
from immune.models import Aftermath, Event, Remedy
from immune.people.selectors import viewer_of
from immune.people.services import NotPermitted
from immune.services import Refused
from tests.reviews import cast as builders
from tests.reviews.cast import Cast
from tests.reviews.journeys import (
    checkout,
    commit,
    decide,
    git,
    knows_advisories,
    register,
    review_of,
    scan,
    states,
    work_off,
)

PIN = "click==8.3.2\n"


@pytest.mark.django_db(transaction=True)
def test_a_merge_that_was_undone_alarms_and_waits_for_a_person(settings, tmp_path):
    settings.WORK_DIR = tmp_path / "work"
    settings.WARGAMING_ENABLED = False
    knows_advisories()
    repository = register(checkout(tmp_path / "app", requirements__txt=PIN), write_back=True)
    scan(repository)
    decide(review_of("click"), "approve")
    work_off()
    assert (states(repository), Aftermath.objects.get().state) == ({"click": "resolved"}, "watching")
    scan(repository)
    assert Aftermath.objects.get().state == "watching", "a reading that finds all well is no alarm"

    git(tmp_path / "app", "revert", "--no-edit", "HEAD")
    scan(repository)

    row = Aftermath.objects.get()
    assert (row.state, row.cause, states(repository)) == ("alarmed", "reverted", {"click": "open"})
    assert Event.objects.filter(kind="aftermath.alarmed").count() == 1
    scan(repository)
    assert (Remedy.objects.count(), Event.objects.filter(kind="aftermath.alarmed").count()) == (1, 1)

    commit(tmp_path / "app", requirements__txt="click==8.3.3\n")
    scan(repository)
    assert states(repository) == {"click": "resolved"}


@pytest.mark.django_db
def test_a_merge_is_watched_to_its_end_and_no_longer():
    cast = Cast()
    row = builders.alarmed(cast.repository, state="watching", cause="", alarmed_at=None)
    assert (watch_all(), Aftermath.objects.get().state) == (0, "watching")
    Aftermath.objects.filter(pk=row.pk).update(until=timezone.now() - timedelta(seconds=1))
    watch_all()
    assert Aftermath.objects.get().state == "clear"


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"state": "watching", "cause": ""}, "not_alarmed"),
        ({"state": "reverting"}, "not_alarmed"),
        ({"state": "clear", "cause": ""}, "not_alarmed"),
        ({"cause": "reverted"}, "undone_already"),
        ({"cause": "vulnerable_again"}, "undone_already"),
        ({"state": "reverted"}, "undone_already"),
    ],
)
def test_a_revert_is_opened_for_an_alarm_alone(changed, reason):
    cast = Cast()
    row = builders.alarmed(cast.repository, **changed)
    with pytest.raises(Refused) as caught:
        order_revert(account=cast.rita, viewer=viewer_of(cast.rita), row=row)
    assert caught.value.reason == reason
    assert not row.remedy.jobs.exists()


@pytest.mark.django_db
def test_who_may_not_decide_or_does_not_see_it_opens_no_revert():
    cast = Cast()
    row = builders.alarmed(cast.repository)
    for person in (cast.person("viewer"), cast.otto):
        with pytest.raises(NotPermitted):
            order_revert(account=person, viewer=viewer_of(person), row=row)
    assert not row.remedy.jobs.exists()
