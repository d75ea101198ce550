"""The demonstration's upgrades, really installed with the application's whole set of pins: proved, and its tests green."""

import re
from pathlib import Path

import pytest

from wargaming.engine import run_wargame
from wargaming.environments.spec import EnvironmentSpec, with_changed
from wargaming.own_tests import CONFIG_FILE, find_command, run_own_tests
from wargaming.sandbox.base import Trust
from wargaming.scenarios import scenario_from_folder
from wargaming.standalone import LIBRARY
from wargaming.verdict import OwnTests, Verdict

APP = Path(__file__).parents[2] / "immune" / "demo" / "app"
UPGRADES = {
    "Flask": "3.1.3",
    "requests": "2.33.0",
    "sqlparse": "0.5.0",
    "markdown2": "2.4.0",
    "idna": "3.15",
    "click": "8.3.3",
    "waitress": "3.0.1",
}
PINS = tuple(
    line.split(" ")[0].strip()
    for name in ("requirements.txt", "requirements-dev.txt")
    for line in (APP / name).read_text().splitlines()
    if re.match(r"[A-Za-z]", line)
)
BASE = EnvironmentSpec("PyPI", PINS)
HEAD = EnvironmentSpec("PyPI", with_changed("PyPI", PINS, UPGRADES))
SHIPPED = [scenario_from_folder(folder, Trust.SHIPPED) for folder in sorted(LIBRARY.iterdir()) if folder.is_dir()]
OWN = [scenario_from_folder(folder, Trust.REPOSITORY) for folder in (APP / ".immune" / "scenarios").iterdir()]
# Of a package in the application, and speaking of the release that it pins.
MEANT = [
    scenario
    for scenario in SHIPPED + OWN
    if scenario.package in UPGRADES and scenario.id not in {"sqlparse-cve-2023-30608", "waitress-cve-2022-24761"}
]


@pytest.fixture(scope="module")
def environments(workshop):
    before, after = workshop.build(BASE, HEAD)
    assert before.layer is not None, before.detail
    assert after.layer is not None, after.detail
    return before.layer, after.layer


@pytest.mark.xdist_group("demonstration")
@pytest.mark.parametrize("scenario", MEANT, ids=[scenario.id for scenario in MEANT])
def test_the_upgrade_is_proved_inside_the_application(scenario, environments, bubblewrap, workshop):
    result = run_wargame(scenario, BASE, HEAD, bubblewrap, workshop)

    assert result.verdict is Verdict.PATCH_EFFECTIVE, (result.reason, result.detail)


@pytest.mark.xdist_group("demonstration")
def test_the_applications_own_tests_pass_before_and_after(environments, bubblewrap, workshop):
    command = find_command({CONFIG_FILE: (APP / CONFIG_FILE).read_bytes()})

    result = run_own_tests(command, (APP, APP), environments, ecosystem="PyPI", driver=bubblewrap, workshop=workshop)

    assert result.status is OwnTests.PASSED, result.why
    assert len(result.before.passed) == len(result.after.passed) == 25
