"""package-lock.json renewed by npm in the sandbox: the remedied package moves, and nothing else in the files does."""

import json
from contextlib import nullcontext

import pytest

from immune.formats import package_lock
from immune.renewal import CannotRenew, RegistryUnreachable, Wanted
from wargaming.renewal import npm as npm_module
from wargaming.renewal.npm import NpmRenewer

LODASH = {
    "version": "4.17.20",
    "resolved": "https://registry.npmjs.org/lodash/-/lodash-4.17.20.tgz",
    "integrity": "sha512-PlhdFcillOINfeV7Ni6oF1TAEayyZBoZ8bcshTHqOYJYlrqzRK5hagpagky5o4HfCzzd1TRkXPMFq6cKk9rGmA==",
}
MINIMIST = {
    "version": "0.0.8",
    "resolved": "https://registry.npmjs.org/minimist/-/minimist-0.0.8.tgz",
    "integrity": "sha512-miQKw5Hv4NS1Psg2517mV4e4dYNaO3++hjAvLOAzKqZ61rH8NS1SK+vbfBWZ5PY/Me/bEWhUwqMghEW5Fb9T7Q==",
}
MKDIRP = {
    "version": "0.5.1",
    "resolved": "https://registry.npmjs.org/mkdirp/-/mkdirp-0.5.1.tgz",
    "integrity": "sha512-SknJC52obPfGQPnjIkXbmA6+5H15E+fR+E4iR2oQ3zzCLbd7/ONua69R/Gw7AgkTLsRG+r5fzksYwWe1AgTyWA==",
}
NEW_LODASH = {
    "version": "4.17.21",
    "resolved": "https://registry.npmjs.org/lodash/-/lodash-4.17.21.tgz",
    "integrity": "sha512-v2kDEe57lecTulaDIuNTPy3Ry4gLGJ6Z1O3vE1krgXZNrsQ+LFTGHVxVjcXPs17LhbZVGedAJv8XZ1tvj5FvSg==",
}


@pytest.fixture
def renewer(bubblewrap, work_folder):
    return NpmRenewer(lambda: nullcontext(bubblewrap), lambda: work_folder)


def shown(value, indent="  "):
    return json.dumps(value, indent=indent) + "\n"


def manifest(**wishes):
    return {"name": "app", "version": "1.0.0", "dependencies": wishes}


def lock(asked, packages, version=3):
    """A lock of any version; of the first, ``packages`` lie side by side at the top."""
    found = {"name": "app", "version": "1.0.0", "lockfileVersion": version, "requires": True}
    if version > 1:
        found["packages"] = {"": asked, **{f"node_modules/{name}": entry for name, entry in packages.items()}}
    if version < 3:
        found["dependencies"] = {
            name: {
                **{key: entry[key] for key in ("version", "resolved", "integrity")},
                **({"requires": entry["dependencies"]} if "dependencies" in entry else {}),
            }
            for name, entry in packages.items()
        }
    return found


def wanted(files, name, targets, path="package-lock.json"):
    return Wanted(path, files[path], name, targets, files.get)


def project(asked, packages, version=3, indent="  ", **more):
    return {
        "package.json": shown(asked, indent),
        "package-lock.json": shown(lock(asked, packages, version), indent),
        **more,
    }


@pytest.mark.parametrize("version", [1, 2, 3])
def test_a_wish_that_admits_the_target_stays_and_only_the_entry_changes(renewer, version):
    asked = manifest(lodash="^4.17.0", mkdirp="0.5.1")
    mkdirp = {**MKDIRP, "dependencies": {"minimist": "0.0.8"}, "bin": {"mkdirp": "bin/cmd.js"}}
    before = project(asked, {"lodash": LODASH, "minimist": MINIMIST, "mkdirp": mkdirp}, version)
    done = renewer.lock(wanted(before, "lodash", {"4.17.20": "4.17.21"}))
    after = project(asked, {"lodash": NEW_LODASH, "minimist": MINIMIST, "mkdirp": mkdirp}, version)
    told = {"license": "MIT"} if version > 1 else {}  # npm says the licence of what it writes anew
    assert list(done) == ["package-lock.json"]
    found = json.loads(done["package-lock.json"])
    if version > 1:
        assert found["packages"]["node_modules/lodash"] == NEW_LODASH | told
        found["packages"]["node_modules/lodash"] = NEW_LODASH
        done["package-lock.json"] = shown(found)
    assert done["package-lock.json"] == after["package-lock.json"]


def test_an_exact_wish_moves_with_the_lock_in_the_layout_the_files_have(renewer):
    asked = {"files": ["a", "b"], **manifest(lodash="~4.17.20")}
    before = project(asked, {"lodash": LODASH}, indent="\t")
    before["package.json"] = '{ "files": ["a",   "b"],\r\n\t"dependencies": {"lodash" : "4.17.20"} }'
    before["package-lock.json"] = before["package-lock.json"].replace("~4", "4").rstrip("\n").replace("\n", "\r\n")
    done = renewer.lock(wanted(before, "lodash", {"4.17.20": "4.17.21"}))
    assert done["package.json"] == before["package.json"].replace("4.17.20", "4.17.21")
    text = done["package-lock.json"]
    assert text.count("\n") == text.count("\r\n")
    assert not text.endswith("\n")
    assert '\r\n\t\t\t\t"lodash": "4.17.21"' in text


def test_a_parent_that_admits_the_target_in_a_newer_version_goes_there_and_no_further(renewer):
    # mkdirp 0.5.1 asks for minimist 0.0.8 exactly, 0.5.2 to 0.5.6 for ^1.2.5.
    asked = manifest(mkdirp="^0.5.0")
    mkdirp = {**MKDIRP, "dependencies": {"minimist": "0.0.8"}, "bin": {"mkdirp": "bin/cmd.js"}}
    before = project(asked, {"minimist": MINIMIST, "mkdirp": mkdirp})
    done = renewer.lock(wanted(before, "minimist", {"0.0.8": "1.2.6"}))
    assert list(done) == ["package-lock.json"]
    found = json.loads(done["package-lock.json"])["packages"]
    assert found["node_modules/minimist"]["version"] == "1.2.6"
    assert found["node_modules/mkdirp"]["version"] in ("0.5.2", "0.5.3")  # a registry may call the first deprecated


def test_a_parent_that_never_admits_it_is_overridden_in_package_json(renewer):
    asked = manifest(mkdirp="0.5.1")
    mkdirp = {**MKDIRP, "dependencies": {"minimist": "0.0.8"}, "bin": {"mkdirp": "bin/cmd.js"}}
    before = project(asked, {"minimist": MINIMIST, "mkdirp": mkdirp})
    done = renewer.lock(wanted(before, "minimist", {"0.0.8": "1.2.6"}))
    assert done["package.json"] == shown({**asked, "overrides": {"mkdirp": {"minimist": "1.2.6"}}})
    inventory = package_lock.parse(done["package-lock.json"], path="package-lock.json", read=done.__getitem__)
    assert {(one.name, one.version) for one in inventory.dependencies} == {("minimist", "1.2.6"), ("mkdirp", "0.5.1")}
    entries = json.loads(done["package-lock.json"])["packages"]
    assert entries["node_modules/mkdirp"] == mkdirp
    assert entries["node_modules/minimist"]["resolved"] == "https://registry.npmjs.org/minimist/-/minimist-1.2.6.tgz"


def test_the_old_form_of_the_lock_knows_no_overrides(renewer):
    mkdirp = {**MKDIRP, "dependencies": {"minimist": "0.0.8"}}
    before = project(manifest(mkdirp="0.5.1"), {"minimist": MINIMIST, "mkdirp": mkdirp}, 1)
    with pytest.raises(CannotRenew, match="knows no overrides"):
        renewer.lock(wanted(before, "minimist", {"0.0.8": "1.2.6"}))


def test_a_version_the_registry_does_not_have_is_said(renewer):
    before = project(manifest(lodash="4.17.20"), {"lodash": LODASH})
    with pytest.raises(CannotRenew, match=r"the registry has no lodash 4\.17\.999"):
        renewer.lock(wanted(before, "lodash", {"4.17.20": "4.17.999"}))


def test_a_lock_that_is_not_in_step_with_its_manifest_is_refused(renewer):
    before = project(manifest(lodash="4.17.20"), {"lodash": LODASH})
    before["package.json"] = shown(manifest(lodash="4.17.20", minimist="1.2.8"))
    with pytest.raises(CannotRenew, match="run npm install first"):
        renewer.lock(wanted(before, "lodash", {"4.17.20": "4.17.21"}))


def test_scripts_of_the_project_are_never_run(renewer):
    asked = {"scripts": {"preinstall": "exit 3", "prepare": "exit 3"}, **manifest(lodash="^4.17.0")}
    before = project(asked, {"lodash": LODASH})
    root = json.loads(before["package-lock.json"])
    root["packages"][""] = {"hasInstallScript": True, **manifest(lodash="^4.17.0")}
    before["package-lock.json"] = shown(root)
    assert '"4.17.21"' in renewer.lock(wanted(before, "lodash", {"4.17.20": "4.17.21"}))["package-lock.json"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({".npmrc": "registry=http://evil.example"}, r"\.npmrc may lead npm elsewhere"),
        ({".yarnrc.yml": "x"}, r"\.yarnrc\.yml may lead"),
        ({"package.json": shown(manifest(lodash="4.17.20", x="git+ssh://git@evil.example/x.git"))}, "takes x from"),
        ({"package.json": shown(manifest(lodash="4.17.20", x="file:../../etc"))}, "takes x from"),
        ({"package.json": shown(manifest(lodash="4.17.20", x="http://evil.example/x.tgz"))}, "takes x from"),
        ({"package.json": shown({**manifest(lodash="4.17.20"), "workspaces": ["packages/*"]})}, "workspaces"),
        (
            {"package.json": shown({**manifest(lodash="4.17.20"), "overrides": {"a": {"b": "github:evil/x"}}})},
            "overrides b with",
        ),
        ({"package.json": "[]"}, "not a JSON object"),
        ({"package.json": '{"a": 1, "a": 2}'}, "stands twice"),
    ],
)
def test_a_project_that_points_npm_elsewhere_is_refused_before_npm_runs(renewer, change, reason):
    before = project(manifest(lodash="4.17.20"), {"lodash": LODASH}) | change
    with pytest.raises(CannotRenew, match=reason):
        renewer.lock(wanted(before, "lodash", {"4.17.20": "4.17.21"}))


@pytest.mark.parametrize(
    "entry",
    [
        {**LODASH, "resolved": "http://127.0.0.1:9/lodash.tgz"},
        {**LODASH, "resolved": "git+ssh://git@evil.example/x.git#abc"},
        {**LODASH, "resolved": "https://registry.npmjs.org.evil.example/lodash-4.17.20.tgz"},
        {"resolved": "../elsewhere", "link": True},
    ],
)
def test_a_lock_with_entries_from_elsewhere_is_refused(renewer, entry):
    before = project(manifest(lodash="4.17.20"), {"lodash": entry})
    with pytest.raises(CannotRenew, match=r"not from the public registry|is a link"):
        renewer.lock(wanted(before, "lodash", {"4.17.20": "4.17.21"}))


def test_a_configuration_above_the_project_counts_too(renewer):
    files = project(manifest(lodash="4.17.20"), {"lodash": LODASH})
    files = {f"web/{path}": text for path, text in files.items()} | {".npmrc": "x"}
    with pytest.raises(CannotRenew, match="may lead npm elsewhere"):
        renewer.lock(wanted(files, "lodash", {"4.17.20": "4.17.21"}, "web/package-lock.json"))


def test_an_exact_version_without_a_lock_is_changed_in_place(renewer):
    text = '{"dependencies":{"lodash":"4.17.20"},"x":[1]}'
    done = renewer.manifest(wanted({"package.json": text}, "lodash", {"4.17.20": "4.17.21"}, "package.json"))
    assert done == {"package.json": text.replace("20", "21")}


def test_a_registry_that_does_not_answer_says_nothing_about_the_change(renewer, monkeypatch):
    monkeypatch.setattr(npm_module, "registry_address", lambda: "http://127.0.0.1:1/")
    before = project(manifest(lodash="^4.17.0"), {"lodash": LODASH})
    with pytest.raises(RegistryUnreachable):
        renewer.lock(wanted(before, "lodash", {"4.17.20": "4.17.21"}))
