"""Which target a plan picks, and what it says of the problems it cannot close."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from immune.advisories.osv import read_osv
from immune.matching import AdvisoryIndex
from immune.planning import Bump, Problem, Release, bump, plan, plan_for
from immune.versions import order_for

PYPI = order_for("PyPI")


def advisory(identifier, *ranges, versions=(), **more):
    """A record on PyPI's "boat"; each range is (introduced, fixed or None)."""
    events = [[{"introduced": low}, *([{"fixed": high}] if high else [])] for low, high in ranges]
    return read_osv(
        {
            "id": identifier,
            "modified": "2026-01-01T00:00:00Z",
            "affected": [
                {
                    "package": {"ecosystem": "PyPI", "name": "boat"},
                    "ranges": [{"type": "ECOSYSTEM", "events": e} for e in events],
                    "versions": list(versions),
                }
            ],
            **more,
        },
        "test",
    )


def releases(*versions):
    return [Release(version) for version in versions]


def test_the_smallest_version_that_closes_all_is_chosen():
    index = AdvisoryIndex([advisory("A-1", ("0", "1.5")), advisory("A-2", ("0", "1.2"))])
    plan = plan_for(index, "PyPI", "boat", "1.0", available=releases("1.1", "1.2", "1.5", "1.6", "2.0"))
    assert (plan.target, plan.closes, plan.cannot_close, plan.bump) == ("1.5", ("A-1", "A-2"), (), Bump.MINOR)


def test_without_a_list_of_releases_the_versions_in_the_advisories_are_the_candidates():
    index = AdvisoryIndex([advisory("A-1", ("0", "1.5")), advisory("A-2", ("0", "1.2"))])
    assert plan_for(index, "PyPI", "boat", "1.0").target == "1.5"


def test_what_no_version_closes_is_said_and_the_rest_is_closed():
    index = AdvisoryIndex([advisory("A-1", ("0", "1.2")), advisory("A-2", ("0", None))])
    plan = plan_for(index, "PyPI", "boat", "1.0", available=releases("1.2", "2.0"))
    assert (plan.target, plan.closes) == ("1.2", ("A-1",))
    assert [(n.id, n.reason) for n in plan.cannot_close] == [("A-2", "no fixed version is published")]


def test_nothing_to_upgrade_to_is_a_plan_without_target():
    index = AdvisoryIndex([advisory("A-1", ("0", None))])
    plan = plan_for(index, "PyPI", "boat", "1.0", available=releases("2.0"))
    assert plan.target is None
    assert plan.bump is None
    assert [n.id for n in plan.cannot_close] == ["A-1"]


def test_a_version_that_brings_a_new_vulnerability_is_stepped_over():
    index = AdvisoryIndex([advisory("A-1", ("0", "1.2")), advisory("A-9", ("1.2", "1.4"))])
    assert plan_for(index, "PyPI", "boat", "1.0", available=releases("1.2", "1.3", "1.4")).target == "1.4"


def test_a_fix_that_only_comes_with_a_new_vulnerability_is_refused_with_the_reason():
    index = AdvisoryIndex([advisory("A-1", ("0", "1.2")), advisory("A-9", ("1.2", None))])
    plan = plan_for(index, "PyPI", "boat", "1.0", available=releases("1.2", "1.3"))
    assert plan.target is None
    assert "brings a vulnerability" in plan.cannot_close[0].reason


def test_two_fixes_that_exclude_each_other_close_the_most_and_name_the_other():
    # A-1 is back in every version that A-2 is fixed in.
    index = AdvisoryIndex([advisory("A-1", ("0", "1.2"), ("1.5", None)), advisory("A-2", ("0", "1.5"))])
    plan = plan_for(index, "PyPI", "boat", "1.0", available=releases("1.2", "1.5"))
    assert (plan.target, plan.closes) == ("1.2", ("A-1",))
    assert plan.cannot_close[0].reason == "1.5 closes it, but no version closes it together with the others"


@pytest.mark.parametrize(
    ("release", "reason"),
    [
        (Release("1.2", yanked=True), "is yanked"),
        (Release("1.2rc1"), "pre-release"),
        (Release("1.2+cu1"), "local build"),
    ],
)
def test_yanked_pre_release_and_local_builds_are_not_chosen(release, reason):
    index = AdvisoryIndex([advisory("A-1", ("0", release.version))])
    plan = plan_for(index, "PyPI", "boat", "1.0", available=[release])
    assert plan.target is None
    assert reason in plan.cannot_close[0].reason


def test_a_pre_release_moves_to_a_pre_release():
    index = AdvisoryIndex([advisory("A-1", ("0", "1.2rc2"))])
    assert plan_for(index, "PyPI", "boat", "1.2rc1", available=releases("1.2rc2", "1.2")).target == "1.2rc2"


def test_a_fix_below_the_current_version_is_no_fix():
    index = AdvisoryIndex([advisory("A-1", ("0", "1.2"), ("2.0", None))])
    plan = plan_for(index, "PyPI", "boat", "2.1", available=releases("1.2", "2.2"))
    assert plan.target is None
    assert plan.cannot_close[0].reason == "its fixes (1.2) are all below 2.1"


def test_a_version_that_could_not_be_judged_is_never_the_target():
    undecidable = advisory("A-9", ("1.2", "v1-foo"))
    index = AdvisoryIndex([advisory("A-1", ("0", "1.2")), undecidable])
    assert plan_for(index, "PyPI", "boat", "1.0", available=releases("1.2", "1.3")).target is None


def test_aliases_count_once_and_suppressed_and_withdrawn_ones_not_at_all():
    index = AdvisoryIndex(
        [
            advisory("A-1", ("0", "1.2")),
            advisory("G-1", ("0", "1.2")),
            advisory("A-2", ("0", None)),
            advisory("A-3", ("0", None), withdrawn="2026-01-02T00:00:00Z"),
        ]
    )
    plan = plan_for(
        index, "PyPI", "boat", "1.0", available=releases("1.2"), group_of={"G-1": "A-1"}, ignore=frozenset({"A-2"})
    )
    assert (plan.target, plan.closes, plan.cannot_close) == ("1.2", ("A-1",), ())


@pytest.mark.parametrize(
    ("a", "b", "kind"),
    [
        ("1.2.3", "2.0", Bump.MAJOR),
        ("1.2.3", "1.3", Bump.MINOR),
        ("1.2.3", "1.2.4", Bump.PATCH),
        ("1", "1.0.1", Bump.PATCH),
    ],
)
def test_the_size_of_a_step(a, b, kind):
    assert bump(order_for("PyPI"), a, b) is kind


VERSIONS = [f"1.{minor}" for minor in range(1, 7)]
IDS = ["A-1", "A-2", "A-3", "A-9"]


@given(
    has=st.fixed_dictionaries({v: st.one_of(st.none(), st.frozensets(st.sampled_from(IDS))) for v in VERSIONS}),
    wanted=st.lists(st.sampled_from(IDS[:3]), unique=True),
    yanked=st.frozensets(st.sampled_from(VERSIONS)),
    order=st.permutations(VERSIONS),
)
def test_no_plan_is_worse_than_one_found_by_trying_all(has, wanted, yanked, order):
    given_plan = plan(PYPI, "1.0", map(Problem, wanted), has.__getitem__, [Release(v, v in yanked) for v in order])

    steps = [
        (-len(set(wanted) - has[v]), number, v)
        for number, v in enumerate(VERSIONS)
        if v not in yanked and has[v] is not None and has[v] <= set(wanted) and set(wanted) - has[v]
    ]
    best = min(steps)[2] if steps else None
    assert given_plan.target == best
    assert set(given_plan.closes) == (set(wanted) - has[best] if best else set())
    assert {*given_plan.closes, *(n.id for n in given_plan.cannot_close)} == set(wanted)
    assert all(n.reason for n in given_plan.cannot_close)
