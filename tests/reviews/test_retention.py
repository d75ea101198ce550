"""Evidence grows old: what a decision rested on stays, the rest goes, and whoever asks for it is told."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.utils import timezone

from immune.models import Event, Remedy
from reviews.models import Review
from reviews.retention import remove_old_evidence
from tests.reviews import cast as made
from tests.reviews.api.conftest import problem, session
from tests.reviews.cast import Cast
from wargaming.models import Evidence

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.both_databases]


@pytest.fixture
def cast(settings: Any) -> Cast:
    settings.EVIDENCE_DAYS = 30
    return Cast()


def old(review: Review, *, days: int = 31, live: bool = False) -> Evidence:
    """The evidence of a round, as it is ``days`` later."""
    wargame = review.items.get().wargame
    assert wargame is not None
    Evidence.objects.filter(pk=wargame.evidence_id).update(created_at=timezone.now() - timedelta(days=days))
    if not live:
        Remedy.objects.filter(pk=wargame.remedy_id).update(state="superseded")
    assert wargame.evidence is not None
    return wargame.evidence


def is_kept(evidence: Evidence) -> bool:
    evidence.refresh_from_db()
    return evidence.removed_at is None and bytes(evidence.archive) == b"archive"


def test_what_nothing_rests_on_goes_with_an_event(cast: Cast) -> None:
    evidence = old(made.proved_review(cast))
    assert remove_old_evidence() == 1
    assert not is_kept(evidence)
    assert bytes(evidence.archive) == b""
    [event] = Event.objects.filter(kind="evidence.removed")
    assert event.subject == f"evidence:{evidence.pk}"
    assert remove_old_evidence() == 0


def test_what_a_decision_rested_on_is_asked_about_or_is_young_stays(cast: Cast) -> None:
    decided, asked = made.proved_review(cast, package="one"), made.proved_review(cast, package="two")
    assert session(cast.rita).decide(decided, "escalate").status_code == 201
    kept = [old(decided), old(asked, live=True), old(made.proved_review(cast, package="three"), days=29)]
    assert remove_old_evidence() == 0
    assert all(is_kept(evidence) for evidence in kept)


def test_nothing_goes_where_no_days_are_set(cast: Cast, settings: Any) -> None:
    settings.EVIDENCE_DAYS = 0
    evidence = old(made.proved_review(cast), days=9999)
    assert remove_old_evidence() == 0
    assert is_kept(evidence)


def test_who_asks_for_what_was_removed_is_told(cast: Cast, capsys: pytest.CaptureFixture[str]) -> None:
    review = made.proved_review(cast)
    evidence = old(review)
    wargame = review.items.get().wargame_id
    remove_old_evidence()
    problem(session(cast.rita).get(f"/hitl/wargames/{wargame}/evidence"), 410, "evidence_removed")
    with pytest.raises(SystemExit) as ended:
        call_command("replay_evidence", evidence.pk)
    assert ended.value.code == 2
    assert "was removed" in capsys.readouterr().out
