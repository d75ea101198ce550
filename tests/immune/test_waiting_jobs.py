"""How many jobs of one account wait, where its requests come at the same moment."""

from __future__ import annotations

import io
import threading

import pytest
from django.db import connection

from immune.events.actors import Actor
from immune.jobs import services
from immune.models import Job
from immune.people.selectors import viewer_of
from tests.reviews import cast as made

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.both_databases]


def test_requests_at_once_do_not_get_past_the_most_that_may_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "MAX_WAITING", 1)
    people = [made.account(f"person{number}") for number in range(20)]
    together = threading.Barrier(3, timeout=60)
    refused: list[str] = []

    def send() -> None:
        try:
            for person in people:
                together.wait()
                try:
                    services.submit_scan(
                        actor=Actor.of(person),
                        viewer=viewer_of(person),
                        stream=io.BytesIO(b"requests==2.0\n"),
                        source="requirements.txt",
                        requested_by=person,
                    )
                except services.TooManyWaiting:
                    refused.append(person.username)
        except BaseException:
            together.abort()
            raise
        finally:
            connection.close()

    threads = [threading.Thread(target=send) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not together.broken
    assert {Job.objects.filter(requested_by=person).count() for person in people} == {1}
    assert len(refused) == 2 * len(people)
