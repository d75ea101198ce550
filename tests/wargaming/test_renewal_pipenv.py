"""Pipfile.lock renewed by Pipenv in the sandbox: the remedied package moves with what holds it down, and nothing else in the files does."""

import json
from contextlib import nullcontext

import pytest

from immune.renewal import CannotRenew, Wanted
from wargaming.renewal.pipenv import PipenvRenewer, check_moves, check_step, with_target

PROJECT = """[[source]]
url = "https://pypi.org/simple"
verify_ssl = true
name = "pypi"

[packages]
httpcore = "*"  # the client
"""
HASH_OF_PROJECT = "9509f441e607671b9dabc0465ac12b4ee56a64f1d3ddbeee2320188dba3981a5"
HASHES = {
    "h11": ("8f19fbbe99e72420ff35c00b27a34cb9937e902a8b810e2c88300c6f0a3b699d", "0.14.0"),
    "httpcore": ("8551cb62a169ec7162ac7be8d4817d561f60e08eaa485234898414bb5a8a0b4c", "1.0.7"),
    "certifi": ("5a1e7645bc0ec61a09e26c36f6106dd4cf40c6db3a1fb6352b0244e7fb057c7b", "2024.7.4"),
}


def entry(name, **more):
    digest, version = HASHES[name]
    return {"hashes": [f"sha256:{digest}"], **more, "version": f"=={version}"}


def lock(**changes):
    default = {
        "certifi": entry("certifi", markers="python_version >= '3.6'"),
        # only wanted on another platform: stays as it is
        "colorama": {"hashes": ["sha256:" + "0" * 64], "markers": "sys_platform == 'win32'", "version": "==0.4.6"},
        "h11": entry("h11", markers="python_version >= '3.7'"),
        "httpcore": entry("httpcore", index="pypi", markers="python_version >= '3.8'"),
    }
    source = {"name": "pypi", "url": "https://pypi.org/simple", "verify_ssl": True}
    meta = {"hash": {"sha256": HASH_OF_PROJECT}, "pipfile-spec": 6, "requires": {}, "sources": [source]}
    return {"_meta": meta, "default": default, "develop": {}, **changes}


def shown(value):
    return json.dumps(value, indent=4) + "\n"


@pytest.fixture
def renewer(bubblewrap, work_folder):
    return PipenvRenewer(lambda: nullcontext(bubblewrap), lambda: work_folder)


def nowhere():
    raise AssertionError("nothing may be run")


def refused(pipfile, text):
    files = {"Pipfile": pipfile, "Pipfile.lock": text}
    PipenvRenewer(nowhere, nowhere).lock(Wanted("Pipfile.lock", text, "h11", {"0.14.0": "0.16.0"}, files.get))


def test_the_package_and_what_holds_it_down_move_and_the_rest_stays_byte_for_byte(renewer, python_index):
    files = {"Pipfile": PROJECT, "Pipfile.lock": shown(lock())}
    done = renewer.lock(Wanted("Pipfile.lock", files["Pipfile.lock"], "h11", {"0.14.0": "0.16.0"}, files.get))
    assert list(done) == ["Pipfile.lock"]
    after = lock()
    after["default"]["h11"] = {
        "hashes": [
            "sha256:4e35b956cf45792e4caa5885e69fba00bdbc6ffafbfa020300e549b208ee5ff1",
            "sha256:63cf8bbe7522de3bf65932fda1d9c2772064ffb3dae62d55932da54b31cb6c86",
        ],
        "markers": "python_version >= '3.8'",
        "version": "==0.16.0",
    }
    after["default"]["httpcore"] |= {
        "hashes": [
            "sha256:2d400746a40668fc9dec9810239072b40b4484b640a8c38fd654a024c7a1bf55",
            "sha256:6e34463af53fd2ab5d807f399a9b45ea31c3dfa2276f15a2c3f00afff6e176e8",
        ],
        "version": "==1.0.9",
    }
    assert done["Pipfile.lock"] == shown(after)


def test_a_conflict_is_said_in_the_resolvers_words(renewer, python_index):
    pipfile = PROJECT.replace('"*"', '"==1.0.7"')
    text = shown(lock()).replace(HASH_OF_PROJECT, "98cb531794b788005571372682a227e3e9c418031cf8a68381f9587051b1506c")
    files = {"Pipfile": pipfile, "Pipfile.lock": text}
    with pytest.raises(CannotRenew, match=r"pipenv: ERROR: .*httpcore 1\.0\.7 depends on h11") as refusal:
        renewer.lock(Wanted("Pipfile.lock", text, "h11", {"0.14.0": "0.16.0"}, files.get))
    assert "Traceback" not in str(refusal.value)


@pytest.mark.parametrize(
    ("line", "after"),
    [
        ('h11 = "==0.14.0"', 'h11 = "==0.16.0"'),
        ("h11 = {version = '==0.14.0', extras = ['x']}", "h11 = {version = '==0.16.0', extras = ['x']}"),
        ('H11 = "~=0.14.0"', 'H11 = "~=0.16.0"'),
        ('h11 = "*"', 'h11 = "*"'),
    ],
)
def test_a_wish_that_excludes_the_target_moves_in_its_place(line, after):
    text = PROJECT + line + "\n"
    assert with_target("Pipfile", text, "h11", "0.16.0") == text.replace(line, after)


def test_a_range_that_excludes_the_target_is_not_guessed():
    with pytest.raises(CannotRenew, match=r"Pipfile asks for h11 <0\.15, which does not admit"):
        with_target("Pipfile", PROJECT + 'h11 = "<0.15"\n', "h11", "0.16.0")


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        ("https://pypi.org/simple", "http://evil.example/simple", "takes packages from http://evil.example"),
        ("https://pypi.org/simple", "https://${TOKEN}@pypi.org/simple", "not from the public index"),
        ("[packages]", '[[source]]\nurl = "https://evil.example"\nname = "x"\n[packages]', "evil.example"),
        ('"*"', '{git = "https://evil.example/x"}', "sets git for httpcore"),
        ('"*"', '{path = "../../etc"}', "sets path for httpcore"),
        ('"*"', '{file = "http://evil.example/x.whl"}', "sets file for httpcore"),
        ('"*"', '"==1 --index-url http://evil.example"', "is not understood"),
        ("httpcore", '"httpcore --index-url x"', "not understood"),
        ("[packages]", "[pipenv]\ninstall_search_all_sources = true\n[packages]", "install_search_all_sources"),
        ("[packages]", '[build-system]\nrequires = ["evil"]\n[packages]', "build-system"),
        ("[packages]", "[packages", "TOML"),
    ],
)
def test_a_project_that_points_pipenv_elsewhere_is_refused_before_it_runs(before, after, reason):
    with pytest.raises(CannotRenew, match=reason) as refusal:
        refused(PROJECT.replace(before, after), shown(lock()))
    assert "TOKEN" not in str(refusal.value)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"git": "https://evil.example/x", "ref": "abc"}, "locked with git"),
        ({"path": "../x"}, "locked with path"),
        ({"version": ">=1"}, "no exact version"),
        ({"hashes": []}, "without its SHA-256"),
        ({"hashes": ["md5:0"]}, "without its SHA-256"),
    ],
)
def test_a_lock_with_packages_from_elsewhere_is_refused(change, reason):
    with pytest.raises(CannotRenew, match=reason):
        refused(PROJECT, shown(lock(develop={"x": entry("h11") | change})))


def test_a_lock_with_another_source_or_layout_or_without_a_hash_is_refused():
    for text, reason in (
        (shown(lock()).replace("https://pypi.org", "https://evil.example"), "takes packages from"),
        (json.dumps(lock()), "not laid out"),
        (shown(lock(_meta={})), "does not say the hash"),
    ):
        with pytest.raises(CannotRenew, match=reason):
            refused(PROJECT, text)


def at(**versions):
    """A lock's categories with a package called x at a version each."""
    categories = {category: {"x": {"version": version}} for category, version in versions.items()}
    return {"_meta": {"hash": {"sha256": "0"}}, **categories}


def test_a_lock_that_is_not_in_step_is_refused():
    check_step("x", at(default="==1"), at(default="==1"))
    check_step("y", at(default="==1", develop="==1"), at(default="==1"))  # x in develop is for another platform
    for name, locked, made in (
        ("x", at(default="==1"), at(default="==2")),
        ("x", at(default="==1"), at(default="==1", develop="==1")),
        ("x", at(default="==1"), at(default="==1") | {"_meta": {"hash": {"sha256": "1"}}}),
        ("x", at(default="==1", develop="==1"), at(default="==1")),
    ):
        with pytest.raises(CannotRenew):
            check_step(name, locked, made)


def test_categories_that_were_locked_apart_stay_apart_and_only_what_stands_there_is_moved():
    locked, made = at(default="==1", develop="==2"), at(default="==2", develop="==2")
    check_step("y", locked, made)
    check_moves(locked, made, made)
    with pytest.raises(CannotRenew, match="x stands at another version in default"):
        check_moves(locked, made, at(default="==3", develop="==3"))
