"""``manage.py scan``: what it finds, what it refuses, and that it never calls clean what it could not read."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from immune.advisories.services import sync_advisories
from immune.events.actors import COMMAND
from immune.formats import limits
from immune.models import Event, Repository

pytestmark = pytest.mark.django_db


def scan(path: Path, form: str = "json") -> tuple[int, Any]:
    out = io.StringIO()
    with pytest.raises(SystemExit) as end:
        call_command("scan", str(path), "--format", form, stdout=out)
    return int(str(end.value.code)), json.loads(out.getvalue()) if form == "json" else out.getvalue()


def record(name: str, **more: Any) -> dict[str, Any]:
    events = [{"introduced": "0"}, {"fixed": "2.0"}]
    package = {"ecosystem": "PyPI", "name": "leaky"}
    affected = [{"package": package, "ranges": [{"type": "ECOSYSTEM", "events": events}]}]
    return {"id": name, "modified": "2026-01-01T00:00:00Z", "affected": affected} | more


@pytest.fixture
def advisories(tmp_path_factory: pytest.TempPathFactory) -> None:
    place = tmp_path_factory.mktemp("advisories") / "all.jsonl"
    records = [
        record("PYSEC-2026-1", aliases=["CVE-2026-1"]),
        record("GHSA-2222-2222-2222", aliases=["CVE-2026-1"]),
        record("PYSEC-2026-2", withdrawn="2026-01-02T00:00:00Z"),
    ]
    place.write_text("\n".join(json.dumps(one) for one in records))
    assert sync_advisories(actor=COMMAND, paths=[place]).refused == []


def test_without_advisories_nothing_is_called_clean(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("leaky==1.0\n")
    code, said = scan(tmp_path)
    assert (code, said["dependencies"], said["findings"]) == (2, 1, [])
    assert [one["source"] for one in said["unreadable"]] == ["advisories"]


@pytest.mark.usefixtures("advisories")
class TestWithAdvisories:
    def test_a_problem_is_one_finding_under_its_canonical_id_and_withdrawn_ones_do_not_appear(
        self, tmp_path: Path
    ) -> None:
        (tmp_path / "requirements.txt").write_text("leaky==1.0\nsound==1.0\nloose>=1\n")
        events = Event.objects.count()
        code, said = scan(tmp_path)
        (found,) = said["findings"]
        assert found == {
            "ecosystem": "PyPI",
            "package": "leaky",
            "version": "1.0",
            "manifest": "requirements.txt",
            "advisory": "PYSEC-2026-1",
            "aliases": found["aliases"],
            "severity": "UNKNOWN",
            "fixed_versions": ["2.0"],
        }
        assert set(found["aliases"]) == {"CVE-2026-1", "GHSA-2222-2222-2222"}
        assert (code, said["dependencies"], said["unreadable"]) == (1, 3, [])
        assert [one["package"] for one in said["unresolved"]] == ["loose"]
        assert (Event.objects.count(), Repository.objects.count()) == (events, 0)
        assert os.listdir(tmp_path) == ["requirements.txt"]

    def test_one_file_is_read_alone_and_a_clean_one_ends_with_0(self, tmp_path: Path) -> None:
        (tmp_path / "requirements.txt").write_text("leaky==1.0\n")
        (tmp_path / "requirements-dev.txt").write_text("leaky==2.0\n")
        assert scan(tmp_path / "requirements-dev.txt")[0] == 0
        code, text = scan(tmp_path / "requirements.txt", "text")
        assert code == 1
        assert "PYSEC-2026-1" in text

    def test_unreadable_wins_over_findings(self, tmp_path: Path) -> None:
        (tmp_path / "requirements.txt").write_text("leaky==1.0\n")
        (tmp_path / "poetry.lock").write_text("[[package]\n")
        code, said = scan(tmp_path)
        assert (code, len(said["findings"])) == (2, 1)
        assert [one["source"] for one in said["unreadable"]] == ["poetry.lock"]

    def test_what_is_not_there_and_what_holds_no_manifest_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "notes.md").write_text("leaky==1.0\n")
        for path in (tmp_path / "absent", tmp_path / "notes.md", tmp_path):
            code, said = scan(path)
            assert (code, said["dependencies"], len(said["unreadable"])) == (2, 0, 1)

    def test_links_are_refused_and_nothing_behind_them_is_read(self, tmp_path: Path) -> None:
        inside, outside = tmp_path / "inside", tmp_path / "outside"
        inside.mkdir()
        outside.mkdir()
        (outside / "requirements.txt").write_text("leaky==1.0\n")
        (inside / "folder").symlink_to(outside)
        (inside / "requirements.txt").symlink_to(outside / "requirements.txt")
        (inside / "requirements-up.txt").write_text("-r ../outside/requirements.txt\n")
        (inside / "requirements-link.txt").write_text("-r folder/requirements.txt\n")
        code, said = scan(inside)
        assert (code, said["dependencies"]) == (2, 0)
        assert len(said["unreadable"]) == 4

    def test_folders_too_deep_to_be_honest_are_refused(self, tmp_path: Path) -> None:
        (tmp_path / "/".join(["d"] * 200)).mkdir(parents=True)
        code, said = scan(tmp_path)
        assert (code, len(said["unreadable"])) == (2, 1)

    @pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may read every folder")
    def test_a_folder_that_may_not_be_read_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "requirements.txt").write_text("leaky==1.0\n")
        (tmp_path / "shut").mkdir(mode=0)
        code, said = scan(tmp_path)
        assert (code, [one["source"] for one in said["unreadable"]]) == (2, ["shut"])

    def test_pipes_huge_and_malformed_files_are_refused_with_printable_reasons(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "requirements-pipe.txt")
        with (tmp_path / "yarn.lock").open("wb") as huge:
            huge.truncate(limits.MAX_CHARACTERS + 1)  # a hole: nothing is on the disk
        (tmp_path / "package-lock.json").write_text("[" * 100_000)
        (tmp_path / "pom.xml").write_text('<!DOCTYPE a [<!ENTITY b "c">]><project>&b;</project>')
        (tmp_path / "go.mod").write_bytes(b"\xff\xff\x00")
        folder = os.fsencode(tmp_path) + b"/\xff\x1b[31m"
        os.mkdir(folder)
        Path(os.fsdecode(folder), "Cargo.lock").write_text("nonsense")
        code, said = scan(tmp_path)
        assert (code, len(said["unreadable"])) == (2, 6)
        assert all(one["source"].isprintable() and one["reason"].isprintable() for one in said["unreadable"])
