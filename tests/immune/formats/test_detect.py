# ruff: noqa: E501 - tables of samples read best a row a line
import pytest

from immune.formats import FORMATS, detect, distinct, manifests_in, parse
from immune.inventory import Unreadable

from .corpus import files, no_files


@pytest.mark.parametrize(
    "path",
    [
        "requirements.txt",
        "requirements-dev.txt",
        "requirements_test.txt",
        "dev-requirements.txt",
        "a/b/requirements.txt",
        "requirements/prod.txt",
        "service/requirements/base.txt",
    ],
)
def test_a_requirements_file_is_known_by_its_path(path):
    assert detect(path).name == "requirements.txt"


@pytest.mark.parametrize(
    "path", ["README.md", "notes.txt", "requirements.md", "requirements", "requirements/old/prod.txt", ""]
)
def test_other_files_are_not_manifests(path):
    assert detect(path) is None


def test_an_unknown_file_is_unreadable_not_empty():
    with pytest.raises(Unreadable, match="known format"):
        parse("notes.txt", "django==1.0", no_files)


def test_a_tree_listing_gives_the_manifests_to_read():
    listing = [
        "README.md",
        "requirements.txt",
        "tests/requirements.txt",
        "node_modules/x/requirements.txt",
        "vendor/x/requirements.txt",
        "a/.venv/requirements.txt",
        "lib/python3.11/site-packages/x/requirements.txt",
        "pkg/testdata/requirements.txt",
        "tests/fixtures/one/requirements.txt",
        "fixtures/requirements.txt",
        "requirements.txt",
    ]
    assert manifests_in(listing) == ["fixtures/requirements.txt", "requirements.txt", "tests/requirements.txt"]


@pytest.mark.parametrize(
    ("path", "name", "ecosystem"),
    [
        ("pyproject.toml", "pyproject.toml", "PyPI"),
        ("a/poetry.lock", "poetry.lock", "PyPI"),
        ("uv.lock", "uv.lock", "PyPI"),
        ("pylock.toml", "pylock.toml", "PyPI"),
        ("pylock.dev.toml", "pylock.toml", "PyPI"),
        ("Pipfile.lock", "Pipfile.lock", "PyPI"),
        ("web/package.json", "package.json", "npm"),
        ("package-lock.json", "package-lock.json", "npm"),
        ("npm-shrinkwrap.json", "package-lock.json", "npm"),
        ("yarn.lock", "yarn.lock", "npm"),
        ("pnpm-lock.yaml", "pnpm-lock.yaml", "npm"),
        ("go.mod", "go.mod", "Go"),
        ("Cargo.lock", "Cargo.lock", "crates.io"),
        ("Gemfile.lock", "Gemfile.lock", "RubyGems"),
        ("gems.locked", "Gemfile.lock", "RubyGems"),
        ("pom.xml", "pom.xml", "Maven"),
    ],
)
def test_every_format_is_known_by_its_usual_name(path, name, ecosystem):
    found = detect(path)
    assert (found.name, found.ecosystem) == (name, ecosystem)


@pytest.mark.parametrize("path", ["cargo.lock", "my-package.json", "go.mod.bak", "xpom.xml", "pylock..toml", "go.sum"])
def test_names_that_only_look_like_it_are_not(path):
    assert detect(path) is None


@pytest.mark.parametrize("known", FORMATS, ids=lambda known: known.name)
def test_an_inventory_names_the_format_it_was_detected_as(known):
    texts = ["", "version = 1", "lock-version = '1.0'", "{\"default\": {}, \"lockfileVersion\": 3}", "# yarn lockfile v1", "lockfileVersion: '9.0'",
             "module m", "GEM", "<project/>", "package = []"]  # fmt: skip
    for text in texts:
        try:
            assert known.parse(text, path="x", read=no_files).format == known.name
            return
        except Unreadable:
            continue
    pytest.fail("no smallest text of this format is known")


def test_a_file_that_others_include_counts_once():
    reader = files(requirements__txt="-r base.txt\nsix==1.0", base__txt="idna==3.4")
    both = [
        parse("requirements.txt", reader("requirements.txt"), reader),
        parse("requirements/base.txt", "idna==3.4", reader),
    ]
    again = [parse("requirements.txt", reader("requirements.txt"), reader)]
    assert [(row.name, row.manifest) for row in distinct([*both, *again])] == [
        ("idna", "base.txt"),
        ("six", "requirements.txt"),
        ("idna", "requirements/base.txt"),
    ]


def test_a_line_that_is_a_requirement_somewhere_is_no_mere_constraint():
    reader = files(requirements__txt="-c requirements-base.txt\nsix==1.0")
    base = files(**{"requirements-base__txt": "idna==3.4"})

    def read(path: str) -> str:
        return base(path) if path == "requirements-base.txt" else reader(path)

    found = [parse(path, read(path), read) for path in ("requirements.txt", "requirements-base.txt")]
    assert [(row.name, row.groups) for row in distinct(found)] == [("six", ()), ("idna", ())]
