"""The cast, and browsers signed in as one of them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client

from immune.models import Account
from tests.reviews.cast import Cast


@pytest.fixture
def cast(db: None) -> Cast:
    return Cast()


@pytest.fixture
def signed_in() -> Callable[[Account], Client]:
    def client(account: Account) -> Client:
        found = Client()
        found.force_login(account)
        return found

    return client
