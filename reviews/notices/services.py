"""What people do with channels: make, change, renew the secret, try, remove, and send a notice once more."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Iterable
from typing import Any
from uuid import uuid4

from django.conf import settings
from django.db.models import Q, QuerySet
from django.utils import timezone

from immune.events.actors import Actor
from immune.events.log import act, end_of_chain
from immune.forges.urls import UrlError
from immune.models import Account, Team
from immune.people.selectors import Viewer
from immune.people.services import NotPermitted
from immune.services import Refused
from reviews.console.untrusted import plain
from reviews.notices import content, outgoing
from reviews.notices.models import ChannelKind, Notice, NoticeChannel, NoticeState, Pace
from reviews.notices.sealing import seal
from reviews.notices.sending import owe

MOST_CHANNELS = 20
# Whoever may send what they see to an address of their own choice: those who answer for others already.
OUTWARD = ("lead", "operate", "administer")
USUAL_HOUR = 8  # UTC


def channels(viewer: Viewer) -> QuerySet[NoticeChannel]:
    """One's own channels and those of one's teams; for those who administer, everybody's. Removed ones are not shown."""
    rows = NoticeChannel.objects.filter(removed_at=None).select_related("account", "team")
    return _narrowed(rows, viewer, "")


def notices(viewer: Viewer) -> QuerySet[Notice]:
    """What was owed to those channels, removed ones included."""
    return _narrowed(Notice.objects.select_related("channel__account", "channel__team"), viewer, "channel__")


def _narrowed(rows: QuerySet[Any], viewer: Viewer, path: str) -> QuerySet[Any]:
    if not viewer.may("read"):
        return rows.none()
    if viewer.may("administer"):
        return rows
    own = Q(**{f"{path}account": viewer.account_id})
    return rows.filter(own | Q(**{f"{path}team__in": Team.objects.filter(members=viewer.account_id).values("pk")}))


def may_change(viewer: Viewer, channel: NoticeChannel) -> bool:
    """One's own; a team's takes a lead of the team, or who administers."""
    return viewer.may("administer") or channel.account_id == viewer.account_id or viewer.may("lead")


def create_channel(
    *,
    account: Account,
    viewer: Viewer,
    name: str,
    kind: str,
    team: Team | None = None,
    address: str = "",
    secret: str = "",
    topics: Iterable[str] = ("reviews",),
    pace: str = Pace.AT_ONCE,
    hour: int = USUAL_HOUR,
    language: str = "",
) -> tuple[NoticeChannel, str]:
    """Makes a channel for oneself or a team. Returns it with the secret that was made for a webhook (shown once), else "".

    ``address``: a webhook's or Slack's; mail goes to the accounts' own. ``secret``: PagerDuty's routing key. ``hour``: of the day (UTC)
    from which on digests and what is overdue are told. ``language``: empty for the site's. Raises NotPermitted, Refused.
    """
    _signed_in(viewer)
    leads = team is None or (viewer.may("lead") and team.members.filter(pk=account.pk).exists())
    if not leads and not viewer.may("administer"):
        raise NotPermitted("A team's channels are made by its leads.")
    if kind != ChannelKind.MAIL and not any(viewer.may(right) for right in OUTWARD):
        raise NotPermitted("Channels that lead out of the house are made by leads, operators and admins.")
    name = plain(name.strip(), 100)
    if not name:
        raise Refused("no_name", "A channel needs a name.")
    owner = {"team": team} if team is not None else {"account": account}
    if NoticeChannel.objects.filter(removed_at=None, **owner).count() >= MOST_CHANNELS:
        raise Refused("too_many_channels", f"There may be {MOST_CHANNELS} channels of one owner.")
    chosen = _topics(topics)
    sealed, shown, text = _where(kind, address.strip(), secret.strip())
    with act(Actor.of(account)) as log:
        channel = NoticeChannel.objects.create(
            name=name,
            kind=kind,
            topics=chosen,
            pace=_pace(pace),
            shown=shown,
            created_by=account,
            **_from_now(_hour(hour)),
            language=_language(language),
            **sealed,
            **owner,
        )
        log.record(
            "notice_channel.created",
            subject=f"notice_channel:{channel.pk}",
            data={"kind": str(kind), "team": str(team.pk) if team else None, "topics": chosen, "pace": str(pace)},
        )
    return channel, text


def _where(kind: str, address: str, secret: str) -> tuple[dict[str, str], str, str]:
    """The sealed columns, what may be shown of them, and a new secret's text."""
    if kind not in ChannelKind.values:
        raise Refused("unknown_kind", "There is no such kind of channel.")
    if kind == ChannelKind.MAIL:
        return {}, "", ""
    if kind == ChannelKind.PAGERDUTY:
        if not (20 <= len(secret) <= 64 and secret.isascii() and secret.isalnum()):
            raise Refused("bad_secret", "A routing key is 20 to 64 letters and digits.")
        return {"secret": seal(secret)}, f"…{secret[-4:]}", ""
    try:
        place, _ = outgoing.checked(address)
    except UrlError as error:
        raise Refused(str(error.reason), error.message) from error
    # The path of such an address is often a secret itself.
    if kind == ChannelKind.SLACK:
        return {"address": seal(address)}, place.host, ""
    text = new_secret()
    return {"address": seal(address), "secret": seal(text)}, place.host, text


def new_secret() -> str:
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()


def change_channel(
    *,
    account: Account,
    viewer: Viewer,
    channel: NoticeChannel,
    is_on: bool | None = None,
    topics: Iterable[str] | None = None,
    pace: str | None = None,
    hour: int | None = None,
    language: str | None = None,
) -> NoticeChannel:
    """Switches a channel, or changes what it tells, when and in which language. Raises NotPermitted, Refused."""
    _may(viewer, channel)
    changes: dict[str, Any] = {}
    if is_on is not None:
        changes["is_on"] = is_on
    if topics is not None:
        changes["topics"] = _topics(topics)
    if pace is not None and pace != channel.pace:
        # A digest begins with what happens from now on.
        changes |= {"pace": _pace(pace), **_from_now(channel.hour)}
    if hour is not None:
        changes["hour"] = _hour(hour)
    if language is not None:
        changes["language"] = _language(language)
    if changes:
        with act(Actor.of(account)) as log:
            NoticeChannel.objects.filter(pk=channel.pk).update(**changes)
            said = {name: value for name, value in changes.items() if name not in ("told_to", "told_on")}
            log.record("notice_channel.changed", subject=f"notice_channel:{channel.pk}", data=said)
    channel.refresh_from_db()
    return channel


def rotate_secret(*, account: Account, viewer: Viewer, channel: NoticeChannel) -> str:
    """A webhook's new secret, in use from now on; returned this once. Raises NotPermitted, Refused."""
    _may(viewer, channel)
    if channel.kind != ChannelKind.WEBHOOK:
        raise Refused("no_secret", "Only a webhook signs with a secret of ours.")
    text = new_secret()
    with act(Actor.of(account)) as log:
        NoticeChannel.objects.filter(pk=channel.pk).update(secret=seal(text))
        log.record("notice_channel.rotated", subject=f"notice_channel:{channel.pk}", data={})
    return text


def remove_channel(*, account: Account, viewer: Viewer, channel: NoticeChannel) -> None:
    """Ends a channel and forgets its address and secret; what it sent stays in the log. Raises NotPermitted."""
    _may(viewer, channel)
    with act(Actor.of(account)) as log:
        removed = NoticeChannel.objects.filter(pk=channel.pk, removed_at=None).update(
            removed_at=timezone.now(), is_on=False, address="", secret=""
        )
        if removed:
            log.record("notice_channel.removed", subject=f"notice_channel:{channel.pk}", data={})


def try_channel(*, account: Account, viewer: Viewer, channel: NoticeChannel) -> Notice:
    """Puts a test notice in line. Raises NotPermitted."""
    _may(viewer, channel)
    with act(Actor.of(account)) as log:
        notice = owe(log, channel, f"test:{uuid4().hex}", [])
        log.record("notice_channel.tried", subject=f"notice_channel:{channel.pk}", data={})
    assert notice is not None  # noqa: S101 - its key was never used before
    return notice


def redeliver(*, account: Account, viewer: Viewer, notice: Notice) -> Notice:
    """Puts a notice that ended back in line, under the same id, so that receivers know it again. Raises NotPermitted, Refused."""
    _may(viewer, notice.channel)
    ended = (NoticeState.DONE, NoticeState.PARKED, NoticeState.CANCELLED)
    with act(Actor.of(account)) as log:
        changed = Notice.objects.filter(pk=notice.pk, state__in=ended).update(
            state=NoticeState.PENDING, attempts=0, due_at=timezone.now(), finished_at=None, last_error=""
        )
        if not changed:
            raise Refused("not_ended", "It is in line already.")
        log.record("notice.redelivered", subject=f"notice:{notice.pk}", data={"channel": str(notice.channel_id)})
        log.wake("notice", notice.pk)
    notice.refresh_from_db()
    return notice


def _may(viewer: Viewer, channel: NoticeChannel) -> None:
    _signed_in(viewer)
    if not may_change(viewer, channel):
        raise NotPermitted("A team's channels are changed by its leads.")


def _signed_in(viewer: Viewer) -> None:
    """A channel outlives the token that made it, so a token makes and changes none."""
    if viewer.scopes is not None or not viewer.may("read"):
        raise NotPermitted("Channels are made and changed by people who signed in.")


def _topics(topics: Iterable[str]) -> list[str]:
    chosen = sorted(set(topics))
    if unknown := [topic for topic in chosen if topic not in content.TOPICS]:
        raise Refused("unknown_topic", f"There is no topic {plain(unknown[0], 40)}.")
    return chosen


def _from_now(hour: int) -> dict[str, Any]:
    """The columns of a channel that begins now: it tells what comes from here on, for the first time when its hour comes next."""
    now = timezone.now()
    return {"hour": hour, "told_to": end_of_chain()[0], "told_on": now.date() if now.hour >= hour else None}


def _hour(hour: int) -> int:
    if not 0 <= hour <= 23:
        raise Refused("bad_hour", "An hour is a number from 0 to 23.")
    return hour


def _language(language: str) -> str:
    if language and language not in dict(settings.LANGUAGES):
        raise Refused("unknown_language", "There is no such language here.")
    return language


def _pace(pace: str) -> str:
    if pace not in Pace.values:
        raise Refused("unknown_pace", "There is no such pace.")
    return pace
