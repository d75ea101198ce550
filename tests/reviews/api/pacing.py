"""What processes of the tests of shared limits do; run through ``tests.worlds``."""

from __future__ import annotations

from django.test import Client

from reviews import pace


def _still() -> None:
    """One moment for all processes, so that no window ends between two of them."""
    pace.time.time = lambda: 1_000_000_000.0  # type: ignore[assignment]


def guess_tokens(times: int) -> list[int]:
    _still()
    wrong = {"Authorization": "Bearer imm_0000_guess"}
    return [Client().get("/hitl/reviews/", headers=wrong).status_code for _ in range(times)]


def guess_passwords(times: int) -> list[int]:
    _still()
    data = {"username": "rita", "password": "wrong"}
    return [Client().post("/admin/login/", data).status_code for _ in range(times)]
