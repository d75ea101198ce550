"""uv.lock renewed by uv in the sandbox: the remedied package and what holds it down move, and nothing else in the files does."""

import difflib
import tomllib
from contextlib import nullcontext

import pytest

from immune.renewal import CannotRenew, RegistryUnreachable, Wanted
from wargaming.renewal import fetch
from wargaming.renewal.uv import UvRenewer, spliced, with_target

PROJECT = '[project]\nname = "app"\nversion = "0.1.0"\nrequires-python = ">=3.11"\ndependencies = [{}]\n'


@pytest.fixture(scope="module")
def renewer(bubblewrap, work_folder):
    return UvRenewer(lambda: nullcontext(bubblewrap), lambda: work_folder)


def locked(renewer, order):
    """A lock made where none was, as a person would have made it on the day of these versions."""
    with fetch.client() as client, renewer._opened() as driver:
        return renewer._run(order, client, driver)


@pytest.fixture(scope="module")
def held(renewer):
    """httpcore 1.0.7 asks for h11 below 0.15; a later one asks for 0.16."""
    manifest = PROJECT.format('"httpcore>=1.0"') + "# the client\n"
    order = {"manifest": manifest, "lock": "", "upgrades": ["httpcore==1.0.7", "h11==0.14.0"]}
    return {"pyproject.toml": manifest, "uv.lock": locked(renewer, order)}


@pytest.fixture(scope="module")
def pinned(renewer):
    manifest = PROJECT.format('"idna==3.6", "zipp>=3.19"')
    order = {"manifest": manifest, "lock": "", "upgrades": ["zipp==3.19.1"]}
    return {"pyproject.toml": manifest, "uv.lock": locked(renewer, order)}


def wanted(files, name, version, target, path="uv.lock"):
    return Wanted(path, files[path], name, {version: target}, files.get)


def versions(text):
    return {entry["name"]: entry["version"] for entry in tomllib.loads(text)["package"]}


def removed(before, after):
    return [line[1:] for line in difflib.unified_diff(before.splitlines(), after.splitlines(), n=0) if line[:1] == "-"][
        1:
    ]


def test_an_exact_pin_moves_in_both_files_and_the_rest_stays_byte_for_byte(renewer, pinned):
    done = renewer.lock(wanted(pinned, "idna", "3.6", "3.7"))
    assert done["pyproject.toml"] == pinned["pyproject.toml"].replace("3.6", "3.7")
    assert versions(done["uv.lock"]) == {"app": "0.1.0", "idna": "3.7", "zipp": "3.19.1"}
    gone = removed(pinned["uv.lock"], done["uv.lock"])
    assert all("3.6" in line or "idna" in line or line == "wheels = [" for line in gone), gone


def test_what_holds_the_package_down_moves_with_it(renewer, held):
    done = renewer.lock(wanted(held, "h11", "0.14.0", "0.16.0"))
    before, after = versions(held["uv.lock"]), versions(done["uv.lock"])
    assert list(done) == ["uv.lock"]
    assert after["h11"] == "0.16.0"
    assert {name for name in before if before[name] != after[name]} == {"h11", "httpcore"}


def test_every_address_is_the_public_ones(renewer, pinned):
    text = renewer.lock(wanted(pinned, "idna", "3.6", "3.7"))["uv.lock"]
    for entry in tomllib.loads(text)["package"]:
        assert entry["source"] in ({"virtual": "."}, {"registry": "https://pypi.org/simple"})
        files = [entry["sdist"], *entry["wheels"]] if "wheels" in entry else []
        assert all(file["url"].startswith("https://files.pythonhosted.org/packages/") for file in files)


def test_a_conflict_is_said_in_the_resolvers_words(renewer, held):
    files = held | {"pyproject.toml": held["pyproject.toml"].replace(">=1.0", "==1.0.7")}
    files["uv.lock"] = files["uv.lock"].replace('specifier = ">=1.0"', 'specifier = "==1.0.7"')
    with pytest.raises(CannotRenew, match=r"uv: .*httpcore==1\.0\.7 depends on h11") as refusal:
        renewer.lock(wanted(files, "h11", "0.14.0", "0.16.0"))
    assert len(str(refusal.value)) < 1000
    assert str(refusal.value).isprintable()


def test_a_lock_that_is_not_in_step_with_its_manifest_is_refused(renewer, pinned):
    files = pinned | {"pyproject.toml": PROJECT.format('"idna==3.6", "six"')}
    with pytest.raises(CannotRenew, match="run uv lock first"):
        renewer.lock(wanted(files, "idna", "3.6", "3.7"))


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ('[tool.uv]\nindex-url = "http://evil.example/simple"\n', "index-url"),
        ('[[tool.uv.index]]\nurl = "http://evil.example/simple"\n', r"tool\.uv\.index"),
        ('[tool.uv.sources]\nidna = { path = "../../etc" }\n', r"tool\.uv\.sources"),
        ('[tool.uv.sources]\nidna = { git = "https://evil.example/x" }\n', r"tool\.uv\.sources"),
        ("[tool.uv]\nno-binary = true\n", "no-binary"),
        ('[tool.uv.workspace]\nmembers = ["*"]\n', "workspace"),
        ('[dependency-groups]\ndev = ["x @ http://evil.example/x.whl"]\n', "from an address"),
    ],
)
def test_a_project_that_points_uv_elsewhere_is_refused_before_uv_runs(renewer, more, reason):
    files = {"pyproject.toml": PROJECT.format('"idna==3.6"') + more, "uv.lock": "version = 1\n"}
    with pytest.raises(CannotRenew, match=reason):
        renewer.lock(wanted(files, "idna", "3.6", "3.7"))


@pytest.mark.parametrize(
    "source",
    ['{ registry = "http://127.0.0.1:9/simple" }', '{ git = "https://evil.example/x" }', '{ path = "/etc/x" }'],
)
def test_a_lock_with_packages_from_elsewhere_is_refused(renewer, source):
    lock = f'version = 1\n\n[[package]]\nname = "idna"\nversion = "3.6"\nsource = {source}\n'
    files = {"pyproject.toml": PROJECT.format('"idna==3.6"'), "uv.lock": lock}
    with pytest.raises(CannotRenew, match="not from the public index"):
        renewer.lock(wanted(files, "idna", "3.6", "3.7"))


@pytest.mark.parametrize(
    "project",
    [
        '[project]\nname = "app"\nversion = "0.1.0"\ndynamic = ["dependencies"]\n',
        '[project]\nname = "app"\ndynamic = ["version"]\ndependencies = ["idna==3.6"]\n',
        "",
    ],
)
def test_a_project_that_would_have_to_be_built_is_refused_before_uv_runs(renewer, pinned, project):
    build = '[build-system]\nrequires = []\nbuild-backend = "antigravity"\nbackend-path = ["."]\n'
    with pytest.raises(CannotRenew, match=r"nothing is built here|would have to be built"):
        renewer.lock(wanted(pinned | {"pyproject.toml": project + build}, "idna", "3.6", "3.7"))


def test_an_index_that_does_not_answer_says_nothing_about_the_change(renewer, pinned, monkeypatch):
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://127.0.0.1:1/simple")
    with pytest.raises(RegistryUnreachable):
        renewer.lock(wanted(pinned, "idna", "3.6", "3.7"))


def test_a_range_that_excludes_the_target_is_not_guessed():
    text = PROJECT.format('"idna<3.7"')
    with pytest.raises(CannotRenew, match="does not admit"):
        with_target("pyproject.toml", text, "idna", "3.7")


def test_markers_extras_and_quotes_stay_where_a_pin_moves():
    text = PROJECT.format("""'Requests[socks] == 2.31.0 ; python_version > "3"', "other==2.31.0" """)
    assert with_target("pyproject.toml", text, "requests", "2.32.0") == text.replace("== 2.31.0", "== 2.32.0")


def test_files_that_an_index_added_since_are_no_part_of_the_change():
    old = 'version = 1\nrevision = 1\n\n[[package]]\nname = "a"\nversion = "1"\nwheels = [\n    { url = "one" },\n]\n'
    new = old.replace("revision = 1", "revision = 3").replace('"one" }', '"one" },\n    { url = "two" }')
    assert spliced(old, new) == old
    asked = new.replace('version = "1"\n', 'version = "1"\ndependencies = [\n    { name = "b" },\n]\n')
    assert spliced(old, asked) == old.replace(
        'version = "1"\n', 'version = "1"\ndependencies = [\n    { name = "b" },\n]\n'
    )
