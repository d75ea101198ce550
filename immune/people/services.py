"""Making accounts and teams, and handing out tokens."""

from __future__ import annotations

import hashlib
import secrets
from datetime import timedelta
from functools import cache

from django.contrib.auth.password_validation import validate_password
from django.db import DEFAULT_DB_ALIAS
from django.db.models import Model, Value
from django.db.models.functions import Least
from django.utils import timezone

from immune.events.actors import Actor
from immune.events.log import act
from immune.models import Account, ApiToken, Repository, Role, Team
from immune.people.selectors import RIGHTS, SCOPES, Viewer
from immune.prepared import Prepared, slot

TOKEN_MARK = "imm"  # noqa: S105 - begins every token, so that secret scanners can know it
LONGEST_LIFE = timedelta(days=366)
LONGEST_OVERLAP = timedelta(days=7)


class PeopleError(Exception):
    """A refusal a person can read."""

    reason = "people_error"


class NotPermitted(PeopleError):
    """The account's role or token does not permit it."""

    reason = "not_allowed"


class NotLive(PeopleError):
    """The token was revoked or has expired, so there is nothing to go on with."""

    reason = "token_ended"


def create_account(
    *, actor: Actor, username: str, password: str | None, role: str = Role.VIEWER, email: str = "", full_name: str = ""
) -> Account:
    """Makes an account that can open the console. Without a password it can only use tokens.

    Raises PeopleError for an unknown role, ValidationError for a password the validators refuse.
    """
    if role not in Role.values:
        raise PeopleError(f"{role} is not a role; roles are {', '.join(Role.values)}")
    first, _, last = full_name.partition(" ")
    account = Account(
        username=username, email=email, first_name=first, last_name=last, role=role, is_staff=True, is_superuser=False
    )
    if password is None:
        account.set_unusable_password()
    else:
        validate_password(password, account)
        account.set_password(password)
    with act(actor) as log:
        account.save()
        log.record("account.created", subject=f"account:{account.pk}", data={"role": role})
    return account


def set_password(*, actor: Actor, account: Account, password: str) -> None:
    """Sets a new password, which ends the account's sessions."""
    account.set_password(password)
    with act(actor) as log:
        account.save(update_fields=["password"])
        log.record("account.password_set", subject=f"account:{account.pk}", data={})


def create_team(*, actor: Actor, name: str, members: list[Account], repositories: list[Repository]) -> Team:
    with act(actor) as log:
        team = Team.objects.create(name=name)
        team.members.set(members)
        team.repositories.set(repositories)
        log.record(
            "team.created",
            subject=f"team:{team.pk}",
            data={"members": [m.pk for m in members], "repositories": [str(r.pk) for r in repositories]},
        )
    return team


def create_token(
    *, actor: Actor, account: Account, name: str, scopes: list[str], lifetime: timedelta = timedelta(days=90)
) -> tuple[ApiToken, str]:
    """Makes a token and returns it with its text, which is shown once and never kept.

    Raises PeopleError for unknown or missing scopes, or a lifetime that is not between now and a year.
    """
    unknown = sorted(set(scopes) - SCOPES)
    if unknown or not scopes:
        raise PeopleError(f"unknown scopes: {', '.join(unknown)}" if unknown else "a token needs at least one scope")
    if not timedelta(0) < lifetime <= LONGEST_LIFE:
        raise PeopleError("a token lives between a moment and 366 days")
    with act(actor) as log:
        token, text = _new_token(account, name, scopes, lifetime)
        log.record("token.created", subject=f"token:{token.pk}", data={"account": account.pk, "scopes": token.scopes})
    return token, text


def create_own_token(
    *, account: Account, viewer: Viewer, name: str, scopes: list[str], lifetime: timedelta = timedelta(days=90)
) -> tuple[ApiToken, str]:
    """Makes a token for oneself. It may hold no right that its maker does not have now.

    A token makes no tokens, or a leaked one could outlive its expiry; that takes signing in. Raises NotPermitted, PeopleError.
    """
    if viewer.scopes is not None:
        raise NotPermitted("A token cannot make tokens; sign in for that. It may rotate and revoke itself.")
    beyond = sorted(set(scopes) & SCOPES - RIGHTS.get(viewer.role, frozenset()))
    if beyond:
        raise NotPermitted(f"Your role has no right to {', '.join(beyond)}.")
    return create_token(actor=Actor.of(account), account=account, name=name, scopes=scopes, lifetime=lifetime)


def rotate_token(
    *, account: Account, viewer: Viewer, token: ApiToken, overlap: timedelta = timedelta(0)
) -> tuple[ApiToken, str]:
    """Ends a token and makes its successor, with the same name, scopes and end, in one step.

    The old text is void at once, or holds on for ``overlap`` (a week at most, never beyond its own end) while the new one is being put in
    place. It can be rotated once: of two texts that hold only the newer one begets another. The successor ends when the old one
    would have, so rotating never prolongs; only a person who signed in, for whom the span begins anew, prolongs. Raises
    NotPermitted, NotLive for one that has ended or was rotated, PeopleError for another overlap.
    """
    now = timezone.now()
    lifetime = token.expires_at - (token.created_at if viewer.scopes is None else now)
    if not timedelta(0) <= overlap <= LONGEST_OVERLAP:
        raise PeopleError(f"an overlap lasts {LONGEST_OVERLAP.days} days at most")
    if token.account_id != account.pk:
        raise NotPermitted("Only its owner may rotate a token: the new text is theirs alone to see.")
    with act(Actor.of(account)) as log:
        live = ApiToken.objects.filter(
            pk=token.pk, revoked_at__isnull=True, expires_at__gt=now, replaced_at__isnull=True
        )
        last = {"expires_at": Least("expires_at", Value(now + overlap))} if overlap else {"revoked_at": now}
        if not live.update(replaced_at=now, **last):
            raise NotLive("This token has ended or was rotated; make a new one.")
        made, text = _new_token(account, token.name, token.scopes, lifetime)
        log.record(
            "token.rotated",
            subject=f"token:{made.pk}",
            data={
                "account": account.pk,
                "scopes": made.scopes,
                "before": str(token.pk),
                "overlap": int(overlap.total_seconds()),
            },
        )
    return made, text


def _new_token(account: Account, name: str, scopes: list[str], lifetime: timedelta) -> tuple[ApiToken, str]:
    prefix = f"{TOKEN_MARK}_{secrets.token_hex(4)}"
    text = f"{prefix}_{secrets.token_urlsafe(32)}"
    token = ApiToken.objects.create(
        account=account,
        name=name,
        prefix=prefix,
        digest=token_digest(text),
        scopes=sorted(set(scopes)),
        expires_at=timezone.now() + lifetime,
    )
    return token, text


def revoke_token(*, actor: Actor, token: ApiToken) -> bool:
    """Revokes a token; False when it was revoked already."""
    with act(actor) as log:
        changed = ApiToken.objects.filter(pk=token.pk, revoked_at__isnull=True).update(revoked_at=timezone.now())
        if changed:
            log.record("token.revoked", subject=f"token:{token.pk}", data={"account": token.account_id})
    return bool(changed)


def token_digest(text: str) -> str:
    """SHA-256 is enough here: the secret part is 256 random bits, so there is nothing to guess."""
    return hashlib.sha256(text.encode()).hexdigest()


def _in_order(model: type[Model], names: set[str]) -> list[str]:
    """As ``Model.from_db`` wants them: in the order of the model's columns."""
    return [column.attname for column in model._meta.concrete_fields if column.attname in names]


# What requests look at of a token and its account; the password's digest is not among them.
_OF_TOKEN = _in_order(ApiToken, {"id", "account_id", "scopes", "expires_at", "last_used_at"})
_OF_ACCOUNT = _in_order(
    Account,
    {"id", "username", "first_name", "last_name", "email", "role", "is_active", "is_staff", "is_superuser"},
)


@cache
def _valid_token() -> Prepared:
    digest, ends = (ApiToken._meta.get_field(name) for name in ("digest", "expires_at"))
    rows = ApiToken.objects.filter(
        digest=slot("digest", digest),
        expires_at__gt=slot("now", ends),
        revoked_at__isnull=True,
        account__is_active=True,
    )
    return Prepared(rows.values_list(*_OF_TOKEN, *(f"account__{name}" for name in _OF_ACCOUNT)))


def find_token(text: str) -> ApiToken | None:
    """The valid token with this text: not revoked, not expired, its account active. Notes its use at most once a minute."""
    now = timezone.now()
    token = None
    for row in _valid_token().rows(digest=token_digest(text), now=now):  # one at the most
        token = ApiToken.from_db(DEFAULT_DB_ALIAS, _OF_TOKEN, row[: len(_OF_TOKEN)])
        token.account = Account.from_db(DEFAULT_DB_ALIAS, _OF_ACCOUNT, row[len(_OF_TOKEN) :])
    if token is not None and (token.last_used_at is None or now - token.last_used_at > timedelta(minutes=1)):
        ApiToken.objects.filter(pk=token.pk).update(last_used_at=now)
    return token
