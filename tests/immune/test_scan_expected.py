"""``manage.py scan`` over every shared manifest of every ecosystem, against the matches that independent tools expect.

What differs is argued one by one in ``scan_differences.json``; a difference that is none any more fails too.
"""

from __future__ import annotations

import io
import json
import shutil
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from immune.advisories.services import sync_advisories
from immune.advisories.sources import Raw, iter_records
from immune.events.actors import COMMAND
from immune.versions import normalize_name
from tests.immune.shared_data import SHARED, needs_shared_data
from tests.immune.test_matching_expected import EXPECTED, SETS

DIFFERENCES = json.loads(Path(__file__).with_name("scan_differences.json").read_text())
Package = tuple[str, str]


def _about(raw: Raw, ecosystem: str, packages: set[Package]) -> dict[str, Any] | None:
    """The record, when it names one of the packages in its set's ecosystem."""
    record: dict[str, Any] = raw.read()
    named = (entry.get("package", {}) for entry in record.get("affected", ()))
    if any(
        one.get("ecosystem") == ecosystem and (ecosystem, normalize_name(ecosystem, one["name"])) in packages
        for one in named
    ):
        return record
    return None


def _usual_name(path: Path) -> str:
    """warehouse-2018-05.main.txt → requirements-main.txt, ripgrep-2018-05.Cargo.lock → Cargo.lock."""
    name = path.name.split(".", 1)[1]
    return f"requirements-{name}" if name.endswith(".txt") and not name.startswith("requirements") else name


@needs_shared_data
@pytest.mark.django_db
def test_every_shared_manifest_gives_the_findings_that_are_expected_and_no_other(tmp_path: Path) -> None:
    matches = [json.loads(path.read_text()) for path in sorted((SHARED / "expected" / "matches").glob("*.json"))]
    packages = {
        (found["ecosystem"], normalize_name(found["ecosystem"], package["name"]))
        for path in (SHARED / "expected" / "inventory").glob("*.json")
        for found in [json.loads(path.read_text())]
        for package in found["packages"]
    }
    records = (
        record
        for ecosystem, names in SETS.items()
        for raw in iter_records(SHARED / "advisories" / name for name in names)
        if isinstance(raw, Raw) and (record := _about(raw, ecosystem, packages))
    )
    advisories = tmp_path / "records.jsonl"
    advisories.write_text("".join(json.dumps(record) + "\n" for record in records))
    assert sync_advisories(actor=COMMAND, paths=[advisories]).refused == []

    tree = tmp_path / "tree"
    for number, said in enumerate(matches):
        folder = tree / str(number)
        folder.mkdir(parents=True)
        shutil.copy(SHARED / said["file"], folder / _usual_name(Path(said["file"])))
    out = io.StringIO()
    with pytest.raises(SystemExit) as end:
        call_command("scan", str(tree), "--format", "json", stdout=out)
    result = json.loads(out.getvalue())
    assert (end.value.code, result["unreadable"]) == (1, [])

    found = defaultdict(list)
    for one in result["findings"]:
        found[int(one["manifest"].split("/")[0])].append(one)
    differences, counted = {}, dict.fromkeys(SETS, 0)
    for number, said in enumerate(matches):
        ecosystem = said["ecosystem"]
        counted[ecosystem] += len(said["expected"])
        differences[said["file"]] = _difference(ecosystem, said["expected"], found[number])
    assert {file: sides for file, sides in differences.items() if any(sides.values())} == {
        file: {side: argued[side] for side in ("more", "missing")} for file, argued in DIFFERENCES.items()
    }
    assert counted == {ecosystem: live for ecosystem, (live, _) in EXPECTED.items()}


def _difference(ecosystem: str, expected: list[dict[str, Any]], found: list[dict[str, Any]]) -> dict[str, list[str]]:
    """What was found and not expected, and the other way round. The fixes of what both name must be the same."""
    left = {(normalize_name(ecosystem, one["package"]), one["version"], one["id"]): one for one in expected}
    more = []
    for one in found:
        names = {one["advisory"], *one["aliases"]}
        meant = [
            left.pop(key)
            for key in [key for key in left if key[:2] == (one["package"], one["version"]) and key[2] in names]
        ]
        if not meant:
            more.append(f"{one['package']} {one['version']} {one['advisory']}")
        else:
            assert set(one["fixed_versions"]) == {fix for other in meant for fix in other["fixed"]}, one
    return {"more": sorted(more), "missing": sorted(" ".join(key) for key in left)}
