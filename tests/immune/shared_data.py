"""Where the large shared data set lies, for the tests that compare against it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("IMMUNE_DATA", ROOT.parent / "shared")) / "data"

needs_shared_data = pytest.mark.skipif(not SHARED.is_dir(), reason="the shared data set (IMMUNE_DATA) is not here")
