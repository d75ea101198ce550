"""From rows to messages: what a notice's owner may see, and what it says of that. Looked at when it is sent, not when it was owed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import QuerySet
from django.utils import timezone, translation
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from immune.deliveries import happened
from immune.events.subscriptions import Happened
from immune.models import Event, Repository
from immune.people.selectors import viewer_of, visible_repositories
from reviews.console.untrusted import plain
from reviews.models import Review, ReviewState
from reviews.notices import content
from reviews.notices.content import Message
from reviews.notices.models import Notice, NoticeChannel
from reviews.notices.wording import line_of

MOST_EVENTS = 200


def seen_repositories(channel: NoticeChannel) -> QuerySet[Repository]:
    """The repositories the channel's owner may see now: the person's, or the team's."""
    if channel.account is not None:
        return visible_repositories(viewer_of(channel.account))
    return Repository.objects.filter(owners=channel.team_id)


def sees(channel: NoticeChannel, event: Happened) -> bool:
    """Whether the owner may know of the event. What concerns no repository is told only where it is for everybody."""
    if event.repository is None:
        active = channel.account is None or channel.account.is_active
        return active and event.kind in content.EVERYONES
    return seen_repositories(channel).filter(pk=event.repository).exists()


def compose(notice: Notice) -> Message | None:
    """What the notice says now; None when its owner may no longer see any of it, or nothing is left to say."""
    with translation.override(notice.channel.language or settings.LANGUAGE_CODE):
        about = notice.key.partition(":")[0]
        if about == "test":
            return Message(_id(notice), _("This is a test of the channel."), ())
        if about == "overdue":
            return _overdue(notice)
        return _events(notice)


def _id(notice: Notice) -> str:
    return f"msg_{notice.pk.hex}"


def _events(notice: Notice) -> Message | None:
    rows = [happened(row) for row in Event.objects.filter(position__in=notice.positions).order_by("position")]
    seen = [event for event in rows if sees(notice.channel, event)]
    if not seen:
        return None
    names = _names({event.repository for event in seen if event.repository})
    lines = [line_of(event, names.get(event.repository, "")) for event in seen]
    levels = ("critical", "error", "warning", "info")
    grave = min((content.gravity(event) for event in seen), key=levels.index)
    title = lines[0] if len(lines) == 1 else _("%(count)d things happened") % {"count": len(lines)}
    return Message(
        _id(notice), title, tuple(lines[: content.MOST_LINES]), grave, link("/admin/"), tuple(_plainly(seen))
    )


def _plainly(events: Iterable[Happened]) -> Iterable[dict[str, Any]]:
    """What a machine gets of an event: as in the live feed, ids and states."""
    for event in events:
        yield {
            "position": event.position,
            "kind": event.kind,
            "subject": event.subject,
            "repository": str(event.repository) if event.repository else None,
            "data": event.data,
        }


def _overdue(notice: Notice) -> Message | None:
    late = Review.objects.exclude(state=ReviewState.DECIDED).filter(
        due_at__lt=timezone.now(), repository__in=seen_repositories(notice.channel).values("pk")
    )
    count = late.count()
    if not count:
        return None
    rows = late.select_related("repository", "remedy", "apv").order_by("priority", "due_at", "pk")
    lines = [
        plain(
            f"[{row.repository.name}] {row.priority} {row.remedy or row.apv}, "
            + _("due %(day)s") % {"day": f"{row.due_at:%Y-%m-%d}"},
            content.LONGEST,
        )
        for row in rows[: content.MOST_LINES]
    ]
    title = ngettext("%(count)d review is overdue", "%(count)d reviews are overdue", count) % {"count": count}
    return Message(_id(notice), title, tuple(lines), "warning", link("/admin/reviews/review/?pick=overdue"))


def _names(ids: set[UUID]) -> dict[UUID | None, str]:
    return dict(Repository.objects.filter(pk__in=ids).values_list("pk", "name"))


def link(path: str) -> str:
    """An address of ours, where SITE_URL says what ours is."""
    return settings.SITE_URL.rstrip("/") + path if settings.SITE_URL else ""
