"""The demonstration's data say what SOURCES.md promises: which pins are weak, what closes them, what cannot be closed."""

import json
import re
from pathlib import Path

import pytest

from immune.advisories.osv import read_osv
from immune.formats.requirements_txt import parse
from immune.matching import AdvisoryIndex
from immune.planning import plan_for

DEMO = Path(__file__).parents[2] / "immune" / "demo"
LIBRARY = DEMO.parents[1] / "wargaming" / "library"
LINES = (DEMO / "advisories.jsonl").read_text(encoding="utf-8").splitlines()
RECORDS = [read_osv(json.loads(line), "demo") for line in LINES]
INDEX = AdvisoryIndex(RECORDS)

PLANS = {
    "flask": ("3.1.0", "3.1.3", 2),
    "requests": ("2.31.0", "2.33.0", 3),
    "sqlparse": ("0.4.4", "0.5.0", 1),
    "markdown2": ("2.3.8", "2.4.0", 2),
    "idna": ("3.6", "3.15", 2),
    "click": ("8.3.2", "8.3.3", 1),
    "waitress": ("3.0.0", "3.0.1", 2),
    "diskcache": ("5.6.3", None, 0),
}


def pins():
    found = {}
    for name in ("requirements.txt", "requirements-dev.txt"):
        inventory = parse((DEMO / "app" / name).read_text(encoding="utf-8"), path=name, read=lambda path: "")
        assert not inventory.refused
        assert not inventory.unresolved
        found.update({dependency.name: dependency.version for dependency in inventory.dependencies})
    return found


def weaknesses(name, version):
    return [finding.record for finding in INDEX.findings("PyPI", name, version) if not finding.withdrawn]


def covered():
    """(package, CVE) of every scenario that the demonstration can use."""
    folders = [*LIBRARY.iterdir(), *(DEMO / "app" / ".immune" / "scenarios").iterdir()]
    texts = [(folder / "case.yaml").read_text() for folder in folders if (folder / "case.yaml").is_file()]
    return {
        (re.search(r"^package: (.+)$", text, re.M)[1].lower(), re.search(r"^cve: (.+)$", text, re.M)[1])
        for text in texts
    }


def test_exactly_the_named_pins_are_weak():
    assert {name for name, version in pins().items() if weaknesses(name, version)} == set(PLANS)


@pytest.mark.parametrize(("name", "expected"), PLANS.items(), ids=PLANS)
def test_the_smallest_upgrade_closes_all_or_says_that_none_can(name, expected):
    version, target, closed = expected
    assert pins()[name] == version

    plan = plan_for(INDEX, "PyPI", name, version)

    assert (plan.target, len(plan.closes)) == (target, closed)
    assert bool(plan.cannot_close) is (target is None)


def test_a_scenario_shows_every_weakness_but_those_left_open_on_purpose():
    open_ones = {
        name
        for name, version in pins().items()
        for record in weaknesses(name, version)
        if not {(name, alias) for alias in record.aliases} & covered()
    }
    assert open_ones == {"waitress", "diskcache"}


def test_every_record_concerns_a_pinned_package():
    assert {name for _, name in INDEX.packages()} <= pins().keys()
    assert len(RECORDS) == len({record.id for record in RECORDS}) == 36
