"""What stops approving without people by itself: a whole that is out of balance, and a merge that alarms.

Once a merge alarmed, only a person arms the switch again. Registered in ``apps.py``.
"""

from __future__ import annotations

from immune.events.actors import SYSTEM
from immune.events.subscriptions import Happened, subscribe
from immune.homeostasis.balance import automatic_approval_allowed
from reviews import automatic, brakes
from reviews.models import Review

ALARMS = {
    "checks_red": "The checks of the default branch turned red after a merge.",
    "reverted": "A merge was reverted.",
    "vulnerable_again": "A vulnerable version is back after a merge.",
}


def out_of_balance(review: Review) -> str:
    """Why the state of the whole forbids approving without people now; empty when it does not."""
    allowed, why = automatic_approval_allowed()
    if allowed:
        return ""
    if why == "balance_unknown":
        return "Nobody looked lately how the whole is doing."
    return f"The whole is in the state {why.removeprefix('balance_')}."


brakes.register("balance", out_of_balance)


@subscribe("reviews.disarm_after_alarm", "aftermath.alarmed")
def disarm_after_alarm(event: Happened) -> None:
    """Whoever approved that merge: what policy takes for safe is in doubt until a person has looked."""
    automatic.disarm(SYSTEM, ALARMS.get(str(event.data.get("cause")), "A merge alarmed."))
