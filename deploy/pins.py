"""Says whether the compiled requirement files still answer the short ones; no network, so part of `make check`.

Every name asked for in `NAME.in` must be pinned, with a version its range allows and with hashes, in `NAME.txt`; so must the
resolvers that lock files are renewed with.
Whether newer versions exist is not asked here: `make lock` does that.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
TOOLS = sorted(place.with_suffix("") for place in (ROOT / "wargaming/renewal/pinned").glob("*.in"))
NAMES = ("requirements", "requirements-dev", *(str(place.relative_to(ROOT)) for place in TOOLS))
PIN = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^]]*])?==([^\s;\\]+)((?:.*\\\n)*.*)", re.MULTILINE)


def asked(text: str) -> Iterator[Requirement]:
    """The requirements of a short file, options (`-c …`) and comments left out."""
    for line in text.splitlines():
        wanted = line.split("#", 1)[0].strip()
        if wanted and not wanted.startswith("-"):
            yield Requirement(wanted)


def pins(text: str) -> dict[NormalizedName, tuple[str, bool]]:
    """name → (version, whether hashes stand beside it) of a compiled file."""
    return {canonicalize_name(name): (version, "--hash=" in rest) for name, version, rest in PIN.findall(text)}


def complaints(short: str, compiled: str) -> list[str]:
    """One line per requirement the compiled text does not answer; empty when all are."""
    pinned = pins(compiled)
    found: list[str] = [f"{name}: pinned without a hash" for name, (_, hashed) in pinned.items() if not hashed]
    for wanted in asked(short):
        version, _ = pinned.get(canonicalize_name(wanted.name), (None, False))
        if version is None:
            found.append(f"{wanted.name}: asked for, not pinned")
        elif not wanted.specifier.contains(version, prereleases=True):
            found.append(f"{wanted.name}: pinned at {version}, asked for {wanted.specifier}")
    return found


def main() -> int:
    found = [
        f"{name}.txt: {line}"
        for name in NAMES
        for line in complaints(
            (ROOT / f"{name}.in").read_text(encoding="utf-8"), (ROOT / f"{name}.txt").read_text(encoding="utf-8")
        )
    ]
    for line in found:
        print(f"{line}; run `make lock`", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
