"""Verification of the chain, and the signed checkpoints that let it notice a cut tail or a chain computed anew.

A checkpoint is one line of JSON {position, hash, at, signature} in a file outside the database; the signature is HMAC-SHA256
with CHECKPOINT_KEY over "position\\nhash\\nat". Whoever can rewrite the database cannot forge it without that key.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.utils import timezone

from immune.events.canonical import GENESIS, chain
from immune.events.log import end_of_chain
from immune.inventory import Unreadable
from immune.models import Event


@dataclass(frozen=True, slots=True)
class Bad:
    """The first row that is not what was written, and how it shows."""

    position: int
    problem: str


@dataclass(frozen=True, slots=True)
class Audit:
    """What a verification found. ``ok`` only when the chain holds and the checkpoint, when one was given, agrees."""

    events: int
    first_bad: Bad | None
    checkpoint: dict[str, Any] | None

    @property
    def ok(self) -> bool:
        return self.first_bad is None and (self.checkpoint is None or bool(self.checkpoint["ok"]))


def verify(checkpoint_file: Path | None = None) -> Audit:
    """Re-computes the whole chain. Raises Unreadable when the checkpoint file cannot be read or holds no checkpoint."""
    checkpoints = list(read_checkpoints(checkpoint_file)) if checkpoint_file else []
    if checkpoint_file and not checkpoints:
        raise Unreadable(str(checkpoint_file), "holds no checkpoint")
    wanted = {mark["position"]: mark["hash"] for mark in checkpoints}
    seen: dict[int, str] = {0: GENESIS}
    events, previous, expected, first_bad = 0, GENESIS, 1, None
    for event in _rows():
        events += 1
        if first_bad is None:
            first_bad = _check(event, expected, previous)
            expected, previous = event.position + 1, event.hash
        if event.position in wanted:
            seen[event.position] = event.hash
    return Audit(events, first_bad, _compare(checkpoints, seen) if checkpoints else None)


def _rows() -> Iterator[Event]:
    return Event.objects.order_by("position").iterator(chunk_size=2000)


def _check(event: Event, expected: int, previous: str) -> Bad | None:
    if event.position != expected:
        return Bad(expected, f"event {expected} is missing; the next one found is {event.position}")
    if event.previous_hash != previous:
        return Bad(event.position, "does not follow from the event before it")
    if event.hash != chain(previous, event.position, event.body):
        return Bad(event.position, "its text is not what its hash covers")
    try:
        body = json.loads(event.body)
        columns = {
            "actor": event.actor,
            "at": event.occurred_at,
            "kind": event.kind,
            "repository": str(event.repository_id) if event.repository_id else None,
            "subject": event.subject,
        }
        said = {**{key: body[key] for key in columns}, "at": datetime.fromisoformat(body["at"])}
    except (ValueError, KeyError, TypeError):
        return Bad(event.position, "its text cannot be read")
    for name, value in columns.items():
        if said[name] != value:
            return Bad(event.position, f"column {name} differs from its text")
    return None


def _compare(checkpoints: list[dict[str, Any]], seen: dict[int, str]) -> dict[str, Any]:
    for mark in checkpoints:
        position = mark["position"]
        if not hmac.compare_digest(_signature(position, mark["hash"], mark["at"]), mark["signature"]):
            return {"position": position, "ok": False, "problem": "the checkpoint's signature is wrong"}
        if position not in seen:
            return {
                "position": position,
                "ok": False,
                "problem": "the log ends before the checkpoint: its tail was cut",
            }
        if seen[position] != mark["hash"]:
            return {"position": position, "ok": False, "problem": "the chain is another one than at the checkpoint"}
    return {"position": checkpoints[-1]["position"], "ok": True, "problem": ""}


def _signature(position: int, digest: str, at: str) -> str:
    key = settings.CHECKPOINT_KEY.encode()
    return hmac.new(key, f"{position}\n{digest}\n{at}".encode(), hashlib.sha256).hexdigest()


def checkpoint_path() -> Path:
    return Path(settings.CHECKPOINT_DIR) / "checkpoints.jsonl"


def write_checkpoint() -> dict[str, Any] | None:
    """Appends a signed checkpoint of the end of the chain to the file, durably. Returns it, None for an unchanged or empty log."""
    position, digest = end_of_chain()
    path = checkpoint_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    last = next(reversed(list(read_checkpoints(path))), None) if path.exists() else None
    if position == 0 or (last and last["position"] == position and last["hash"] == digest):
        return None
    at = timezone.now().isoformat()
    mark = {"position": position, "hash": digest, "at": at, "signature": _signature(position, digest, at)}
    with open(path, "a", encoding="ascii") as file:
        file.write(json.dumps(mark) + "\n")
        file.flush()
        os.fsync(file.fileno())
    return mark


def read_checkpoints(path: Path) -> Iterator[dict[str, Any]]:
    """Yields the checkpoints of a file in its order. Raises Unreadable for a file or line that is not one."""
    try:
        lines = path.read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise Unreadable(str(path), f"the checkpoint file could not be read: {error}") from error
    for number, line in enumerate(lines, 1):
        try:
            mark = json.loads(line)
            if not (
                isinstance(mark["position"], int) and all(isinstance(mark[k], str) for k in ("hash", "at", "signature"))
            ):
                raise TypeError
        except (ValueError, KeyError, TypeError) as error:
            raise Unreadable(f"{path}:{number}", "is not a checkpoint") from error
        yield mark
