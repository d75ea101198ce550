"""Every example beside the repository gets the verdict and the outcomes its author verified, traps included."""

import pytest

from tests.wargaming.conftest import example_folders
from wargaming.engine import run_wargame, specs_of
from wargaming.sandbox.base import Trust
from wargaming.scenarios import scenario_from_folder

FOLDERS = example_folders()


@pytest.mark.skipif(not FOLDERS, reason="IMMUNE_DATA: no wargames folder there")
@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_an_example_gets_its_expected_verdict(folder, bubblewrap, workshop):
    scenario = scenario_from_folder(folder, Trust.REPOSITORY)
    result = run_wargame(scenario, *specs_of(scenario), bubblewrap, workshop)
    expected = scenario.expected
    assert result.verdict in {expected["verdict"], *expected.get("also_accepted", [])}, (result.reason, result.detail)
    assert {
        step: {
            side: str(result.outcomes[f"{step}_{phase}"])
            for side, phase in (("vulnerable", "before"), ("fixed", "after"))
        }
        for step in ("reproduce", "control")
    } == {"reproduce": expected["reproduce"], "control": expected["control"]}
    assert all(run.result.seconds < scenario.time_limit_s + 3 for run in result.runs)
