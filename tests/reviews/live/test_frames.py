"""Which events become which frames, and that nothing undeclared gets out."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from uuid import UUID

import pytest

from reviews.live.frames import CHANNELS, SHAPES, FrameRefused, Seen, frame_of

REPOSITORY = UUID("11111111-2222-3333-4444-555555555555")
MOVE = {"from": "open", "to": "remediating", "why": "planned"}


def seen(kind: str, data: dict[str, object], repository: UUID | None = REPOSITORY) -> Seen:
    return Seen(7, kind, datetime(2026, 11, 21, tzinfo=UTC), "apv:1", repository, dict(data))


def test_a_move_of_an_apv_becomes_a_frame_on_its_channel_with_position_and_time() -> None:
    frame = frame_of(seen("apv.moved", {**MOVE, "apv_code": "APV-2026-000001", "remedy": None}))
    assert frame is not None
    assert (frame.channel, frame.type, frame.position, frame.repository) == ("apvs", "apv_moved", 7, REPOSITORY)
    said = json.loads(frame.text)
    assert said["position"] == 7
    assert said["timestamp"] == "2026-11-21T00:00:00+00:00"
    assert said["data"] == {**MOVE, "apv_code": "APV-2026-000001", "remedy": None}


@pytest.mark.parametrize(
    ("kind", "data", "channel", "name"),
    [
        ("apv.opened", {"apv_code": "APV-2026-000001"}, "apvs", "new_apv"),
        ("wargame.progress", {"step": "reproduce", "outcome": "present"}, "wargames", "wargame_progress"),
        ("wargame.finished", {"verdict": "PATCH_EFFECTIVE"}, "wargames", "wargame_finished"),
        ("decision.made", {"type": "approve", "final": True, "round": 1}, "decisions", "decision_made"),
        ("forge_job.finished", {"kind": "merge_pr", "state": "done"}, "decisions", "action_finished"),
    ],
)
def test_the_fixed_names_are_kept(kind: str, data: dict[str, object], channel: str, name: str) -> None:
    frame = frame_of(seen(kind, data))
    assert frame is not None
    assert (frame.channel, frame.type) == (channel, name)


@pytest.mark.parametrize("kind", ["account.created", "account.password_set", "token.created", "team.created", "x.y"])
def test_accounts_tokens_teams_and_unknown_kinds_are_shown_to_nobody(kind: str) -> None:
    assert frame_of(seen(kind, {"role": "admin"})) is None


def test_a_field_that_no_shape_declares_is_refused() -> None:
    with pytest.raises(FrameRefused, match="reviewer_email"):
        frame_of(seen("decision.made", {"type": "approve", "reviewer_email": "ana@example.org"}))


@pytest.mark.parametrize(
    "data",
    [
        {"from": "open", "to": "remediating"},
        {**MOVE, "to": None},
        {**MOVE, "apv_code": {"nested": "text"}},
        {**MOVE, "versions": [{"secret": 1}]},
        {**MOVE, "severity": True},
    ],
)
def test_data_that_does_not_fit_its_shape_is_refused(data: dict[str, object]) -> None:
    with pytest.raises(FrameRefused):
        frame_of(seen("apv.moved", data))


def test_a_truth_is_not_a_number() -> None:
    with pytest.raises(FrameRefused):
        frame_of(seen("review.opened", {"round": True}))


def test_every_shape_uses_a_known_channel_and_only_harmless_ones_are_for_everyone() -> None:
    assert {shape.channel for shape in SHAPES.values()} <= set(CHANNELS)
    everyones = {"advisories.synced", "balance.moved", "automatic.armed", "automatic.disarmed"}
    assert {kind for kind, shape in SHAPES.items() if shape.everyone} == everyones
