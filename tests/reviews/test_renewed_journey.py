"""Lock files and hashes through the whole pipeline: read, renewed, read again, proposed, and proved in the sandbox."""

from __future__ import annotations

import json

import pytest

from immune.advisories.services import sync_advisories
from immune.events.actors import COMMAND
from immune.git import read_file
from immune.models import APV, Remedy
from immune.services import mirror_of
from tests.reviews.journeys import checkout, knows_advisories, register, scan, states
from wargaming.models import Wargame

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.xdist_group("demonstration")]

MINIMIST = {
    "id": "GHSA-xvch-5gv4-984h",
    "aliases": ["CVE-2021-44906"],
    "modified": "2024-01-01T00:00:00Z",
    "published": "2022-03-18T00:00:00Z",
    "summary": "Prototype pollution in minimist",
    "affected": [
        {
            "package": {"ecosystem": "npm", "name": "minimist"},
            "ranges": [{"type": "SEMVER", "events": [{"introduced": "1.0.0"}, {"fixed": "1.2.6"}]}],
        }
    ],
}
ASKED = {"name": "app", "version": "1.0.0", "dependencies": {"mkdirp": "0.5.5"}}
LOCK = {
    "name": "app",
    "version": "1.0.0",
    "lockfileVersion": 3,
    "requires": True,
    "packages": {
        "": ASKED,
        "node_modules/minimist": {
            "version": "1.2.5",
            "resolved": "https://registry.npmjs.org/minimist/-/minimist-1.2.5.tgz",
            "integrity": "sha512-FM9nNUYrRBAELZQT3xeZQ7fmMOBg6nWNmJKTcgsJeaLstP/UODVpGsr5OhXhhXg6f+qtJ8uiZ+PUxkDWcgIXLw==",
        },
        "node_modules/mkdirp": {
            "version": "0.5.5",
            "resolved": "https://registry.npmjs.org/mkdirp/-/mkdirp-0.5.5.tgz",
            "integrity": "sha512-NKmAlESf6jMGym1++R0Ra7wvhV+wFW63FaSOFPwRahvea0gMUcGUhVeAg/0BC0wiv9ih5NYPB1Wn1UEI1/L+xQ==",
            "dependencies": {"minimist": "^1.2.5"},
            "bin": {"mkdirp": "bin/cmd.js"},
        },
    },
}


@pytest.fixture(autouse=True)
def _world(settings, tmp_path):
    settings.WORK_DIR = tmp_path / "work"
    (tmp_path / "minimist.json").write_text(json.dumps(MINIMIST))
    sync_advisories(actor=COMMAND, paths=[tmp_path / "minimist.json"])
    knows_advisories()


def changed(remedy):
    lines = [line for line in remedy.patch.splitlines() if line[:1] in "+-" and not line.startswith(("+++", "---"))]
    return [line.replace(" ", "") for line in lines]


def test_a_package_deep_in_a_lock_is_renewed_and_proved(tmp_path):
    files = {"package.json": ASKED, "package-lock.json": LOCK}
    texts = {name.replace(".", "__"): json.dumps(value, indent=2) + "\n" for name, value in files.items()}
    repository = register(checkout(tmp_path / "app", **texts))
    scan(repository)

    remedy = Remedy.objects.get(package_name="minimist")
    assert (remedy.target_version, list(remedy.changes), remedy.state) == ("1.2.6", ["package-lock.json"], "proposed")
    assert [line.partition(":")[0] for line in changed(remedy)] == [
        '-"version"', '-"resolved"', '-"integrity"', '+"version"', '+"resolved"', '+"integrity"', '+"license"'
    ]  # fmt: skip
    wargame = Wargame.objects.get(apv__package_name="minimist")
    assert (wargame.verdict, wargame.reason) == ("PATCH_EFFECTIVE", ""), wargame.explanation


def test_a_change_that_would_not_close_what_it_promises_is_not_proposed(settings, tmp_path, monkeypatch):
    settings.WARGAMING_ENABLED = False
    texts = {"package__json": json.dumps(ASKED), "package-lock__json": json.dumps(LOCK, indent=2)}
    monkeypatch.setattr("immune.remedies.renewer_for", lambda name: lambda wanted: {wanted.path: wanted.text + "\n"})
    repository = register(checkout(tmp_path / "app", **texts))
    scan(repository)
    apv = APV.objects.get(package_name="minimist")
    assert (apv.status, apv.reason) == ("failed", "the change does not close GHSA-xvch-5gv4-984h")
    assert not Remedy.objects.exists()


def test_a_change_that_brings_another_problem_is_not_proposed(settings, tmp_path, monkeypatch):
    settings.WARGAMING_ENABLED = False
    (tmp_path / "other.json").write_text(
        json.dumps(MINIMIST | {"id": "GHSA-2222-2222-2222", "aliases": []}).replace('"minimist"', '"brought"')
    )
    sync_advisories(actor=COMMAND, paths=[tmp_path / "other.json"])
    lock = json.dumps(LOCK, indent=2)
    brought = lock.replace('"version": "1.2.5"', '"version": "1.2.6"').replace(
        "node_modules/mkdirp", "node_modules/brought"
    )
    brought = brought.replace('"version": "0.5.5"', '"version": "1.0.5"')
    monkeypatch.setattr("immune.remedies.renewer_for", lambda name: lambda wanted: {wanted.path: brought})
    repository = register(
        checkout(tmp_path / "app", **{"package__json": json.dumps(ASKED), "package-lock__json": lock})
    )
    scan(repository)
    apv = APV.objects.get(package_name="minimist")
    assert (apv.status, "brings problems that were not there: brought" in apv.reason) == ("failed", True)


def test_two_lock_files_that_would_change_the_file_beside_them_in_two_ways_are_no_change(
    settings, tmp_path, monkeypatch
):
    settings.WARGAMING_ENABLED = False
    lock = json.dumps(LOCK, indent=2)
    yarn = '# yarn lockfile v1\n\n\nminimist@^1.2.5:\n  version "1.2.5"\n'
    asked = []

    def renewer(wanted):
        asked.append(wanted.path)
        return {"package.json": f'{{"by": "{wanted.path}"}}', wanted.path: wanted.text}

    monkeypatch.setattr("immune.remedies.renewer_for", lambda name: renewer)
    texts = {"package__json": json.dumps({"dependencies": {"minimist": "1.2.5"}}), "package-lock__json": lock}
    repository = register(checkout(tmp_path / "app", yarn__lock=yarn, **texts))
    scan(repository)
    apv = APV.objects.get(package_name="minimist")
    assert (apv.status, apv.reason) == (
        "failed",
        "package.json would be changed in two ways, by the lock files beside it",
    )
    assert asked == ["package-lock.json", "yarn.lock"]  # what holds every version comes before what asks for it


def test_a_registry_that_is_away_leaves_the_problem_open_for_the_next_reading(settings, tmp_path, monkeypatch):
    settings.WARGAMING_ENABLED = False
    hashed = "idna==3.7 \\\n    --hash=sha256:" + "0" * 64 + "\n"
    repository = register(checkout(tmp_path / "app", requirements__txt=hashed))
    with monkeypatch.context() as away:
        away.setenv("UV_DEFAULT_INDEX", "http://127.0.0.1:1/simple")
        assert scan(repository).state == "done"
    assert states(repository) == {"idna": "open"}
    scan(repository)
    remedy = Remedy.objects.get(package_name="idna")
    text = read_file(mirror_of(repository), remedy.head_commit, "requirements.txt").decode()
    assert text.startswith(f"idna=={remedy.target_version} \\\n    --hash=sha256:")
    assert text.count("sha256:") == 2
    assert states(repository) == {"idna": "in_review"}


def test_a_pin_of_a_uv_project_moves_in_both_files(settings, tmp_path):
    settings.WARGAMING_ENABLED = False
    project = '[project]\nname = "app"\nversion = "0.1.0"\nrequires-python = ">=3.11"\ndependencies = ["idna==3.7"]\n'
    lock = (
        'version = 1\nrevision = 1\nrequires-python = ">=3.11"\n\n'
        '[[package]]\nname = "app"\nversion = "0.1.0"\nsource = { virtual = "." }\n'
        'dependencies = [\n    { name = "idna" },\n]\n\n'
        '[package.metadata]\nrequires-dist = [{ name = "idna", specifier = "==3.7" }]\n\n'
        '[[package]]\nname = "idna"\nversion = "3.7"\nsource = { registry = "https://pypi.org/simple" }\nwheels = [\n'
        '    { url = "https://files.pythonhosted.org/packages/e5/3e/x/idna-3.7-py3-none-any.whl", hash = "sha256:'
        + "0" * 64
        + '", size = 66836 },\n]\n'
    )
    repository = register(checkout(tmp_path / "app", pyproject__toml=project, uv__lock=lock))
    scan(repository)
    remedy = Remedy.objects.get(package_name="idna")
    assert remedy.changes["pyproject.toml"] == project.replace("3.7", remedy.target_version)
    assert remedy.changes["uv.lock"].startswith(lock[: lock.index("[package.metadata]")])
    assert f"idna-{remedy.target_version}-py3-none-any.whl" in remedy.changes["uv.lock"]
    assert "upload-time" not in remedy.changes["uv.lock"]
    assert states(repository) == {"idna": "in_review"}
