"""The documents and exit codes of the commands that need no repository."""

import pytest

from wargaming.sandbox.base import Trust
from wargaming.standalone import LIBRARY, check_scenario, trust_of, wargame

CASE = """
id: command-case
ecosystem: PyPI
package: zipp
vulnerable_version: "3.19.0"
fixed_version: "3.19.1"
repeats: 1
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "case.yaml").write_text(CASE)
    (tmp_path / "control.py").write_text("print('CONTROL OK: fine')\n")
    (tmp_path / "reproduce.py").write_text(
        "import importlib.metadata, sys\n"
        "old = importlib.metadata.version('zipp') == '3.19.0'\n"
        "print('REPRODUCED: old' if old else 'NOT PRESENT: new')\n"
        "sys.exit(1 if old else 0)\n"
    )
    return tmp_path


def test_a_wargame_answers_with_its_document_and_evidence(folder, work_folder):
    answer = wargame(folder, work=work_folder)
    assert answer.exit_code == 0
    assert answer.evidence.startswith(b"PK")
    document = answer.document
    assert (document["case"], document["verdict"], document["driver"]) == (
        "command-case",
        "PATCH_EFFECTIVE",
        "bubblewrap",
    )
    assert len(document["evidence_sha256"]) == 64
    assert {"name", "weight", "value"} <= document["factors"][0].keys()
    assert {"step", "phase", "outcome", "exit_code", "seconds", "last_line"} <= document["runs"][0].keys()
    assert document["confidence"] == pytest.approx(
        sum(factor["weight"] * factor["value"] for factor in document["factors"]), abs=0.001
    )


def test_any_other_verdict_exits_one_and_no_scenario_two(folder, work_folder, tmp_path):
    (folder / "reproduce.py").write_text("print('NOT PRESENT: never')\n")
    assert wargame(folder, work=work_folder).exit_code == 1
    (folder / "case.yaml").write_text("id: [")
    assert wargame(folder, work=work_folder).exit_code == 2
    assert wargame(tmp_path / "absent", work=work_folder).exit_code == 2
    assert wargame(LIBRARY, work=work_folder, driver="magic").exit_code == 2


def test_checking_a_scenario_lists_every_problem_with_its_place(folder):
    assert check_scenario(folder).document == {"scenario": "command-case", "ok": True, "problems": []}
    (folder / "case.yaml").write_text(CASE.replace('"3.19.1"', "3.19") + "surprise: 1\n")
    answer = check_scenario(folder)
    assert answer.exit_code == 2
    assert {problem["where"] for problem in answer.document["problems"]} == {"fixed_version", "surprise"}


def test_only_the_products_own_library_is_shipped(tmp_path, folder):
    own = next(LIBRARY.glob("*/case.yaml")).parent
    assert trust_of(own) is Trust.SHIPPED
    assert trust_of(folder) is Trust.ATTACHED
    link = tmp_path / "library"
    link.mkdir()
    assert trust_of(link / "x") is Trust.ATTACHED
