"""Who may see which repository, and what each role may do. Every other selector goes through here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import AnonymousUser
from django.db.models import Q, QuerySet

from immune.models import Account, ApiToken, Repository, Role


@dataclass(frozen=True, slots=True)
class Viewer:
    """Somebody who looks: the account's id and role, and whether all repositories are theirs to see."""

    account_id: int | None
    role: str
    sees_all: bool
    scopes: frozenset[str] | None = None  # None: a session, not a token

    def may(self, right: str) -> bool:
        """Whether the role has a right, and the token, when there is one, the scope for it."""
        if self.scopes is not None and right not in self.scopes:
            return False
        return right in RIGHTS.get(self.role, frozenset())


# What each role may do. "read" is seeing what one's teams own; decide includes claim and comment.
RIGHTS: dict[str, frozenset[str]] = {
    Role.VIEWER: frozenset({"read"}),
    Role.REVIEWER: frozenset({"read", "decide", "immunize"}),
    Role.LEAD: frozenset({"read", "decide", "lead", "immunize"}),
    Role.OPERATOR: frozenset({"read", "operate", "immunize"}),
    Role.ADMIN: frozenset({"read", "decide", "lead", "operate", "immunize", "administer"}),
}
SCOPES = frozenset({"read", "decide", "lead", "immunize", "operate", "administer"})

# Commands and workers: no person is looking.
EVERYTHING = Viewer(None, Role.ADMIN, True)
NOBODY = Viewer(None, "", False)


def viewer_of(account: Account | AnonymousUser | None, scopes: list[str] | None = None) -> Viewer:
    """The viewer an account is. Inactive and anonymous accounts see nothing."""
    if account is None or not account.is_active or not isinstance(account, Account):
        return NOBODY
    sees_all = account.role in (Role.ADMIN, Role.OPERATOR)
    return Viewer(account.pk, account.role, sees_all, frozenset(scopes) if scopes is not None else None)


def visible_repositories(viewer: Viewer) -> QuerySet[Repository]:
    """The repositories the viewer may see: all of them, or those their teams own."""
    rows = Repository.objects.all()
    if not viewer.may("read"):
        return rows.none()
    return rows if viewer.sees_all else rows.filter(owners__members=viewer.account_id).distinct()


def sees(viewer: Viewer, repository: Any) -> bool:
    """Whether the repository of this id is the viewer's to see. Who sees everything is not looked up."""
    if viewer.sees_all:
        return viewer.may("read")
    return visible_repositories(viewer).filter(pk=repository).exists()


def within_sight(viewer: Viewer, path: str = "repository") -> Q:
    """The condition that narrows rows to repositories the viewer may see; ``path`` leads to the repository."""
    if not viewer.may("read"):
        return Q(pk__in=[])
    if viewer.sees_all:
        return Q()
    return Q(**{f"{path}__in": visible_repositories(viewer).values("pk")})


def visible_repository_ids(viewer: Viewer) -> frozenset[Any] | None:
    """The ids of what the viewer may see, None for all: what the live feed filters by."""
    return (
        None
        if viewer.sees_all and viewer.may("read")
        else frozenset(visible_repositories(viewer).values_list("pk", flat=True))
    )


def visible_tokens(viewer: Viewer) -> QuerySet[ApiToken]:
    """One's own tokens; for those who administer, everybody's."""
    rows = ApiToken.objects.select_related("account")
    if not viewer.may("read"):
        return rows.none()
    return rows if viewer.may("administer") else rows.filter(account=viewer.account_id)
