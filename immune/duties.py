"""What is done again and again: name, how often, which function. One table of them (``settings.DUTIES``) serves beat and embedded.

Beat only looks, often and from as many places as there are; whether something is due, and who does it, the database says
(``immune.leases``). So a doubled beat does nothing twice, and a killed one is not missed for long. No Django here: settings read this.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

LOOK_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Duty:
    """``run`` is the dotted path of a function without arguments. ``at_once``: also when it was never done before."""

    name: str
    seconds: float
    run: str
    queue: str
    at_once: bool = True

    @property
    def look_seconds(self) -> float:
        """Seconds between two looks whether it is due; also what bounds how long a killed holder is missed."""
        return min(self.seconds, LOOK_SECONDS)

    @property
    def rest_seconds(self) -> float:
        """From one beginning until it is due again: a little less than ``seconds``, so that the look at that moment finds it due."""
        return self.seconds - self.look_seconds / 5


def schedule(duties: Iterable[Duty]) -> dict[str, dict[str, Any]]:
    """Celery's beat schedule. A look that nobody took expires: the next one asks the same."""
    return {
        duty.name: {
            "task": "immune.tasks.duty",
            "args": (duty.name,),
            "schedule": duty.look_seconds,
            "options": {"queue": duty.queue, "expires": 3 * duty.look_seconds},
        }
        for duty in duties
    }
