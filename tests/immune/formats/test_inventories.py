"""Every real manifest against the inventory that independent tools made of it (the tools are named in the data's
README)."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from immune.inventory import Inventory, Origin, Scope

from .corpus import expected, needs_data, no_files, read, samples
from .outcomes import PARSERS

DIFFERENCES = json.loads(Path(__file__).with_name("inventory_differences.json").read_text())
ENTRIES = [(kind, entry) for kind in PARSERS if kind not in {"pylock", "pyproject"} for entry in expected(kind)]


def found_in(kind: str, path: str) -> Inventory:
    # Alone, as the expected inventories were made: without the files beside it.
    return PARSERS[kind](read(path), path=path, read=no_files)


@needs_data
def test_every_real_manifest_with_an_expected_inventory_is_compared():
    files = {path for kind in PARSERS if kind not in {"pylock", "pyproject"} for path in samples(kind)}
    beside = {path for path in files if path.endswith(("go.sum", ".Pipfile"))}  # read with the lock, no inventory
    assert {entry["file"] for _, entry in ENTRIES} == files - beside
    assert set(DIFFERENCES) <= files


@needs_data
@pytest.mark.parametrize(("kind", "entry"), ENTRIES, ids=[entry["file"] for _, entry in ENTRIES])
def test_the_inventory_is_the_expected_one(kind, entry):
    found = found_in(kind, entry["file"])
    more = set(DIFFERENCES.get(entry["file"], {}).get("more_from_groups", ()))
    assert found.refused == ()
    got = Counter(
        (d.name, d.version or "", d.origin is not Origin.REGISTRY)
        for d in found.dependencies
        if not more & set(d.groups)
    )
    want = Counter((p["name"], p.get("version", ""), p.get("not_registry", False)) for p in entry["packages"])
    assert got == want


@needs_data
def test_each_difference_is_still_one():
    for path, difference in DIFFERENCES.items():
        kind = path.split("/")[1]
        groups = {group for one in found_in(kind, path).dependencies for group in one.groups}
        assert set(difference["more_from_groups"]) <= groups
        assert difference["why"]


@needs_data
@pytest.mark.parametrize(
    ("kind", "entry"),
    [e for e in ENTRIES if e[0].startswith("package-lock")],
    ids=lambda e: e if isinstance(e, str) else "",
)
def test_npms_development_flags_are_kept(kind, entry):
    found = found_in(kind, entry["file"])
    got = Counter((d.name, d.version or "") for d in found.dependencies if d.scope is Scope.DEV)
    assert got == Counter((p["name"], p["version"]) for p in entry["packages"] if p["dev"])


@needs_data
@pytest.mark.parametrize("entry", [e for k, e in ENTRIES if k == "pnpm-lock"], ids=lambda e: e["file"])
def test_pnpms_development_flags_are_kept(entry):
    found = found_in("pnpm-lock", entry["file"])
    got = {(d.name, d.version) for d in found.dependencies if d.scope is Scope.DEV}
    said = [p for p in entry["packages"] if "dev" in p]
    assert {(p["name"], p["version"]) for p in said if p["dev"]} == (got if said else set())


@needs_data
@pytest.mark.parametrize("entry", [e for k, e in ENTRIES if k == "go-mod"], ids=lambda e: e["file"])
def test_gos_indirect_marks_are_kept(entry):
    found = found_in("go-mod", entry["file"])
    assert {d.name: d.direct for d in found.dependencies} == {p["name"]: not p["indirect"] for p in entry["packages"]}


@needs_data
@pytest.mark.parametrize("entry", [e for k, e in ENTRIES if k == "poetry-lock"], ids=lambda e: e["file"])
def test_poetrys_groups_and_optional_marks_are_kept(entry):
    found = {(d.name, d.version): d for d in found_in("poetry-lock", entry["file"]).dependencies}
    for package in entry["packages"]:
        one = found[package["name"], package["version"]]
        if package.get("group"):
            assert package["group"] in one.groups
            assert (one.scope is Scope.DEV) == (package["group"] != "main")
        if one.scope is not Scope.DEV:
            assert (one.scope is Scope.OPTIONAL) == package["optional"]


@needs_data
@pytest.mark.parametrize(("kind", "entry"), ENTRIES, ids=[entry["file"] for _, entry in ENTRIES])
def test_rows_have_lines_and_the_line_names_the_package(kind, entry):
    text = read(entry["file"]).split("\n")
    # where the name stands: on the line itself, or in the entry that begins there
    reach = {"pom-xml": 4, "poetry-lock": 6, "uv-lock": 3, "cargo-lock": 3}.get(kind, 2)
    for one in found_in(kind, entry["file"]).dependencies:
        assert one.line, one
        around = "\n".join(text[one.line - 1 : one.line + reach]).lower().replace("_", "-").replace(".", "-")
        wanted = one.raw_name.rsplit(":", 1)[-1].lower().replace("_", "-").replace(".", "-")
        assert wanted in around, one
