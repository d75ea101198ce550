"""Where the statements of a VEX document leave the taking in of reports: the one call that hands them on."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from immune.events.actors import Actor
from immune.formats.reports import Statement
from immune.inventory import Refusal
from immune.models import Repository

NOT_APPLIED = "statements of VEX documents are read and not yet applied: nothing is suppressed by them"


def apply_statements(
    *,
    repository: Repository,
    actor: Actor,
    statements: Iterator[Statement],
    source: str,
    refuse: Callable[[Refusal], None],
) -> int:
    """Applies the statements to the repository's APVs. Returns how many suppress something.

    Called outside any unit of work, after the findings of the same document. What is not applied is told to ``refuse``, so
    that nobody takes a statement that was read for one that suppresses.
    """
    if next(statements, None) is not None:
        refuse(Refusal(source, NOT_APPLIED))
    return 0
