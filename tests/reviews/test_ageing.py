"""What nobody decides about is closed in its time, with the reason, and comes back made on the branch as it is; nothing else is."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.conf import settings as configured
from django.utils import timezone

from immune.events.actors import SYSTEM
from immune.models import APV, ForgeJob, LocalNote, LocalPullRequest, Remedy
from immune.people.selectors import viewer_of
from immune.services import mirror_of, request_scan
from reviews import services
from reviews.ageing import close_stale
from reviews.models import Review
from tests.reviews import cast as made
from tests.reviews.cast import Cast
from tests.reviews.journeys import (
    checkout,
    commit,
    decide,
    git,
    knows_advisories,
    register,
    review_of,
    scan,
    states,
    work_off,
)

LONG_AGO = timedelta(days=31)


@pytest.fixture
def folder(settings, tmp_path):
    settings.WORK_DIR = tmp_path / "work"
    settings.WARGAMING_ENABLED = False
    knows_advisories()
    return tmp_path / "app"


def grown_old() -> None:
    Review.objects.update(opened_at=timezone.now() - LONG_AGO)


@pytest.mark.django_db(transaction=True)
@pytest.mark.both_databases
def test_a_pull_request_nobody_decided_about_is_closed_with_the_reason_and_made_anew(folder):
    repository = register(checkout(folder, requirements__txt="click==8.3.2\n"))
    scan(repository)
    old, asked = Remedy.objects.get(), review_of("click")
    commit(folder, README="moved on\n")
    scan(repository)
    grown_old()

    assert (close_stale(), close_stale()) == (1, 0)
    work_off()

    old.refresh_from_db()
    asked.refresh_from_db()
    assert (old.state, asked.state) == ("superseded", "decided")
    assert "30 days" in old.reason
    assert asked.closed_because == old.reason
    pull = LocalPullRequest.objects.get(number=old.pull_request_number)
    note = LocalNote.objects.get(about=f"#{pull.number}", kind="comment")
    assert (pull.state, note.body) == ("closed", old.reason)
    assert old.branch not in git(mirror_of(repository).path, "branch", "--list")

    again = Remedy.objects.exclude(pk=old.pk).get()
    repository.refresh_from_db()
    assert (again.state, again.base_commit, states(repository)) == (
        "proposed", repository.head_commit, {"click": "in_review"},
    )  # fmt: skip
    assert review_of("click").remedy == again
    assert close_stale() == 0, "its time begins anew"


@pytest.mark.django_db(transaction=True)
def test_what_cannot_be_made_anew_after_the_branch_moved_is_put_before_a_person(folder):
    repository = register(checkout(folder, requirements__txt="click==8.3.2\n"))
    scan(repository)
    old, asked = Remedy.objects.get(), review_of("click")
    lock = 'lock-version = "1.0"\ncreated-by = "x"\n[[packages]]\nname = "click"\nversion = "8.3.2"\n'
    commit(folder, requirements__txt="", pylock__toml=lock)

    request_scan(actor=SYSTEM, repository=repository, cause=f"rebase:{old.pk}")
    work_off()

    old.refresh_from_db()
    asked.refresh_from_db()
    assert (old.state, asked.state, states(repository)) == ("superseded", "decided", {"click": "failed"})
    assert "not prepared yet" in APV.objects.get().reason


# --- what stays


@pytest.fixture
def waiting(cast: Cast) -> Review:
    """A round that is old, about a change whose branch has moved on."""
    review = made.proved_review(cast)
    cast.repository.head_commit = "e" * 40
    cast.repository.save()
    grown_old()
    return review


@pytest.fixture
def cast(db: None) -> Cast:
    return Cast()


def claimed(cast: Cast, review: Review) -> None:
    services.claim_review(account=cast.rita, viewer=viewer_of(cast.rita), review=review)


def commented(cast: Cast, review: Review) -> None:
    services.comment_review(account=cast.rita, viewer=viewer_of(cast.rita), review=review, text="I ask the team.")


def escalated(cast: Cast, review: Review) -> None:
    decide(review, "escalate", by=cast.rita)


def approved(cast: Cast, review: Review) -> None:
    decide(review, "approve", by=cast.rita)


def branch_stands(cast: Cast, review: Review) -> None:
    type(cast.repository).objects.update(head_commit=review.remedy.base_commit)


def never_read(cast: Cast, review: Review) -> None:
    type(cast.repository).objects.update(head_commit="")


def opened_lately(cast: Cast, review: Review) -> None:
    Review.objects.update(opened_at=timezone.now() - timedelta(days=29))


def switched_off(cast: Cast, review: Review) -> None:
    configured.STALE_PULL_REQUEST_DAYS = 0  # undone by the fixture that set it


def test_an_old_one_is_given_up(waiting: Review) -> None:
    assert close_stale() == 1


@pytest.mark.parametrize(
    "but",
    [claimed, commented, escalated, approved, branch_stands, never_read, opened_lately, switched_off],
    ids=lambda one: one.__name__,
)
def test_an_old_one_stays_where_somebody_is_at_it_or_nothing_would_change(cast, waiting, settings, but):
    settings.STALE_PULL_REQUEST_DAYS = 30
    but(cast, waiting)
    assert close_stale() == 0
    waiting.remedy.refresh_from_db()
    assert waiting.remedy.state == "proposed"
    assert not ForgeJob.objects.filter(kind="close_pr").exists()
