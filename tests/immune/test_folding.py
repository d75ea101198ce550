"""One problem, one APV: records that turn out to be one, aliases taken away, and readings that must lose no decision."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from immune.advisories.selectors import knowledge_of
from immune.advisories.services import SyncReport, sync_advisories
from immune.apvs import apply_findings, store_dependencies
from immune.events.actors import COMMAND, SYSTEM, Actor
from immune.events.log import act
from immune.findings import findings_in, packages_in, unresolved_packages
from immune.inventory import Dependency, Inventory
from immune.models import APV, Account, Event, Question, Repository, Role, Scan, Suppression
from immune.models.apvs import APVStatus
from immune.people.selectors import viewer_of
from immune.people.services import NotPermitted
from immune.questions import settle
from immune.reading import Reading
from immune.services import Refused
from immune.suppression.services import Target, return_expired, suppress
from reviews import selectors
from reviews.decisions import Asked
from reviews.services import decide
from tests.reviews import cast as made
from tests.reviews.cast import Cast

from .ingest.reports import record

pytestmark = pytest.mark.django_db
Sync = Callable[..., SyncReport]
days = count(1)


@pytest.fixture
def cast() -> Cast:
    return Cast()


@pytest.fixture
def sync(tmp_path: Path) -> Sync:
    """Publishes records, each call a day later than the one before."""

    def published(*records: dict[str, Any]) -> SyncReport:
        day = next(days)
        path = tmp_path / f"{day}.jsonl"
        modified = (timezone.now() + timedelta(days=day)).isoformat().replace("+00:00", "Z")
        path.write_text("".join(json.dumps(one | {"modified": modified}) + "\n" for one in records))
        report = sync_advisories(actor=COMMAND, paths=[path])
        assert report.refused == []
        return report

    return published


def boat(identifier: str, *aliases: str, **more: Any) -> dict[str, Any]:
    return record(identifier, "boat", "2.0", *aliases, **more)


def read(where: Repository, version: str | None = "1.0", manifest: str = "requirements.txt") -> None:
    """One reading of a tree that pins boat at a version, or holds something else."""
    held = Dependency("PyPI", "boat" if version else "car", version or "1.0", manifest)
    reading = Reading("c" * 40, (Inventory("requirements", manifest, (held,)),))
    findings = findings_in(reading.dependencies, knowledge_of(packages_in(reading.dependencies)))
    with act(SYSTEM) as log:
        store_dependencies(where, reading.dependencies)
        apply_findings(log, where, findings, reading, unresolved=unresolved_packages(reading.dependencies))


def aside(cast: Cast, target: Target, by: Role = Role.ADMIN) -> Suppression:
    person = Account.objects.filter(role=by).first() or cast.person(by)
    return suppress(
        actor=Actor.of(person),
        viewer=viewer_of(person),
        target=target,
        author=person,
        ground="accepted_risk",
        reason="The proxy strips that header.",
        until=timezone.now() + timedelta(days=30),
    )


@pytest.fixture
def twins(cast: Cast, sync: Sync) -> tuple[APV, APV]:
    """Two APVs of one package in one repository, elder first, whose records do not know of each other yet."""
    sync(boat("PYSEC-1"))
    read(cast.repository)
    sync(boat("GHSA-2"))
    read(cast.repository)
    elder, younger = APV.objects.order_by("created_at")
    return elder, younger


def link(sync: Sync, order: str) -> None:
    """The link arrives later, in whichever of the two records."""
    sync(boat("GHSA-2", "PYSEC-1") if order == "younger names elder" else boat("PYSEC-1", "GHSA-2"))


def states(*apvs: APV) -> list[str]:
    return [APV.objects.get(pk=apv.pk).status for apv in apvs]


def asked(apv: APV) -> list[str]:
    return list(apv.questions.filter(settled_at__isnull=True).order_by("pk").values_list("kind", flat=True))


ORDERS = pytest.mark.parametrize("order", ["younger names elder", "elder names younger"])


@ORDERS
def test_a_link_that_arrives_later_folds_the_younger_into_the_elder(
    cast: Cast, twins: tuple[APV, APV], sync: Sync, order: str
) -> None:
    elder, younger = twins
    link(sync, order)
    assert states(elder, younger) == ["open", "merged"]
    found = selectors.apv_by_code(viewer_of(cast.rita), younger.apv_code)
    assert found == elder
    assert asked(elder) == []  # nothing was decided of either
    read(cast.repository)
    assert states(elder, younger) == ["open", "merged"]
    assert APV.objects.count() == 2


@ORDERS
@pytest.mark.parametrize(
    ("elder_is", "younger_is", "held"),
    [
        ("suppressed", "open", "open"),
        ("open", "suppressed", "open"),
        ("resolved", "open", "open"),
        ("open", "resolved", "open"),
        ("withdrawn", "suppressed", "suppressed"),
        ("suppressed", "resolved", "suppressed"),
        ("suppressed", "no_fix", "open"),
        ("approved", "open", "approved"),
        ("open", "approved", "open"),
    ],
)
def test_where_states_conflict_the_stricter_holds_and_a_person_is_asked(
    cast: Cast, twins: tuple[APV, APV], sync: Sync, order: str, elder_is: str, younger_is: str, held: str
) -> None:
    elder, younger = twins
    for apv, state in ((elder, elder_is), (younger, younger_is)):
        if state == "suppressed":
            aside(cast, Target(apv=apv))
        else:
            APV.objects.filter(pk=apv.pk).update(status=state)
    link(sync, order)
    read(cast.repository)  # a reading sets aside again what a suppression still covers
    assert states(elder, younger) == [held, "merged"]
    assert asked(elder) == ["aliases_joined"]
    note = Question.objects.get().about
    assert note == f"{elder.apv_code} {elder_is}, {younger.apv_code} {younger_is}"
    assert Event.objects.filter(kind="question.asked", subject=f"apv:{elder.pk}").count() == 1


@ORDERS
@pytest.mark.parametrize("which", ["elder", "younger"])
def test_what_is_set_aside_everywhere_by_one_name_is_not_by_another_that_stands(
    cast: Cast, sync: Sync, order: str, which: str
) -> None:
    other = made.repository("demo/other")
    sync(boat("PYSEC-1"), boat("GHSA-2"))
    read(cast.repository)
    read(other)
    aside(cast, Target(group=APV.objects.filter(advisory_id="PYSEC-1" if which == "elder" else "GHSA-2")[0].group))
    link(sync, order)
    for where in (cast.repository, other):
        read(where)
        assert [apv.status for apv in APV.objects.filter(repository=where).exclude(status="merged")] == ["open"]
    assert Suppression.objects.get().ended_at is not None
    assert {kind for apv in APV.objects.exclude(status="merged") for kind in asked(apv)} == {"aliases_joined"}


@ORDERS
@pytest.mark.parametrize(("elder_days", "younger_days"), [(30, 5), (5, 30)])
def test_of_two_that_are_set_aside_the_end_that_comes_first_holds(
    cast: Cast, twins: tuple[APV, APV], sync: Sync, order: str, elder_days: int, younger_days: int
) -> None:
    elder, younger = twins
    for apv, length in ((elder, elder_days), (younger, younger_days)):
        row = aside(cast, Target(apv=apv))
        Suppression.objects.filter(pk=row.pk).update(expires_at=timezone.now() + timedelta(days=length))
    link(sync, order)
    assert states(elder, younger) == ["suppressed", "merged"]
    end = Suppression.objects.get(apv=elder).expires_at
    assert timezone.now() + timedelta(days=4) < end < timezone.now() + timedelta(days=6)
    shortened = elder_days > younger_days
    assert asked(elder) == (["aliases_joined"] if shortened else [])
    assert Event.objects.filter(kind="suppression.shortened").count() == shortened


@ORDERS
def test_of_two_names_set_aside_everywhere_neither_holds_longer_than_the_other(
    cast: Cast, twins: tuple[APV, APV], sync: Sync, order: str
) -> None:
    for apv, length in zip(twins, (30, 5), strict=True):
        row = aside(cast, Target(group=apv.group))
        Suppression.objects.filter(pk=row.pk).update(expires_at=timezone.now() + timedelta(days=length))
    link(sync, order)
    assert states(*twins) == ["suppressed", "merged"]
    assert all(row.expires_at < timezone.now() + timedelta(days=6) for row in Suppression.objects.all())


@ORDERS
@pytest.mark.parametrize(("elder_to", "younger_to"), [("", "P1"), ("P2", "P1"), ("P1", ""), ("P1", "P2")])
def test_what_a_reflex_raised_one_of_them_to_holds_for_the_one_that_is_kept(
    cast: Cast, twins: tuple[APV, APV], sync: Sync, order: str, elder_to: str, younger_to: str
) -> None:
    for apv, to in zip(twins, (elder_to, younger_to), strict=True):
        APV.objects.filter(pk=apv.pk).update(raised_to=to, **({"priority": to} if to else {}))
    link(sync, order)
    for _ in range(2):  # at once, and after a reading has weighed it anew
        kept = APV.objects.get(pk=twins[0].pk)
        assert (kept.raised_to, kept.priority) == ("P1", "P1")
        read(cast.repository)


def test_what_is_set_aside_as_a_package_stays_so_by_whatever_name(
    cast: Cast, twins: tuple[APV, APV], sync: Sync
) -> None:
    aside(cast, Target(repository=cast.repository, ecosystem="PyPI", package="boat"))
    link(sync, "younger names elder")
    assert states(*twins) == ["suppressed", "merged"]
    assert asked(twins[0]) == []


@pytest.mark.both_databases
def test_three_records_become_one_and_every_code_leads_to_the_eldest(
    cast: Cast, twins: tuple[APV, APV], sync: Sync
) -> None:
    sync(boat("CVE-3"))
    read(cast.repository)
    third = APV.objects.latest("created_at")
    sync(boat("CVE-3", "GHSA-2"))
    sync(boat("CVE-3", "GHSA-2", "PYSEC-1"))
    assert states(*twins, third) == ["open", "merged", "merged"]
    assert set(APV.objects.filter(status="merged").values_list("merged_into", flat=True)) == {twins[0].pk}


def test_a_decision_given_of_the_younger_is_in_the_history_of_the_elder(cast: Cast, sync: Sync) -> None:
    sync(boat("PYSEC-1"), boat("GHSA-2"))
    read(cast.repository)
    elder, younger = APV.objects.order_by("created_at", "apv_code")
    APV.objects.filter(pk=younger.pk).update(status="wargaming")
    change = made.remedy(cast.repository, younger, package="boat")
    made.wargame(change, younger)
    round_ = made.review(change)
    words = Asked("approve", "Both runs were read.", round_.head_commit, round_.patch_digest)
    decision = decide(account=cast.rita, viewer=viewer_of(cast.rita), review=round_, asked=words)
    link(sync, "younger names elder")
    assert list(selectors.decision_history(viewer_of(cast.rita), elder)) == [decision]
    assert states(elder, younger) == ["open", "merged"]
    assert asked(elder) == ["aliases_joined"]


@pytest.mark.parametrize(
    ("before", "after", "is_asked"),
    [
        ([boat("GHSA-2", "PYSEC-1")], [boat("GHSA-2")], True),
        ([boat("GHSA-2", "CVE-1"), boat("PYSEC-1", "CVE-1")], [boat("GHSA-2")], True),
        # The name is still given by the other record, and both still name each other.
        ([boat("GHSA-2", "PYSEC-1", "CVE-1"), boat("PYSEC-1", "CVE-1")], [boat("GHSA-2", "PYSEC-1")], False),
        ([boat("GHSA-2", "PYSEC-1")], [boat("GHSA-2", "PYSEC-1", "CVE-1")], False),
        # Only the name is gone: what was known of it by that name is no longer said to be this.
        ([boat("PYSEC-1", "CVE-1")], [boat("PYSEC-1")], True),
    ],
)
def test_an_alias_that_is_taken_away_asks_a_person_and_splits_nothing(
    cast: Cast, sync: Sync, before: list[dict[str, Any]], after: list[dict[str, Any]], is_asked: bool
) -> None:
    sync(boat("PYSEC-1"))
    sync(*before)
    read(cast.repository)
    (apv,) = APV.objects.all()
    sync(*after)
    read(cast.repository)
    assert list(APV.objects.all()) == [apv]
    assert states(apv) == ["open"]
    assert asked(apv) == (["alias_removed"] if is_asked else [])
    sync(*after)
    assert apv.questions.count() == is_asked


@pytest.mark.both_databases
def test_a_question_is_settled_once_by_somebody_who_may_decide_here(
    cast: Cast, twins: tuple[APV, APV], sync: Sync
) -> None:
    aside(cast, Target(apv=twins[0]))
    link(sync, "younger names elder")
    question = Question.objects.get()
    for person in (cast.person(Role.VIEWER), cast.otto):
        with pytest.raises(NotPermitted):
            settle(actor=Actor.of(person), viewer=viewer_of(person), question=question, account=person)
    settle(actor=Actor.of(cast.rita), viewer=viewer_of(cast.rita), question=question, account=cast.rita)
    with pytest.raises(Refused):
        settle(actor=Actor.of(cast.sol), viewer=viewer_of(cast.sol), question=question, account=cast.sol)
    question.refresh_from_db()
    assert question.settled_by == cast.rita
    assert [Event.objects.filter(kind=f"question.{what}").count() for what in ("asked", "settled")] == [1, 1]


def test_the_repositories_of_both_names_are_read_again(cast: Cast, twins: tuple[APV, APV], sync: Sync) -> None:
    Scan.objects.all().delete()
    link(sync, "elder names younger")
    assert Scan.objects.get().cause == "advisories_changed"


STEPS = st.lists(
    st.sampled_from(["read", "moved", "newer", "fixed", "gone", "aside", "ended", "alias", "record"]),
    min_size=1,
    max_size=8,
)


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_no_sequence_of_readings_opens_a_twin_or_loses_a_decision(cast: Cast, sync: Sync, steps: list[str]) -> None:
    name = f"{next(days)}"
    where = made.repository(f"demo/{name}")
    names = [f"PYSEC-{name}"]
    package = f"boat-{name}"

    def publish(*aliases: str) -> None:
        sync(*(record(one, package, "2.0", *aliases) for one in names))

    def look(version: str = "1.0", manifest: str = "requirements.txt", held: str = package) -> None:
        reading = Reading("c" * 40, (Inventory("x", manifest, (Dependency("PyPI", held, version, manifest),)),))
        found = findings_in(reading.dependencies, knowledge_of(packages_in(reading.dependencies)))
        with act(SYSTEM) as log:
            apply_findings(log, where, found, reading, unresolved=set())

    publish()
    look()
    (apv,) = APV.objects.filter(repository=where)
    set_aside = False
    for step in steps:
        if step == "moved":
            look(manifest="service/requirements.txt")
        elif step == "newer":
            look("1.5")
        elif step == "fixed":
            look("2.0")
        elif step == "gone":
            look(held="something-else")
        elif step == "alias":
            publish(f"CVE-{name}")
        elif step == "record":
            names[1:] = [f"GHSA-{name}"]
            publish(f"CVE-{name}")
        apv.refresh_from_db()
        if step == "aside" and apv.status == APVStatus.OPEN:
            aside(cast, Target(apv=apv))
            set_aside = True
        elif step == "ended":
            Suppression.objects.filter(apv=apv).update(expires_at=timezone.now() - timedelta(seconds=1))
            return_expired()
            set_aside = False
        look()
        kept = APV.objects.filter(repository=where).exclude(status=APVStatus.MERGED)
        assert [one.pk for one in kept] == [apv.pk], steps
        assert kept[0].apv_code == apv.apv_code
        assert kept[0].status == ("suppressed" if set_aside else "open"), steps
