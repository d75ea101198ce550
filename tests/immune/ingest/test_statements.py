"""Statements of VEX documents that come as reports: applied with the sender's rights, refused aloud; and what covers, covers."""

from __future__ import annotations

import io
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.utils import timezone

from immune import priority, work
from immune.advisories.services import sync_advisories
from immune.events.actors import COMMAND, Actor
from immune.jobs.services import submit_report
from immune.models import APV, Advisory, Job, Repository, Suppression, VexStatement
from immune.models.apvs import APVStatus
from immune.people.selectors import EVERYTHING, viewer_of
from immune.vex import documents, selectors
from tests.reviews import cast as made
from tests.reviews.cast import Cast

from .reports import changed, ingest, record, repository, trivy, trivy_row

pytestmark = pytest.mark.django_db
WHY = "vulnerable_code_not_in_execute_path"
KINDS = sorted(documents.KINDS)


@pytest.fixture
def cast() -> Cast:
    return Cast()


@pytest.fixture
def threats(cast: Cast, tmp_path: Path) -> list[APV]:
    """One that is set aside and one that stands."""
    records = [record("GHSA-1", "requests", "2.32.4", "CVE-2099-1001"), record("GHSA-2", "flask", "3", "CVE-2099-1002")]
    path = tmp_path / "records.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in records))
    sync_advisories(actor=COMMAND, paths=[path])
    first, second = Advisory.objects.order_by("pk")
    aside = made.apv(cast.repository, first, status="suppressed")
    until = timezone.now() + timedelta(days=5)
    Suppression.objects.create(apv=aside, ground=WHY, reason="Never called.", expires_at=until, author=None)
    return [aside, made.apv(cast.repository, second, status="approved", package="flask")]


def exported(kind: str) -> bytes:
    out = io.StringIO()
    call_command("export_vex", "--kind", kind, stdout=out)
    return out.getvalue().encode()


def read_anew() -> None:
    """As a database that knows the same advisories and has only read the same repository."""
    Suppression.objects.all().delete()
    APV.objects.update(status="open")


def state() -> set[tuple[Any, ...]]:
    found, _ = selectors.said(EVERYTHING, None)
    return {(one.repository, one.advisory, one.parts, one.status.value, one.justification) for one in found}


@pytest.mark.parametrize("kind", KINDS)
def test_what_one_database_exports_another_takes_in_as_a_report(cast: Cast, threats: list[APV], kind: str) -> None:
    before, document = state(), exported(kind)
    read_anew()

    done = ingest(cast.repository, document, source="theirs.json")

    assert done.refused == []
    assert state() == before
    assert (done.statements, done.changes.suppressed, done.statements_applied) == (2, 1, 2)
    held = Suppression.objects.get()
    assert (held.apv, held.ground, held.reason, held.source) == (threats[0], WHY, "Never called.", "theirs.json")
    assert VexStatement.objects.get().status == "affected"

    again = ingest(cast.repository, document, source="theirs.json")
    assert (again.changes.suppressed, again.statements_applied, again.refused) == (0, 0, [])


def test_a_statement_that_cannot_be_applied_is_refused_with_the_reason(cast: Cast, threats: list[APV]) -> None:
    document = exported("openvex")
    read_anew()
    APV.objects.filter(pk=threats[0].pk).delete()
    done = ingest(cast.repository, document)
    # That one is not affected is kept for when it is found; of the other, which we hold nothing of, nobody can say anything.
    assert (done.refused_count, done.changes.suppressed, done.statements_applied) == (0, 0, 2)
    APV.objects.filter(pk=threats[1].pk).delete()
    VexStatement.objects.all().delete()
    done = ingest(cast.repository, document)
    assert (done.refused_count, done.changes.suppressed, done.statements_applied) == (1, 0, 1)
    assert "no live APV" in done.refused[0].reason


def sent(cast: Cast, person: Any, document: bytes, scopes: list[str] | None = None) -> dict[str, Any]:
    job = submit_report(
        actor=Actor.of(person),
        viewer=viewer_of(person, scopes),
        repository=cast.repository,
        stream=io.BytesIO(document),
        source="theirs.json",
        requested_by=person,
    )
    assert work.run_one("job")
    return dict(Job.objects.get(pk=job.pk).result)


def test_who_decides_sets_aside_by_a_document_and_is_named(cast: Cast, threats: list[APV]) -> None:
    document = exported("openvex")
    read_anew()
    assert sent(cast, cast.rita, document)["suppressed"] == 1
    assert Suppression.objects.get().author == cast.rita


@pytest.mark.parametrize(("role", "scopes"), [("operator", None), ("reviewer", ["read", "immunize"])])
def test_who_may_send_and_not_decide_sets_nothing_aside(
    cast: Cast, threats: list[APV], role: str, scopes: list[str] | None
) -> None:
    """A report is no way around the rights of a role, nor around the scopes of the token it was sent with."""
    document = exported("openvex")
    read_anew()
    person = cast.rita if role == "reviewer" else cast.person(role)
    result = sent(cast, person, document, scopes)
    assert (result["suppressed"], result["refused_count"]) == (0, 2)
    assert "does not permit" in result["refused"][0]["reason"]
    assert not Suppression.objects.exists()
    assert not VexStatement.objects.exists()


def covered(where: Repository, package: str) -> None:
    Suppression.objects.create(
        scope="package", repository=where, ecosystem="PyPI", package_name=package, ground="accepted_risk", reason="x",
        expires_at=timezone.now() + timedelta(days=5), author=None,
    )  # fmt: skip


def test_what_a_report_opens_falls_into_a_suppression_that_holds() -> None:
    here = repository()
    covered(here, "idna")
    done = ingest(here, trivy(trivy_row("CVE-2026-1", "idna", "1"), trivy_row("CVE-2026-2", "flask", "1")))
    assert changed(done) == {"opened": 2}
    assert done.changes.suppressed == 1
    assert dict(APV.objects.values_list("package_name", "status")) == {
        "idna": APVStatus.SUPPRESSED,
        "flask": APVStatus.OPEN,
    }


REACHED = {"name": "reachability", "value": "unreachable (not imported (as far as read))", "weight": -15}


def seen_from_afar(apv: APV) -> None:
    """As our own reading left it before the tree stopped to hold it."""
    rest = [factor for factor in apv.priority_factors if factor["name"] != "reachability"]
    APV.objects.filter(pk=apv.pk).update(priority_factors=[*rest, REACHED])


def test_a_report_does_not_take_away_what_our_reading_said_of_reachability() -> None:
    here = repository()
    ingest(here, trivy(trivy_row("CVE-2026-1", "idna", "1", "MEDIUM")))
    seen_from_afar(APV.objects.get())
    ingest(here, trivy(trivy_row("CVE-2026-1", "idna", "1", "HIGH")))
    apv = APV.objects.get()
    assert apv.severity == "HIGH"
    assert REACHED in apv.priority_factors


@pytest.mark.parametrize("near", priority.Reachability)
@pytest.mark.parametrize("source", ["", "app/views.py", "a (b).py"])
def test_what_was_shown_of_reachability_is_read_back(near: priority.Reachability, source: str) -> None:
    factors = priority.assess(priority.Facts(reachability=near, reachability_source=source)).factors
    kept = [{"name": one.name, "value": one.value, "weight": one.weight} for one in factors]
    assert priority.reachability_in(kept) == (near, source)


def test_what_is_no_word_of_ours_is_unknown() -> None:
    for kept in ([], [{"name": "reachability", "value": "surely", "weight": 1}]):
        assert priority.reachability_in(kept) == (priority.Reachability.UNKNOWN, "")
