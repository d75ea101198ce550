"""Requirements pinned with hashes: the new version comes with all of its hashes, or not at all."""

import re

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from immune.renewal import CannotRenew, RegistryUnreachable, Wanted
from wargaming.renewal.lifting import clash
from wargaming.renewal.requirements import check_pins, renew_requirements

# Both releases of idna are one wheel and one source distribution; 3.7 requires nothing.
OLD = (
    "9ecdbbd083b06798ae1e86adcbfe8ab1479cf864e4ee30fe4e46a003d12491ca",
    "c05567e9c24a6b9faaa835c4821bad0590fbb9d5779e7caa6e1cc4978e7eb24f",
)
NEW = (
    "028ff3aadf0609c1fd278d8ea3089299412a7a8b9bd005dd08b9f8285bcb5cfc",
    "82fee1fc78add43492d3a1898bfa6d8a904cc97d8427f683ed8e798d07761aa0",
)


def pin(version, hashes):
    return f"idna=={version} \\\n" + " \\\n".join(f"    --hash=sha256:{one}" for one in hashes) + "\n"


def wanted(text, name="idna", **targets):
    return Wanted(
        "requirements.txt", text, name, {k[1:].replace("_", "."): v for k, v in targets.items()}, lambda path: None
    )


def test_hashes_of_every_file_of_the_release_replace_the_old_and_nothing_else_moves():
    around = "# compiled\n--require-hashes\n{}    # via requests\n\nsix==1.16.0 --hash=sha256:" + "0" * 64
    done = renew_requirements(wanted(around.format(pin("3.6", OLD)), _3_6="3.7"))
    assert done == {"requirements.txt": around.format(pin("3.7", NEW))}


def test_a_release_that_requires_what_the_file_does_not_hold_is_refused():
    text = f"jinja2==2.0 --hash=sha256:{'0' * 64}\n"
    with pytest.raises(CannotRenew, match=r"requires MarkupSafe.*does not hold"):
        renew_requirements(wanted(text, "jinja2", _2_0="3.1.6"))


def test_a_release_that_requires_another_version_than_is_pinned_is_refused():
    text = f"jinja2==2.0 --hash=sha256:{'0' * 64}\nmarkupsafe==1.0 --hash=sha256:{'0' * 64}\n"
    with pytest.raises(CannotRenew, match=r"the file pins 1\.0"):
        renew_requirements(wanted(text, "jinja2", _2_0="3.1.6"))


def test_a_version_the_index_does_not_have_is_said():
    with pytest.raises(CannotRenew, match=r"no idna 3\.6\.99"):
        renew_requirements(wanted(pin("3.6", OLD), _3_6="3.6.99"))


@pytest.mark.parametrize(
    "option",
    [
        "--index-url http://evil.example/simple",
        "--extra-index-url https://evil.example",
        "-i http://x",
        "--no-binary :all:",
        "--find-links .",
    ],
)
def test_a_file_that_points_the_installer_elsewhere_is_refused(option):
    with pytest.raises(CannotRenew, match="only the public index"):
        renew_requirements(wanted(f"{option}\n{pin('3.6', OLD)}", _3_6="3.7"))


def test_an_index_that_does_not_answer_says_nothing_about_the_change(monkeypatch):
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://127.0.0.1:1/simple")
    with pytest.raises(RegistryUnreachable):
        renew_requirements(wanted(pin("3.6", OLD), _3_6="3.7"))


def test_no_hash_is_split_from_its_pin():
    done = renew_requirements(wanted(pin("3.6", OLD), _3_6="3.7"))["requirements.txt"]
    assert re.findall(r"sha256:(\w+)", done) == sorted(NEW)


# --- pins without hashes --------------------------------------------------------------------------------------

INDEX = {
    "client": {"1.0": ["parser<2", "words"], "2.0": ["parser>=2"]},
    "parser": {"1.0": [], "2.0": ["words>=3"], "2.1": []},
    "words": {"1.0": [], "3.0": []},
    "elsewhere": {},
}


def requires(name, version):
    try:
        return [Requirement(one) for one in INDEX[name][str(version)]]
    except KeyError:
        raise CannotRenew("the index has no such thing") from None


@pytest.mark.parametrize(
    ("pins", "target", "reason"),
    [
        ({"parser": "1.0", "client": "1.0"}, "2.1", "client 1.0 requires parser<2, and parser would stand at 2.1"),
        ({"parser": "1.0", "words": "1.0"}, "2.0", "parser 2.0 requires words>=3, and words would stand at 1.0"),
        ({"parser": "1.0", "words": "3.0"}, "2.0", None),
        ({"parser": "1.0", "elsewhere": "1.0"}, "2.0", None),  # nothing is known of it
        ({"parser": "1.0", "client": "2.0"}, "1.5", None),  # they did not fit before either
    ],
)
def test_a_pin_that_does_not_fit_the_others_is_said(pins, target, reason):
    found = clash(
        {name: Version(one) for name, one in pins.items()}, "parser", Version("1.0"), Version(target), requires
    )
    assert found == reason


def test_a_pin_without_hashes_is_looked_at_in_the_index(python_index):
    text = "httpcore==1.0.7\nh11==0.14.0\n"
    with pytest.raises(
        CannotRenew, match=r"h11 0\.16\.0 does not fit the other pins: httpcore 1\.0\.7 requires h11<0\.15"
    ):
        check_pins(Wanted("requirements.txt", text, "h11", {"0.14.0": "0.16.0"}, lambda path: None))


def test_files_of_another_index_are_not_judged_by_ours(monkeypatch):
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://127.0.0.1:1/simple")
    text = "--index-url https://mirror.example/simple\nhttpcore==1.0.7\nh11==0.14.0\n"
    check_pins(Wanted("requirements.txt", text, "h11", {"0.14.0": "0.16.0"}, lambda path: None))
    with pytest.raises(RegistryUnreachable):
        check_pins(Wanted("requirements.txt", text.partition("\n")[2], "h11", {"0.14.0": "0.16.0"}, lambda path: None))
