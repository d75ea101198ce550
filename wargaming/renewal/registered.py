"""Which formats are renewed here. Imported once, when the app is ready."""

from __future__ import annotations

from immune.renewal import register
from wargaming.renewal.requirements import renew_requirements

register("requirements.txt", renew_requirements)
