"""Which files are renewed: every lock file of a tool that is run here, and what asks for versions beside it."""

import pytest

from immune.formats import detect
from immune.renewal import renewer_for


@pytest.mark.parametrize(
    "path",
    [
        "requirements.txt",
        "pyproject.toml",
        "uv.lock",
        "poetry.lock",
        "Pipfile.lock",
        "package.json",
        "package-lock.json",
        "npm-shrinkwrap.json",
        "yarn.lock",
    ],
)
def test_a_file_has_a_renewer(path):
    assert renewer_for(detect(f"web/{path}").name) is not None


@pytest.mark.parametrize("path", ["pnpm-lock.yaml", "pylock.toml", "Cargo.lock", "go.mod", "pom.xml", "Gemfile.lock"])
def test_of_the_others_the_plan_is_told_without_a_change(path):
    assert renewer_for(detect(path).name) is None
