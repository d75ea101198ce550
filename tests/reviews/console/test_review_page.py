"""What a reviewer sees on the review page, and what stays out of sight."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from immune.models import Account, Role
from reviews import rounds
from reviews.models import Review
from tests.reviews import cast as builders
from tests.reviews.cast import Cast
from wargaming.models import RefusedScenario, Wargame

SignedIn = Callable[[Account], Client]
EVIL = "<script>alert(1)</script>\x1b[31m\u202egnp.exe\x00"


def address(review: Review) -> str:
    return reverse("admin:reviews_review_change", args=(review.pk,))


def text_of(client: Client, review: Review) -> str:
    answer = client.get(address(review))
    assert answer.status_code == 200
    return answer.content.decode()


def test_it_shows_what_a_decision_rests_on(cast: Cast, signed_in: SignedIn) -> None:
    review = builders.proved_review(cast, apvs=2)
    page = text_of(signed_in(cast.rita), review)
    for item in review.items.all():
        assert item.apv.apv_code in page
        assert item.apv.advisory_id in page
        assert item.apv.cve_id in page
    for words in (
        "high 7.5",
        "Session cookies are sent to a foreign host",
        "https://advisories.example/one",
        "# what the board needs",
        "REPRODUCED: 7f3a the foreign host received the session cookie",
        "NOT PRESENT: 7f3a",
        "38.0 MiB",
        "judged by the script itself, protocol 2",
        "1 package differs",
        "urllib3 2.2.1 built from source here",
        "own tests: passed",
        "Every wargame showed the weakness before the patch",
        "The wargames have ended.",
    ):
        assert words in page, words


def test_without_a_scenario_it_shows_what_was_looked_at_and_what_the_repository_would_miss(
    cast: Cast, signed_in: SignedIn
) -> None:
    review = builders.proved_review(cast)
    Wargame.objects.update(
        checks=[
            {"name": "imports_after", "ok": False, "detail": "requests: <b>ImportError</b>"},
            {"name": "built_from_source", "ok": None, "detail": "requests 2.32.0 built from source here"},
        ],
        risks=[{"name": "requests.gone", "file": "app/<i>.py", "line": 7, "sure": False}],
        own_tests={"status": "broken", "why": "1 test(s) fail", "broken": ["tests/test_a.py::test_b"]},
    )
    page = text_of(signed_in(cast.rita), review)
    for words in (
        "imports_after",
        "requests 2.32.0 built from source here",
        "requests.gone",
        ":7",
        "tests/test_a.py::test_b",
    ):
        assert words in page, words
    assert "<b>ImportError" not in page
    assert "app/<i>" not in page


def test_it_offers_four_decisions_bound_to_what_was_seen(cast: Cast, signed_in: SignedIn) -> None:
    review = builders.proved_review(cast)
    page = text_of(signed_in(cast.rita), review)
    for choice in ("approve", "reject", "modify", "escalate"):
        assert f'name="decision" value="{choice}"' in page
    for field, value in (
        ("head_commit", review.head_commit),
        ("patch_digest", review.patch_digest),
        ("version", review.version),
    ):
        assert f'name="{field}" value="{value}"' in page


def test_without_a_fix_there_is_nothing_to_approve_or_modify(cast: Cast, signed_in: SignedIn) -> None:
    threat = builders.apv(cast.repository, builders.advisory("GHSA-no-fix"), status="no_fix")
    with builders.act(builders.SYSTEM) as log:
        review = rounds.open_no_fix_round(log, apv=threat)
    assert review is not None
    page = text_of(signed_in(cast.rita), review)
    assert 'value="approve"' not in page
    assert 'value="modify"' not in page
    assert 'value="reject"' in page


def test_what_strangers_wrote_is_text_with_marks(cast: Cast, signed_in: SignedIn) -> None:
    where = builders.repository(f"evil/{EVIL}")
    cast.team.repositories.add(where)
    record = builders.advisory(
        "GHSA-evil", summary=EVIL, details=EVIL, references=[{"type": "WEB", "url": "javascript:alert(1)"}]
    )
    threat = builders.apv(where, record, package=f"pkg{EVIL}")
    change = builders.remedy(
        where,
        threat,
        package=f"pkg{EVIL}",
        branch=f"immune/{EVIL}",
        patch=f"--- a/x\n+++ b/x\n@@ -0,0 +1 @@\n+{EVIL}\n",
    )
    game = builders.wargame(change, threat, explanation=EVIL)
    game.runs.update(stdout=EVIL, stderr=EVIL, last_line=EVIL)
    page = text_of(signed_in(cast.rita), builders.review(change))
    assert "<script>alert" not in page
    assert "\u202e" not in page
    assert "\x1b" not in page
    assert "\x00" not in page
    assert 'href="javascript' not in page
    assert page.count("U+202E") > 5


def test_long_output_is_cut_and_can_be_downloaded_whole(cast: Cast, signed_in: SignedIn) -> None:
    review = builders.proved_review(cast)
    item = review.items.get()
    assert item.wargame is not None
    item.wargame.runs.update(stdout="A" * 100_000)
    page = text_of(signed_in(cast.rita), review)
    assert "96000 more characters" in page
    assert page.count("A" * 4001) == 0
    run = item.wargame.runs.first()
    assert reverse("admin:reviews_review_output", args=(run.pk, "stdout")) in page


def test_the_number_of_queries_does_not_grow_with_the_review(cast: Cast, signed_in: SignedIn) -> None:
    client = signed_in(cast.rita)
    small, large = builders.proved_review(cast, package="one"), builders.proved_review(cast, apvs=6, package="six")
    counts = []
    for review in (small, large):
        with CaptureQueriesContext(
            connection,
        ) as found:
            text_of(client, review)
        counts.append(len(found))
    assert counts[0] == counts[1]
    assert counts[0] <= 25


def test_it_shows_what_was_tried_who_stands_for_it_and_what_was_refused(cast: Cast, signed_in: SignedIn) -> None:
    review = builders.proved_review(cast)
    threat, change = review.items.get().apv, review.remedy
    assert change is not None
    theirs = builders.attached(threat, by=cast.rita)
    builders.wargame(change, threat, scenario="theirs", trust="attached", repeats=0)
    RefusedScenario.objects.create(
        remedy=change, base_commit=change.base_commit, folder="<b>odd", problems=[["case.yaml", "missing"]]
    )
    accept = reverse("admin:reviews_review_accept", args=(review.pk, theirs.pk))
    hers, his = text_of(signed_in(cast.rita), review), text_of(signed_in(cast.sol), review)
    for page in (hers, his):
        assert "not accepted: shown only" in page
        assert "attached by" in page
        assert "&lt;b&gt;odd" in page
        assert "case.yaml: missing" in page
    assert accept not in hers
    assert accept in his
    signed_in(cast.sol).post(accept)
    assert "by Sol Serra" in text_of(signed_in(cast.rita), review)


@pytest.mark.parametrize("role", [Role.VIEWER, Role.OPERATOR])
def test_who_may_not_decide_sees_no_form(cast: Cast, signed_in: SignedIn, role: str) -> None:
    page = text_of(signed_in(cast.person(role)), builders.proved_review(cast))
    assert 'name="decision"' not in page
    assert "Your role sees; it does not decide." in page


def test_out_of_sight_is_not_found_and_neither_is_what_never_was(cast: Cast, signed_in: SignedIn) -> None:
    review = builders.proved_review(cast)
    client = signed_in(cast.otto)
    assert client.get(address(review)).status_code == 404
    for odd in (str(uuid4()), "0", "not-an-id", "%00"):
        assert client.get(f"/admin/reviews/review/{odd}/change/").status_code == 404


def test_strangers_are_sent_to_sign_in(cast: Cast) -> None:
    answer = Client().get(address(builders.proved_review(cast)))
    assert answer.status_code == 302
    assert "/admin/login/" in answer["Location"]


def test_another_persons_claim_takes_the_form_away(cast: Cast, signed_in: SignedIn) -> None:
    review = builders.proved_review(cast)
    signed_in(cast.sol).post(reverse("admin:reviews_review_claim", args=(review.pk,)))
    page = text_of(signed_in(cast.rita), review)
    assert "Sol Serra" in page
    assert 'name="decision"' not in page


DOWNLOADS: list[tuple[str, Callable[[Review], tuple[Any, ...]]]] = [
    ("reviews_review_patch", lambda review: (review.pk,)),
    ("reviews_review_output", lambda review: (_run(review).pk, "stdout")),
    ("reviews_review_evidence", lambda review: (_run(review).wargame_id,)),
    ("immune_advisory_details", lambda review: (review.items.get().apv.advisory_id,)),
]


def _run(review: Review) -> Any:
    game = review.items.get().wargame
    assert game is not None
    return game.runs.first()


@pytest.mark.parametrize(("name", "arguments"), DOWNLOADS)
def test_downloads_are_attachments_no_browser_opens(
    cast: Cast, signed_in: SignedIn, name: str, arguments: Callable[[Review], tuple[Any, ...]]
) -> None:
    review = builders.proved_review(cast)
    url = reverse(f"admin:{name}", args=arguments(review))
    answer = signed_in(cast.rita).get(url)
    assert answer.status_code == 200
    assert answer["Content-Disposition"].startswith("attachment; filename=")
    assert answer["Content-Type"] in ("text/plain; charset=utf-8", "application/octet-stream")
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Content-Security-Policy"].startswith("sandbox")


@pytest.mark.parametrize(("name", "arguments"), DOWNLOADS[:3])
def test_downloads_of_others_are_not_found(
    cast: Cast, signed_in: SignedIn, name: str, arguments: Callable[[Review], tuple[Any, ...]]
) -> None:
    review = builders.proved_review(cast)
    assert signed_in(cast.otto).get(reverse(f"admin:{name}", args=arguments(review))).status_code == 404


def test_a_file_name_by_strangers_cannot_leave_its_header(cast: Cast, signed_in: SignedIn) -> None:
    review = builders.proved_review(cast, package='x";\r\nSet-Cookie: a=b')
    answer = signed_in(cast.rita).get(reverse("admin:reviews_review_patch", args=(review.pk,)))
    assert answer["Content-Disposition"] == 'attachment; filename="x-Set-Cookie-a-b-2.32.4.patch.txt"'


def test_it_leads_to_the_next_in_the_queue_and_from_the_last_to_the_first(cast: Cast, signed_in: SignedIn) -> None:
    now = timezone.now()
    mild = builders.proved_review(cast, package="mild", priority="P4", due_at=now)
    soon = builders.proved_review(cast, package="soon", priority="P1", due_at=now)
    held = builders.proved_review(cast, package="held", priority="P1", due_at=now + timedelta(days=1))
    late = builders.proved_review(cast, package="late", priority="P1", due_at=now + timedelta(days=2))
    builders.proved_review(cast, package="far", priority="P1", where=builders.repository("far/away"))
    signed_in(cast.sol).post(reverse("admin:reviews_review_claim", args=(held.pk,)))
    client = signed_in(cast.rita)
    for here, following in ((soon, late), (held, late), (late, mild), (mild, soon)):
        assert client.get(address(here)).context["next_review"] == following.pk
        assert f'href="{address(following)}" data-key="n"' in text_of(client, here)
    Review.objects.exclude(pk=soon.pk).update(state="decided")
    assert "Next in the queue" not in text_of(client, soon)
