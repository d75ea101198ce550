"""What the product really records fits the frames declared: an event that does not is shown to nobody, and only a log line says so."""

from __future__ import annotations

import orjson
import pytest

from immune.models import Event
from reviews.live.frames import Seen, frame_of
from tests.reviews.journeys import checkout, commit, decide, knows_advisories, register, review_of, scan, work_off
from wargaming.engine import Progress
from wargaming.models import Wargame
from wargaming.services import _tell
from wargaming.verdict import Outcome

pytestmark = pytest.mark.django_db(transaction=True)


def test_everything_that_happens_on_the_way_fits_the_frame_declared_for_it(settings, tmp_path):
    settings.WORK_DIR = tmp_path / "work"
    settings.WARGAMING_ENABLED = False
    knows_advisories()
    repository = register(checkout(tmp_path / "app", requirements__txt="flask==3.1.2\nidna==3.7\n"))
    scan(repository)
    decide(review_of("flask"), "approve")
    work_off()
    commit(tmp_path / "app", README__md="ours")
    scan(repository)
    decide(review_of("idna"), "escalate")
    decide(review_of("idna"), "reject")
    work_off()
    ran = Progress("ran", "reproduce", "before", "python", 1, Outcome.PRESENT)
    _tell(Wargame.objects.first(), [Progress("own_tests"), ran])

    shown = set()
    for row in Event.objects.all():
        data = orjson.loads(row.body)["data"]
        frame = frame_of(Seen(row.position, row.kind, row.occurred_at, row.subject, row.repository_id, data))
        shown |= {row.kind} if frame else set()
    assert {"forge_job.finished", "remedy.proposed", "repository.registered", "wargame.progress"} <= shown
