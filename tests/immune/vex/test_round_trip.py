"""What is exported, taken again by a database that only read the same repositories, gives the same state; and each is valid."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st
from referencing import Registry, Resource

from immune.events.actors import SYSTEM
from immune.events.log import act
from immune.formats.reports import parse_report
from immune.formats.reports.shapes import Status
from immune.models import APV, Advisory, AdvisoryName, Repository, Suppression, VexStatement
from immune.models.suppressions import NOT_AFFECTED, Ground
from immune.people.selectors import EVERYTHING
from immune.vex import documents, selectors
from immune.vex.services import apply_vex
from immune.vex.standing import set_aside_as_stated
from immune.vex.statements import Said, repository_reference
from tests.immune.shared_data import SHARED, needs_shared_data
from tests.reviews import cast as made

KINDS = sorted(documents.KINDS)
NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
ISSUE = documents.Issue("Example", NOON, "1.0")


def state(where: Repository | None = None) -> set[tuple[Any, ...]]:
    found, _ = selectors.said(EVERYTHING, where)
    return {(one.repository, one.advisory, one.parts, one.status.value, one.justification) for one in found}


def suppressed(apv: APV, ground: str) -> None:
    until = timezone.now() + timedelta(days=5)
    Suppression.objects.create(apv=apv, ground=ground, reason=f"Because: {ground}", expires_at=until, author=None)


@pytest.fixture
def world(db: None) -> list[Repository]:
    """Two repositories with the same vulnerabilities, each in another state."""
    records = [made.advisory(f"GHSA-{number}", aliases=[f"CVE-2099-{number + 999}"]) for number in range(14)]
    for record in records:
        for name in (record.pk, *record.aliases):
            AdvisoryName.objects.create(advisory=record, name=name)
    where = [made.repository("demo/one"), made.repository("demo/two")]
    Repository.objects.filter(name="demo/two").update(location="a/path/of/this/machine")
    grounds = iter(records)
    for ground in [*Ground.values, ""]:
        suppressed(made.apv(where[0], next(grounds), status="suppressed"), ground)
    for status, more in (
        ("resolved", {}),
        ("open", {}),
        ("in_review", {"wargame_verdict": "PATCH_EFFECTIVE"}),
        ("in_review", {"wargame_verdict": "INCONCLUSIVE"}),
        ("approved", {"versions": ["2.30.0", "2.31.0"]}),
        ("withdrawn", {}),
    ):
        made.apv(where[0], next(grounds), status=status, **more)
    # The same vulnerability, said otherwise elsewhere.
    made.apv(where[1], records[0], status="open", package="@scope/thing", versions=["1.0.0"])
    APV.objects.filter(repository=where[1]).update(ecosystem="npm")
    made.apv(where[1], records[1], status="no_fix", fixed_versions=[])
    return where


def read_anew() -> None:
    """As a database that knows the same advisories and has only read the same repositories."""
    Suppression.objects.all().delete()
    APV.objects.filter(status__in=("resolved", "withdrawn")).delete()
    APV.objects.update(status="open", wargame_verdict="", reason="")


def exported(kind: str, *more: str) -> dict[str, Any]:
    out = StringIO()
    call_command("export_vex", "--kind", kind, *more, stdout=out)
    return dict(json.loads(out.getvalue()))


def taken(document: dict[str, Any], where: Repository | None = None) -> Any:
    report = parse_report(json.dumps(document).encode(), source="theirs.json")
    assert not report.refused
    return apply_vex(report.statements, where, SYSTEM, source="theirs.json")


@pytest.mark.parametrize("kind", KINDS)
def test_exported_and_taken_again_it_is_the_same_state(world: list[Repository], kind: str) -> None:
    before = state()
    assert {status for *_, status, _ in before} == {one.value for one in Status}
    assert {justification for *_, justification in before} == {"", *NOT_AFFECTED}
    document = exported(kind)
    read_anew()
    assert state() != before

    applied = taken(document)

    assert applied.refused == []
    assert state() == before
    assert len(applied.suppressed) == len(NOT_AFFECTED)
    # Nothing was closed by a document, and what was set aside ends.
    assert not APV.objects.filter(status__in=("resolved", "withdrawn", "merged")).exists()
    assert all(row.expires_at > timezone.now() and row.source == "theirs.json" for row in Suppression.objects.all())

    rows = Suppression.objects.count(), VexStatement.objects.count()
    again = taken(document)
    assert (again.suppressed, again.confirmed, again.under_investigation, again.kept, again.refused) == ([],) * 5
    assert (Suppression.objects.count(), VexStatement.objects.count()) == rows


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("versions", [["2.31.0"], None])
def test_what_stands_for_later_is_not_lost_where_an_apv_of_it_was_resolved(
    world: list[Repository], kind: str, versions: list[str] | None
) -> None:
    gone = APV.objects.get(status="resolved")
    VexStatement.objects.create(
        repository=gone.repository,
        group=gone.group,
        ecosystem=gone.ecosystem,
        package_name=gone.package_name,
        status="not_affected",
        justification="component_not_present",
        versions=versions,
        expires_at=timezone.now() + timedelta(days=9),
        source="kept.json",
    )
    before = state()
    document = exported(kind)
    VexStatement.objects.all().delete()
    read_anew()
    assert taken(document).refused == []
    assert state() == before
    rows = VexStatement.objects.count()
    assert taken(document).kept == []
    assert VexStatement.objects.count() == rows
    made.apv(gone.repository, Advisory.objects.get(pk=gone.advisory_id), status="open", package=gone.package_name)
    with act(SYSTEM) as log:
        assert set_aside_as_stated(log, gone.repository) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_one_repository_is_exported_without_the_other(world: list[Repository], kind: str) -> None:
    text = json.dumps(exported(kind, "--repository", "demo/two"))
    assert "demo%2Ftwo" in text
    assert "https://git.example/demo/one.git" not in text
    assert "a/path/of/this/machine" not in text


@pytest.mark.parametrize("kind", KINDS)
def test_without_anything_to_say_there_is_no_document(db: None, kind: str) -> None:
    with pytest.raises(CommandError) as refused:
        call_command("export_vex", "--kind", kind, stdout=StringIO())
    assert refused.value.returncode == 2


def schema(kind: str) -> jsonschema.Draft202012Validator | jsonschema.Draft7Validator:
    if kind == "csaf":
        found = json.loads((Path(__file__).parents[2] / "data" / "csaf" / "csaf_2.0.schema.json").read_text())
        return jsonschema.Draft202012Validator(found, format_checker=jsonschema.FormatChecker())
    folder = SHARED / "schemas"
    if kind == "openvex":
        found = json.loads((folder / "openvex.schema.json").read_text())
        return jsonschema.Draft202012Validator(found, format_checker=jsonschema.FormatChecker())
    parts = [json.loads((folder / name).read_text()) for name in ("spdx.schema.json", "jsf-0.82.schema.json")]
    found = json.loads((folder / "bom-1.6.schema.json").read_text())
    registry = Registry().with_resources([(one["$id"], Resource.from_contents(one)) for one in parts])
    return jsonschema.Draft7Validator(found, registry=registry, format_checker=jsonschema.FormatChecker())


@needs_shared_data
@pytest.mark.parametrize("kind", ["cyclonedx", "openvex"])
def test_it_is_valid_by_the_formats_schema(world: list[Repository], kind: str) -> None:
    assert list(schema(kind).iter_errors(exported(kind))) == []


def test_csaf_is_valid_by_its_schema_and_its_vex_profile(world: list[Repository]) -> None:
    """CSAF 2.0: the schema; 4.5 (profile VEX); of the mandatory tests those a schema cannot say (6.1.1, 2, 6, 7, 23)."""
    document = exported("csaf")
    assert list(schema("csaf").iter_errors(document)) == []
    tree = document["product_tree"]
    whole = [one["product_id"] for one in tree["full_product_names"]]
    parts = [one["full_product_name"]["product_id"] for one in tree["relationships"]]
    ids = whole + parts
    assert len(ids) == len(set(ids))
    for one in tree["relationships"]:
        assert {one["product_reference"], one["relates_to_product_reference"]} <= set(whole)
    cves = [one["cve"] for one in document["vulnerabilities"] if "cve" in one]
    assert len(cves) == len(document["vulnerabilities"]) - 1, "CVE-2099-999 is no CVE number, but an id"
    assert len(cves) == len(set(cves))
    for one in document["vulnerabilities"]:
        status = one["product_status"]
        products = [product for held in status.values() for product in held]
        assert set(products) <= set(parts)
        assert len(products) == len(set(products))
        assert one["notes"]
        said = {
            name: {product for entry in one.get(name, []) for product in entry["product_ids"]}
            for name in ("flags", "threats", "remediations")
        }
        assert set(status.get("known_not_affected", [])) <= said["flags"] | said["threats"]
        assert set(status.get("known_affected", [])) <= said["remediations"]


_texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=30).map(str.strip)
_said = st.builds(
    lambda number, status, justification, impact, versions: Said(
        repository=f"https://git.example/{number % 3}",
        name=f"repository {number % 3}",
        advisory=f"GHSA-{number}",
        aliases=(f"CVE-2099-{number:04d}", f"PYSEC-{number}"),
        package="thing",
        parts=tuple(f"pkg:pypi/thing@{version}" for version in versions),
        status=status,
        justification=justification if status is Status.NOT_AFFECTED else "",
        impact=impact,
    ),
    st.integers(0, 50),
    st.sampled_from(Status),
    st.sampled_from(sorted(NOT_AFFECTED)),
    _texts,
    st.lists(st.sampled_from(["1.0", "1.1", "2.0rc1"]), min_size=1, unique=True),
)


@pytest.mark.parametrize("kind", KINDS)
@given(said=st.lists(_said, min_size=1, max_size=6, unique_by=lambda one: (one.repository, one.advisory)))
def test_what_is_written_is_what_is_read(kind: str, said: list[Said]) -> None:
    document = documents.KINDS[kind](said, ISSUE)
    report = parse_report(json.dumps(document).encode())
    assert report.refused == ()
    read = {
        (part, statement.status, statement.justification, frozenset({statement.advisory, *statement.aliases}))
        for statement in report.statements
        for part in statement.parts
    }
    written = {
        ((one.repository, purl), one.status, one.justification, frozenset({one.advisory, *one.aliases}))
        for one in said
        for purl in one.parts
    }
    assert read == written


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("https://git.example/a/b.git", "https://git.example/a/b.git"),
        ("https://user:secret@git.example/a/b.git", "urn:immune:repository:a%2Fb"),
        ("/srv/checkouts/b", "urn:immune:repository:a%2Fb"),
        ("ssh://git@git.example/a/b", "urn:immune:repository:a%2Fb"),
    ],
)
def test_a_repository_goes_by_its_address_and_never_by_a_path_or_a_secret(location: str, expected: str) -> None:
    assert repository_reference("a/b", location) == expected
