"""Policies in the console: forms that give what was written and keep it when refused, versions, the dry run, and what waits frozen."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.http import QueryDict
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from immune.models import Account, Freeze, Role
from immune.people.selectors import viewer_of
from reviews import automatic
from reviews.console import policy_forms
from reviews.models import AutomaticSwitch, Rule, RuleVersion
from reviews.policy.content import checked
from reviews.policy.reflex import checked_rule
from tests.reviews import cast as builders
from tests.reviews.cast import Cast

SignedIn = Callable[[Account], Client]
FORM = {
    "name": "grave <b>",
    "severities": ["HIGH", "CRITICAL"],
    "known_exploited": "no",
    "minimum_confidence": "0,7",
    "without_labels": "legacy, web",
    "required_approvals": "2",
    "valid_until": "2999-01-01T12:00",
    "note": "asked by security",
}
CONTENT = {
    "conditions": {
        "severities": ["CRITICAL", "HIGH"],
        "known_exploited": False,
        "minimum_confidence": 0.7,
        "without_labels": ["legacy", "web"],
    },
    "recommendation": "",
    "required_approvals": 2,
    "team": "",
    "automatic": False,
    "valid_from": None,
    "valid_until": "2999-01-01T12:00:00.000000+00:00",
}


# action → the address it is sent to; who may do it stands below. Rows of the matrix, without the matrix's world.
CHANGES = {
    "make_policy": "reviews_rule_create",
    "edit_policy": "reviews_rule_edit",
    "switch_policy_on": "reviews_rule_switch_on",
    "switch_policy_off": "reviews_rule_switch_off",
    "ask_policy_earlier": "reviews_rule_earlier",
    "ask_policy_later": "reviews_rule_later",
    "make_reflex": "reviews_reflexrule_create",
    "edit_reflex": "reviews_reflexrule_edit",
    "switch_reflex_on": "reviews_reflexrule_switch_on",
    "switch_reflex_off": "reviews_reflexrule_switch_off",
    "arm": "reviews_rule_arm",
    "disarm": "reviews_rule_disarm",
    "freeze_repository": "immune_freeze_create",
    "end_freeze": "immune_freeze_end",
    "label": "immune_repository_labels",
}
ALLOWED = {
    **{action: {"admin"} for action in CHANGES},
    "disarm": {"reviewer", "lead", "operator", "admin"},
    "freeze_repository": {"lead", "operator", "admin"},
    "end_freeze": {"lead", "operator", "admin"},
}
# What belongs to a repository: strangers with a role that sees all may, others do not even see it.
OF_A_TEAM = {"freeze_repository", "end_freeze", "label"}


def attempted(client: Client, cast: Cast, action: str) -> bool:
    """Whether an action, on rows made for it, did what it is for."""
    Rule.objects.update(active=None)
    RuleVersion.objects.all().delete()
    Rule.objects.all().delete()
    AutomaticSwitch.objects.update_or_create(pk=1, defaults={"state": "disarmed" if action == "arm" else "armed"})
    cast.repository.labels = []
    cast.repository.save()
    kind = "reflex" if "reflex" in action else "policy"
    first, second = builders.rule(kind, "first"), builders.rule(kind, "second")
    if action.endswith("off"):
        Rule.objects.filter(pk=first.rule_id).update(active=first)
    freeze = builders.freeze(cast.repository)
    rule = second.rule_id if action == "ask_policy_earlier" else first.rule_id
    about = freeze.pk if action == "end_freeze" else cast.repository.pk if action == "label" else rule
    data = {
        "name": "new",
        "minimum_epss": "0.5",
        "notify": "yes",
        "required_approvals": "2",
        "version": "1",
        "reason": "asked for",
        "labels": "web",
        "repository": str(cast.repository.pk),
        "ends_at": (timezone.now() + timedelta(days=9)).isoformat()[:16],
    }
    alone = action.startswith("make") or action in ("arm", "disarm", "freeze_repository")
    client.post(reverse(f"admin:{CHANGES[action]}", args=() if alone else (about,)), data)
    now = Rule.objects.filter(pk=first.rule_id)
    return bool(
        {
            "make": Rule.objects.filter(name="new").exists,
            "edit": first.rule.versions.filter(number=2).exists,
            "switch": now.filter(active__isnull=action.endswith("off")).exists,
            "ask": now.filter(position=2).exists,
            "arm": AutomaticSwitch.objects.filter(state="armed").exists,
            "disarm": AutomaticSwitch.objects.filter(state="disarmed").exists,
            "freeze": Freeze.objects.filter(pk__gt=freeze.pk).exists,
            "end": Freeze.objects.filter(pk=freeze.pk, ended_at__isnull=False).exists,
            "label": type(cast.repository).objects.filter(labels=["web"]).exists,
        }[action.partition("_")[0]]()
    )


@pytest.mark.parametrize("action", CHANGES)
def test_each_role_does_what_its_row_says_and_nothing_else(cast: Cast, signed_in: SignedIn, action: str) -> None:
    for role in Role.values:
        assert attempted(signed_in(cast.person(role)), cast, action) == (role in ALLOWED[action]), role
        if action in OF_A_TEAM:
            stranger = builders.account(f"strange-{role}", role)
            sees = role in ("operator", "admin")
            assert attempted(signed_in(stranger), cast, action) == (role in ALLOWED[action] and sees), f"strange {role}"
    assert not attempted(Client(), cast, action)


def test_a_lead_freezes_no_more_than_a_repository(cast: Cast, signed_in: SignedIn) -> None:
    soon = (timezone.now() + timedelta(days=9)).isoformat()[:16]
    form = {"repository": "", "reason": "all of it", "ends_at": soon}
    for role, may in (("lead", False), ("operator", True)):
        signed_in(cast.person(role)).post(reverse("admin:immune_freeze_create"), form)
        assert Freeze.objects.filter(repository=None).exists() is may


@pytest.fixture
def ada(cast: Cast, signed_in: SignedIn) -> Client:
    return signed_in(cast.person(Role.ADMIN))


def url(name: str, *args: Any) -> str:
    return reverse(f"admin:reviews_rule_{name}", args=args)


def posted(fields: list[policy_forms.Field]) -> QueryDict:
    """What a browser sends of a form it was shown."""
    data = QueryDict(mutable=True)
    for field in fields:
        if field.kind in ("ticks", "select"):
            data.setlist(field.name, [value for value, _, chosen in field.choices if chosen])
        elif field.kind != "tick":
            data[field.name] = str(field.value)
        elif field.value:
            data[field.name] = "yes"
    return data


@pytest.mark.django_db
def test_a_form_that_is_sent_as_it_was_shown_changes_nothing() -> None:
    shown = policy_forms.fields("policy", CONTENT)
    assert checked(policy_forms.content_of("policy", posted(shown))) == CONTENT
    reflex = checked_rule({"known_exploited": True, "minimum_epss": 0.5, "raise_to": "P1", "labels": ["web"]})
    assert checked_rule(policy_forms.content_of("reflex", posted(policy_forms.fields("reflex", reflex)))) == reflex


def test_a_policy_is_written_shown_and_switched_on(cast: Cast, ada: Client, signed_in: SignedIn) -> None:
    ada.post(url("create"), FORM)
    rule = Rule.objects.get()
    assert rule.versions.get().content == CONTENT
    ada.post(url("switch_on", rule.pk), {"version": "1"})
    page = signed_in(cast.rita).get(url("change", rule.pk)).content.decode()
    for words in ("grave &lt;b&gt;", "critical, high", "legacy, web", "asked by security", "version 1 is switched on"):
        assert words in page
    assert "Make the next version" not in page, "whoever does not administer reads"
    assert "Make the next version" in ada.get(url("change", rule.pk)).content.decode()
    assert "critical, high" in signed_in(cast.rita).get(url("changelist")).content.decode()


def test_what_is_refused_stays_in_the_form_with_what_is_wrong(cast: Cast, ada: Client) -> None:
    answer = ada.post(url("create"), {**FORM, "minimum_confidence": "much", "automatic": "yes"})
    page = answer.content.decode()
    assert answer.status_code == 422
    assert "Confidence, at least</b> is a number from 0 to 1" in page
    assert "May be approved without people</b> goes with one approval" in page
    assert 'value="legacy, web"' in page
    assert "asked by security" in page
    assert not Rule.objects.exists()
    rule = builders.rule().rule
    answer = ada.post(url("edit", rule.pk), {"required_approvals": "3", "seen": "7"})
    assert (answer.status_code, rule.versions.count()) == (422, 1)
    assert "was made meanwhile" in answer.content.decode()


def test_the_dry_run_stands_beside_what_people_decided(cast: Cast, ada: Client, signed_in: SignedIn) -> None:
    review = builders.proved_review(cast)
    form = {"decision": "reject", "justification": "the release is too young", "version": review.version}
    answer = signed_in(cast.rita).post(reverse("admin:reviews_review_decide", args=(review.pk,)), form)
    assert answer.status_code == 302
    rule = builders.rule(automatic=True).rule
    page = ada.get(url("dry_run", rule.pk), {"version": "1"}).content.decode()
    for words in ("against people", review.items.get().apv.apv_code, "Switch on this version"):
        assert words in page
    theirs = signed_in(cast.otto).get(url("dry_run", rule.pk)).content.decode()
    assert review.items.get().apv.apv_code not in theirs
    assert ada.get(url("dry_run", rule.pk), {"version": "²"}).status_code == 200


@pytest.mark.parametrize("name", ["create", "arm", "disarm"])
def test_nothing_is_changed_by_following_a_link(ada: Client, name: str) -> None:
    assert ada.get(url(name)).status_code == 405


def test_the_list_says_whether_anything_is_approved_without_people(cast: Cast, ada: Client) -> None:
    assert "disarmed" in ada.get(url("changelist")).content.decode()
    boss = builders.account("boss", Role.ADMIN)
    automatic.arm(account=boss, viewer=viewer_of(boss), reason="the dry run agreed")
    page = ada.get(url("changelist")).content.decode()
    for words in (">armed<", "the dry run agreed", "Stop approving without people"):
        assert words in page


def test_the_review_page_names_the_policy_and_the_freeze(cast: Cast, signed_in: SignedIn) -> None:
    version = builders.rule("policy", "two of us", required_approvals=2)
    Rule.objects.update(active=version)
    review = builders.proved_review(cast)
    builders.freeze(cast.repository)
    page = signed_in(cast.rita).get(reverse("admin:reviews_review_change", args=(review.pk,))).content.decode()
    for words in ("two of us 1", "2 approvals are needed", "Frozen until", "its merge waits until then"):
        assert words in page
