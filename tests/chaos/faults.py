"""A plan of what goes wrong at the forge that all processes of a game share, so that killing one does not begin it anew."""

from __future__ import annotations

import fcntl
import random
from collections import Counter
from pathlib import Path

from tests.immune.forges.faulty import Fault, FaultPlan


class SharedPlan(FaultPlan):
    """The n-th action at the forge, whoever does it, goes wrong or not as the seed says. Each is a line in ``calls``."""

    def __init__(self, folder: Path, rate: float, seed: int) -> None:
        super().__init__(rate, seed)
        self.file = folder / "calls"
        self.seed = seed

    def next(self, action: str) -> Fault | None:
        with self.file.open("a+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            drawn = random.Random(f"{self.seed}:{sum(1 for _ in file)}")
            fault = drawn.choice(list(Fault)) if drawn.random() < self.rate else None
            file.write(f"{action} {fault or '-'}\n")
        return fault


def happened(folder: Path) -> Counter[str]:
    """How often each fault happened; ``actions`` counts all that was asked of the forge."""
    file = folder / "calls"
    lines = [line.split() for line in file.read_text().splitlines()] if file.exists() else []
    return Counter({"actions": len(lines)}) + Counter(line[1] for line in lines if len(line) == 2 and line[1] != "-")
