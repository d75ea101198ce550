"""The work of notices: owed when something happens or a day has passed, sent with retries, parked and kept when given up."""

from __future__ import annotations

import smtplib
import threading
import time
from datetime import timedelta

from django.conf import settings
from django.core.mail import EmailMessage
from django.db.models import Q
from django.utils import timezone

from immune import claims, leases, work
from immune.deliveries import happened
from immune.events.actors import SYSTEM
from immune.events.log import Log, act, end_of_chain
from immune.events.subscriptions import Happened, subscribe
from immune.models import Account, Event
from reviews.console.untrusted import plain
from reviews.notices import content, outgoing
from reviews.notices.composing import MOST_EVENTS, compose, sees
from reviews.notices.content import Message
from reviews.notices.models import ChannelKind, Notice, NoticeAttempt, NoticeChannel, NoticeState, Pace
from reviews.notices.outgoing import Answered
from reviews.notices.sealing import CannotOpen, unseal

FORGOTTEN_AT_ONCE = 500


@subscribe("notices.tell", *sorted(content.KINDS))
def tell(event: Happened) -> None:
    """Owes the event to every channel that wants it at once. Again is harmless: a channel is owed an event once."""
    channels = NoticeChannel.objects.filter(is_on=True, removed_at=None, pace=Pace.AT_ONCE)
    wanting = [channel for channel in channels.select_related("account") if content.tells(event, channel.topics)]
    with act(SYSTEM) as log:
        for channel in wanting:
            if sees(channel, event):
                owe(log, channel, f"event:{event.position}", [event.position])


def owe(log: Log, channel: NoticeChannel, key: str, positions: list[int]) -> Notice | None:
    """One notice in line, None when this was owed before."""
    notice, made = Notice.objects.get_or_create(channel=channel, key=key, defaults={"positions": positions})
    if made:
        log.wake("notice", notice.pk)
    return notice if made else None


def gather() -> int:
    """The hourly duty: digests of what happened since the last one, and what is overdue, for the channels whose hour has come today.

    An hour that was missed is made up for on the same day. Returns how many were owed.
    """
    now = timezone.now()
    today = f"{now:%Y-%m-%d}"
    owed = 0
    untold = Q(told_on=None) | Q(told_on__lt=now.date())
    channels = NoticeChannel.objects.filter(untold, is_on=True, removed_at=None, hour__lte=now.hour)
    for channel in channels.exclude(pace=Pace.AT_ONCE).select_related("account"):
        with act(SYSTEM) as log:
            leases.fence()
            if not NoticeChannel.objects.filter(untold, pk=channel.pk).update(told_on=now.date()):
                continue
            if channel.pace == Pace.OVERDUE:
                owed += owe(log, channel, f"overdue:{today}", []) is not None
            else:
                owed += _digest(log, channel, today)
    return owed


def forget() -> int:
    """The daily duty: removes notices that ended NOTICE_LOG_DAYS ago, with their attempts. Returns how many notices."""
    if not settings.NOTICE_LOG_DAYS:
        return 0
    before = timezone.now() - timedelta(days=settings.NOTICE_LOG_DAYS)
    removed = 0
    while old := list(Notice.objects.filter(finished_at__lt=before).values_list("pk", flat=True)[:FORGOTTEN_AT_ONCE]):
        _, counted = Notice.objects.filter(pk__in=old, finished_at__lt=before).delete()
        removed += counted.get("reviews.Notice", 0)
    return removed


def _digest(log: Log, channel: NoticeChannel, today: str) -> bool:
    until = end_of_chain()[0]
    kinds = set().union(*(content.TOPICS.get(topic, frozenset()) for topic in channel.topics))
    rows = Event.objects.filter(kind__in=kinds, position__gt=channel.told_to, position__lte=until).order_by("position")
    wanted = [event for event in map(happened, rows.iterator()) if content.tells(event, channel.topics)]
    # The newest ones where there are more than a digest holds: what is old is in the console.
    positions = [event.position for event in wanted if sees(channel, event)][-MOST_EVENTS:]
    NoticeChannel.objects.filter(pk=channel.pk).update(told_to=until)
    return bool(positions) and owe(log, channel, f"digest:{today}:{until}", positions) is not None


def run(notice: Notice, lost: threading.Event) -> None:
    """Sends one claimed notice. What its owner may no longer see, and what was switched off, is not sent."""
    channel = notice.channel
    message = compose(notice) if channel.is_on and channel.removed_at is None else None
    if message is None:
        claims.finish(notice, to=NoticeState.CANCELLED, finished_at=timezone.now())
        return
    began = time.monotonic()
    answer = send(channel, message)
    NoticeAttempt.objects.create(
        notice=notice,
        outcome=answer.outcome[:40],
        status=answer.status,
        said=plain(answer.said, 250)[:300],
        milliseconds=int((time.monotonic() - began) * 1000),
    )
    if answer.outcome == "done":
        claims.finish(notice, to=NoticeState.DONE, finished_at=timezone.now(), last_error="")
    elif answer.again and notice.attempts < NOTICES.attempts:
        claims.release(notice, wait=max(answer.wait, claims.backoff(notice.attempts)), error=answer.outcome)
    else:
        claims.finish(notice, to=NoticeState.PARKED, finished_at=timezone.now(), last_error=answer.outcome)


def send(channel: NoticeChannel, message: Message) -> Answered:
    """One attempt by the channel's own way. What goes wrong is an answer, never an exception that could hold a secret."""
    try:
        if channel.kind == ChannelKind.MAIL:
            return _mail(channel, message)
        address = unseal(channel.address) if channel.address else settings.PAGERDUTY_URL
        headers = {"Content-Type": "application/json"}
        if channel.kind == ChannelKind.WEBHOOK:
            body, headers = content.webhook(message, secret=unseal(channel.secret), at=int(time.time()))
        elif channel.kind == ChannelKind.SLACK:
            body = content.slack(message)
        else:
            body = content.pagerduty(message, routing_key=unseal(channel.secret), source=settings.APP_NAME)
    except CannotOpen:
        return Answered("secret_unreadable")
    return outgoing.post(address, body, headers)


def _mail(channel: NoticeChannel, message: Message) -> Answered:
    """To the person's own address, or to those of the team's members who have one; never to an address somebody typed in."""
    if not settings.EMAIL_HOST:
        return Answered("mail_not_configured")
    people = [channel.account] if channel.account else Account.objects.filter(teams=channel.team_id)
    to = [person.email for person in people if person and person.is_active and person.email]
    if not to:
        return Answered("no_mail_address")
    subject, body = content.mail(message, name=settings.APP_NAME)
    headers = {"Message-ID": f"<{message.key}@immune.invalid>", "Auto-Submitted": "auto-generated"}
    try:
        # Members do not see each other's addresses.
        EmailMessage(
            subject, body, to=to[:1] if len(to) == 1 else [], bcc=to if len(to) > 1 else [], headers=headers
        ).send()
    except smtplib.SMTPResponseException as error:
        return Answered("mail_refused", error.smtp_code, type(error).__name__, again=error.smtp_code < 500)
    except (smtplib.SMTPException, OSError) as error:
        refused = isinstance(error, smtplib.SMTPRecipientsRefused)
        return Answered("mail_refused" if refused else "unreachable", said=type(error).__name__, again=not refused)
    return Answered("done")


def give_up(notice: Notice, error: str) -> None:
    claims.finish(notice, to=NoticeState.PARKED, finished_at=timezone.now(), last_error=error[:2000])


NOTICES = work.Kind(
    name="notice",
    queue="notify",
    rows=Notice.objects.select_related("channel__account").all,
    run=run,
    give_up=give_up,
    # A notice is its owner's, not a repository's: whoever immunizes one does not wait for chat and mail.
    scope=lambda repository: Q(pk__in=()),
    lease=timedelta(minutes=1),
    attempts=8,
)
