"""Scenarios people attach: checked at the door, versioned, run, and counting only once a second person stands for them."""

from __future__ import annotations

from pathlib import Path

import pytest

from immune import work
from immune.models import APV, Event, Role
from immune.people.selectors import viewer_of
from reviews.models import Review, ReviewState
from tests.reviews import cast as made
from tests.reviews import journeys
from tests.reviews.cast import Cast
from wargaming import attached, catalogue, services
from wargaming.errors import OrderNotAllowed, OrderTooLate, ScenarioRefused
from wargaming.models import AttachedScenario, RefusedScenario, ScenarioContent, Wargame

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.both_databases]


@pytest.fixture
def cast() -> Cast:
    return Cast()


@pytest.fixture
def threat(cast: Cast) -> APV:
    return made.apv(cast.repository, made.advisory("GHSA-2222-3333-4444"), status="in_review")


def accept(scenario: AttachedScenario, by) -> AttachedScenario:
    return attached.accept(account=by, viewer=viewer_of(by), scenario=scenario)


def test_it_is_kept_by_its_content_and_the_same_again_changes_nothing(cast: Cast, threat: APV) -> None:
    first = made.attached(threat, by=cast.rita)
    assert (first.name, first.version, first.accepted_by) == ("theirs", 1, None)
    assert made.attached(threat, by=cast.sol) == first
    [event] = Event.objects.filter(kind="scenario.attached")
    assert first.content_id in event.body
    other = made.apv(
        cast.repository, made.advisory("GHSA-5555-6666-7777", aliases=[threat.cve_id]), package="requests2"
    )
    with pytest.raises(ScenarioRefused):
        attached.attach(
            account=cast.rita, viewer=viewer_of(cast.rita), apv=other, archive=made.zipped(made.scenario(threat))
        )
    assert ScenarioContent.objects.count() == 1


def test_every_problem_is_named_and_nothing_kept(cast: Cast, threat: APV) -> None:
    files = made.scenario(threat, surprise="1", time_limit_s="9999")
    del files["control.py"]
    with pytest.raises(ScenarioRefused) as refused:
        attached.attach(account=cast.rita, viewer=viewer_of(cast.rita), apv=threat, archive=made.zipped(files))
    assert {where for where, _ in refused.value.problems} == {"surprise", "time_limit_s", "control.py"}
    assert not AttachedScenario.objects.exists()


def test_only_another_person_who_decides_accepts_and_only_once(cast: Cast, threat: APV) -> None:
    scenario = made.attached(threat, by=cast.rita)
    for account in (cast.rita, cast.otto, cast.person(Role.OPERATOR)):
        with pytest.raises(OrderNotAllowed):
            accept(scenario, account)
    assert accept(scenario, cast.sol).accepted_by == cast.sol
    with pytest.raises(OrderTooLate):
        accept(scenario, cast.person(Role.LEAD))


def test_a_new_version_takes_the_place_of_what_nobody_accepted(cast: Cast, threat: APV) -> None:
    change = made.remedy(cast.repository, threat)
    old = made.attached(threat, by=cast.rita)
    shown = made.wargame(change, threat, "REGRESSION", trust="attached", repeats=0)
    Wargame.objects.filter(pk=shown.pk).update(scenario_digest=old.content_id)
    new = made.attached(threat, by=cast.rita, summary="now it looks at the right thing")
    assert new.version == 2
    assert catalogue.counting_versions(threat) == [new]
    shown.refresh_from_db()
    assert shown.superseded
    with pytest.raises(OrderTooLate):
        accept(old, cast.sol)


def test_what_was_accepted_counts_on_until_the_newer_version_is_accepted_too(cast: Cast, threat: APV) -> None:
    old = accept(made.attached(threat, by=cast.rita), cast.sol)
    new = made.attached(threat, by=cast.rita, summary="another")
    assert set(catalogue.counting_versions(threat)) == {old, new}
    accept(new, cast.sol)
    assert catalogue.counting_versions(threat) == [new]


class TestInARepository:
    """With a real repository: what the handlers do with it."""

    @pytest.fixture
    def review(self, settings, tmp_path: Path) -> Review:
        settings.WORK_DIR = tmp_path / "work"
        settings.WARGAMING_ENABLED = False
        journeys.knows_advisories()
        app = journeys.checkout(tmp_path / "app", requirements__txt="sqlparse==0.4.4\n")
        broken = app / ".immune" / "scenarios" / "broken"
        broken.mkdir(parents=True)
        (broken / "case.yaml").write_text("id: Not A Name\n")
        journeys.commit(app)
        journeys.scan(journeys.register(app))
        return journeys.review_of("sqlparse")

    def test_an_attached_one_is_run_beside_the_others_and_run_again_when_accepted(self, review: Review) -> None:
        threat = review.items.get().apv
        rita, sol = journeys.reviewer("rita"), journeys.reviewer("sol")
        scenario = made.attached(threat, by=rita)
        while work.run_one("delivery"):
            pass
        waits = Wargame.objects.get(scenario="theirs")
        assert (waits.state, waits.trust, waits.accepted) == ("pending", "attached", False)
        threat.refresh_from_db()
        review.refresh_from_db()
        assert (threat.status, review.state) == ("wargaming", ReviewState.DECIDED)
        journeys.work_off()
        assert journeys.review_of("sqlparse").weakest_verdict == "INCONCLUSIVE"

        accept(scenario, sol)
        journeys.work_off()
        again = Wargame.objects.get(scenario="theirs", retry__isnull=True)
        assert again.retry_of == waits
        offered = catalogue.scenario_of(again)
        assert offered is not None
        assert offered.accepted
        assert journeys.review_of("sqlparse").round == 3

    def test_the_repositorys_own_that_is_none_is_kept_with_its_reasons(self, review: Review) -> None:
        [refused] = RefusedScenario.objects.all()
        assert (refused.remedy, refused.folder) == (review.remedy, "broken")
        assert "missing" in str(refused.problems)
        services.queue_wargames(review.remedy)
        assert RefusedScenario.objects.count() == 1
