"""Package URLs against the purl specification's own tests, for the types that are ecosystems here."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from immune.versions import Unparsable, ecosystem_of_purl, order_for, purl
from tests.immune.shared_data import SHARED, needs_shared_data

TYPES = {
    "pypi": "PyPI",
    "npm": "npm",
    "golang": "Go",
    "cargo": "crates.io",
    "maven": "Maven",
    "gem": "RubyGems",
    "nuget": "NuGet",
    "composer": "Packagist",
    "pub": "Pub",
    "hex": "Hex",
    "cran": "CRAN",
    "hackage": "Hackage",
}


def specified(kind):
    return json.loads((SHARED / "purl" / f"{kind}-test.json").read_text())["tests"]


def joined(ecosystem, parts):
    name = ":".join if ecosystem == "Maven" else "/".join
    return order_for(ecosystem).normalize_name(name(part for part in (parts["namespace"], parts["name"]) if part))


@needs_shared_data
@pytest.mark.parametrize(("kind", "ecosystem"), TYPES.items())
def test_every_url_of_the_specification_is_read_as_it_says(kind, ecosystem):
    count = 0
    for test in specified(kind):
        if test["test_type"] != "parse":
            continue
        count += 1
        if test["expected_failure"]:
            with pytest.raises(Unparsable):
                ecosystem_of_purl(test["input"])
            continue
        expected = test["expected_output"]
        assert ecosystem_of_purl(test["input"]) == (ecosystem, joined(ecosystem, expected), expected["version"])
    assert count


@needs_shared_data
@pytest.mark.parametrize(("kind", "ecosystem"), TYPES.items())
def test_every_plain_package_is_written_as_the_specification_says(kind, ecosystem):
    for test in specified(kind):
        parts = test["input"]
        if test["test_type"] != "build" or test["expected_failure"] or parts.get("qualifiers") or parts.get("subpath"):
            continue
        assert purl(ecosystem, joined(ecosystem, parts), parts["version"]) == test["expected_output"]


def test_letters_of_an_npm_name_are_kept():
    assert ecosystem_of_purl("pkg:npm/JSONStream@1.3.5?x=y#JSON") == ("npm", "JSONStream", "1.3.5")
    assert ecosystem_of_purl("pkg:npm/%40Foo/Bar@1.0.0") == ("npm", "@Foo/Bar", "1.0.0")


def test_letters_of_a_go_module_are_kept():
    assert ecosystem_of_purl("pkg:golang/github.com/BurntSushi/toml@v1.0.0") == (
        "Go",
        "github.com/BurntSushi/toml",
        "v1.0.0",
    )


@pytest.mark.parametrize("ecosystem", ["Debian", "Alpine", "Red Hat", "nowhere"])
def test_ecosystems_without_a_url_say_so(ecosystem):
    with pytest.raises(Unparsable):
        purl(ecosystem, "boat", "1")


@given(st.one_of(st.text(max_size=40), st.text(max_size=30).map(lambda text: "pkg:npm/" + text)))
def test_any_text_is_a_url_or_refused(text):
    try:
        ecosystem, name, _ = ecosystem_of_purl(text)
    except Unparsable:
        return
    assert ecosystem
    assert name
