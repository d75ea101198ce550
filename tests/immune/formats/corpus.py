"""Where the shared samples lie, and a reader over them: what every test of a format stands on."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from immune.formats import limits
from immune.inventory import Unreadable

ROOT = Path(__file__).resolve().parents[3]
DATA = Path(os.environ.get("IMMUNE_DATA") or ROOT.parent / "shared") / "data"

needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="IMMUNE_DATA: the shared data set is absent")


def read(path: str) -> str:
    """A file of the data set by its path below it; Unreadable when absent, as a repository's reader does."""
    place = DATA / path
    if not place.is_file():
        raise Unreadable(path, "absent")
    return limits.decode(path, place.read_bytes())


def no_files(path: str) -> str:
    raise Unreadable(path, "absent")


def files(**tree: str):
    """A reader over files given by name; dots in names written as two underscores."""
    by_path = {name.replace("__", "."): text for name, text in tree.items()}

    def reader(path: str) -> str:
        if path not in by_path:
            raise Unreadable(path, "absent")
        return by_path[path]

    return reader


def expected(kind: str) -> list[dict[str, Any]]:
    """The inventories independent tools made of the real manifests of one kind, in order of name."""
    found = sorted((DATA / "expected" / "inventory").glob(f"{kind}__*.json"))
    return [json.loads(one.read_text()) for one in found]


def samples(kind: str, part: str = "") -> list[str]:
    """Paths of the samples of one kind, relative to the data set."""
    folder = DATA / "manifests" / kind / part
    return sorted(str(p.relative_to(DATA)) for p in folder.glob("*") if p.is_file())
