"""Policies as rows: who may write them, that versions never change, what is told, and what they would have said of the past."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.utils import timezone

from immune.models import DependencyRow, Event, KevRow, Role, SignalFeed
from immune.people.selectors import EVERYTHING, viewer_of
from reviews import automatic, release_dates
from reviews.errors import BadPolicy, NotAllowed, StalePolicy
from reviews.models import Rule, RuleVersion
from reviews.policies import services as policies
from reviews.policies.consulting import active_policies, consult_review
from reviews.policies.dry_run import dry_run
from tests.reviews import cast as made
from tests.reviews.cast import Cast
from tests.reviews.test_four_eyes import decide, switched_on


@pytest.fixture
def cast(db: None) -> Cast:
    return Cast()


@pytest.fixture
def who(cast: Cast):
    boss = cast.person(Role.ADMIN)
    return {"account": boss, "viewer": viewer_of(boss)}


def test_an_edit_is_a_new_version_and_what_is_switched_on_stays_until_another_is(who) -> None:
    first = policies.make_rule(**who, kind="policy", name="low", content={}, note="to begin with")
    rule = policies.switch_on(**who, rule=first.rule, number=1)
    second = policies.edit_rule(**who, rule=rule, content={"required_approvals": 2}, seen=1)
    assert (second.number, RuleVersion.objects.get(number=1).content) == (2, first.content)
    assert [policy.version for policy in active_policies()] == [1]
    assert policies.edit_rule(**who, rule=rule, content={"required_approvals": 2}) == second, "the same again is none"
    policies.switch_on(**who, rule=rule, number=2)
    assert [policy.outcome.required_approvals for policy in active_policies()] == [2]
    policies.switch_off(**who, rule=rule)
    assert active_policies() == ()
    kinds = list(Event.objects.filter(subject=f"policy:{rule.pk}").order_by("position").values_list("kind", flat=True))
    on = "policy.switched_on"
    assert kinds == ["policy.versioned", on, "policy.versioned", on, "policy.switched_off"]
    event = Event.objects.filter(kind="policy.versioned").earliest("position")
    assert event.actor == f"account:{who['account'].pk}"
    assert first.digest in event.body
    assert "to begin with" not in event.body, "free text is in erasable rows only"


def test_who_edits_what_somebody_else_edited_meanwhile_is_told(who) -> None:
    rule = policies.make_rule(**who, kind="policy", name="low", content={}).rule
    policies.edit_rule(**who, rule=rule, content={"required_approvals": 2}, seen=1)
    with pytest.raises(StalePolicy):
        policies.edit_rule(**who, rule=rule, content={"required_approvals": 3}, seen=1)


def test_the_order_decides_who_speaks_and_names_every_one(cast: Cast, who) -> None:
    strict, lax = switched_on(cast, "strict", required_approvals=2), switched_on(cast, "lax")
    assert [policy.name for policy in active_policies()] == ["strict", "lax"]
    policies.move_rule(**who, rule=lax, earlier=True)
    assert [policy.name for policy in active_policies()] == ["lax", "strict"]
    assert made.proved_review(cast).required_approvals == 1
    assert Event.objects.filter(kind="policy.ordered").count() == 1
    policies.move_rule(**who, rule=lax, earlier=True)
    assert Event.objects.filter(kind="policy.ordered").count() == 1, "first already"
    with pytest.raises(BadPolicy):
        policies.order_rules(**who, kind="policy", order=[strict.pk, strict.pk])


@pytest.mark.parametrize("role", [role for role in Role.values if role != Role.ADMIN])
def test_only_who_administers_changes_anything(cast: Cast, who, role: str) -> None:
    rule = policies.make_rule(**who, kind="policy", name="low", content={}).rule
    before = Event.objects.count()
    person = cast.person(role)
    theirs = {"account": person, "viewer": viewer_of(person)}
    for attempt in (
        lambda: policies.make_rule(**theirs, kind="policy", name="x", content={}),
        lambda: policies.edit_rule(**theirs, rule=rule, content={"automatic": True}),
        lambda: policies.switch_on(**theirs, rule=rule, number=1),
        lambda: policies.switch_off(**theirs, rule=rule),
        lambda: policies.order_rules(**theirs, kind="policy", order=[rule.pk]),
        lambda: policies.move_rule(**theirs, rule=rule, earlier=True),
    ):
        with pytest.raises(NotAllowed):
            attempt()
    assert Event.objects.count() == before


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"name": " "}, "name"),
        ({"name": "taken"}, "name"),
        ({"name": "a\x00"}, "name"),
        ({"content": {"team": "5b2a3f0e-6c0e-4a55-8f3e-0d8a7d1f2b11", "required_approvals": 2}}, "team"),
        ({"content": {"automatic": 1}}, "automatic"),
        ({"note": "x" * 3000}, "note"),
    ],
)
def test_what_is_no_policy_leaves_nothing_behind(who, more, field: str) -> None:
    policies.make_rule(**who, kind="policy", name="taken", content={})
    with pytest.raises(BadPolicy) as refused:
        policies.make_rule(**{**who, "kind": "policy", "name": "new", "content": {}, **more})
    assert field in refused.value.details["fields"]
    assert Rule.objects.count() == 1


def test_facts_are_read_from_rows_and_what_no_row_tells_is_not_known(cast: Cast) -> None:
    review = made.proved_review(cast, apvs=2)
    facts = consult_review(review).facts
    assert (facts.severity, facts.bump, facts.proof, facts.counts) == ("HIGH", "minor", "shipped", True)
    assert (facts.known_exploited, facts.uses, facts.release_age, facts.reachability) == (None, set(), None, "unknown")
    SignalFeed.objects.create(name="kev", day=timezone.now().date())
    assert consult_review(review).facts.known_exploited is False
    KevRow.objects.create(cve=review.items.all()[1].apv.cve_id, added=timezone.now().date())
    assert consult_review(review).facts.known_exploited is True
    place = {"repository": cast.repository, "ecosystem": "PyPI", "name": "requests", "manifest": "x", "origin": "lock"}
    DependencyRow.objects.create(**place, direct=False, scope="runtime")
    assert consult_review(review).facts.uses == {"transitive"}
    DependencyRow.objects.create(**place, direct=None, scope="unknown")
    assert consult_review(review).facts.uses == {"transitive", "direct", "dev"}
    cast.repository.labels = ["web"]
    cast.repository.save()
    review.remedy.released_at = timezone.now() - timedelta(days=3)  # type: ignore[union-attr]
    review.remedy.save()  # type: ignore[union-attr]
    facts = consult_review(type(review).objects.get(pk=review.pk)).facts
    assert facts.labels == {"web"}
    assert facts.release_age == pytest.approx(3, abs=0.01)
    review.items.first().apv.wargames.update(scenario="", scenario_digest="", trust="")  # type: ignore[union-attr]
    assert consult_review(review).facts.proof == "without_scenario"


def test_a_registry_is_asked_only_where_a_policy_asks_and_what_it_says_is_kept(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    month_ago = timezone.now() - timedelta(days=30)
    monkeypatch.setattr(release_dates, "published", lambda *what: asked.append(what) or month_ago)
    review = made.proved_review(cast)
    automatic.reconsider()
    assert asked == []
    switched_on(cast, "seasoned", conditions={"minimum_release_age": 7}, recommendation="escalate")
    assert automatic.reconsider() == 1
    assert asked == [("PyPI", "requests", "2.32.4")]
    review.refresh_from_db()
    assert review.recommendation == "escalate"
    assert review.facts["release_age"] == pytest.approx(30, abs=0.01)
    automatic.reconsider()
    assert len(asked) == 1
    assert Event.objects.filter(kind="remedy.release_dated").count() == 1


def decided(cast: Cast) -> None:
    """Two approved, one of them large; one rejected although it was proved."""
    for package, choice in (("a", "approve"), ("b", "approve"), ("c", "reject")):
        decide(cast.rita, made.proved_review(cast, package=package), choice)


def test_a_dry_run_shows_what_would_have_been_beside_what_people_did_and_changes_nothing(cast: Cast, who) -> None:
    decided(cast)
    version = policies.make_rule(**who, kind="policy", name="eager", content={"automatic": True})
    before = Event.objects.count()
    found = dry_run(EVERYTHING, version)
    assert found.totals == {
        "looked_at": 3,
        "without_facts": 0,
        "speaks": 3,
        "advised": 3,
        "agrees": 2,
        "more_than_one_approval": 0,
        "automatic": 3,
        "automatic_against_people": 1,
    }
    assert found.table["approve"] == {"approve": 2, "reject": 1, "modify": 0}
    assert [line.codes for line in found.lines if line.is_wrong] == [found.lines[0].codes]
    assert dry_run(EVERYTHING).totals["automatic"] == 0, "it is not switched on"
    assert dry_run(viewer_of(cast.otto), version).lines == ()
    assert Event.objects.count() == before


def test_a_dry_run_asks_the_database_as_often_for_many_rounds_as_for_one(cast: Cast, django_assert_num_queries) -> None:
    decide(cast.rita, made.proved_review(cast, package="z"))
    with django_assert_num_queries(4):
        dry_run(EVERYTHING)
    decided(cast)
    with django_assert_num_queries(4):
        dry_run(EVERYTHING)


def test_rounds_of_before_facts_were_kept_are_counted_and_not_guessed(cast: Cast) -> None:
    decided(cast)
    cast.repository.reviews.update(facts={})
    assert dry_run(EVERYTHING).totals["without_facts"] == 3


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--policy", "eager"], 1),
        ([], 0),
        (["--policy", "none"], 2),
        (["--policy", "eager", "--version-number", "9"], 2),
    ],
)
def test_the_command_says_when_it_would_have_gone_against_people(cast: Cast, who, capsys, arguments, code) -> None:
    decided(cast)
    policies.make_rule(**who, kind="policy", name="eager", content={"automatic": True})
    if code == 2:
        with pytest.raises(Exception, match=r"there is no|has no") as refused:
            call_command("policy_dry_run", *arguments)
        assert refused.value.returncode == 2  # type: ignore[attr-defined]
        return
    with pytest.raises(SystemExit) as ended:
        call_command("policy_dry_run", *arguments, "--format", "json")
    assert ended.value.code == code
    said = json.loads(capsys.readouterr().out)
    assert said["totals"]["looked_at"] == len(said["rounds"]) == 3
    assert all(one["automatic"] is bool(arguments) for one in said["rounds"])
