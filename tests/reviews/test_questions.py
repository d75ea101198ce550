"""A question to people is seen where APVs are seen, by those who see them, and settled there."""

from __future__ import annotations

from django.test import Client
from django.urls import reverse
from django.utils import timezone

from immune.models import APV, Question, Role
from tests.reviews import cast as made
from tests.reviews.api.conftest import Api, bearer
from tests.reviews.cast import Cast

ABOUT = "APV-2026-000001 suppressed, APV-2026-000002 open"


def threat(cast: Cast) -> APV:
    found = made.apv(cast.repository, made.advisory("GHSA-asked"), status="open")
    Question.objects.create(apv=found, kind="aliases_joined", about=ABOUT)
    made.apv(cast.repository, made.advisory("GHSA-quiet"), status="open")
    return found


def codes(api: Api, query: str) -> set[str]:
    return {item["apv_code"] for item in api.get(f"/hitl/reviews/{query}").json()["items"]}


def test_the_api_lists_shows_and_settles_it(db: None) -> None:
    cast = Cast()
    found = threat(cast)
    api = bearer(cast.rita, "read", "decide")
    path = f"/hitl/reviews/{found.apv_code}"
    assert codes(api, "?questioned=true") == {found.apv_code}
    (shown,) = api.get(path).json()["questions"]
    assert (shown["kind"], shown["about"], shown["settled_at"]) == ("aliases_joined", ABOUT, None)
    assert bearer(cast.otto, "read", "decide").post(f"{path}/questions/{shown['id']}/settle").status_code == 404
    assert bearer(cast.rita, "read").post(f"{path}/questions/{shown['id']}/settle").status_code == 403
    answer = api.post(f"{path}/questions/{shown['id']}/settle")
    assert (answer.status_code, answer.json()["settled_by"]) == (200, cast.rita.shown_name)
    assert api.post(f"{path}/questions/{shown['id']}/settle").status_code == 422
    assert codes(api, "?questioned=true") == set()
    assert found.apv_code in codes(api, "?questioned=false")


def test_the_console_marks_filters_shows_and_settles_it(db: None) -> None:
    cast = Cast()
    found = threat(cast)
    client = Client()
    client.force_login(cast.rita)
    lists, page = reverse("admin:immune_apv_changelist"), reverse("admin:immune_apv_change", args=(found.pk,))
    filtered = client.get(f"{lists}?questioned=yes")
    assert [row.pk for row in filtered.context["cl"].result_list] == [found.pk]
    assert "asks a person" in filtered.content.decode()
    shown = client.get(page).content.decode()
    assert ABOUT in shown
    assert "I have looked" in shown
    settle = reverse("admin:immune_apv_settle", args=(found.pk, found.questions.get().pk))
    assert client.get(settle).status_code == 405
    assert client.post(settle).status_code == 302
    assert found.questions.get().settled_by == cast.rita
    assert "I have looked" not in client.get(page).content.decode()


def test_who_decides_sees_it_where_the_decision_is_given_and_settles_it_there(db: None) -> None:
    cast = Cast()
    review = made.proved_review(cast, apvs=2)
    apv = review.items.all()[0].apv
    Question.objects.create(apv=apv, kind="aliases_joined", about="<b>one</b>")
    Question.objects.create(apv=apv, kind="alias_removed", about="settled before", settled_at=timezone.now())
    page = reverse("admin:reviews_review_change", args=(review.pk,))
    settle = reverse("admin:immune_apv_settle", args=(apv.pk, apv.questions.get(settled_at=None).pk))
    looks, decides = Client(), Client()
    looks.force_login(cast.person(Role.VIEWER))
    decides.force_login(cast.rita)
    for client in (looks, decides):
        shown = client.get(page).content.decode()
        assert "&lt;b&gt;one&lt;/b&gt;" in shown
        assert "settled before" not in shown
        assert (settle in shown and "I have looked" in shown) == (client is decides)
    answer = decides.post(settle, {"next": page})
    assert (answer.status_code, answer["Location"]) == (302, page)
    assert "&lt;b&gt;one" not in decides.get(page).content.decode()
