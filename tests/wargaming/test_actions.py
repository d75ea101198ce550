"""Wargames at GitHub Actions without GitHub: the workflow that is written, the player really run, and its evidence read as a stranger's."""

import hashlib
import io
import json
import os
import re
import subprocess
import sys
import zipfile
from dataclasses import replace

import pytest
import yaml
from jsonschema import Draft7Validator

from immune.forges.github_branches import WORKFLOWS
from tests.environment import ROOT
from wargaming.actions.order import EVIDENCE, FOLDER, WORKFLOW, branch_files, make_order, workflow
from wargaming.actions.reading import Ran, Refused, read_evidence
from wargaming.concluding import Context, concluded
from wargaming.engine import specs_of
from wargaming.environments.spec import Lock
from wargaming.sandbox.base import Trust
from wargaming.scenarios import scenario_from_folder
from wargaming.standalone import LIBRARY

SCHEMA = ROOT / "tests" / "data" / "github-workflow" / "github-workflow.json"
COMMIT, RUN = "c" * 40, 4711
PLAYED_AS = {"GITHUB_SHA": COMMIT, "GITHUB_RUN_ID": str(RUN)}


@pytest.fixture(scope="module")
def scenario():
    return scenario_from_folder(LIBRARY / "click-cve-2026-7246", Trust.SHIPPED)


def lock(version):
    """A lock as it is written; what it pins is not installed by these tests."""
    return Lock("PyPI", (("click", version),), f"click=={version} \\\n    --hash=sha256:{'0' * 64}\n")


LOCKS = (lock("8.3.2"), lock("8.3.3"))


def ordered(scenario, locks=LOCKS, **versions):
    return make_order(scenario, specs_of(scenario), locks, versions={"python": "3.11", **versions})


class TestWorkflow:
    @pytest.fixture(params=[{}, {"node": "20"}], ids=["python", "node"])
    def text(self, scenario, request):
        return workflow(ordered(scenario, **request.param))

    def test_it_is_valid_by_the_public_schema(self, text):
        schema = json.loads(SCHEMA.read_text())
        # YAML 1.1 reads the key "on" as true; GitHub does not.
        read = {"on" if key is True else key: value for key, value in yaml.safe_load(text).items()}
        assert [error.message for error in Draft7Validator(schema).iter_errors(read)] == []
        assert list(Draft7Validator(schema).iter_errors({**read, "permissions": {"contents": "all"}})), (
            "the schema judges"
        )

    def test_actions_are_named_by_full_commit(self, text):
        used = re.findall(r"uses: *(.*)", text)
        assert len(used) >= 3
        assert all(re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40} # v[0-9.]+", one) for one in used), used

    def test_it_may_only_read_and_knows_no_secret(self, text):
        read = yaml.safe_load(text)
        assert read["permissions"] == {"contents": "read"}
        assert all("permissions" not in job for job in read["jobs"].values()), "a job could take more"
        assert "secrets" not in text
        assert "${{" not in text, "nothing is filled in at GitHub"
        checkout = read["jobs"]["wargame"]["steps"][0]["with"]
        assert checkout["persist-credentials"] is False

    def test_only_a_push_to_its_own_branch_starts_it_and_its_name_says_which_wargame(self, scenario):
        order = ordered(scenario)
        read = yaml.safe_load(workflow(order))
        assert read[True] == {"push": {"branches": [f"immune/wargame/{order.correlation}"]}}
        assert order.correlation in read["run-name"]

    def test_every_other_workflow_is_taken_off_its_branch(self, scenario):
        order = ordered(scenario)
        there = ["app.py", f"{WORKFLOWS}release.yml", f"{WORKFLOWS}deep/er.yml", WORKFLOW]
        files = branch_files(order, scenario, specs_of(scenario), {"before": "", "after": ""}, there)
        assert {path for path, content in files.items() if content is None} == {
            f"{WORKFLOWS}release.yml",
            f"{WORKFLOWS}deep/er.yml",
        }
        assert files[WORKFLOW] == workflow(order).encode()
        assert "app.py" not in files

    def test_what_the_repository_keeps_in_the_players_folder_is_taken_off_too(self, scenario):
        order = ordered(scenario)
        there = [f"{FOLDER}/json.py", f"{FOLDER}/scenario/helper.py", f"{FOLDER}/play.py", f"{FOLDER}s/notes.md"]
        files = branch_files(order, scenario, specs_of(scenario), {"before": "", "after": ""}, there)
        assert {path for path, content in files.items() if content is None} == set(there[:2])

    def test_two_orders_have_neither_nonce_nor_branch_in_common(self, scenario):
        one, other = ordered(scenario), ordered(scenario)
        assert one.nonce != other.nonce
        assert one.branch != other.branch
        assert set(one.content["nonces"].values()).isdisjoint(other.content["nonces"].values())


# -- really played ---------------------------------------------------------------------------------------------------------------


def lay_out(folder, order, scenario, locks=LOCKS, there=()):
    """What a checkout of its branch holds."""
    texts = {"before": locks[0].text, "after": locks[1].text}
    for path, content in branch_files(order, scenario, specs_of(scenario), texts, [*there]).items():
        if content is None:
            (folder / path).unlink()
            continue
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)


def played(folder, **environment):
    """Runs the player as the workflow's step does. The archive GitHub would make of its evidence."""
    [line] = re.findall(r"run: python (.*)", (folder / WORKFLOW).read_text())
    said = subprocess.run(
        [sys.executable, *line.split()],
        cwd=folder,
        check=False,
        env={"PATH": "/usr/bin:/bin", **PLAYED_AS, **environment},
        capture_output=True,
        text=True,
    )
    assert said.returncode == 0, said.stderr
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as archive:
        for path in sorted((folder / EVIDENCE).rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(folder / EVIDENCE).as_posix())
    return whole.getvalue()


PROBE = b"""
import json, os, socket, sys
nonce = input()
found = {"uid": os.getuid(), "environment": sorted(os.environ), "processes": [p for p in os.listdir("/proc") if p.isdigit()]}
found["interfaces"] = [line.split(":")[0].strip() for line in open("/proc/net/dev").readlines()[2:]]
found["privileges"] = [line.split()[1] for line in open("/proc/self/status") if line.startswith("NoNewPrivs")]
def refused(act):
    try:
        act()
    except OSError:
        return True
    return False
place = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
found["refused"] = {
    "network": refused(lambda: socket.create_connection(("127.0.0.1", 22), 1)),
    "scenario": refused(lambda: open(place + "/scenario/x", "w")),
    "layers": refused(lambda: open(place + "/layers/before/x", "w")),
    "status": refused(lambda: open(place + "/status/last.json", "w")),
    "homes": refused(lambda: open("/root/.bashrc")),
    "left": refused(lambda: open("left")),
    "temporary": refused(lambda: open("/tmp/x", "w")) and refused(lambda: open("/var/tmp/x", "w")),
    "left in memory": refused(lambda: open("/dev/shm/left")),
}
for path in ("left", "/dev/shm/left"):
    open(path, "w").write("the next run looks for it")
print(json.dumps(found))
print("CONTROL OK: " + nonce + " looked round")
"""


class TestPlayer:
    @pytest.fixture
    def probe(self, scenario):
        # Nothing is installed: an empty lock stands for a side that holds nothing.
        files = {**scenario.files, "control.py": PROBE}
        return replace(scenario, files=files, variants=(), repeats=2, needs=frozenset())

    def test_what_it_runs_is_nobody_without_network_neighbours_or_privileges(self, probe, tmp_path):
        order = ordered(probe, locks := (Lock("PyPI", (), ""), Lock("PyPI", (), "")))
        lay_out(tmp_path, order, probe, locks)
        with zipfile.ZipFile(io.BytesIO(played(tmp_path, SECRET="in the environment of the step"))) as archive:
            said = json.loads(archive.read("evidence.json"))
            assert [(run["ending"], run["exit_code"], run["round"]) for run in said["runs"]] == [
                ("exited", 0, number) for number in (1, 1, 2, 2)
            ], archive.read("outputs/000.err")
            for number in range(4):
                found = json.loads(archive.read(f"outputs/{number:03d}.out").splitlines()[0])
                assert found["uid"] == 65534
                assert found["interfaces"] == ["lo"]
                assert len(found["processes"]) == 2, "the one that waits for it, and itself"
                assert found["privileges"] == ["1"]
                assert "SECRET" not in found["environment"]
                assert not [name for name in found["environment"] if name.startswith("GITHUB")]
                assert all(found["refused"].values()), found["refused"]

    def test_what_is_not_as_ordered_is_not_run(self, probe, tmp_path):
        order = ordered(probe, LOCKS)
        lay_out(tmp_path, order, probe)
        (tmp_path / FOLDER / "scenario" / "control.py").write_text("print('another')")
        with pytest.raises(AssertionError, match="not as ordered"):
            played(tmp_path)

    def test_a_module_beside_the_player_is_not_loaded(self, probe, tmp_path):
        """Whoever may write to the repository would else write the evidence of its wargames."""
        lay_out(tmp_path, ordered(probe, LOCKS), probe)
        (tmp_path / FOLDER / "scenario" / "control.py").write_text("not as ordered: it stops before anything is run")
        (tmp_path / FOLDER / "hashlib.py").write_text(
            f"open({str(tmp_path / 'loaded')!r}, 'w'); from _hashlib import *"
        )
        with pytest.raises(AssertionError, match="not as ordered"):
            played(tmp_path)
        assert not (tmp_path / "loaded").exists()

    def test_without_namespaces_nothing_is_run(self, probe, scenario, tmp_path):
        order = ordered(probe)
        lay_out(tmp_path, order, probe)
        (tmp_path / "bin").mkdir()
        (tmp_path / "bin" / "unshare").write_text("#!/bin/sh\necho not here >&2; exit 1\n")
        (tmp_path / "bin" / "unshare").chmod(0o755)
        archive = played(tmp_path, PATH=f"{tmp_path}/bin:/usr/bin:/bin")
        seen = read_evidence(archive, order, Ran(COMMIT, RUN), probe, LOCKS, Context())
        result = concluded(seen)
        assert (result.verdict, result.reason, result.runs) == ("INCONCLUSIVE", "no_isolation", ())
        assert "not here" in result.detail


# -- read back -------------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole(scenario, workshop, python_index, tmp_path_factory):
    """An order really carried out on released packages: (order, locks, archive). Made once, the dearest thing here."""
    folder = tmp_path_factory.mktemp("played")
    locks = workshop.locks(*specs_of(scenario))
    order = ordered(scenario, locks)
    lay_out(folder, order, scenario, locks)
    machine = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "SSL_CERT_"))}
    return order, locks, played(folder, **machine)


def read(whole, scenario, archive=None, *, commit=COMMIT, run=RUN):
    order, locks, own = whole
    return concluded(
        read_evidence(own if archive is None else archive, order, Ran(commit, run), scenario, locks, Context())
    )


def test_what_was_played_gives_the_verdict_that_a_run_here_gives(whole, scenario):
    result = read(whole, scenario)
    assert (result.verdict, result.reason) == ("PATCH_EFFECTIVE", ""), result.detail
    assert {str(outcome) for outcome in result.outcomes.values()} == {"pass", "present", "absent"}
    assert (result.driver, len(result.runs)) == ("github-actions", 12)
    assert dict(result.before.observed)["click"] == "8.3.2"
    assert dict(result.after.observed)["click"] == "8.3.3"
    assert 0 < result.confidence < 1


def entries(archive):
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


def packed(files, how=zipfile.ZIP_DEFLATED, **also):
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", how) as out:
        for name, content in {**files, **also}.items():
            out.writestr(name, content)
    return made.getvalue()


def saying(archive, change, *, sealed=True, **files):
    """The archive with a changed statement; ``sealed``: with hashes that fit again, as a forger would make it."""
    found = {**entries(archive), **{name.replace("__", "/"): content for name, content in files.items()}}
    said = json.loads(found.pop("evidence.json"))
    if sealed:
        said["files"] = {name: hashlib.sha256(content).hexdigest() for name, content in found.items()}
    change(said)
    return packed({**found, "evidence.json": json.dumps(said)})


def told(**changed):
    return lambda archive: saying(archive, lambda said: said.update(changed))


def of_run(number, **changed):
    return lambda archive: saying(archive, lambda said: said["runs"][number].update(changed))


def with_output(content, *, sealed):
    return lambda archive: saying(archive, lambda said: None, sealed=sealed, **{"outputs__001.out": content})


def without_last_run(archive):
    found = entries(archive)
    said = json.loads(found.pop("evidence.json"))
    said["runs"].pop()
    gone = {f"outputs/{len(said['runs']):03d}.{stream}" for stream in ("out", "err")}
    found = {name: content for name, content in found.items() if name not in gone}
    said["files"] = {name: hashlib.sha256(content).hexdigest() for name, content in found.items()}
    return packed({**found, "evidence.json": json.dumps(said)})


def only_first_round(archive):
    """Whoever tells of the runs they like best leaves out the rounds that came after."""
    found = entries(archive)
    said = json.loads(found.pop("evidence.json"))
    said["runs"] = [run for run in said["runs"] if run["round"] == 1]
    found = {name: content for name, content in found.items() if int(name[8:11]) < len(said["runs"])}
    said["files"] = {name: hashlib.sha256(content).hexdigest() for name, content in found.items()}
    return packed({**found, "evidence.json": json.dumps(said)})


def twice(archive):
    made = io.BytesIO(archive)
    with zipfile.ZipFile(made, "a") as out, pytest.warns(UserWarning, match="Duplicate"):
        out.writestr("evidence.json", "{}")
    return made.getvalue()


def bomb(archive):
    return packed(entries(archive), **{"outputs/999.out": b"0" * (64 << 20)})


ANOTHER = "evidence_of_another"
NOTHING = "evidence_refused"


@pytest.mark.parametrize(
    ("tampered", "reason", "says"),
    [
        (told(nonce="0" * 64), ANOTHER, "nonce"),
        (told(correlation="0" * 24), ANOTHER, "correlation"),
        (told(order="0" * 64), ANOTHER, "order"),
        (told(commit="d" * 40), ANOTHER, "commit"),
        (told(run_id="4712"), ANOTHER, "run_id"),
        (told(format=2), NOTHING, "format"),
        (told(runs="none"), NOTHING, "no runs"),
        (told(runs=[]), NOTHING, "belong together"),
        (told(sides={}), NOTHING, "side before"),
        (told(sides={"before": {"wrong": "", "observed": "click"}}), NOTHING, "observed before"),
        (with_output(b"REPRODUCED: yes", sealed=False), NOTHING, "altered"),
        (with_output(b"REPRODUCED: yes", sealed=True), NOTHING, "another length"),
        (of_run(0, phase="during"), NOTHING, "not ordered"),
        (of_run(0, round=2), NOTHING, "round before"),
        (of_run(0, round=99), NOTHING, "round"),
        (of_run(0, round=True), NOTHING, "round"),
        (of_run(1, step="control"), NOTHING, "twice"),
        (of_run(0, ending="well"), NOTHING, "ending"),
        (of_run(0, exit_code="0"), NOTHING, "exit_code"),
        (of_run(0, exit_code=1 << 70), NOTHING, "exit_code"),
        (of_run(0, seconds=float("nan")), NOTHING, "seconds"),
        (of_run(0, seconds=-1), NOTHING, "seconds"),
        # What no column and no float can hold must be refused here: written down later, it would be an accident and no answer.
        (of_run(0, seconds=10**400), NOTHING, "seconds"),
        (of_run(0, memory_mb=1e305), NOTHING, "memory_mb"),
        (of_run(0, output_bytes=0), NOTHING, "another length"),
        (without_last_run, NOTHING, "left out in round 3"),
        (only_first_round, NOTHING, "left out in round 2"),
        (lambda archive: archive[:-40], NOTHING, "not a whole archive"),
        (lambda archive: archive[:2000], NOTHING, "not a whole archive"),
        (lambda archive: b"", NOTHING, "not a whole archive"),
        (lambda archive: packed(entries(archive), **{"../../outside": b"x"}), NOTHING, "not ordered"),
        (lambda archive: packed(entries(archive), **{"/etc/passwd": b"x"}), NOTHING, "not ordered"),
        (lambda archive: packed({"N": b"x"}).replace(b"N", b"\x00"), NOTHING, "not ordered"),
        (lambda archive: packed(entries(archive), how=zipfile.ZIP_LZMA), NOTHING, "packed in an unusual way"),
        (lambda archive: archive[:-6] + b"\xff" * 4 + archive[-2:], NOTHING, "not a whole archive"),
        (lambda archive: packed({}), NOTHING, "no evidence.json"),
        (lambda archive: packed({"evidence.json": "[" * 100_000}), NOTHING, "not JSON"),
        (lambda archive: packed({"evidence.json": b" " * (5 << 20)}), NOTHING, "too large"),
        (lambda archive: packed({f"outputs/{n:03d}.out": b"" for n in range(1001)}), NOTHING, "too many"),
        (bomb, NOTHING, "too large"),
        (twice, NOTHING, "two of one name"),
    ],
)
def test_evidence_that_is_not_exactly_what_was_ordered_says_nothing(whole, scenario, tampered, reason, says):
    with pytest.raises(Refused) as refused:
        read(whole, scenario, tampered(whole[2]))
    assert refused.value.reason == reason
    assert says in str(refused.value)


def test_what_it_says_in_words_can_be_kept_and_shown(whole, scenario):
    """Half characters and NUL, which JSON can say and no database takes."""
    odd = "\ud800 \x00 \u202e https://me:word@host"

    def change(said):
        said["runtime"] = odd
        said["sides"]["before"] |= {"observed": [[odd, odd]], "wrong": ""}
        said["sides"]["after"]["wrong"] = odd
        said["runs"] = [run for run in said["runs"] if run["phase"] == "before"]

    found = entries(whole[2])
    said = json.loads(found.pop("evidence.json"))
    kept = [number for number, run in enumerate(said["runs"]) if run["phase"] == "before"]
    streams = [(new, old, stream) for new, old in enumerate(kept) for stream in ("out", "err")]
    found = {f"outputs/{new:03d}.{stream}": found[f"outputs/{old:03d}.{stream}"] for new, old, stream in streams}
    result = read(whole, scenario, saying(packed({**found, "evidence.json": json.dumps(said)}), change))
    assert result.reason == "install_failed"
    for told in (result.runtime, result.detail, *result.before.observed[0]):
        assert told.isprintable(), told
        assert "word" not in told


def test_it_is_refused_for_another_commit_or_run_than_github_names(whole, scenario):
    for other in ({"commit": "d" * 40}, {"run": 1}):
        with pytest.raises(Refused):
            read(whole, scenario, **other)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        # Line and exit code of a run elsewhere, or of an earlier order: the nonce on its line is not this run's.
        (lambda said, found: found.update({"outputs/001.out": found["outputs/005.out"]}), "reproduce_before_flaky"),
        (lambda said, found: said["runs"][1].update(exit_code=0), "reproduce_before_flaky"),
        (lambda said, found: said["runs"][1].update(memory_mb=600.0), "reproduce_before_flaky"),
        (lambda said, found: said["runs"][0].update(cpu_s=61.0), "control_before_flaky"),
        (lambda said, found: said["sides"]["after"].update(observed=[["click", "8.3.2"]]), "version_mismatch"),
        (lambda said, found: said["sides"]["after"].update(observed=[]), "version_not_observed"),
        (lambda said, found: said["sides"]["after"].update(wrong="no such file"), "install_failed"),
    ],
)  # fmt: skip
def test_what_was_seen_otherwise_is_judged_as_it_would_be_here(whole, scenario, change, reason):
    found = entries(whole[2])
    said = json.loads(found.pop("evidence.json"))
    change(said, found)
    for number, run in enumerate(said["runs"]):
        run["output_bytes"] = sum(len(found[f"outputs/{number:03d}.{stream}"]) for stream in ("out", "err"))
    said["files"] = {name: hashlib.sha256(content).hexdigest() for name, content in found.items()}
    result = read(whole, scenario, packed({**found, "evidence.json": json.dumps(said)}))
    assert (result.verdict, result.reason, result.confidence) == ("INCONCLUSIVE", reason, 0.0), result.detail
