"""Who did something: an account or a part of the system. Only ids, so that the log holds no name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from immune.models import Account


@dataclass(frozen=True, slots=True)
class Actor:
    """``kind`` is account, command or system; ``id`` tells which one."""

    kind: str
    id: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.id}"

    @classmethod
    def of(cls, account: Account) -> Actor:
        return cls("account", str(account.pk))


SYSTEM = Actor("system", "immune")
COMMAND = Actor("command", "manage.py")
# What is approved without people; the decision names the version of the policy that spoke.
POLICY = Actor("system", "policy")
