"""Which pins move for a package to reach its target: as few as possible, each no further than it must."""

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from immune.renewal import CannotRenew
from wargaming.renewal.lifting import Allowed, lifted

# client 1.0 and 1.1 hold parser down, 1.2 (deprecated by nobody) admits it, 2.0 does too.
INDEX = {
    "client": {"1.0": ["parser<2"], "1.1": ["parser<2"], "1.2": ["parser<4"], "2.0": ["parser>=2"]},
    "parser": {"1.0": [], "2.0": [], "2.1": ["words>=3"], "3.0": ["words>=3"], "4.0": []},
    "words": {"1.0": [], "3.0": [], "3.1": []},
    "pinned": {"1.0": ["parser==1.0"]},
}


def requires(name, version):
    return [Requirement(one) for one in INDEX[name][str(version)]]


def versions(name):
    return [Version(one) for one in INDEX[name]]


def moved(locked, target, asked=None):
    found = lifted(
        {name: Version(version) for name, version in locked.items()},
        (target[0], Version(target[1])),
        requires,
        versions,
        {
            name: [Allowed(text, lambda v, text=text: v in Requirement(f"x{text}").specifier)]
            for name, text in (asked or {}).items()
        },
    )
    return {name: str(version) for name, version in found.items()}


def test_nothing_else_moves_where_nothing_stands_in_the_way():
    assert moved({"parser": "1.0", "words": "1.0"}, ("parser", "2.0")) == {"parser": "2.0"}


def test_a_parent_goes_to_its_smallest_version_that_admits_the_target():
    assert moved({"client": "1.0", "parser": "1.0"}, ("parser", "2.0")) == {"parser": "2.0", "client": "1.2"}


def test_what_the_target_requires_goes_to_the_smallest_version_that_serves():
    locked = {"client": "1.0", "parser": "1.0", "words": "1.0"}
    assert moved(locked, ("parser", "3.0")) == {"parser": "3.0", "client": "1.2", "words": "3.0"}


def test_a_parent_that_never_admits_it_is_the_reason():
    with pytest.raises(
        CannotRenew, match=r"pinned 1\.0 requires parser==1\.0, and no later version admits parser 2\.0"
    ):
        moved({"pinned": "1.0", "parser": "1.0"}, ("parser", "2.0"))


def test_what_the_project_itself_asks_for_binds_the_parent_too():
    with pytest.raises(CannotRenew, match="no later version that the project allows admits parser"):
        moved({"client": "1.0", "parser": "1.0"}, ("parser", "2.0"), {"client": "<1.2"})
    with pytest.raises(CannotRenew, match="the project asks for parser <2"):
        moved({"parser": "1.0"}, ("parser", "2.0"), {"parser": "<2"})


def test_what_was_in_conflict_before_and_does_not_move_is_none_of_ours():
    assert moved({"client": "1.0", "parser": "2.0", "words": "1.0"}, ("words", "3.0")) == {"words": "3.0"}


def test_two_that_pull_against_each_other_end():
    index = {"a": {"1": [], "2": ["b>1"], "3": ["b>2"]}, "b": {"1": [], "2": ["a>2"], "3": ["a>3"]}}
    with pytest.raises(CannotRenew):
        lifted(
            {"a": Version("1"), "b": Version("1")},
            ("a", Version("2")),
            lambda name, version: [Requirement(one) for one in index[name][str(version)]],
            lambda name: [Version(one) for one in index[name]],
        )
