"""Our orders against published vectors: osv-scalibr's pairs and the vers-spec comparison tests."""

from __future__ import annotations

import json
from functools import cmp_to_key, partial
from pathlib import Path

import pytest

from immune.versions import compare
from tests.immune.shared_data import SHARED, needs_shared_data

VECTORS = {
    "PyPI": "pypi",
    "npm": "semver",
    "Go": "semver",
    "crates.io": "semver",
    "Maven": "maven",
    "RubyGems": "rubygems",
    "NuGet": "nuget",
    "Packagist": "packagist",
    "Pub": "pub",
    "CRAN": "cran",
    "Hackage": "hackage",
    "Debian": "debian",
    "Alpine": "alpine",
    "Red Hat": "redhat",
}
# {pair: why we differ}; see the file.
ARGUED = json.loads((Path(__file__).parent / "ordering_differences.json").read_text())


def pairs_of(name):
    for path in sorted((SHARED / "versions" / "osv-scalibr").glob(f"{name}-versions*.txt")):
        for line in path.read_text().splitlines():
            if line and not line.startswith("#"):
                yield line


@needs_shared_data
@pytest.mark.parametrize("ecosystem", VECTORS)
def test_every_pair_of_the_vectors_is_ordered_as_they_say_or_argued(ecosystem):
    lines = list(pairs_of(VECTORS[ecosystem]))
    different = []
    for line in lines:
        a, expected, b = line.split(" ")
        if "<=>"[compare(ecosystem, a, b) + 1] != expected:
            different.append(line)

    assert lines
    assert different == [line for line in lines if line in ARGUED.get(ecosystem, {})]


@needs_shared_data
def test_the_vectors_are_all_there():
    names = sorted({path.name.split("-")[0] for path in (SHARED / "versions" / "osv-scalibr").iterdir()})
    assert names == sorted(set(VECTORS.values()))
    assert sum(1 for name in names for _ in pairs_of(name)) == 35711


@needs_shared_data
@pytest.mark.parametrize(
    ("name", "ecosystem", "count"),
    [
        ("maven_version_cmp_test", "Maven", 506),
        ("alpine_version_cmp_test", "Alpine", 357),
        ("nuget_version_cmp_test", "NuGet", 19),
        ("deb_version_cmp_univers", "Debian", 7),
    ],
)
def test_the_vers_specification_is_agreed_with(name, ecosystem, count):
    tests = json.loads((SHARED / "versions" / "vers-spec" / f"{name}.json").read_text())["tests"]
    wrong = []
    for test in tests:
        versions, expected = test["input"]["versions"], test["expected_output"]
        if test["test_type"] == "equality":
            right = (compare(ecosystem, *versions) == 0) == expected
        else:
            ordered = sorted(versions, key=cmp_to_key(partial(compare, ecosystem)))
            # NuGet's expectations are written in lower case, its inputs are not.
            right = [v.lower() for v in ordered] == [v.lower() for v in expected]
        if not right:
            wrong.append(test)

    assert len(tests) == count
    assert wrong == []
