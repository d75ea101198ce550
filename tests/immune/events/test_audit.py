"""Verification finds every way of changing what was written, and signed checkpoints what the chain alone cannot show."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from immune.events.actors import SYSTEM
from immune.events.audit import checkpoint_path, verify, write_checkpoint
from immune.events.canonical import GENESIS, chain
from immune.events.log import act
from immune.inventory import Unreadable
from immune.models import Event
from tests.worlds import World

pytestmark = [pytest.mark.django_db, pytest.mark.both_databases]


@pytest.fixture(autouse=True)
def checkpoints(settings: object, tmp_path: Path) -> None:
    settings.CHECKPOINT_DIR = tmp_path / "checkpoints"  # type: ignore[attr-defined]


@pytest.fixture(autouse=True)
def unguarded(db: None) -> None:
    """Somebody with the rights of the database's owner, who can set the trigger aside."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE events DISABLE TRIGGER events_append_only")


def happen(times: int = 5) -> None:
    for number in range(times):
        with act(SYSTEM) as log:
            log.record("apv.opened", subject=f"apv:{uuid.uuid4()}", repository=uuid.uuid4(), data={"number": number})


def computed_anew(after: int) -> None:
    """The whole chain after a position, made consistent again, as somebody would who knows how it is made."""
    previous = GENESIS if after == 0 else Event.objects.get(position=after).hash
    for event in Event.objects.filter(position__gt=after).order_by("position"):
        digest = chain(previous, event.position, event.body)
        Event.objects.filter(position=event.position).update(previous_hash=previous, hash=digest)
        previous = digest


def test_an_untouched_log_holds() -> None:
    happen()
    audit = verify()
    assert (audit.events, audit.ok, audit.first_bad) == (5, True, None)


def test_an_empty_log_holds() -> None:
    assert verify().ok


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"body": '{"actor":"system:immune"}'}, "not what its hash covers"),
        ({"hash": "f" * 64}, "not what its hash covers"),
        ({"previous_hash": "f" * 64}, "does not follow"),
        ({"kind": "apv.moved"}, "column kind differs"),
        ({"actor": "account:1"}, "column actor differs"),
        ({"subject": "apv:other"}, "column subject differs"),
        ({"repository_id": None}, "column repository differs"),
        ({"repository_id": uuid.UUID(int=7)}, "column repository differs"),
        ({"occurred_at": "2020-01-01T00:00:00+00:00"}, "column at differs"),
    ],
)
def test_an_altered_row_is_named(change: dict[str, object], problem: str) -> None:
    happen()
    Event.objects.filter(position=3).update(**change)
    audit = verify()
    assert not audit.ok
    assert audit.first_bad is not None
    assert audit.first_bad.position == 3
    assert problem in audit.first_bad.problem


def test_a_deleted_row_is_named_and_the_rest_still_counted() -> None:
    happen()
    Event.objects.filter(position=3).delete()
    audit = verify()
    assert audit.first_bad is not None
    assert (audit.events, audit.first_bad.position) == (4, 3)
    assert "missing" in audit.first_bad.problem


def test_a_deleted_beginning_is_noticed() -> None:
    happen()
    Event.objects.filter(position__lte=2).delete()
    audit = verify()
    assert audit.first_bad is not None
    assert audit.first_bad.position == 1


def test_two_rows_that_changed_places_are_noticed() -> None:
    happen()
    Event.objects.filter(position=2).update(position=99)
    Event.objects.filter(position=3).update(position=2)
    Event.objects.filter(position=99).update(position=3)
    audit = verify()
    assert audit.first_bad is not None
    assert audit.first_bad.position == 2


def test_a_row_added_behind_our_back_is_noticed() -> None:
    happen(2)
    last = Event.objects.get(position=2)
    Event.objects.create(
        position=3,
        kind="apv.opened",
        occurred_at=last.occurred_at,
        actor="system:immune",
        subject="apv:x",
        body="{}",
        previous_hash=last.hash,
        hash="0" * 64,
    )
    audit = verify()
    assert audit.first_bad is not None
    assert audit.first_bad.position == 3


def test_only_a_checkpoint_notices_a_cut_tail() -> None:
    happen()
    write_checkpoint()
    Event.objects.filter(position__gt=3).delete()
    assert verify().ok
    audit = verify(checkpoint_path())
    assert not audit.ok
    assert audit.first_bad is None
    assert audit.checkpoint is not None
    assert audit.checkpoint["position"] == 5
    assert "tail was cut" in audit.checkpoint["problem"]


def test_only_a_checkpoint_notices_a_log_emptied_whole() -> None:
    happen()
    write_checkpoint()
    Event.objects.all().delete()
    assert verify().ok
    assert not verify(checkpoint_path()).ok


def test_only_a_checkpoint_notices_a_chain_computed_anew() -> None:
    happen()
    write_checkpoint()
    changed = Event.objects.get(position=2).body.replace('"number":1', '"number":7')
    Event.objects.filter(position=2).update(body=changed)
    computed_anew(1)
    assert verify().ok
    audit = verify(checkpoint_path())
    assert audit.checkpoint is not None
    assert (audit.ok, audit.checkpoint["problem"]) == (False, "the chain is another one than at the checkpoint")


def test_a_tail_cut_and_grown_again_is_noticed() -> None:
    happen()
    write_checkpoint()
    Event.objects.filter(position__gt=3).delete()
    happen(4)
    assert verify().ok
    assert not verify(checkpoint_path()).ok


def test_a_checkpoint_holds_while_the_log_grows_and_every_one_of_the_file_is_compared() -> None:
    happen()
    write_checkpoint()
    happen()
    write_checkpoint()
    assert verify(checkpoint_path()).checkpoint == {"position": 10, "ok": True, "problem": ""}
    Event.objects.filter(position__gt=3).delete()
    audit = verify(checkpoint_path())
    assert audit.checkpoint is not None
    assert audit.checkpoint["position"] == 5


def test_a_forged_checkpoint_is_noticed() -> None:
    happen()
    write_checkpoint()
    path = checkpoint_path()
    mark = json.loads(path.read_text())
    Event.objects.filter(position=5).delete()
    mark["position"], mark["hash"] = 4, Event.objects.get(position=4).hash
    path.write_text(json.dumps(mark) + "\n")
    audit = verify(path)
    assert audit.checkpoint is not None
    assert (audit.ok, audit.checkpoint["problem"]) == (False, "the checkpoint's signature is wrong")


def test_another_key_does_not_agree(settings: object) -> None:
    happen()
    write_checkpoint()
    settings.CHECKPOINT_KEY = "another"  # type: ignore[attr-defined]
    assert not verify(checkpoint_path()).ok


def test_a_log_that_has_not_grown_gets_no_second_checkpoint() -> None:
    assert write_checkpoint() is None
    happen()
    assert write_checkpoint() is not None
    assert write_checkpoint() is None
    assert len(checkpoint_path().read_text().splitlines()) == 1


@pytest.mark.parametrize(
    "text", ["", "not json\n", '{"position": 1}\n', '{"position": "1", "hash": "", "at": "", "signature": ""}\n']
)
def test_an_unreadable_checkpoint_file_is_never_agreement(text: str, tmp_path: Path) -> None:
    path = tmp_path / "bad"
    path.write_text(text)
    with pytest.raises(Unreadable):
        verify(path)


def test_a_missing_checkpoint_file_is_never_agreement(tmp_path: Path) -> None:
    with pytest.raises(Unreadable):
        verify(tmp_path / "absent")


def verify_audit(*words: str) -> tuple[int, dict[str, object]]:
    out = StringIO()
    try:
        call_command("verify_audit", *words, "--format", "json", stdout=out)
    except SystemExit as end:
        return int(str(end.code)), json.loads(out.getvalue())
    return 0, json.loads(out.getvalue())


def test_the_command_says_what_it_found_and_ends_with_it() -> None:
    happen()
    assert verify_audit() == (0, {"events": 5, "ok": True, "first_bad": None, "checkpoint": None})
    call_command("checkpoint", stdout=StringIO())
    code, said = verify_audit("--checkpoint", str(checkpoint_path()))
    assert (code, said["checkpoint"]) == (0, {"position": 5, "ok": True, "problem": ""})
    Event.objects.filter(position=2).update(subject="apv:other")
    code, said = verify_audit()
    assert code == 1
    assert said["first_bad"] == {"position": 2, "problem": "column subject differs from its text"}


def test_the_command_refuses_an_unreadable_checkpoint_with_exit_code_2(tmp_path: Path) -> None:
    with pytest.raises(CommandError) as refused:
        call_command("verify_audit", "--checkpoint", str(tmp_path / "absent"))
    assert refused.value.returncode == 2


def test_postgresql_refuses_to_change_or_delete_an_event(new_world: Callable[..., World]) -> None:
    assert new_world("postgresql").call("tests.immune.events.test_audit:tamper") == {
        "UPDATE events SET kind = 'x'": "events are append only: UPDATE refused",
        "DELETE FROM events": "events are append only: DELETE refused",
    }


def tamper() -> dict[str, str]:
    """Runs in a process of its own: what PostgreSQL says to each statement."""
    happen(1)
    said = {}
    for statement in ("UPDATE events SET kind = 'x'", "DELETE FROM events"):
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement)
            said[statement] = "done"
        except Exception as error:  # noqa: BLE001 - what it was is what the test looks at
            said[statement] = str(error).splitlines()[0]
    return said
