"""Tokens in the console: everybody's own are theirs to make, rotate and revoke; admins see and end all."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from immune.models import Account, ApiToken, Role
from immune.people.services import find_token
from tests.reviews.cast import Cast

SignedIn = Callable[[Account], Client]
CREATE = "/admin/immune/apitoken/create/"


def form(owner: Account, *scopes: str) -> dict[str, object]:
    return {"name": "a script", "account": owner.pk, "days": "9", "scopes": list(scopes)}


def text_in(page: str) -> str:
    found = re.search(r'value="(imm_[^"]+)"', page)
    assert found is not None
    return found[1]


def test_one_makes_rotates_and_revokes_ones_own(cast: Cast, signed_in: SignedIn) -> None:
    rita = signed_in(cast.rita)
    made = rita.post(CREATE, form(cast.rita, "read", "decide"))
    assert made.status_code == 201
    assert "no-store" in made["Cache-Control"]
    first = text_in(made.content.decode())
    token = ApiToken.objects.get()
    rotate = reverse("admin:immune_apitoken_rotate", args=(token.pk,))
    assert rotate in rita.get(reverse("admin:immune_apitoken_change", args=(token.pk,))).content.decode()
    second = text_in(rita.post(rotate).content.decode())
    assert find_token(first) is not None
    assert find_token(second) is not None
    token.refresh_from_db()
    assert token.expires_at - timezone.now() <= timedelta(hours=1)
    assert rita.post(rotate).status_code == 302
    assert ApiToken.objects.count() == 2
    rita.post(reverse("admin:immune_apitoken_revoke", args=(token.pk,)))
    assert find_token(first) is None
    assert first not in rita.get("/admin/immune/apitoken/").content.decode()


@pytest.mark.parametrize("scopes", [("administer",), ("read", "lead")])
def test_nobody_makes_one_with_rights_beyond_the_role(cast: Cast, signed_in: SignedIn, scopes: tuple[str]) -> None:
    assert signed_in(cast.rita).post(CREATE, form(cast.rita, *scopes)).status_code == 403
    assert not ApiToken.objects.exists()


def test_anothers_are_not_there_and_an_admin_ends_but_does_not_rotate_them(cast: Cast, signed_in: SignedIn) -> None:
    signed_in(cast.sol).post(CREATE, form(cast.sol, "read"))
    token = ApiToken.objects.get()
    rotate, revoke = (reverse(f"admin:immune_apitoken_{name}", args=(token.pk,)) for name in ("rotate", "revoke"))
    rita = signed_in(cast.rita)
    assert rita.post(rotate).status_code == rita.post(revoke).status_code == 404
    assert str(token.pk) not in rita.get("/admin/immune/apitoken/").content.decode()
    admin = signed_in(cast.person(Role.ADMIN))
    assert admin.post(rotate).status_code == 403
    admin.post(revoke)
    token.refresh_from_db()
    assert token.revoked_at is not None
