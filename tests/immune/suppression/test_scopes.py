"""Setting aside by scope: what it covers, what opens later, who may, and that it comes back by itself."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from immune.advisories.selectors import Group
from immune.apvs import apply_findings
from immune.events.actors import SYSTEM, Actor
from immune.events.log import act
from immune.findings import Findings, Found
from immune.folding import fold_into_groups
from immune.models import APV, Account, AdvisoryName, Event, Repository, Role, Scan, Suppression
from immune.models.suppressions import Ground
from immune.people.selectors import viewer_of
from immune.people.services import NotPermitted
from immune.reading import Reading
from immune.services import Refused
from immune.suppression import selectors, services
from immune.suppression.services import Target
from reviews.decisions import Asked
from reviews.models import Review
from reviews.services import decide
from tests.reviews import cast as made
from tests.reviews.cast import Cast


@pytest.fixture
def cast(db: None) -> Cast:
    return Cast()


def aside(person: Account, target: Target, **more: Any) -> Suppression:
    found = {
        "ground": Ground.CODE_NOT_EXECUTED.value,
        "reason": "The proxy strips that header.",
        "until": timezone.now() + timedelta(days=30),
        **more,
    }
    return services.suppress(actor=Actor.of(person), viewer=viewer_of(person), target=target, author=person, **found)


def status(apv: APV) -> str:
    return APV.objects.get(pk=apv.pk).status


def run_out(row: Suppression) -> int:
    Suppression.objects.filter(pk=row.pk).update(expires_at=timezone.now() - timedelta(seconds=1))
    return services.return_expired()


def found_in(apv: APV, where: Repository) -> Found:
    """What a reading of ``where`` says when it finds the APV's problem there."""
    group = Group(apv.group_id, apv.group.canonical_id, (apv.advisory_id,), "", apv.severity, apv.score)
    return Found(group, apv.ecosystem, apv.package_name, ("2.31.0",), ("2.32.4",), "2.32.4", ("r.txt",), True, False)


def read(where: Repository, *found: Found) -> None:
    with act(SYSTEM) as log:
        apply_findings(log, where, Findings(found, frozenset(), (), frozenset()), Reading("c" * 40), unresolved=set())


def test_one_apv_is_set_aside_with_all_that_is_said_about_it(cast: Cast) -> None:
    one = made.apv(cast.repository, made.advisory("GHSA-1"), status="open")
    other = made.apv(cast.repository, made.advisory("GHSA-2"), status="open")
    row = aside(cast.rita, Target(apv=one))
    assert (status(one), status(other)) == ("suppressed", "open")
    assert (row.author, row.ground, row.scope) == (cast.rita, "vulnerable_code_not_in_execute_path", "apv")
    assert APV.objects.get(pk=one.pk).reason == "The proxy strips that header."
    kinds = list(Event.objects.order_by("position").values_list("kind", flat=True))
    assert kinds[-2:] == ["apv.moved", "suppression.made"]
    assert "proxy" not in Event.objects.latest("position").body


def test_a_package_is_set_aside_in_one_repository_and_nowhere_else(cast: Cast) -> None:
    lead = cast.person(Role.LEAD)
    elsewhere = made.repository("demo/other")
    record = made.advisory("GHSA-1")
    here, there = (made.apv(where, record, status="open") for where in (cast.repository, elsewhere))
    other = made.apv(cast.repository, made.advisory("GHSA-2"), package="flask", status="open")
    aside(lead, Target(repository=cast.repository, ecosystem="PyPI", package="Requests"))
    assert [status(apv) for apv in (here, there, other)] == ["suppressed", "open", "open"]


def test_an_advisory_is_set_aside_everywhere(cast: Cast) -> None:
    operator = cast.person(Role.OPERATOR)
    record = made.advisory("GHSA-1")
    apvs = [made.apv(where, record, status="open") for where in (cast.repository, made.repository("demo/other"))]
    aside(operator, Target(group=record.group))
    assert [status(apv) for apv in apvs] == ["suppressed", "suppressed"]


@pytest.mark.both_databases
@pytest.mark.parametrize("scope", ["package", "advisory"])
def test_what_opens_later_falls_into_the_scope_too(cast: Cast, scope: str) -> None:
    admin = cast.person(Role.ADMIN)
    model = made.apv(made.repository("demo/other"), made.advisory("GHSA-1"), status="resolved")
    where = cast.repository
    target = (
        Target(repository=where, ecosystem="PyPI", package="requests")
        if scope == "package"
        else Target(group=model.group)
    )
    row = aside(admin, target)
    read(where, found_in(model, where))
    later = APV.objects.get(repository=where)
    assert later.status == "suppressed"
    assert Event.objects.filter(kind="apv.moved", subject=f"apv:{later.pk}").count() == 1
    assert run_out(row) == 1
    assert status(later) == "open"


def test_what_is_found_again_falls_into_the_scope_too(cast: Cast) -> None:
    gone = made.apv(cast.repository, made.advisory("GHSA-1"), status="resolved")
    aside(cast.person(Role.LEAD), Target(repository=cast.repository, ecosystem="PyPI", package="requests"))
    read(cast.repository, found_in(gone, cast.repository))
    assert status(gone) == "suppressed"


@pytest.mark.both_databases
def test_it_comes_back_by_itself_and_everybody_can_see_it(cast: Cast) -> None:
    apv = made.apv(cast.repository, made.advisory("GHSA-1"), status="open")
    row = aside(cast.rita, Target(apv=apv))
    assert services.return_expired() == 0
    assert run_out(row) == 1
    assert status(apv) == "open"
    assert services.return_expired() == 0
    bodies = list(Event.objects.order_by("-position").values_list("kind", "actor")[:3])
    assert {kind for kind, _ in bodies} == {"apv.moved", "suppression.ended", "scan.requested"}
    assert {actor for _, actor in bodies} == {"system:immune"}
    # It does not wait a day for a remedy.
    assert Scan.objects.get().cause == "suppression_ended"


def test_what_two_cover_comes_back_after_the_second(cast: Cast) -> None:
    admin = cast.person(Role.ADMIN)
    apv = made.apv(cast.repository, made.advisory("GHSA-1"), status="open")
    first = aside(admin, Target(apv=apv))
    second = aside(admin, Target(group=apv.group))
    assert run_out(first) == 0
    assert status(apv) == "suppressed"
    assert run_out(second) == 1


@pytest.mark.both_databases
def test_ended_early_it_is_open_at_once_and_ends_once(cast: Cast) -> None:
    apv = made.apv(cast.repository, made.advisory("GHSA-1"), status="open")
    row = aside(cast.rita, Target(apv=apv))
    services.end_suppression(actor=Actor.of(cast.sol), viewer=viewer_of(cast.sol), suppression=row, account=cast.sol)
    assert status(apv) == "open"
    with pytest.raises(Refused) as refused:
        services.end_suppression(
            actor=Actor.of(cast.sol), viewer=viewer_of(cast.sol), suppression=row, account=cast.sol
        )
    assert refused.value.reason == "ended"


# role → the scopes it may set aside, within its sight
MAY = {
    Role.VIEWER: set(),
    Role.REVIEWER: {"apv"},
    Role.LEAD: {"apv", "package"},
    Role.OPERATOR: {"advisory"},
    Role.ADMIN: {"apv", "package", "advisory"},
}


@pytest.mark.parametrize("role", MAY)
def test_who_may_set_aside_how_far(cast: Cast, role: str) -> None:
    person = cast.person(role)
    apv = made.apv(cast.repository, made.advisory("GHSA-1"), status="open")
    targets = {
        "apv": Target(apv=apv),
        "package": Target(repository=cast.repository, ecosystem="PyPI", package="requests"),
        "advisory": Target(group=apv.group),
    }
    done = set()
    for scope, target in targets.items():
        try:
            aside(person, target)
            done.add(scope)
        except NotPermitted:
            pass
    assert done == MAY[role]
    assert Suppression.objects.count() == len(MAY[role])


def test_an_outsider_sets_nothing_aside_and_sees_only_what_holds_everywhere(cast: Cast) -> None:
    lead = made.account("olga", Role.LEAD)
    cast.other_team.members.add(lead)
    apv = made.apv(cast.repository, made.advisory("GHSA-1"), status="open")
    for target in (Target(apv=apv), Target(repository=cast.repository, ecosystem="PyPI", package="requests")):
        with pytest.raises(NotPermitted):
            aside(lead, target)
    admin = cast.person(Role.ADMIN)
    aside(admin, Target(apv=apv))
    everywhere = aside(admin, Target(group=apv.group))
    assert list(selectors.suppressions(viewer_of(lead))) == [everywhere]
    with pytest.raises(NotPermitted):
        services.end_suppression(actor=SYSTEM, viewer=viewer_of(lead), suppression=everywhere, account=lead)


@pytest.mark.parametrize(
    "wrong",
    [
        {"until": timezone.now() - timedelta(days=1)},
        {"reason": "  "},
        {"reason": "x" * 2001},
        {"ground": "because"},
        {"ground": ""},
    ],
)
def test_without_an_end_a_reason_or_a_ground_nothing_is_set_aside(cast: Cast, wrong: dict[str, Any]) -> None:
    apv = made.apv(cast.repository, made.advisory("GHSA-1"), status="open")
    with pytest.raises(Refused):
        aside(cast.rita, Target(apv=apv), **wrong)
    assert status(apv) == "open"
    assert not Suppression.objects.exists()


def test_what_is_approved_is_refused_alone_and_left_out_of_a_wider_scope(cast: Cast) -> None:
    record = made.advisory("GHSA-1")
    approved = made.apv(cast.repository, record, status="approved")
    with pytest.raises(Refused) as refused:
        aside(cast.rita, Target(apv=approved))
    assert refused.value.reason == "not_suppressible"
    aside(cast.person(Role.ADMIN), Target(group=record.group))
    assert status(approved) == "approved"


def test_a_remedy_that_nothing_waits_for_is_retired_and_what_comes_back_can_get_another(cast: Cast) -> None:
    review = made.proved_review(cast)
    apv = review.items.get().apv
    row = aside(cast.rita, Target(apv=apv))
    review.remedy.refresh_from_db()
    assert review.remedy.state == "superseded"
    run_out(row)
    assert APV.objects.get(pk=apv.pk).remedy is None


def test_a_round_is_approved_for_the_others_when_one_was_set_aside(cast: Cast) -> None:
    review = made.proved_review(cast, apvs=2)
    first, second = (item.apv for item in review.items.order_by("pk"))
    aside(cast.rita, Target(apv=first))
    review = Review.objects.get(pk=review.pk)
    asked = Asked(
        choice="approve",
        justification="Both runs were read.",
        seen_head=review.head_commit,
        seen_patch=review.patch_digest,
    )
    decide(account=cast.sol, viewer=viewer_of(cast.sol), review=review, asked=asked)
    assert (status(first), status(second)) == ("suppressed", "approved")


def test_a_suppression_follows_its_advisory_into_the_group_it_is_folded_into(cast: Cast) -> None:
    elder, younger = made.advisory("GHSA-1"), made.advisory("GHSA-2", aliases=["GHSA-1"])
    row = aside(cast.person(Role.ADMIN), Target(group=younger.group))
    for record in (elder, younger):
        for name in {record.pk, *record.aliases}:
            AdvisoryName.objects.create(advisory=record, name=name)
    with act(SYSTEM) as log:
        fold_into_groups(log, {"GHSA-2"})
    row.refresh_from_db()
    elder.refresh_from_db()
    assert row.group == elder.group


@pytest.mark.both_databases
def test_the_database_refuses_a_scope_that_does_not_name_its_thing(cast: Cast) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        Suppression.objects.create(
            scope="package", repository=cast.repository, reason="x", expires_at=timezone.now(), author=None
        )
