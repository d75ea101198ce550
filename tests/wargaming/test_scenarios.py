"""What is a scenario, and what is refused with the place named."""

import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from tests.wargaming.conftest import example_folders
from wargaming import scenarios
from wargaming.errors import ScenarioRefused
from wargaming.sandbox.base import Trust
from wargaming.scenarios import MAX_FILES, digest_of, scenario_from_files, scenario_from_folder
from wargaming.standalone import library_scenarios

CASE = """
id: example-case
ecosystem: PyPI
package: Example
vulnerable_version: "1.0"
fixed_version: "1.1"
"""


def files(case: str = CASE, **more: bytes) -> dict[str, bytes]:
    return {"case.yaml": case.encode(), "reproduce.py": b"", "control.py": b"", **more}


def problems(given: dict[str, bytes], trust: Trust = Trust.ATTACHED) -> dict[str, str]:
    with pytest.raises(ScenarioRefused) as refusal:
        scenario_from_files(given, trust)
    return dict(refusal.value.problems)


def test_a_small_case_is_a_scenario_with_defaults():
    scenario = scenario_from_files(files(), Trust.SHIPPED)
    assert (scenario.time_limit_s, scenario.memory_mb, scenario.repeats, scenario.protocol) == (30, 512, 3, 1)
    assert [variant.script for variant in scenario.variants] == ["reproduce.py"]


def test_the_digest_changes_with_any_byte_and_any_name():
    one = digest_of({"a": b"1", "b": b"2"})
    assert (
        len({one, digest_of({"a": b"12", "b": b""}), digest_of({"a": b"1", "c": b"2"}), digest_of({"ab": b"12"})}) == 4
    )


@pytest.mark.parametrize(
    ("line", "where"),
    [
        ("fixed_version: 1.1", "fixed_version"),
        ("with: ['other @ https://evil.example/x.whl']", "with"),
        ("with: ['other>=1']", "with"),
        ("with: ['-r /etc/passwd']", "with"),
        ("lock: {fixed: ['--index-url=x']}", "lock.fixed"),
        ("needs: [network]", "needs"),
        ("time_limit_s: 100000", "time_limit_s"),
        ("memory_mb: 1000000", "memory_mb"),
        ("repeats: 99", "repeats"),
        ("surprise: 1", "surprise"),
        ("cve: CVE-1", "cve"),
        ("package: ../../x", "package"),
        ("variants: [{id: a, reproduce: ../x.py}]", "variants"),
    ],
)
def test_what_a_stranger_asks_for_too_much_is_refused_with_its_place(line, where):
    key = line.split(":")[0]
    case = "\n".join(kept for kept in CASE.splitlines() if not kept.startswith(f"{key}:")) + f"\n{line}\n"
    assert where in problems(files(case))


def test_yaml_bombs_repeated_keys_and_objects_are_refused():
    for text in (
        "a: &a [x]\nb: [*a, *a]",
        CASE + "id: other\n",
        "a: !!python/object/apply:os.system [id]",
        "[" * 200,
        "- just a list",
        "\xff",
    ):
        assert "case.yaml" in problems(files(text))


def test_names_that_leave_the_folder_and_too_many_files_are_refused():
    assert "../x.py" in problems(files() | {"../x.py": b""})
    assert "/x.py" in problems(files() | {"/x.py": b""})
    assert "files" in problems(files() | {f"f{number}": b"" for number in range(MAX_FILES)})


def test_a_link_in_a_folder_is_not_followed(tmp_path):
    for name, content in files().items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "secret").symlink_to("/etc/passwd")
    with pytest.raises(ScenarioRefused, match="not a regular file"):
        scenario_from_folder(tmp_path, Trust.ATTACHED)


def test_missing_scripts_are_named():
    found = problems({"case.yaml": CASE.encode()})
    assert {"reproduce.py", "control.py"} <= found.keys()


SCHEMA = json.loads((Path(scenarios.__file__).parent / "case.schema.json").read_text())


def test_the_schema_knows_the_same_keys_as_the_reader():
    assert set(SCHEMA["properties"]) == scenarios._KEYS
    assert set(SCHEMA["required"]) == set(scenarios._REQUIRED)


@pytest.mark.parametrize("folder", [*example_folders(), *library_scenarios().values()], ids=lambda folder: folder.name)
def test_every_example_and_every_shipped_case_fits_schema_and_reader(folder):
    raw = yaml.safe_load((folder / "case.yaml").read_text())
    jsonschema.validate(raw, SCHEMA)
    assert scenario_from_folder(folder, Trust.SHIPPED).id == folder.name


@pytest.mark.parametrize(
    "change",
    [{"surprise": 1}, {"time_limit_s": 9999}, {"needs": ["network"]}, {"cve": "CVE-1"}, {"variants": [{"id": "a"}]}],
    ids=str,
)
def test_schema_and_reader_refuse_the_same_things(change):
    raw = yaml.safe_load(CASE) | change
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(raw, SCHEMA)
    assert problems(files(yaml.safe_dump(raw)))
