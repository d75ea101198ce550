"""Reflex rules: they raise, start and tell, each once; they approve nothing and take nothing away."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from immune.advisories.exploitation import weighed
from immune.models import APV, Event, KevRow, Role, Scan
from immune.models.apvs import APVStatus
from immune.people.selectors import viewer_of
from immune.priority import Facts
from immune.severity import Severity
from reviews import reflexes
from reviews.models import Decision, ReflexFiring
from reviews.policies import services as policies
from tests.reviews import cast as made
from tests.reviews.cast import Cast

pytestmark = pytest.mark.both_databases


@pytest.fixture
def cast(db: None) -> Cast:
    return Cast()


def rule(cast: Cast, **content) -> None:
    boss = made.account("the-boss", Role.ADMIN)
    who = {"account": boss, "viewer": viewer_of(boss)}
    version = policies.make_rule(**who, kind="reflex", name="at once", content={"known_exploited": True, **content})
    policies.switch_on(**who, rule=version.rule, number=1)


def exploited(threat: APV) -> APV:
    KevRow.objects.create(cve=threat.cve_id, added=timezone.now().date())
    return threat


def test_a_known_exploited_apv_is_raised_once_and_stays_raised_when_weighed_anew(cast: Cast) -> None:
    rule(cast, raise_to="P1", notify=True)
    review = made.proved_review(cast, priority="P3", due_at=timezone.now() + timedelta(days=30))
    threat = exploited(review.items.get().apv)
    made.proved_review(cast, package="decoy", priority="P3")
    assert reflexes.respond(cast.repository.pk) == 1
    assert reflexes.respond() == 0
    threat.refresh_from_db()
    review.refresh_from_db()
    assert (threat.priority, threat.raised_to, review.priority) == ("P1", "P1", "P1")
    assert threat.due_at == review.due_at == threat.created_at + timedelta(days=2)
    assert threat.priority_factors[-1] == {"name": "reflex", "value": "raised to P1", "weight": 0}
    anew = weighed(Facts(severity=Severity.LOW), threat.created_at, threat.raised_to)
    assert (anew["priority"], anew["due_at"]) == ("P1", threat.due_at)
    event = Event.objects.get(kind="reflex.fired")
    assert '"notify":true' in event.body
    assert ReflexFiring.objects.get().apv == threat


def test_it_approves_nothing_and_takes_nothing_away(cast: Cast) -> None:
    rule(cast, raise_to="P1", wargame=True, notify=True)
    review = made.proved_review(cast)
    threat = exploited(review.items.get().apv)
    reflexes.respond()
    threat.refresh_from_db()
    assert threat.status == APVStatus.IN_REVIEW
    assert not Decision.objects.exists()
    assert not Scan.objects.exists(), "it is proved already"


def test_a_wargame_that_waits_comes_first_and_an_open_apv_is_read_anew_once(cast: Cast) -> None:
    rule(cast, wargame=True)
    waiting = exploited(made.apv(cast.repository, made.advisory("GHSA-a"), package="a"))
    game = made.wargame(made.remedy(cast.repository, waiting, package="a"), waiting, state="pending")
    threats = [
        exploited(made.apv(cast.repository, made.advisory(f"GHSA-{name}"), package=name, status=APVStatus.OPEN))
        for name in "bc"
    ]
    assert reflexes.respond() == 1 + len(threats)
    game.refresh_from_db()
    assert game.due_at < timezone.now() - timedelta(days=300)
    scan = Scan.objects.get()
    assert scan.cause.startswith("reflex:")
    assert "again" not in scan.result, "what a person rejected is not proposed again by a rule"


@pytest.mark.parametrize("status", [APVStatus.SUPPRESSED, APVStatus.APPROVED, APVStatus.RESOLVED])
def test_what_is_settled_is_left_alone(cast: Cast, status: str) -> None:
    rule(cast, raise_to="P1")
    exploited(made.apv(cast.repository, made.advisory("GHSA-a"), status=status))
    assert reflexes.respond() == 0


def test_without_rules_nothing_is_looked_at(cast: Cast, django_assert_num_queries) -> None:
    exploited(made.apv(cast.repository, made.advisory("GHSA-a")))
    with django_assert_num_queries(1):
        assert reflexes.respond() == 0
