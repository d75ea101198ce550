"""Where the statements of a VEX document leave the taking in of reports: the one call that hands them on."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from immune.events.actors import Actor
from immune.formats.reports import Statement
from immune.inventory import Refusal
from immune.models import Account, Repository
from immune.people.selectors import Viewer
from immune.vex.services import Applied, apply_vex


def apply_statements(
    *,
    repository: Repository,
    actor: Actor,
    viewer: Viewer,
    author: Account | None,
    statements: Iterable[Statement],
    source: str,
    refuse: Callable[[Refusal], None],
) -> Applied:
    """Applies the statements to the repository's APVs, with the rights of ``viewer``. Returns what became of them.

    Called outside any unit of work (each statement is one of its own), after the findings of the same document. What is not
    applied is told to ``refuse``, so that nobody takes a statement that was read for one that suppresses.
    """
    applied = apply_vex(statements, repository, actor, viewer=viewer, author=author, source=source)
    for refusal in applied.refused:
        refuse(refusal)
    return applied
