"""One event in one line, in the language that is active: what notices to people say.

What comes from advisories, repositories or people is cleaned on its way in, so that it can neither begin a line nor end one.
"""

from __future__ import annotations

from typing import Any

from django.db.models import TextChoices
from django.utils.translation import gettext as _

from immune.events.subscriptions import Happened
from immune.models.advisories import Severity
from immune.models.aftermaths import AlarmCause
from immune.models.balance import BalanceState
from immune.models.remedies import ForgeJobKind, ForgeJobState
from reviews.console import refused
from reviews.console.untrusted import plain
from reviews.models import Choice, Recommendation
from reviews.notices.content import LONGEST


def line_of(event: Happened, repository: str) -> str:
    """One event in one line of at most LONGEST characters."""
    where = f"[{plain(repository, 80)}] " if repository else ""
    return plain(where + _sentence(event), LONGEST)


def _sentence(event: Happened) -> str:
    data = event.data

    def text(name: str, longest: int = 120) -> str:
        return plain(str(data.get(name, "")), longest)

    codes = ", ".join(plain(str(code), 40) for code in list(data.get("apvs") or [])[:5])
    match event.kind:
        case "apv.opened":
            words = {"code": text("apv_code"), "advisory": text("advisory"), "package": text("package")}
            return f"{_label(Severity, data.get('severity'))} {words['code']}: " + (
                _("%(advisory)s in %(package)s") % words
            )
        case "review.opened":
            said = _label(Recommendation, data.get("recommendation"))
            return _("To decide (%(priority)s): %(codes)s; recommended: %(said)s") % {
                "priority": text("priority"), "codes": codes, "said": said,
            }  # fmt: skip
        case "decision.made":
            return _("Decided: %(choice)s for %(codes)s") % {
                "choice": _label(Choice, data.get("type")), "codes": codes,
            }  # fmt: skip
        case "decision.withdrawn":
            return _("Decision withdrawn: %(choice)s") % {"choice": _label(Choice, data.get("type"))}
        case "forge_job.finished":
            return _("The forge did not carry out %(kind)s: %(state)s. %(why)s") % {
                "kind": _label(ForgeJobKind, data.get("kind")),
                "state": _label(ForgeJobState, data.get("state")),
                "why": refused.sentence(str(data.get("reason", ""))) or text("reason"),
            }
        case "remedy.looped":
            return _("%(package)s goes round in circles at %(version)s: %(codes)s") % {
                "package": text("package"), "version": text("to"), "codes": codes,
            }  # fmt: skip
        case "repository.unreadable":
            return _("The repository could not be read: %(reason)s") % {"reason": text("reason")}
        case "aftermath.alarmed":
            return _("A merge went wrong on the default branch: %(cause)s") % {
                "cause": _label(AlarmCause, data.get("cause"))
            }
        case "reflex.fired":
            return _("A reflex rule holds for %(code)s") % {"code": text("apv_code")}
        case "balance.moved":
            return _("State: %(before)s → %(now)s") % {
                "before": _label(BalanceState, data.get("from")), "now": _label(BalanceState, data.get("to")),
            }  # fmt: skip
    return event.kind


def _label(choices: type[TextChoices], value: Any) -> str:
    """The words for a value; what is none of the choices is shown as it is."""
    return str(choices(value).label) if value in choices.values else plain(str(value or ""), 80)
