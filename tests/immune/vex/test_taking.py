"""What becomes of a VEX statement: a suppression, a confirmation, a note, or a refusal that says why. Never a silent closure."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from immune.events.actors import SYSTEM
from immune.events.log import act
from immune.folding import fold_into_groups
from immune.formats.reports.shapes import Statement, Status
from immune.models import APV, Advisory, AdvisoryName, AliasGroup, Event, Role, Suppression, VexStatement
from immune.people.selectors import EVERYTHING, viewer_of
from immune.suppression.services import end_suppression
from immune.vex.selectors import said
from immune.vex.services import Applied, apply_vex
from immune.vex.standing import set_aside_as_stated
from immune.vex.statements import repository_reference
from tests.reviews import cast as made
from tests.reviews.cast import Cast

PURL = "pkg:pypi/requests@2.31.0"
WHY = "vulnerable_code_not_in_execute_path"


@pytest.fixture
def cast(db: None) -> Cast:
    return Cast()


@pytest.fixture
def threat(cast: Cast) -> APV:
    record = made.advisory("GHSA-1", aliases=["CVE-2099-1"])
    for name in ("GHSA-1", "CVE-2099-1"):
        AdvisoryName.objects.create(advisory=record, name=name)
    return made.apv(cast.repository, record, status="open")


def opens(cast: Cast, package: str = "flask", *versions: str) -> APV:
    """An APV of the same vulnerability in another package, as the next reading opens it."""
    record = Advisory.objects.get(pk="GHSA-1")
    found = made.apv(cast.repository, record, package=package, status="open", versions=list(versions or ["2.31.0"]))
    with act(SYSTEM) as log:
        set_aside_as_stated(log, cast.repository)
    return found


def says(status: Status = Status.NOT_AFFECTED, **more: Any) -> Statement:
    found = {
        "advisory": "CVE-2099-1",
        "products": (PURL,),
        "justification": WHY if status is Status.NOT_AFFECTED else "",
        **more,
    }
    return Statement(status=status, **found)


def take(cast: Cast, *statements: Statement, **more: Any) -> Applied:
    return apply_vex(statements, cast.repository, SYSTEM, source="theirs.json", **more)


def status(apv: APV) -> str:
    return APV.objects.get(pk=apv.pk).status


@pytest.mark.both_databases
def test_not_affected_becomes_a_suppression_that_ends(cast: Cast, threat: APV, settings: Any) -> None:
    settings.VEX_SUPPRESSION_DAYS = 10
    applied = take(cast, says(impact="Redirects are off."))
    assert applied == Applied(suppressed=[threat.apv_code])
    row = Suppression.objects.get()
    assert (row.scope, row.ground, row.reason, row.source) == ("apv", WHY, "Redirects are off.", "theirs.json")
    assert timezone.now() + timedelta(days=9) < row.expires_at < timezone.now() + timedelta(days=11)
    assert status(threat) == "suppressed"


@pytest.mark.parametrize("justification", ["", "because", "accepted_risk", "code_not_reachable_somehow"])
def test_not_affected_without_one_of_vex_justifications_is_refused(cast: Cast, threat: APV, justification: str) -> None:
    applied = take(cast, says(justification=justification, impact="We think so."))
    assert "justification" in applied.refused[0].reason
    assert applied.refused[0].source.startswith("theirs.json: statement 1 (CVE-2099-1)")
    assert status(threat) == "open"


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"advisory": "CVE-unknown", "status": Status.AFFECTED}, "no advisory of that name"),
        ({"advisory": "CVE-unknown", "justification": ""}, "it gives none"),
        ({"advisory": "CVE-unknown", "aliases": ("x" * 121,)}, "printable characters"),
        ({"advisory": "CVE-\x00unknown"}, "printable characters"),
        ({"products": ()}, "names no product"),
        ({"products": ("our product",)}, "no package URL"),
        ({"products": ("pkg:pypi/requests@2.30.0",)}, "says nothing about 2.31.0"),
        ({"products": ("pkg:pypi/flask@2.31.0",), "status": Status.AFFECTED}, "no live APV"),
        ({"products": ("pkg:pypi/flask@2.31.0",), "justification": ""}, "it gives none"),
        ({"parts": (("https://git.example/other.git", PURL),)}, None),
    ],
)
def test_what_cannot_be_placed_is_refused_with_the_reason(
    cast: Cast, threat: APV, wrong: dict[str, Any], reason: str | None
) -> None:
    applied = take(cast, says(**wrong))
    if reason is None:
        # A product of a foreign document's own naming: whoever hands it over says which repository is meant.
        assert applied.suppressed == [threat.apv_code]
        return
    assert reason in applied.refused[0].reason
    assert status(threat) == "open"


def test_a_statement_about_another_of_our_repositories_is_not_taken_for_this_one(cast: Cast, threat: APV) -> None:
    other = made.repository("demo/other")
    applied = take(cast, says(parts=((other.location, PURL),)))
    assert "not about demo/noticeboard" in applied.refused[0].reason
    assert status(threat) == "open"


def test_names_of_two_vulnerabilities_are_no_answer(cast: Cast, threat: APV) -> None:
    AdvisoryName.objects.create(advisory=made.advisory("GHSA-2"), name="GHSA-2")
    applied = take(cast, says(aliases=("GHSA-2",)))
    assert "different vulnerabilities" in applied.refused[0].reason


@pytest.mark.both_databases
def test_affected_confirms_and_closes_nothing(cast: Cast, threat: APV) -> None:
    assert take(cast, says(Status.AFFECTED, action="Upgrade.")).confirmed == [threat.apv_code]
    assert (status(threat), VexStatement.objects.get().action) == ("open", "Upgrade.")
    assert Event.objects.latest("position").kind == "vex.stated"
    assert take(cast, says(Status.AFFECTED, action="Upgrade.")).already == [threat.apv_code]


@pytest.mark.parametrize("said", [Status.AFFECTED, Status.UNDER_INVESTIGATION])
def test_what_is_set_aside_and_said_to_be_affected_is_for_a_person(cast: Cast, threat: APV, said: Status) -> None:
    take(cast, says())
    applied = take(cast, says(said))
    assert "a person has to say" in applied.refused[0].reason
    assert (status(threat), VexStatement.objects.count()) == ("suppressed", 0)


def test_fixed_never_closes_what_was_read_on_the_default_branch(cast: Cast, threat: APV) -> None:
    applied = take(cast, says(Status.FIXED))
    assert "only a reading closes it" in applied.refused[0].reason
    assert status(threat) == "open"
    APV.objects.update(status="resolved")
    assert take(cast, says(Status.FIXED)).already == ["PyPI:requests"]


def test_one_that_is_refused_stops_none_of_the_others(cast: Cast, threat: APV) -> None:
    applied = take(cast, says(justification=""), says())
    assert (len(applied.refused), applied.suppressed) == (1, [threat.apv_code])


def test_what_is_approved_goes_its_way(cast: Cast, threat: APV) -> None:
    APV.objects.update(status="approved")
    assert take(cast, says()).refused
    assert (status(threat), Suppression.objects.count()) == ("approved", 0)


def test_a_package_everywhere_takes_the_right_to_operate(cast: Cast, threat: APV) -> None:
    for role, expected in ((Role.LEAD, []), (Role.ADMIN, [threat.apv_code])):
        viewer = viewer_of(cast.person(role))
        applied = apply_vex([says()], None, SYSTEM, viewer=viewer)
        assert applied.suppressed == expected, role


def test_an_outsider_and_a_viewer_change_nothing(cast: Cast, threat: APV) -> None:
    for person in (cast.otto, cast.person(Role.VIEWER)):
        applied = take(cast, says(), viewer=viewer_of(person), author=person)
        assert applied.refused
    assert status(threat) == "open"


FLASK = {"products": ("pkg:pypi/flask@2.31.0",)}


@pytest.mark.both_databases
def test_not_affected_of_what_was_not_found_yet_holds_when_it_is(cast: Cast, threat: APV) -> None:
    applied = take(cast, says(**FLASK, impact="Never called."))
    assert (applied.kept, applied.refused) == (["PyPI:flask"], [])
    assert status(threat) == "open"
    later = opens(cast)
    assert status(later) == "suppressed"
    held = Suppression.objects.get(apv=later)
    assert (held.ground, held.reason, held.source) == (WHY, "Never called.", "theirs.json")
    assert held.expires_at == VexStatement.objects.get().expires_at
    assert Event.objects.filter(kind="suppression.made", subject=f"suppression:{held.pk}").exists()


@pytest.mark.parametrize(
    ("later", "versions"), [(None, ["2.32.0"]), (None, ["2.31.0", "2.32.0"]), (Status.FIXED, ["2.31.0"])]
)
def test_it_holds_for_no_other_version_and_not_after_a_later_word(
    cast: Cast, threat: APV, later: Status | None, versions: list[str]
) -> None:
    take(cast, says(**FLASK))
    if later is not None:
        take(cast, says(later, **FLASK))
    assert status(opens(cast, "flask", *versions)) == "open"


def test_it_holds_until_its_end_and_once(cast: Cast, threat: APV) -> None:
    take(cast, says(**FLASK), until=timezone.now() - timedelta(seconds=1))
    assert status(opens(cast)) == "open"
    take(cast, says(products=("pkg:pypi/django",)))
    assert take(cast, says(products=("pkg:pypi/django",))).already == ["PyPI:django"]
    apv = opens(cast, "django", "5.0", "5.1")
    assert status(apv) == "suppressed"
    person = cast.rita
    end_suppression(actor=SYSTEM, viewer=viewer_of(person), suppression=Suppression.objects.get(), account=person)
    with act(SYSTEM) as log:
        assert set_aside_as_stated(log, cast.repository) == 0
    assert status(apv) == "open"


def test_a_standing_statement_is_passed_on_with_its_versions(cast: Cast, threat: APV) -> None:
    take(cast, says(**FLASK))
    (one,) = (one for one in said(EVERYTHING)[0] if one.package == "flask")
    assert (one.status, one.justification, one.parts) == (Status.NOT_AFFECTED, WHY, ("pkg:pypi/flask@2.31.0",))


def test_a_standing_statement_takes_the_right_to_decide(cast: Cast, threat: APV) -> None:
    viewer = viewer_of(cast.person(Role.VIEWER))
    assert take(cast, says(**FLASK), viewer=viewer).kept == []
    assert status(opens(cast)) == "open"


class TestOfAVulnerabilityNobodyNamesYet:
    """The document comes before the record: what it says stands until the record comes, and then holds."""

    def record_comes(self, cast: Cast, name: str, *aliases: str) -> Advisory:
        record = made.advisory(name, aliases=list(aliases))
        for alias in (name, *aliases):
            AdvisoryName.objects.create(advisory=record, name=alias)
        with act(SYSTEM) as log:
            fold_into_groups(log, {name})
        record.refresh_from_db()
        return record

    def test_not_affected_is_kept_and_sets_aside_what_the_record_opens(self, cast: Cast) -> None:
        statement = says(advisory="CVE-2099-77", aliases=("GHSA-77",))
        applied = take(cast, statement)
        assert (applied.kept, applied.refused) == (["PyPI:requests"], [])
        again = take(cast, statement)
        assert (again.kept, again.already, VexStatement.objects.count()) == ([], ["PyPI:requests"], 1)
        record = self.record_comes(cast, "GHSA-77")
        apv = made.apv(cast.repository, record, status="open")
        with act(SYSTEM) as log:
            assert set_aside_as_stated(log, cast.repository) == 1
        assert status(apv) == "suppressed"

    def test_fixed_is_kept_and_exported_under_the_name_it_was_given(self, cast: Cast) -> None:
        assert take(cast, says(Status.FIXED, advisory="CVE-2099-77")).kept == ["PyPI:requests"]
        [one], _ = said(EVERYTHING)
        assert (one.advisory, one.status) == ("CVE-2099-77", Status.FIXED)

    @pytest.mark.parametrize("word", [Status.AFFECTED, Status.UNDER_INVESTIGATION])
    def test_what_is_about_an_apv_is_refused_by_name_and_the_rest_is_taken(
        self, cast: Cast, threat: APV, word: Status
    ) -> None:
        applied = take(cast, says(word, advisory="CVE-2099-77"), says())
        assert [one.source for one in applied.refused] == ["theirs.json: statement 1 (CVE-2099-77)"]
        assert applied.suppressed == [threat.apv_code]
        assert not AliasGroup.objects.filter(canonical_id="CVE-2099-77").exists()

    def test_what_names_no_package_leaves_nothing_behind(self, cast: Cast) -> None:
        here = repository_reference(cast.repository.name, cast.repository.location)
        applied = take(cast, says(advisory="CVE-2099-77", products=(here,)))
        assert "no advisory of that name" in applied.refused[0].reason
        assert not AliasGroup.objects.exists()
