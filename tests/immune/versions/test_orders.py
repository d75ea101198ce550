"""What every version order promises, and where the ecosystems differ."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packaging.version import InvalidVersion, Version

from immune.versions import (
    ECOSYSTEMS,
    Unparsable,
    base_ecosystem,
    compare,
    ecosystem_of_purl,
    normalize_name,
    order_for,
    purl,
)

NUMBERS = st.lists(st.integers(0, 30), min_size=1, max_size=4).map(lambda ns: ".".join(map(str, ns)))
WORDS = st.sampled_from(
    ["", "-alpha", "-rc.1", "-rc1", "a1", "b2", "rc1", ".post1", ".dev3", "-SNAPSHOT", "-sp", ".Final", ".beta.2", "-x",
     "-0", "+build", "+local.1", ".pre.1", "-1", "-ga-1", ".0", ".a.0.b"]
)  # fmt: skip
VERSIONS = st.builds("".join, st.tuples(st.sampled_from(["", "v", "1!"]), NUMBERS, WORDS, WORDS))


# Maven's own comparison runs in circles where a word after a dot meets a word after a hyphen ("1" < "1.v" < "1-alpha"
# < "1"), and the published vectors ask for that behaviour; its order is total for everything else there is: numbers after dots
# and hyphens, qualifiers of every kind, and digits and letters that change without either.
MAVEN_WORDS = st.sampled_from(
    ["alpha", "a", "beta", "b", "milestone", "m", "rc", "cr", "snapshot", "SNAPSHOT", "ga", "final", "release", "sp", "x",
     "jre", "pre"]
)  # fmt: skip
MAVEN_NUMBERS = st.sampled_from(["0", "00", "1", "01", "2", "10"])
MAVEN_PARTS = st.one_of(
    st.builds("".join, st.tuples(st.sampled_from([".", "-", ""]), MAVEN_NUMBERS)),
    st.builds("".join, st.tuples(st.sampled_from(["-", ""]), MAVEN_WORDS)),
)
MAVEN_VERSIONS = st.builds("".join, st.tuples(NUMBERS, st.lists(MAVEN_PARTS, max_size=5).map("".join)))
# Any version at all, dots before words too: what of the order still holds for them.
MAVEN_ANY = st.builds(
    "".join,
    st.tuples(
        NUMBERS,
        st.lists(
            st.builds("".join, st.tuples(st.sampled_from([".", "-", ""]), st.one_of(MAVEN_NUMBERS, MAVEN_WORDS))), max_size=5
        ).map("".join),
    ),
)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(a=MAVEN_ANY, b=MAVEN_ANY)
def test_any_two_maven_versions_are_told_apart_the_same_from_both_sides(a, b):
    order = order_for("Maven")
    left, right = order.key(a), order.key(b)
    assert (left < right) + (right < left) + (left == right) == 1
    assert left != right or hash(left) == hash(right)
    assert order.compare(a.upper(), b) == order.compare(a, b.lower())


def versions_of(ecosystem):
    return MAVEN_VERSIONS if ecosystem == "Maven" else VERSIONS


# One ecosystem of each order.
ORDERS = list({type(order).parse: name for name, order in reversed(ECOSYSTEMS.items())}.values())


def keys(ecosystem, versions):
    order = order_for(ecosystem)
    found = []
    for version in versions:
        try:
            found.append(order.key(version))
        except Unparsable:
            continue
    return found


@pytest.mark.parametrize("ecosystem", ORDERS)
@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_the_order_is_total(ecosystem, data):
    found = keys(ecosystem, data.draw(st.lists(versions_of(ecosystem), min_size=3, max_size=3)))
    for a in found:
        for b in found:
            assert (a < b) + (b < a) + (a == b) == 1
            assert a != b or hash(a) == hash(b)
            for c in found:
                assert not (a < b and b < c) or a < c
                assert not (a == b and b == c) or a == c


@pytest.mark.parametrize("ecosystem", ORDERS)
@given(version=st.one_of(st.text(max_size=40), VERSIONS))
def test_any_text_is_either_ordered_or_refused(ecosystem, version):
    order = order_for(ecosystem)
    try:
        assert order.compare(version, version) == 0
        order.is_prerelease(version)
        order.release(version)
    except Unparsable:
        return


@given(a=VERSIONS, b=VERSIONS)
def test_pypi_agrees_with_packaging(a, b):
    order = order_for("PyPI")
    try:
        theirs = Version(a), Version(b)
    except InvalidVersion:
        for version in (a, b):
            try:
                Version(version)
            except InvalidVersion:
                with pytest.raises(Unparsable):
                    order.key(version)
        return
    assert order.compare(a, b) == (theirs[0] > theirs[1]) - (theirs[0] < theirs[1])
    assert order.is_prerelease(a) == theirs[0].is_prerelease


def test_a_version_from_before_pep_440_is_refused_for_ranges_and_compared_below_all_others():
    with pytest.raises(Unparsable):
        order_for("PyPI").key("0.9-doduo")
    assert compare("PyPI", "0.9-doduo", "0.0.1.dev0") == -1
    assert compare("PyPI", "0.9-doduo", "0.9-eevee") == -1


@pytest.mark.parametrize("ecosystem", ECOSYSTEMS)
def test_a_version_of_unreasonable_length_is_refused(ecosystem):
    with pytest.raises(Unparsable, match="too long"):
        compare(ecosystem, "1." * 5000 + "0", "1.0")


@pytest.mark.parametrize("part", ["-1", "a1", "-a1", "1a"])
def test_a_maven_version_nested_without_end_is_refused(part):
    with pytest.raises(Unparsable, match="within each other"):
        compare("Maven", "1" + part * 120, "1")


@pytest.mark.parametrize("ecosystem", ["", "no such ecosystem", "GitHub Actions"])
def test_an_unknown_ecosystem_cannot_be_ordered(ecosystem):
    with pytest.raises(Unparsable, match="no version order"):
        compare(ecosystem, "1", "2")


def test_an_ecosystem_suffix_and_its_spelling_do_not_matter():
    assert order_for("PyPI:anything") is order_for("pypi")
    assert base_ecosystem("Debian:12") == "Debian"
    assert base_ecosystem("NPM") == "npm"


@pytest.mark.parametrize(
    ("ecosystem", "version", "expected"),
    [
        ("PyPI", "1.0rc1", True),
        ("PyPI", "1.0.dev1", True),
        ("PyPI", "1.0.post1", False),
        ("PyPI", "1.0.post1.dev2", True),
        ("npm", "1.0.0-0", True),
        ("Go", "v1.0.0+incompatible", False),
        ("Go", "v0.0.0-20200513185701-a91f0712d120", True),
        ("crates.io", "1.0.0+build", False),
        ("Maven", "1.0-SNAPSHOT", True),
        ("Maven", "5.0.0.M1", True),
        ("Maven", "5.0.0.Final", False),
        ("Maven", "31.1-jre", False),
        ("RubyGems", "1.0.pre", True),
        ("RubyGems", "1.0-java", True),
        ("RubyGems", "1.0", False),
    ],
)
def test_pre_releases_are_recognised(ecosystem, version, expected):
    assert order_for(ecosystem).is_prerelease(version) is expected


@pytest.mark.parametrize(
    ("ecosystem", "name", "version", "url"),
    [
        ("PyPI", "Django_Filter", "1.0", "pkg:pypi/django-filter@1.0"),
        ("npm", "@angular/core", "1.0.0", "pkg:npm/%40angular/core@1.0.0"),
        ("npm", "lodash", None, "pkg:npm/lodash"),
        ("Go", "golang.org/x/net", "v0.7.0", "pkg:golang/golang.org/x/net@v0.7.0"),
        ("crates.io", "rand", "0.7.2", "pkg:cargo/rand@0.7.2"),
        ("Maven", "org.json:json", "20230227", "pkg:maven/org.json/json@20230227"),
        ("RubyGems", "ffi", "1.9.24", "pkg:gem/ffi@1.9.24"),
    ],
)
def test_a_package_and_its_url_are_two_spellings_of_one_thing(ecosystem, name, version, url):
    assert purl(ecosystem, name, version) == url
    assert ecosystem_of_purl(url) == (ecosystem, normalize_name(ecosystem, name), version)


@pytest.mark.parametrize("text", ["", "lodash", "pkg:npm", "pkg:docker/debian@12"])
def test_what_is_no_url_of_a_known_kind_of_package_is_refused(text):
    with pytest.raises(Unparsable):
        ecosystem_of_purl(text)
