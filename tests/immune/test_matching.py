"""The OSV evaluation rule, its third answer, the index, and alias groups."""

from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from immune.advisories.osv import Event, Range, read_osv
from immune.inventory import Dependency, Origin
from immune.matching import NOT_AFFECTED, AdvisoryIndex, CouldNotTell, Match, affected, canonical_record, fold_aliases
from immune.versions import order_for, order_or_unknown

PYPI = order_for("PyPI")


def rng(*events, kind="ECOSYSTEM"):
    return Range(kind, tuple(Event(*event.split(" ")) for event in events))


def record(identifier, ecosystem="PyPI", name="boat", events=(("introduced", "0"),), **more):
    return read_osv(
        {
            "id": identifier,
            "modified": "2026-01-01T00:00:00Z",
            "affected": [
                {
                    "package": {"ecosystem": ecosystem, "name": name},
                    "ranges": [{"type": "ECOSYSTEM", "events": [{kind: version} for kind, version in events]}],
                }
            ],
            **more,
        },
        "test",
    )


@pytest.mark.parametrize(
    ("ranges", "inside", "outside"),
    [
        ([rng("introduced 0", "fixed 1.5")], ["0.1", "1.4.9", "1.5rc1"], ["1.5", "1.5.0", "2"]),
        ([rng("introduced 1.0", "last_affected 1.5")], ["1.0", "1.5", "1.5.0"], ["0.9", "1.0rc1", "1.5.post1", "1.6"]),
        ([rng("introduced 0", "fixed 1", "introduced 2", "fixed 3")], ["0.5", "2", "2.9"], ["1", "1.9", "3"]),
        ([rng("introduced 0", "fixed 1"), rng("introduced 2", "fixed 3")], ["0.5", "2.5"], ["1.5", "3"]),
        ([rng("introduced 0", "limit 2.0")], ["1.9"], ["2.0", "3"]),
        ([rng("introduced 0", "limit *")], ["1.9", "99"], []),
        ([rng("introduced 0", "limit 1", "limit 2")], ["0.5", "1.5"], ["2"]),
        ([rng("introduced 1.0")], ["1.0", "99"], ["0.9"]),
        ([rng("fixed 1.0", "introduced 1.0", "fixed 2.0", "introduced 0")], ["0.1", "1.0", "1.5"], ["2.0"]),
        ([rng("last_affected 1.0", "introduced 1.0")], ["1.0"], ["0.9", "1.1"]),
        ([rng("introduced 1.0.0", "fixed 1.0.0")], [], ["0.9", "1.0", "1.1"]),
    ],
)
def test_ranges_are_evaluated_as_osv_says(ranges, inside, outside):
    for version in inside:
        assert isinstance(affected(ranges, [], version, PYPI), Match), version
    for version in outside:
        assert affected(ranges, [], version, PYPI) == NOT_AFFECTED, version


def test_the_order_in_which_events_are_written_does_not_matter():
    events = ["introduced 0", "fixed 1.0", "introduced 2.0", "last_affected 2.5"]
    expected = {"0.5": True, "1.0": False, "1.5": False, "2.0": True, "2.5": True, "2.6": False}
    for order in permutations(events):
        answers = {v: isinstance(affected([rng(*order)], [], v, PYPI), Match) for v in expected}
        assert answers == expected


def test_a_listed_version_is_affected_whatever_the_ranges_say_and_in_any_spelling():
    ranges = [rng("introduced 5", "fixed 6")]
    assert affected(ranges, ["1.0.0", "not a version"], "1.0", PYPI) == Match(("6",), "6")
    assert isinstance(affected(ranges, ["not a version"], "not a version", PYPI), Match)
    assert affected(ranges, ["1.0.0"], "1.1", PYPI) == NOT_AFFECTED


def test_fixes_are_sorted_and_the_first_fix_lies_above_the_version():
    ranges = [
        rng("introduced 2.0", "fixed 2.10"),
        rng("introduced 0", "fixed 1.9"),
        rng("introduced 0", "fixed abc", kind="GIT"),
    ]
    assert affected(ranges, [], "2.1", PYPI) == Match(("1.9", "2.10"), "2.10")
    assert affected(ranges, [], "1.0", PYPI) == Match(("1.9", "2.10"), "1.9")


@pytest.mark.parametrize(
    ("ranges", "version", "reason"),
    [
        ([rng("introduced 0", "fixed v1-foo")], "1.0", "v1-foo"),
        ([rng("introduced 0", "last_affected v1-foo")], "1.0", "v1-foo"),
        ([rng("introduced v1-foo", "fixed 2.0")], "1.0", "v1-foo"),
        ([rng("introduced 0", "limit v1-foo")], "1.0", "v1-foo"),
        ([rng("introduced 0", "fixed 2.0")], "0.9-doduo", "0.9-doduo"),
        ([rng("introduced 0", "fixed 2.0")], "1." * 400 + "0", "too long"),
        ([rng("introduced 0", "fixed 7d2a", kind="GIT")], "1.0", "only commits"),
        ([], "1.0", "no versions"),
        ([rng("introduced 0", "fixed 2.0", kind="SEMVER")], "1.0rc1", "semantic version"),
    ],
)
def test_what_cannot_be_read_is_could_not_tell(ranges, version, reason):
    answer = affected(ranges, [], version, PYPI)
    assert isinstance(answer, CouldNotTell)
    assert reason in answer.reason


def test_an_unreadable_bound_that_cannot_change_the_answer_casts_no_doubt():
    assert affected([rng("introduced 2.0", "fixed v1-foo")], [], "1.0", PYPI) == NOT_AFFECTED
    assert isinstance(affected([rng("introduced 0", "introduced v1-foo", "fixed 2.0")], [], "1.0", PYPI), Match)
    assert isinstance(
        affected([rng("introduced 0", "fixed v1-foo"), rng("introduced 0", "fixed 2")], [], "1", PYPI), Match
    )
    assert isinstance(affected([rng("introduced 0")], [], "0.9-doduo", PYPI), Match)


def test_an_unknown_ecosystem_is_could_not_tell_unless_the_version_is_listed():
    order = order_or_unknown("GitHub Actions")
    assert isinstance(affected([rng("introduced 0", "fixed 2")], [], "1", order), CouldNotTell)
    assert isinstance(affected([rng("introduced 0", "fixed 2")], ["1"], "1", order), Match)
    index = AdvisoryIndex([record("A-1", ecosystem="GitHub Actions", events=(("introduced", "0"), ("fixed", "2")))])
    assert isinstance(index.findings("GitHub Actions", "boat", "1")[0].answer, CouldNotTell)


@given(
    bounds=st.lists(
        st.tuples(st.sampled_from(["introduced", "fixed", "last_affected", "limit"]), st.text(max_size=8)), max_size=6
    ),
    version=st.text(max_size=8),
)
def test_no_range_and_no_version_breaks_the_evaluation(bounds, version):
    answer = affected([Range("ECOSYSTEM", tuple(Event(*b) for b in bounds))], [], version, PYPI)
    assert isinstance(answer, Match | CouldNotTell) or answer == NOT_AFFECTED


def dependency(name="boat", version="1.0", **more):
    return Dependency(ecosystem="PyPI", name=name, version=version, manifest="requirements.txt", **more)


def test_the_index_answers_for_registry_packages_with_a_version_and_for_no_others():
    index = AdvisoryIndex([record("A-1"), record("A-2", name="car"), record("A-3", ecosystem="npm")])
    asked = [
        dependency(),
        dependency("bicycle"),
        dependency(version=None),
        dependency(origin=Origin.GIT),
        dependency(origin=Origin.PATH),
    ]
    assert [(d, [f.record.id for f in found]) for d, found in index.match(asked)] == [(asked[0], ["A-1"])]


def test_names_meet_in_their_normal_form():
    index = AdvisoryIndex([record("A-1", name="Big_Boat")])
    assert [f.record.id for f in index.findings("PyPI", "big-boat", "1")] == ["A-1"]


def test_withdrawn_records_are_found_and_marked():
    index = AdvisoryIndex([record("A-1", withdrawn="2026-02-01T00:00:00Z")])
    assert [f.withdrawn for f in index.findings("PyPI", "boat", "1")] == [True]


def test_a_record_added_later_changes_answers_already_given():
    index = AdvisoryIndex([record("A-1")])
    assert len(index.findings("PyPI", "boat", "1")) == 1
    index.add(record("A-2"))
    assert len(index.findings("PyPI", "boat", "1")) == 2


def test_a_release_of_a_distribution_is_not_judged_by_another_release():
    index = AdvisoryIndex(
        [
            record("D-11", ecosystem="Debian:11", events=(("introduced", "0"), ("fixed", "1.0-2"))),
            record("D-12", ecosystem="Debian:12", events=(("introduced", "0"), ("fixed", "1.0-9"))),
            record("D-0", ecosystem="Debian"),
        ]
    )
    assert [f.record.id for f in index.findings("Debian:12", "boat", "1.0-5")] == ["D-12", "D-0"]
    assert [f.record.id for f in index.findings("Debian:11", "boat", "1.0-5")] == ["D-0"]


def test_a_commit_range_beside_a_version_range_is_kept_and_not_evaluated():
    given_both = [rng("introduced 0", "fixed abcdef", kind="GIT"), rng("introduced 0", "fixed 2.0")]
    assert isinstance(affected(given_both, [], "1.0", PYPI), Match)
    assert affected(given_both, [], "2.0", PYPI) == NOT_AFFECTED


def test_aliases_fold_transitively_and_in_any_order():
    records = [
        record("PYSEC-2024-10", aliases=["CVE-2024-1"]),
        record("GHSA-aaaa", aliases=["CVE-2024-1", "CVE-2024-2"]),
        record("OTHER-1", aliases=["CVE-2024-2"]),
        record("PYSEC-2024-9", aliases=["CVE-2024-9"], related=["CVE-2024-1"]),
    ]
    for order in permutations(records):
        groups = fold_aliases(order)
        assert [(g.canonical, g.aliases, g.cve) for g in groups] == [
            ("PYSEC-2024-9", ("CVE-2024-9",), "CVE-2024-9"),
            ("PYSEC-2024-10", ("CVE-2024-1", "CVE-2024-2", "GHSA-aaaa", "OTHER-1"), "CVE-2024-1"),
        ]
        assert [r.id for r in groups[1].records] == ["PYSEC-2024-10", "GHSA-aaaa", "OTHER-1"]


@pytest.mark.parametrize(
    ("ids", "canonical"),
    [
        (["CVE-2024-1", "GHSA-a", "PYSEC-2024-7"], "PYSEC-2024-7"),
        (["CVE-2024-1", "GHSA-a"], "GHSA-a"),
        (["CVE-2024-1", "ZZZ-1"], "CVE-2024-1"),
        (["PYSEC-2024-10", "PYSEC-2024-9"], "PYSEC-2024-9"),
    ],
)
def test_the_canonical_id_is_that_of_the_preferred_record(ids, canonical):
    for order in permutations(ids):
        assert canonical_record([record(i) for i in order]).id == canonical


def test_a_withdrawn_record_names_a_group_only_when_no_other_does():
    gone = record("PYSEC-2024-1", aliases=["CVE-2024-1"], withdrawn="2026-02-01T00:00:00Z")
    live = record("GHSA-a", aliases=["CVE-2024-1"])
    (group,) = fold_aliases([gone, live])
    assert (group.canonical, group.withdrawn) == ("GHSA-a", False)
    (group,) = fold_aliases([gone])
    assert (group.canonical, group.withdrawn) == ("PYSEC-2024-1", True)
