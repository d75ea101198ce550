"""First light, for real: the demonstration is read, patched, proved by running both versions in the sandbox, approved, merged."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest

from immune.demo.bootstrap import ensure_demo, load_advisories
from immune.events.audit import verify
from immune.models import APV, Repository
from immune.services import mirror_of
from reviews.console.evidence import PackageRow, packages
from tests.environment import ROOT
from tests.reviews import journeys
from tests.reviews.journeys import checkout, decide, git, review_of, states, work_off
from tests.worlds import sqlite_copy
from wargaming.models import Wargame

BUMPS = (
    ("Flask==3.1.0", "Flask==3.1.3"),
    ("idna==3.6", "idna==3.15"),
    ("requests==2.31.0", "requests==2.33.0"),
    ("markdown2==2.3.8", "markdown2==2.4.0"),
    ("waitress==3.0.0", "waitress==3.0.1"),
    ("click==8.3.2", "click==8.3.3"),
)
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.xdist_group("demonstration")]


def test_the_demonstration_is_proved_approved_and_merged(settings, tmp_path):
    settings.WORK_DIR = tmp_path / "work"
    load_advisories()
    app = tmp_path / "app"
    shutil.copytree(ROOT / "immune" / "demo" / "app", app)
    # One vulnerable pin is enough here; each of the others has its own test with the library.
    pins = (app / "requirements.txt").read_text()
    for old, new in BUMPS:
        assert old in pins
        pins = pins.replace(old, new)
    (app / "requirements.txt").write_text(pins)

    git(app, "init", "--quiet", "--initial-branch=main")
    journeys.commit(app)
    repository = journeys.register(app)
    journeys.scan(repository)

    wargame = Wargame.objects.get(apv__package_name="sqlparse")
    assert (wargame.verdict, wargame.reason) == ("PATCH_EFFECTIVE", ""), wargame.explanation
    assert wargame.own_tests["status"] == "passed"
    assert wargame.evidence is not None
    assert {"sqlparse 0.4.4"} <= set(wargame.environments["before"]["observed"])
    assert {"sqlparse 0.5.0"} <= set(wargame.environments["after"]["observed"])
    assert PackageRow("sqlparse", "0.4.4", "0.5.0", "changed") in packages(wargame.environments), (
        "as the console reads it"
    )
    outcomes = {(run.step.partition(":")[0], run.phase, run.outcome) for run in wargame.runs.all()}
    assert outcomes == {
        ("control", "before", "pass"),
        ("control", "after", "pass"),
        ("reproduce", "before", "present"),
        ("reproduce", "after", "absent"),
    }
    review = review_of("sqlparse")
    assert review.recommendation == "approve"
    decide(review, "approve", seen_head=review.head_commit, seen_patch=review.patch_digest)
    work_off()
    assert states(repository)["sqlparse"] == "resolved"
    assert "sqlparse==0.5.0" in git(mirror_of(repository).path, "show", "main:requirements.txt")
    assert verify().ok


def test_the_demonstration_is_laid_out_once(settings, tmp_path):
    settings.WORK_DIR = tmp_path
    first = ensure_demo(tmp_path)
    assert first is not None
    assert ensure_demo(tmp_path) is None
    assert Repository.objects.count() == 1
    head = git(tmp_path / "demo" / "noticeboard", "rev-parse", "HEAD")
    other = tmp_path / "elsewhere"
    Repository.objects.all().delete()
    assert ensure_demo(other) is not None
    assert git(other / "demo" / "noticeboard", "rev-parse", "HEAD") == head, "the same commit everywhere"


def test_immunize_prints_one_document_and_tells_progress_beside_it(tmp_path, settings):
    app = checkout(tmp_path / "clean", requirements__txt="itsdangerous==2.2.0\n")
    environment = {
        "WORK_DIR": str(tmp_path / "work"),
        "PATH": "/usr/bin:/bin",
        "IMMUNE_DOTENV": "0",
        "DATABASE_URL": "",
    }

    def manage(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "manage.py", *words],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    sqlite_copy(tmp_path / "work" / "immune.sqlite3")
    clean = manage("immunize", str(app), "--format", "json")
    assert clean.returncode == 0, clean.stderr
    document = json.loads(clean.stdout)
    assert (document["repository"], document["apvs"], document["refused"]) == ("clean", [], [])
    assert "reading" in clean.stderr
    nowhere = manage("immunize", str(tmp_path / "nowhere"))
    assert nowhere.returncode == 2
    assert "not a folder" in nowhere.stderr
    assert APV.objects.count() == 0
