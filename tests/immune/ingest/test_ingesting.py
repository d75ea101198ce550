"""Reports become findings of a repository: under one identity, with their sources, and gone when nothing sees them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from django.core.management import call_command
from django.utils import timezone

from immune import apvs
from immune.advisories.selectors import knowledge_of
from immune.advisories.services import sync_advisories
from immune.events.actors import COMMAND
from immune.events.log import act
from immune.findings import findings_in, packages_in
from immune.ingest.knowing import confirm_again
from immune.ingest.services import Overtaken, match_components_again
from immune.inventory import Dependency, Inventory
from immune.models import (
    APV,
    AliasGroup,
    DependencyRow,
    Event,
    ReportStream,
    Repository,
    Scan,
    Sighting,
    Suppression,
    VexStatement,
)
from immune.models.apvs import APVStatus
from immune.models.reports import Confirmation
from immune.reading import Reading
from immune.remedies import _waiting

from .reports import changed, ingest, pip_audit, record, repository, sbom, trivy, trivy_row, vulnerable

pytestmark = pytest.mark.django_db


@pytest.fixture
def here() -> Repository:
    return repository()


def publish(tmp_path: Path, *records: dict) -> None:
    path = tmp_path / f"records-{len(list(tmp_path.iterdir()))}.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in records))
    sync_advisories(actor=COMMAND, paths=[path])


def scan(where: Repository, *pins: tuple[str, str]) -> None:
    """Our own reading of the default branch, without git."""
    dependencies = tuple(Dependency("PyPI", name, version, "requirements.txt") for name, version in pins)
    reading = Reading("c" * 40, (Inventory("requirements", "requirements.txt", dependencies),), (), {})
    found = findings_in(dependencies, knowledge_of(packages_in(dependencies)))
    with act(COMMAND) as log:
        apvs.store_dependencies(where, dependencies)
        apvs.apply_findings(log, where, found, reading, unresolved=set())


def only() -> APV:
    return APV.objects.exclude(status=APVStatus.MERGED).get()


def test_a_finding_opens_an_apv_and_keeps_its_source(here, tmp_path):
    publish(tmp_path, record("PYSEC-2026-1", "idna", "3.7", "CVE-2026-0001"))
    done = ingest(here, pip_audit(vulnerable("IDNA", "3.6", ("PYSEC-2026-1", "CVE-2026-0001"))))
    assert changed(done) == {"opened": 1}
    assert done.read == 1
    apv, sighting = only(), Sighting.objects.get()
    assert (apv.advisory_id, apv.cve_id, apv.package_name, apv.versions) == (
        "PYSEC-2026-1",
        "CVE-2026-0001",
        "idna",
        ["3.6"],
    )
    assert apv.severity == "HIGH"  # of our record: pip-audit says none
    assert not apv.scan_sees
    assert sighting.apv == apv
    assert sighting.stream.tool == "pip-audit"
    assert sighting.confirmation == Confirmation.CONFIRMED


def test_the_same_report_again_changes_nothing(here, tmp_path):
    publish(tmp_path, record("PYSEC-2026-1", "idna", "3.7"))
    report = pip_audit(
        vulnerable("idna", "3.6", ("PYSEC-2026-1",), ("CVE-2026-7",)), vulnerable("jinja2", "2", ("CVE-1-1",))
    )
    ingest(here, report)
    before = [list(model.objects.order_by("pk").values()) for model in (APV, Sighting, Event, AliasGroup, Scan)]
    done = ingest(here, report)
    assert changed(done) == {}
    assert done.changes.unchanged == 3
    assert [list(m.objects.order_by("pk").values()) for m in (APV, Sighting, Event, AliasGroup, Scan)] == before


def test_a_finding_of_a_known_advisory_joins_the_apv_of_our_own_scan(here, tmp_path):
    publish(tmp_path, record("PYSEC-2026-1", "idna", "3.7", "CVE-2026-0001", "GHSA-aaaa-bbbb-cccc"))
    scan(here, ("idna", "3.6"))
    ours = only()
    done = ingest(here, trivy(trivy_row("CVE-2026-0001", "idna", "3.6", "LOW")))
    assert changed(done) == {"updated": 1}  # a source more
    assert only() == ours
    assert only().severity == "HIGH"
    assert [s.stream.tool for s in ours.sightings.all()] == ["trivy"]


def test_two_names_of_one_vulnerability_are_one_apv(here):
    ingest(here, trivy(trivy_row("CVE-2026-5", "idna", "3.6")))
    ingest(here, pip_audit(vulnerable("idna", "3.6", ("GHSA-x", "CVE-2026-5"))))
    assert only().sightings.count() == 2


def test_an_advisory_we_do_not_hold_is_kept_under_its_own_id(here):
    ingest(here, trivy(trivy_row("SNYK-1", "idna", "3.6", "weird", FixedVersion="3.7, 4.0")))
    apv = only()
    assert apv.advisory_id == "SNYK-1"
    assert apv.severity == "UNKNOWN"  # a word nobody knows is not low
    assert apv.priority in ("P1", "P2", "P3")
    assert apv.fixed_versions == ["3.7", "4.0"]
    assert Sighting.objects.get().confirmation == Confirmation.UNKNOWN_ADVISORY


def test_a_record_that_comes_later_takes_the_finding_over(here, tmp_path):
    ingest(here, trivy(trivy_row("CVE-2026-5", "idna", "3.6")))
    ingest(here, pip_audit(vulnerable("flask", "1", ("GHSA-q", "CVE-2026-6"))))
    publish(
        tmp_path, record("PYSEC-2026-9", "idna", "3.7", "CVE-2026-5"), record("PYSEC-2026-8", "flask", "2", "GHSA-q")
    )
    scan(here, ("idna", "3.6"))
    apv = APV.objects.exclude(status="merged").get(package_name="idna")
    assert apv.group.canonical_id == "PYSEC-2026-9"
    assert APV.objects.get(package_name="flask").group.canonical_id == "PYSEC-2026-8"
    assert Scan.objects.filter(cause="advisories_changed").exists()
    assert confirm_again(here) == 2
    assert set(Sighting.objects.values_list("confirmation", flat=True)) == {Confirmation.CONFIRMED}
    assert changed(ingest(here, trivy(trivy_row("CVE-2026-5", "idna", "3.6")))) == {}


def test_what_our_own_matching_does_not_confirm_says_so(here, tmp_path):
    publish(
        tmp_path,
        record("PYSEC-2026-1", "idna", "3.7"),
        record("PYSEC-2026-2", "idna", "3.7", withdrawn="2026-01-01T00:00:00Z"),
    )
    ids = ("PYSEC-2026-1",), ("PYSEC-2026-2",)
    ingest(here, pip_audit(vulnerable("idna", "4.0", ids[0]), vulnerable("idna", "not a version", *ids)))
    ingest(here, trivy(trivy_row("PYSEC-2026-1", "idna", "4.0")))
    said = {(s.stream.tool, s.advisory): s.confirmation for s in Sighting.objects.all()}
    assert said["trivy", "PYSEC-2026-1"] == Confirmation.NOT_AFFECTED
    assert said["pip-audit", "PYSEC-2026-1"] == Confirmation.COULD_NOT_TELL
    assert APV.objects.count() == 2


def test_what_the_next_report_no_longer_has_closes(here):
    ingest(here, trivy(trivy_row("CVE-2026-5", "idna", "3.6"), trivy_row("CVE-2026-6", "jinja2", "2.0")))
    done = ingest(here, trivy(trivy_row("CVE-2026-6", "jinja2", "2.0")))
    assert changed(done) == {"closed": 1}
    gone = APV.objects.get(package_name="idna")
    assert gone.status == APVStatus.RESOLVED
    assert APV.objects.get(package_name="jinja2").status == APVStatus.OPEN
    done = ingest(here, trivy(trivy_row("CVE-2026-5", "idna", "3.6"), trivy_row("CVE-2026-6", "jinja2", "2.0")))
    assert changed(done) == {"reopened": 1}


def test_an_empty_report_of_the_tool_closes_what_it_had(here):
    ingest(here, trivy(trivy_row("CVE-2026-5", "idna", "3.6")))
    assert changed(ingest(here, trivy())) == {"closed": 1}


def test_it_stays_open_while_another_tool_sees_it(here):
    ingest(here, trivy(trivy_row("CVE-2026-5", "idna", "3.6")))
    ingest(here, pip_audit(vulnerable("idna", "3.6", ("CVE-2026-5",))))
    assert changed(ingest(here, trivy())) == {}
    assert only().status == APVStatus.OPEN
    assert changed(ingest(here, pip_audit(vulnerable("idna", "3.8")))) == {"closed": 1}


def test_it_stays_open_while_our_own_scan_sees_it(here, tmp_path):
    publish(tmp_path, record("PYSEC-2026-1", "idna", "3.7"))
    ingest(here, pip_audit(vulnerable("idna", "3.6", ("PYSEC-2026-1",))))
    scan(here, ("idna", "3.6"))
    assert changed(ingest(here, pip_audit(vulnerable("idna", "3.8")))) == {}
    assert only().status == APVStatus.OPEN


def test_a_report_that_could_not_be_read_whole_closes_nothing(here):
    ingest(here, pip_audit(vulnerable("idna", "3.6", ("CVE-2026-5",))))
    done = ingest(here, pip_audit({"name": "idna", "skip_reason": "not found on the index"}))
    assert changed(done) == {}
    assert done.refused
    assert done.refused[0].source
    assert done.refused[0].reason
    assert only().status == APVStatus.OPEN


def test_parts_of_a_repository_do_not_close_each_other(here):
    ingest(here, trivy(trivy_row("CVE-2026-5", "idna", "3.6")), part="server")
    assert changed(ingest(here, trivy(), part="client")) == {}
    assert changed(ingest(here, trivy(), part="server")) == {"closed": 1}


def test_a_scan_does_not_close_what_only_a_report_sees_elsewhere(here):
    """Seen in an image, say: our reading of the tree never held it and cannot say that it is gone."""
    ingest(here, trivy(trivy_row("CVE-2026-5", "openssl", "3.0")))
    scan(here, ("idna", "3.6"))
    assert only().status == APVStatus.OPEN


def test_a_scan_closes_what_a_report_saw_in_the_tree_once_the_tree_no_longer_holds_it(here, tmp_path):
    publish(tmp_path, record("PYSEC-2026-1", "idna", "3.7"))
    scan(here, ("idna", "3.6"), ("flask", "1"))
    report = trivy(trivy_row("PYSEC-2026-1", "idna", "3.6"), trivy_row("CVE-2026-9", "flask", "1"))
    ingest(here, report)
    scan(here, ("idna", "3.7"), ("flask", "1"))
    assert APV.objects.get(package_name="idna").status == APVStatus.RESOLVED
    assert APV.objects.get(package_name="flask").status == APVStatus.OPEN
    # The report of before comes again: it says nothing new.
    assert changed(ingest(here, report)) == {}
    assert APV.objects.get(package_name="idna").status == APVStatus.RESOLVED


def test_what_is_gone_from_the_tree_and_seen_elsewhere_stays_open_with_nothing_under_way(here, tmp_path):
    publish(tmp_path, record("PYSEC-2026-1", "idna", "3.7"))
    scan(here, ("idna", "3.6"))
    ingest(here, trivy(trivy_row("PYSEC-2026-1", "idna", "3.5")), part="image")
    APV.objects.update(status=APVStatus.APPROVED)
    scan(here, ("idna", "3.7"))
    assert only().status == APVStatus.OPEN
    assert not only().scan_sees
    assert _waiting(here) == {}  # no manifest could be changed for it
    assert changed(ingest(here, trivy(), part="image")) == {"closed": 1}


def test_what_the_report_itself_suppresses_opens_nothing(here):
    vulnerability = {
        "id": "CVE-2026-5",
        "affects": [{"ref": "pkg:pypi/idna@3.6"}],
        "analysis": {"state": "not_affected", "justification": "code_not_reachable"},
    }
    done = ingest(here, {"bomFormat": "CycloneDX", "specVersion": "1.5", "vulnerabilities": [vulnerability]})
    assert APV.objects.count() == 0
    assert (done.changes.suppressed, done.refused) == (0, [])
    assert VexStatement.objects.get().status == "not_affected", "it is kept for when somebody else sees it"
    ingest(here, pip_audit(vulnerable("idna", "3.6", ("CVE-2026-5",))))
    assert only().status == APVStatus.SUPPRESSED


def test_what_the_report_says_is_not_affected_is_set_aside_until_a_day_and_closes_nothing(here, tmp_path):
    publish(tmp_path, record("PYSEC-2026-1", "idna", "3.7"))
    scan(here, ("idna", "3.6"))
    vulnerability = {
        "id": "PYSEC-2026-1",
        "affects": [{"ref": "pkg:pypi/idna@3.6"}],
        "analysis": {"state": "not_affected", "justification": "code_not_reachable"},
    }
    ingest(here, {"bomFormat": "CycloneDX", "specVersion": "1.5", "vulnerabilities": [vulnerability]})
    assert only().status == APVStatus.SUPPRESSED
    assert Suppression.objects.get().expires_at > timezone.now()
    assert Sighting.objects.get().suppressed


def test_a_row_that_could_not_be_kept_may_be_the_one_that_was_there(here):
    ingest(here, trivy(trivy_row("CVE-2026-1", "idna", "3.6"), trivy_row("CVE-2026-2", "flask", "1.0")))
    done = ingest(here, trivy(trivy_row("CVE-2026-1", ["idna"], "3.6"), trivy_row("CVE-2026-2", "flask", "1.0")))
    assert (done.refused_count, changed(done)) == (1, {})
    assert set(APV.objects.values_list("status", flat=True)) == {"open"}


def test_places_without_a_package_keep_nothing_that_the_report_lost(here):
    def sarif(*results):
        driver = {"tool": {"driver": {"name": "scanner"}}}
        return {"version": "2.1.0", "runs": [{**driver, "results": [{"ruleId": "py/sql"}, *results]}]}

    ingest(here, sarif({"ruleId": "CVE-2026-1", "properties": {"purl": "pkg:pypi/idna@3.6"}}))
    assert changed(ingest(here, sarif())) == {"closed": 1}


def test_a_place_without_a_package_is_refused_with_its_rule(here):
    result = {"ruleId": "py/sql-injection", "message": {"text": "x"}, "level": "error"}
    run = {"tool": {"driver": {"name": "CodeQL"}}, "results": [result]}
    done = ingest(here, {"version": "2.1.0", "runs": [run]})
    assert "py/sql-injection" in done.refused[0].reason
    assert done.tool == "CodeQL"
    assert APV.objects.count() == 0


def test_an_sbom_gives_dependencies_that_our_own_matching_looks_at(here, tmp_path):
    publish(tmp_path, record("PYSEC-2026-1", "idna", "3.7"))
    done = ingest(here, sbom("pkg:pypi/IDNA@3.6", "pkg:pypi/flask@3.0.0", "pkg:generic/thing@1"))
    assert (done.components, changed(done)) == (3, {"opened": 1})
    assert only().package_name == "idna"
    assert DependencyRow.objects.filter(repository=here).count() == 3
    assert changed(ingest(here, sbom("pkg:pypi/IDNA@3.6", "pkg:pypi/flask@3.0.0", "pkg:generic/thing@1"))) == {}
    # A reading of the tree replaces what the tree said, and leaves what the SBOM says.
    scan(here, ("jinja2", "3.0"))
    assert only().status == APVStatus.OPEN
    assert DependencyRow.objects.filter(repository=here).count() == 4
    assert changed(ingest(here, sbom("pkg:pypi/idna@3.7"))) == {"closed": 1}


def test_a_record_that_comes_later_is_found_in_an_sbom(here, tmp_path):
    ingest(here, sbom("pkg:pypi/idna@3.6"))
    publish(tmp_path, record("PYSEC-2026-1", "idna", "3.7"))
    assert Scan.objects.filter(cause="advisories_changed", repository=here).exists()
    assert match_components_again(here, COMMAND).opened == 1


def test_an_earlier_report_stops_when_a_later_one_began(here, monkeypatch):
    from immune.ingest import applying  # noqa: PLC0415 - the place where the later one slips in

    real = applying.Batch.apply

    def slow(batch, packages):
        real(batch, packages)
        ReportStream.objects.filter(pk=batch.stream.pk).update(taker="the later one")

    monkeypatch.setattr(applying.Batch, "apply", slow)
    monkeypatch.setattr("immune.ingest.services.STEP", 1)
    with pytest.raises(Overtaken):
        ingest(here, trivy(trivy_row("CVE-2026-5", "idna", "3.6"), trivy_row("CVE-2026-6", "jinja2", "2.0")))


def test_the_command_says_what_was_done(here, tmp_path, capsys):
    path = tmp_path / "trivy.json"
    path.write_text(json.dumps(trivy(trivy_row("CVE-2026-5", "idna", "3.6"))))
    with pytest.raises(SystemExit) as ended:
        call_command("ingest_report", str(path), "--repository", here.name, "--format", "json")
    assert ended.value.code == 0
    answer = json.loads(capsys.readouterr().out)
    assert {k: answer[k] for k in ("format", "read", "opened", "updated", "reopened", "closed", "suppressed", "refused")} == {
        "format": "trivy 2", "read": 1, "opened": 1, "updated": 0, "reopened": 0, "closed": 0, "suppressed": 0, "refused": [],
    }  # fmt: skip


def test_the_command_ends_with_2_for_a_file_that_is_no_report(here, tmp_path, capsys):
    path = tmp_path / "x.json"
    path.write_text('{"hello": 1}')
    with pytest.raises(SystemExit) as ended:
        call_command("ingest_report", str(path), "--repository", here.name, "--format", "json")
    assert ended.value.code == 2
    assert json.loads(capsys.readouterr().out)["refused"] == [{"source": "x.json", "reason": "JSON of an unknown kind"}]
