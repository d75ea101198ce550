"""What is said of an upgrade no scenario covers: much, but never that it is effective."""

import pytest

from wargaming.environments.spec import EnvironmentSpec
from wargaming.verdict import Verdict
from wargaming.without_scenario import examine_upgrade


@pytest.fixture
def examine(bubblewrap, workshop):
    def run(old, new, package="Jinja2", ecosystem="PyPI", sources=None, is_affected=lambda version: version < "3.1.5"):
        return examine_upgrade(
            package,
            EnvironmentSpec(ecosystem, old),
            EnvironmentSpec(ecosystem, new),
            is_affected=is_affected,
            sources=sources or {},
            driver=bubblewrap,
            workshop=workshop,
        )

    return run


def checks(examination):
    return {check.name: check.ok for check in examination.checks}


def test_an_upgrade_is_tried_and_names_it_takes_away_are_shown_with_file_and_line(examine):
    sources = {"app.py": "import jinja2\nfrom jinja2 import Markup\n\njinja2.contextfunction\njinja2.Environment\n"}
    pins = ("MarkupSafe==2.1.5",)
    examination = examine(("Jinja2==3.0.3", *pins), ("Jinja2==3.1.6", *pins), sources=sources)
    assert (examination.judgement.verdict, examination.judgement.reason) == (Verdict.INCONCLUSIVE, "no_scenario")
    assert set(checks(examination).values()) == {True}
    assert [(risk.name, risk.file, risk.line) for risk in examination.risks] == [
        ("jinja2.Markup", "app.py", 2),
        ("jinja2.contextfunction", "app.py", 4),
    ]


def test_a_version_that_is_still_affected_is_said_so(examine):
    examination = examine(("Jinja2==3.1.3",), ("Jinja2==3.1.4",))
    assert checks(examination)["affected_version_gone"] is False


def test_what_cannot_be_built_is_the_reason_and_the_rest_is_not_tried(examine):
    examination = examine(("Jinja2==3.1.4",), ("Jinja2==3.1.99999",))
    assert examination.judgement.reason == "unknown_version"
    assert checks(examination) == {
        "builds_before": True,
        "builds_after": False,
        "imports_before": True,
        "imports_after": None,
        "affected_version_gone": None,
    }


def test_an_npm_package_is_required_and_every_copy_of_it_in_the_tree_counts(examine):
    examination = examine(
        ("lodash@4.17.11",), ("lodash@4.17.12",), "lodash", "npm", is_affected=lambda version: version == "4.17.11"
    )
    assert set(checks(examination).values()) == {True}
