"""`.env.example` is the page of all settings: it must say what the code says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from config import env
from tests.environment import ROOT

LINES = re.findall(
    r"^# (?P<hint>.+)\n#(?P<name>[A-Z_]+)=(?P<value>.*)$", (ROOT / ".env.example").read_text(), re.MULTILINE
)
DOCUMENTED = {name: (hint, value) for hint, name, value in LINES}


def shown(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def test_every_setting_is_documented_and_nothing_else() -> None:
    assert [name for _, name, _ in LINES] == list(dict.fromkeys(name for _, name, _ in LINES)), "named twice"
    assert set(DOCUMENTED) == set(env.VARIABLES)


@pytest.mark.parametrize("name", env.VARIABLES)
def test_a_documented_setting_has_its_default_and_its_hint(name: str) -> None:
    hint, value = DOCUMENTED[name]
    variable = env.VARIABLES[name]
    assert value == shown(variable.default)
    assert hint == variable.hint + (" (secret)" if variable.secret else "")


def test_the_example_with_every_line_uncommented_is_a_valid_file_of_defaults(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("\n".join(f"{name}={value}" for name, (_, value) in DOCUMENTED.items()))
    assert env.read(tmp_path, {}) == env.read(tmp_path / "nowhere", {})
