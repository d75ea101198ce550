"""Template filters of the console. Everything that a stranger may have written passes through ``shown`` or ``shown_line``."""

from __future__ import annotations

from datetime import datetime, timedelta

from django import template
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from reviews.console import refused, untrusted
from reviews.console import said as kept

register = template.Library()


@register.filter
def shown(text: object, limit: int = 4000) -> SafeString:
    """Text of many lines, escaped, with marks for what is invisible and a word on how much was left out."""
    return _html(untrusted.shown(_text(text), limit))


@register.filter
def shown_line(text: object, limit: int = 200) -> SafeString:
    return _html(untrusted.shown_line(_text(text), limit))


@register.filter
def said(text: object) -> str:
    """What the system said and kept in English, in the reader's language; still to be shown as a stranger's text is."""
    return kept.translated(_text(text))


@register.filter
def word(text: object) -> str:
    """A word the system keeps (an outcome, a factor, what it rests on) as a person reads it; still to be shown as a stranger's text is."""
    return kept.word(_text(text))


@register.filter
def why_refused(reason: object) -> str:
    """A sentence for the reason a forge job ended with."""
    return refused.sentence(_text(reason))


@register.filter
def plain_line(text: object, limit: int = 120) -> str:
    """For titles and attributes: still escaped by the template as any string."""
    return untrusted.plain(_text(text), limit)


@register.filter
def link(url: object, label: object = "") -> SafeString:
    """A link that leaks nothing to where it leads, or the text alone when it is no address to follow."""
    text = _text(url)
    words = _html(untrusted.shown_line(_text(label) or text, 120))
    if (address := untrusted.safe_link(text)) is None:
        return format_html('<span class="c-dead-link">{}</span>', words)
    return format_html(
        '<a class="c-link" href="{}" target="_blank" rel="noopener noreferrer nofollow external">{}</a>', address, words
    )


@register.filter
def left_out(text: object, limit: int) -> int:
    return max(0, len(_text(text)) - limit)


@register.filter
def due_words(when: datetime | None) -> str:
    """How long until (or since) a moment, in words a queue can be read by."""
    if when is None:
        return "—"
    distance = when - timezone.now()
    late = distance < timedelta(0)
    amount = _amount(abs(distance))
    return _("%(amount)s overdue") % {"amount": amount} if late else _("in %(amount)s") % {"amount": amount}


def _amount(distance: timedelta) -> str:
    if distance >= timedelta(days=1):
        return ngettext("%d day", "%d days", distance.days) % distance.days
    if (hours := distance.seconds // 3600) >= 1:
        return ngettext("%d hour", "%d hours", hours) % hours
    minutes = distance.seconds // 60
    return ngettext("%d minute", "%d minutes", minutes) % minutes


@register.filter
def past(when: datetime | None) -> bool:
    return when is not None and when < timezone.now()


@register.filter
def memory(size: int | None) -> str:
    return "—" if size is None else f"{size / 1024 / 1024:.1f} MiB"


@register.filter
def percent(share: float | None) -> str:
    return "—" if share is None else f"{share * 100:.0f} %"


@register.filter
def hundredth(share: float | None) -> str:
    """A share of one as a whole number of hundred, for the width of a bar."""
    return str(max(0, min(100, round((share or 0) * 100))))


@register.filter
def short(digest: object) -> str:
    return untrusted.plain(_text(digest), 12).removesuffix("…")


def _html(found: untrusted.Shown) -> SafeString:
    body = format_html_join(
        "",
        "{}",
        (
            (
                format_html('<span class="c-mark" title="{}">{}</span>', piece.mark, piece.text)
                if piece.mark
                else piece.text,
            )
            for piece in found.pieces
        ),
    )
    if not found.left_out:
        return body
    words = ngettext("%d more character", "%d more characters", found.left_out) % found.left_out
    return format_html('{}<span class="c-cut"> … {}</span>', body, words)


def _text(value: object) -> str:
    return "" if value is None else str(value)
