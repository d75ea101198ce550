"""The shipped library: every scenario is really run, in the sandbox, on the releases it names."""

import ast
import re
import shutil
import sys
from dataclasses import replace

import pytest

from wargaming.engine import run_wargame, specs_of
from wargaming.environments.spec import EnvironmentSpec, with_changed
from wargaming.sandbox.base import Trust
from wargaming.scenarios import scenario_from_folder
from wargaming.standalone import LIBRARY
from wargaming.verdict import Outcome, Verdict

FOLDERS = sorted(folder for folder in LIBRARY.iterdir() if folder.is_dir() and folder.name != "__pycache__")
SCENARIOS = [scenario_from_folder(folder, Trust.SHIPPED) for folder in FOLDERS]
OUTSIDE = [scenario for scenario in SCENARIOS if scenario.observed_from_outside]
STANDARD_LIBRARY = set(sys.stdlib_module_names)
by_id = pytest.mark.parametrize("scenario", SCENARIOS, ids=[scenario.id for scenario in SCENARIOS])


def named(identifier):
    return next(scenario for scenario in SCENARIOS if scenario.id == identifier)


def play(scenario, bubblewrap, workshop, *specs):
    return run_wargame(scenario, *(specs or specs_of(scenario)), bubblewrap, workshop)


@by_id
def test_a_shipped_scenario_proves_its_patch(scenario, bubblewrap, workshop):
    # Once: that cheap runs are repeated, and have to agree, is the engine's (test_engine.py), not each scenario's.
    result = play(replace(scenario, repeats=1), bubblewrap, workshop)

    assert result.verdict is Verdict.PATCH_EFFECTIVE, (result.reason, result.detail)
    assert result.outcomes == {
        "control_before": Outcome.PASS,
        "reproduce_before": Outcome.PRESENT,
        "control_after": Outcome.PASS,
        "reproduce_after": Outcome.ABSENT,
    }
    # Every input by itself: one that showed nothing before, or still worked after, would hide behind the others.
    assert {(run.variant, run.phase, run.outcome) for run in result.runs if run.step == "reproduce"} == {
        (variant.id, phase, outcome)
        for variant in scenario.variants
        for phase, outcome in (("before", Outcome.PRESENT), ("after", Outcome.ABSENT))
    }
    assert max(max(run.result.shares().values()) for run in result.runs) < 0.8, "a run came near one of its limits"


@pytest.mark.parametrize("name", ["jinja2-cve-2024-56326", "click-cve-2026-7246", "npm-cookie-cve-2024-47764"])
def test_nothing_is_proved_where_both_sides_are_fixed(name, bubblewrap, workshop):
    scenario = named(name)
    _, fixed = specs_of(scenario)

    result = play(scenario, bubblewrap, workshop, fixed, fixed)

    assert result.verdict is Verdict.NOT_REPRODUCED, (result.reason, result.detail)


def test_a_first_fix_that_lost_a_feature_is_a_regression(bubblewrap, workshop):
    """pymdown-extensions 10.0 closed the hole and left out snippets of subfolders; 10.0.1 brought them back."""
    scenario = named("pymdown-extensions-cve-2023-32309")
    base, _ = specs_of(scenario)
    head = EnvironmentSpec("PyPI", with_changed("PyPI", base.requirements, {"pymdown-extensions": "10.0"}))

    result = play(scenario, bubblewrap, workshop, base, head)

    assert (result.verdict, result.reason) == (Verdict.REGRESSION, "control_after_fail")


def test_a_target_that_is_newer_and_still_weak_is_insufficient(bubblewrap, workshop):
    scenario = named("pyjwt-cve-2024-53861")
    base = EnvironmentSpec("PyPI", ("PyJWT==2.10.0",))

    result = play(scenario, bubblewrap, workshop, base, base)

    assert (result.verdict, result.reason) == (Verdict.PATCH_INSUFFICIENT, "still_present")


def test_the_library_is_broad_enough():
    assert len(SCENARIOS) >= 26
    assert len({scenario.cwe for scenario in SCENARIOS}) >= 8
    assert sum(scenario.ecosystem == "npm" for scenario in SCENARIOS) >= 5
    assert sum(len(scenario.variants) > 1 for scenario in SCENARIOS) >= 5
    assert len(OUTSIDE) >= 8


def test_each_scenario_says_which_weakness_it_is_and_what_it_was_verified_with():
    for folder, scenario in zip(FOLDERS, SCENARIOS, strict=True):
        assert scenario.id == folder.name
        assert scenario.cve
        assert scenario.ghsa
        assert scenario.cwe
        assert scenario.summary
        assert scenario.protocol == 2, "a shipped scenario says the word of its run"
        assert scenario.cve.lower() in scenario.id
        for side, version in (("vulnerable", scenario.vulnerable_version), ("fixed", scenario.fixed_version)):
            assert any(pin.endswith(("==" + version, "@" + version)) for pin in scenario.locks[side]), (
                folder.name,
                side,
            )
    assert len({(scenario.package.lower(), scenario.cve) for scenario in SCENARIOS}) == len(SCENARIOS)


@pytest.mark.parametrize("scenario", OUTSIDE, ids=[scenario.id for scenario in OUTSIDE])
def test_an_outside_observer_never_loads_the_package(scenario):
    for variant in scenario.variants:
        source = scenario.files[variant.script].decode()
        if variant.script.endswith(".py"):
            loaded = {name for node in ast.walk(ast.parse(source)) for name in _imported(node)}
            assert loaded <= STANDARD_LIBRARY, (variant.script, loaded - STANDARD_LIBRARY)
        else:
            loaded = set(re.findall(r"require\('([^']+)'\)", source))
            assert loaded <= {"fs", "path", "http", "child_process"}, (variant.script, loaded)


def test_a_script_that_falls_silent_proves_nothing(tmp_path, bubblewrap, workshop):
    """The same scenario with its last line taken away: no answer, and never a patched one."""
    folder = tmp_path / "silent"
    shutil.copytree(LIBRARY / "pyjwt-cve-2024-53861", folder)
    script = folder / "reproduce.py"
    assert 'say("NOT PRESENT:", ' in script.read_text()
    script.write_text(script.read_text().replace('say("NOT PRESENT:", ', "str("))
    scenario = scenario_from_folder(folder, Trust.ATTACHED)

    result = play(scenario, bubblewrap, workshop)

    assert (result.verdict, result.reason) == (Verdict.INCONCLUSIVE, "reproduce_after_error")


def _imported(node):
    if isinstance(node, ast.Import):
        return [alias.name.split(".")[0] for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        return [(node.module or "").split(".")[0]]
    return []
