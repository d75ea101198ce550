"""What the live feed's tests do inside a world's processes, where Django is set up: serve, make the cast, let things happen."""

from __future__ import annotations

import json
from datetime import timedelta
from uuid import UUID

from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore
from django.utils import timezone
from uvicorn.main import main as uvicorn

from config import embedded
from immune import first_start
from immune.events.actors import COMMAND, SYSTEM
from immune.events.log import act, end_of_chain
from immune.models import Account, ApiToken, Event, Repository, Role, Team
from immune.people.services import create_account, create_team, create_token, revoke_token, set_password
from reviews.live.frames import SHAPES, TEXT, TEXT_OR_NONE, TEXTS, TRUTH, WHOLE

# Events that concern people and settings, and one that nobody knows.
UNSEEN = (
    "account.created",
    "token.created",
    "team.created",
    "notice_channel.created",
    "policy.switched_on",
    "no.such_kind",
)


def serve(server: str, port: int) -> None:
    """Serves the product in this process, by the entry a person would use."""
    if server == "embedded":
        first_start.STEPS.clear()  # the world has repositories of its own; the demonstration would only take time
        raise SystemExit(embedded.main())
    if server == "uvicorn":
        uvicorn(["config.asgi:application", "--port", str(port), "--lifespan", "off", "--ws-max-size", "65536"])
    else:
        # Here and not above: importing it makes an event loop, which forked processes would share.
        from daphne.cli import CommandLineInterface  # noqa: PLC0415

        CommandLineInterface().run(["-b", "127.0.0.1", "-p", str(port), "-v", "0", "config.asgi:application"])


def cast(rooms: list[str]) -> dict[str, str]:
    """Tokens of the cast: ana sees everything, bruno what his team owns (the first room), carla nothing."""
    tokens = {}
    for name, role in (("ana", "admin"), ("bruno", "reviewer"), ("carla", "viewer")):
        account = create_account(actor=COMMAND, username=name, password=None, role=role)
        tokens[name] = create_token(actor=COMMAND, account=account, name="test", scopes=["read"])[1]
    bruno = Account.objects.get(username="bruno")
    create_team(actor=COMMAND, name="first", members=[bruno], repositories=[Repository.objects.get(pk=rooms[0])])
    return tokens


def roles(rooms: list[str]) -> dict[str, str]:
    """Tokens of one account for each role in a team that owns the first room ("reviewer") and one in a team that owns the second
    ("reviewer elsewhere"); "blind" is a token of an admin without the right to read."""
    tokens = {}
    for room, where in zip(rooms, ("", " elsewhere"), strict=True):
        team = Team.objects.create(name=f"owners{where}")
        team.repositories.add(Repository.objects.get(pk=room))
        for role in Role.values:
            account = create_account(actor=COMMAND, username=f"{role}{where}", password=None, role=role)
            team.members.add(account)
            tokens[account.username] = create_token(actor=COMMAND, account=account, name="test", scopes=["read"])[1]
    admin = Account.objects.get(username="admin")
    tokens["blind"] = create_token(actor=COMMAND, account=admin, name="blind", scopes=["decide"])[1]
    return tokens


def everything_happens(rooms: list[str]) -> tuple[int, int]:
    """One event of every kind that has a frame, and of some that have none, in each room and in none. Returns the positions it lies
    between."""
    before = end_of_chain()[0]
    sample = {TEXT: "x", TEXT_OR_NONE: None, WHOLE: 1, TRUTH: True, TEXTS: ["x"]}
    for room in (*map(UUID, rooms), None):
        with act(SYSTEM) as log:
            for kind, shape in SHAPES.items():
                data = {name: sample[held] for name, held in {**shape.optional, **shape.required}.items()}
                log.record(kind, subject="apv:1", repository=room, data=data)
            for kind in UNSEEN:
                log.record(kind, subject="account:1", repository=room, data={"secret": "x"})
    return before, end_of_chain()[0]


def recast() -> dict[str, str]:
    """Makes everybody active again, bruno a member, and hands out new tokens."""
    Account.objects.update(is_active=True)
    Team.objects.get(name="first").members.add(Account.objects.get(username="bruno"))
    return {
        account.username: create_token(
            actor=COMMAND, account=account, name="test", scopes=["read"], lifetime=timedelta(days=1)
        )[1]
        for account in Account.objects.all()
    }


def happen(room: str | None, count: int, kind: str = "apv.moved", each: int = 1000) -> int:
    """Records events of one repository, ``apv.moved`` unless told otherwise; returns the last position."""
    data = {
        "apv.moved": {"from": "open", "to": "remediating", "why": "test"},
        "wargame.progress": {"step": "reproduce"},  # nobody handles it, so that many of them are quickly made
        "advisories.synced": {"read": 1},
    }[kind]
    for begin in range(0, count, each):
        with act(SYSTEM) as log:
            for _ in range(begin, min(begin + each, count)):
                log.record(kind, subject="apv:1", repository=UUID(room) if room else None, data=data)
    return end_of_chain()[0]


def revoke(name: str) -> None:
    for token in ApiToken.objects.filter(account__username=name):
        revoke_token(actor=COMMAND, token=token)


def change_quietly(name: str, what: str) -> None:
    """A change that no event tells of: somebody worked in the database."""
    if what == "deactivated":
        Account.objects.filter(username=name).update(is_active=False)
    elif what == "expired":
        ApiToken.objects.filter(account__username=name).update(expires_at=timezone.now())
    else:
        Team.objects.get(name="first").members.remove(Account.objects.get(username=name))


def signed_in(name: str) -> str:
    """A session of the account; returns its key."""
    account = Account.objects.get(username=name)
    session = SessionStore()
    session[SESSION_KEY] = str(account.pk)
    session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
    session[HASH_SESSION_KEY] = account.get_session_auth_hash()
    session.create()
    return str(session.session_key)


def new_password(name: str) -> None:
    set_password(actor=COMMAND, account=Account.objects.get(username=name), password="another long password 7")


def visible(room: str | None) -> list[tuple[int, str]]:
    """(position, why) of the moves in the log, of one repository or all."""
    rows = Event.objects.filter(kind="apv.moved").order_by("position")
    rows = rows.filter(repository_id=room) if room else rows
    return [(position, json.loads(body)["data"]["why"]) for position, body in rows.values_list("position", "body")]
