"""Evidence archives: the same bytes for the same result, tamper-evident, replayable, and never believed."""

import hashlib
import io
import json
import zipfile

import pytest

from wargaming.engine import run_wargame, specs_of
from wargaming.errors import WargameError
from wargaming.evidence import Binding, evidence_bundle, read_bundle
from wargaming.sandbox.base import Trust
from wargaming.scenarios import scenario_from_files
from wargaming.standalone import replay_evidence

CASE = """
id: evidence-case
ecosystem: PyPI
package: zipp
vulnerable_version: "3.19.0"
fixed_version: "3.19.1"
repeats: 1
"""
REPRODUCE = b"""
import importlib.metadata, sys
old = importlib.metadata.version("zipp") == "3.19.0"
print("REPRODUCED: old" if old else "NOT PRESENT: new")
sys.exit(1 if old else 0)
"""


@pytest.fixture(scope="module")
def scenario():
    files = {"case.yaml": CASE.encode(), "reproduce.py": REPRODUCE, "control.py": b"print('CONTROL OK: fine')\n"}
    return scenario_from_files(files, Trust.ATTACHED)


@pytest.fixture(scope="module")
def result(scenario, bubblewrap, workshop):
    return run_wargame(scenario, *specs_of(scenario), bubblewrap, workshop)


@pytest.fixture(scope="module")
def archive(scenario, result):
    return evidence_bundle(result, scenario, tools={"uv": "x"}, binding=Binding("base", "head", "patch"))


def rewritten(archive: bytes, change) -> bytes:
    """The archive with its entries changed, and every hash made to fit: what a forger would do."""
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        entries = {name: opened.read(name) for name in opened.namelist()}
    manifest = json.loads(entries.pop("manifest.json"))
    change(manifest, entries)
    manifest["entries"] = {name: hashlib.sha256(data).hexdigest() for name, data in entries.items()}
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as new:
        new.writestr("manifest.json", json.dumps(manifest))
        for name, data in entries.items():
            new.writestr(name, data)
    return out.getvalue()


def test_the_same_result_gives_the_same_bytes(archive, scenario, result):
    again = evidence_bundle(result, scenario, tools={"uv": "x"}, binding=Binding("base", "head", "patch"))
    assert again == archive


def test_it_holds_scenario_locks_outputs_binding_and_every_hash(archive, scenario):
    bundle = read_bundle(archive)
    assert bundle.scenario_files() == scenario.files
    assert b"zipp==3.19.1" in bundle.entries["locks/after"]
    assert bundle.entries["outputs/001-reproduce-before-main-1.out"] == b"REPRODUCED: old\n"
    assert bundle.manifest["binding"] == {"base_commit": "base", "head_commit": "head", "patch_digest": "patch"}
    assert set(bundle.manifest["entries"]) == set(bundle.entries)
    assert bundle.manifest["runs"][1]["limits"]["memory_mb"] == 512
    assert bundle.sha256 == hashlib.sha256(archive).hexdigest()


def test_an_altered_added_or_missing_entry_is_refused(archive):
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        entries = {name: opened.read(name) for name in opened.namelist()}
    for change in (
        {"locks/after": b"zipp==1"},
        {"extra": b"x"},
        {"outputs/001-reproduce-before-main-1.out": None},
    ):
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as new:
            for name, data in (entries | change).items():
                if data is not None:
                    new.writestr(name, data)
        with pytest.raises(WargameError, match="missing, added or altered"):
            read_bundle(out.getvalue())


@pytest.mark.parametrize("junk", [b"", b"PK", b"x" * 100], ids=repr)
def test_what_is_no_archive_is_refused(junk):
    with pytest.raises(WargameError) as refusal:
        read_bundle(junk)
    assert refusal.value.reason == "evidence_refused"


def test_an_archive_bomb_is_refused_by_what_comes_out_of_it():
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        new.writestr("manifest.json", "{}")
        new.writestr("bomb", b"\0" * (64 << 20))
    assert len(out.getvalue()) < 100_000
    with pytest.raises(WargameError, match="too large"):
        read_bundle(out.getvalue())


def test_a_replay_runs_on_the_same_locks_and_agrees(archive, work_folder):
    answer = replay_evidence(archive, work=work_folder)
    assert answer.document == {
        "same": True,
        "verdict_then": "PATCH_EFFECTIVE",
        "verdict_now": "PATCH_EFFECTIVE",
        "differences": [],
    }
    assert answer.exit_code == 0


def test_a_forged_verdict_is_shown_by_the_replay(archive, work_folder):
    def forge(manifest, entries):
        manifest["verdict"] = "PATCH_INSUFFICIENT"
        manifest["outcomes"]["reproduce_after"] = "present"

    answer = replay_evidence(rewritten(archive, forge), work=work_folder)
    assert answer.exit_code == 1
    assert answer.document["same"] is False
    assert answer.document["differences"] == [{"what": "reproduce_after", "then": "present", "now": "absent"}]


def test_a_forged_lock_cannot_send_the_installer_elsewhere(archive, work_folder):
    def forge(manifest, entries):
        entries["locks/after"] = b"--index-url http://127.0.0.1:9/\n" + entries["locks/after"]

    answer = replay_evidence(rewritten(archive, forge), work=work_folder)
    assert (answer.exit_code, answer.document["reason"]) == (2, "lock_refused")


def test_a_claim_of_being_shipped_gives_a_forger_no_trust(archive, work_folder):
    def forge(manifest, entries):
        manifest["scenario"]["trust"] = "shipped"

    answer = replay_evidence(rewritten(archive, forge), work=work_folder, driver="limited")
    assert answer.document["verdict_now"] == "INCONCLUSIVE"


def test_the_archive_says_whether_somebody_stood_for_the_scenario(scenario, result, archive):
    assert read_bundle(archive).manifest["scenario"]["accepted"] is False
    accepted = evidence_bundle(result, scenario, tools={}, accepted=True)
    assert read_bundle(accepted).manifest["scenario"]["accepted"] is True
