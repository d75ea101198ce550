"""Putting a question about an APV to people, and their settling it. Nothing waits for the answer, and nothing closes meanwhile."""

from __future__ import annotations

from django.db.models import Exists, F, OuterRef, QuerySet
from django.utils import timezone

from immune.events.actors import Actor
from immune.events.log import Log, act
from immune.models import APV, Account, Question
from immune.people.selectors import Viewer, visible_repositories
from immune.people.services import NotPermitted
from immune.services import Refused


def ask(log: Log, apv: APV, kind: str, about: str) -> None:
    """Asks once while it is open; a settled one may be asked again. ``about`` holds codes, states and ids."""
    row, made = Question.objects.get_or_create(apv=apv, kind=kind, about=about[:400], settled_at=None)
    if made:
        _note(log, "question.asked", row)


def settle(*, actor: Actor, viewer: Viewer, question: Question, account: Account | None = None) -> Question:
    """Says that a person has looked. Raises NotPermitted for who may not decide, Refused (``settled``) when somebody did before."""
    if not viewer.may("decide") or not visible_repositories(viewer).filter(pk=question.apv.repository_id).exists():
        raise NotPermitted("This account may not settle questions about this APV.")
    now = timezone.now()
    with act(actor) as log:
        open_row = Question.objects.filter(pk=question.pk, settled_at__isnull=True)
        if not open_row.update(settled_at=now, settled_by=account):
            raise Refused("settled", "Somebody has settled it already.")
        question.settled_at, question.settled_by = now, account
        _note(log, "question.settled", question)
    return question


def is_asked() -> Exists:
    """The condition on APVs that a question about them is open."""
    return Exists(Question.objects.filter(apv=OuterRef("pk"), settled_at__isnull=True))


def questions_about(apv: APV) -> QuerySet[Question]:
    """Everything asked about an APV, open ones first, at most a hundred."""
    return apv.questions.select_related("settled_by").order_by(
        F("settled_at").asc(nulls_first=True), "-asked_at", "-pk"
    )[:100]


def _note(log: Log, kind: str, row: Question) -> None:
    log.record(
        kind,
        subject=f"apv:{row.apv_id}",
        repository=row.apv.repository_id,
        data={"apv_code": row.apv.apv_code, "question": row.kind, "number": row.pk},
    )
