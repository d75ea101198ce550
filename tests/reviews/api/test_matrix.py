"""Who may do what to what: every operation × every role, outsider, anonymous and scope, on objects of one team."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import URLPattern, get_resolver
from django.utils import timezone

from immune.events.actors import SYSTEM
from immune.models import Advisory, AdvisoryName, Job, Question, Role, Scan
from immune.people.selectors import SCOPES, viewer_of
from immune.people.services import create_token
from reviews import campaigns
from reviews.api import docs
from reviews.bulk import Seen
from reviews.decisions import Asked
from tests.reviews import cast as made
from tests.reviews.api.conftest import JUSTIFICATION, Api, bearer, code_of, session
from tests.reviews.cast import Cast

# operationId → the right it asks for, and whether it is about one object of a team. None: open to everybody.
OPERATIONS: dict[str, tuple[str | None, bool]] = {
    "reviews_list": ("read", False),
    "reviews_stats": ("read", False),
    "reviews_detail": ("read", True),
    "reviews_claim": ("decide", True),
    "reviews_release": ("decide", True),
    "reviews_comment": ("decide", True),
    "reviews_settle_question": ("decide", True),
    "decisions_list": ("read", False),
    "decisions_create": ("decide", True),
    "decisions_detail": ("read", True),
    "decisions_withdraw": ("decide", True),
    "decisions_history": ("read", True),
    # Rows out of sight are refused one by one, so they are tests of their own, in test_bulk.
    "decisions_bulk": ("decide", False),
    "decisions_bulk_preview": ("decide", False),
    "campaigns_list": ("read", False),
    "campaigns_start": ("decide", False),
    "campaigns_preview": ("decide", False),
    "campaigns_detail": ("read", True),
    "campaigns_items": ("read", True),
    "campaigns_end": ("decide", True),
    "suppressions_list": ("read", False),
    "suppressions_create": ("decide", True),
    "suppressions_detail": ("read", True),
    "suppressions_end": ("decide", True),
    "statements_list": ("read", False),
    "repositories_list": ("read", False),
    "repositories_register": ("immunize", False),
    "repositories_immunize": ("immunize", True),
    "repositories_report": ("immunize", True),
    "repositories_merging": ("operate", True),
    "aftermaths_list": ("read", False),
    "aftermaths_detail": ("read", True),
    "aftermaths_revert": ("decide", True),
    "reports_list": ("read", False),
    "reports_detail": ("read", True),
    "jobs_list": ("read", False),
    "jobs_detail": ("read", True),
    "jobs_document": ("read", True),
    "jobs_scan": ("immunize", False),
    "jobs_advisories": ("operate", False),
    "jobs_export": ("read", False),
    "versions_compare": ("read", False),
    "versions_compare_many": ("read", False),
    "scans_detail": ("read", True),
    "wargames_detail": ("read", True),
    "wargames_evidence": ("read", True),
    "scenarios_list": ("read", True),
    "scenarios_attach": ("immunize", True),
    "scenarios_accept": ("decide", True),
    "wargames_cancel": ("immunize", True),
    "wargames_retry": ("immunize", True),
    "repositories_label": ("administer", True),
    "policies_list": ("read", False),
    "policies_create": ("administer", False),
    "policies_detail": ("read", False),
    "policies_edit": ("administer", False),
    "policies_switch_on": ("administer", False),
    "policies_switch_off": ("administer", False),
    "policies_order": ("administer", False),
    "policies_dry_run": ("read", False),
    "reflexes_list": ("read", False),
    "reflexes_create": ("administer", False),
    "reflexes_detail": ("read", False),
    "reflexes_edit": ("administer", False),
    "reflexes_switch_on": ("administer", False),
    "reflexes_switch_off": ("administer", False),
    "automatic_detail": ("read", False),
    "automatic_arm": ("administer", False),
    "freezes_list": ("read", False),
    "freezes_create": ("operate", False),
    "advisories_list": ("read", False),
    "advisories_detail": ("read", False),
    "tokens_list": ("read", False),
    "tokens_create": ("read", False),
    "health": (None, False),
    "health_ready": (None, False),
    "health_live": (None, False),
    "health_components": (None, False),
    "health_component": (None, False),
}
# About tokens, which belong to accounts and not to teams: tests of their own, in test_tokens.
OF_ACCOUNTS = {"tokens_rotate", "tokens_revoke"}
# Somebody else's: a reviewer may not, a lead may.
OF_ANOTHER = {("decisions_withdraw", 403), ("campaigns_end", 403)}
# More than one right will do: tests of their own, in test_policies.
ONE_OF_SEVERAL_RIGHTS = {"automatic_disarm", "freezes_end"}
# The same of channels, in test_channels.
OF_ACCOUNTS |= {f"channels_{name}" for name in ("list", "create", "change", "rotate", "remove", "try")}
OF_ACCOUNTS |= {"notices_list", "notices_detail", "notices_redeliver"}
# Whatever the right: only those who see all repositories.
FOR_WHO_SEES_ALL = {"repositories_register"}
SEES_ALL = {Role.OPERATOR, Role.ADMIN}
PARAMETERS = {"versions_compare": {"ecosystem": "PyPI", "a": "1", "b": "2"}}
SENDS_A_FILE = {"repositories_report", "jobs_scan", "jobs_advisories"}
RIGHTS = {
    Role.VIEWER: {"read"},
    Role.REVIEWER: {"read", "decide", "immunize"},
    Role.LEAD: {"read", "decide", "immunize"},
    Role.OPERATOR: {"read", "immunize", "operate"},
    Role.ADMIN: {"read", "decide", "immunize", "operate", "administer"},
}


def operations() -> dict[str, tuple[str, str]]:
    """operationId → (method, path) of the committed document's operations."""
    return {
        operation["operationId"]: (method, path)
        for path, item in docs.document()["paths"].items()
        for method, operation in item.items()
    }


def test_every_operation_has_its_row() -> None:
    assert set(operations()) == set(OPERATIONS) | OF_ACCOUNTS | ONE_OF_SEVERAL_RIGHTS


# Every address beside the API and the console, with what a stranger is answered. Who may see what of the page and the socket, and whom the
# hook believes, stand in tests/reviews/live and test_hooks.
OTHERS = {
    "/": 302,
    "/admin/login/": 200,
    "/i18n/setlang/": 302,
    "/hitl/openapi.json": 200,
    "/hitl/docs": 200,
    "/hitl/": 404,  # whatever nothing else answers to
    "/dashboard/": 302,
    "/hooks/github": 404,  # while it has no secret
    "/metrics": 200,
}


def addresses(patterns: Iterable[Any], before: str = "/") -> Iterator[str]:
    """Every address of the URL conf but the console's own, with * for what differs."""
    for one in patterns:
        whole = before + re.sub(r"<[^>]+>", "*", str(one.pattern))
        if isinstance(one, URLPattern):
            yield whole
        elif whole != "/admin/":
            yield from addresses(one.url_patterns, whole)


def test_every_address_of_the_site_is_in_a_matrix(db: None) -> None:
    documented = {re.sub(r"{[^}]+}", "*", path) for _, path in operations().values()}
    assert set(addresses(get_resolver().url_patterns)) == documented | set(OTHERS)
    for address, status in OTHERS.items():
        assert Client().get(address).status_code == status, address


class Objects:
    """One team's objects, and a way to ask any operation about them."""

    def __init__(self, cast: Cast) -> None:
        review = made.proved_review(cast)
        decided = session(cast.rita).decide(made.proved_review(cast, package="flask"), "escalate").json()
        game = review.items.get().wargame_id
        scan = Scan.objects.create(repository=cast.repository, cause="asked")
        report = Job.objects.create(repository=cast.repository, source="trivy.json", size=2)
        code = code_of(review)
        threat = apv = review.items.get().apv
        AdvisoryName.objects.get_or_create(advisory_id=apv.advisory_id, name=apv.advisory_id)
        row = {"review_id": str(review.pk), "head_commit": "", "patch_digest": "", "version": 1}
        campaign = campaigns.start(
            account=cast.sol,
            viewer=viewer_of(cast.sol),
            advisory=Advisory.objects.get(pk=apv.advisory_id),
            asked=Asked("escalate", JUSTIFICATION),
            seen=[Seen(review, "", "", 1)],
        )
        self.names = {"apv_code": code, "name": "database"}
        self.ids = {
            "campaigns": campaign.pk,
            "reviews": Question.objects.create(apv=threat, kind="alias_removed", about="GHSA-1 - CVE-1").pk,
            "decisions": decided["id"],
            "repositories": cast.repository.pk,
            "scans": scan.pk,
            "reports": report.pk,
            "jobs": report.pk,
            "suppressions": made.set_aside(cast.repository, cast.sol).pk,
            "aftermaths": made.alarmed(cast.repository).pk,
            "wargames": game,
            "scenarios": made.attached(review.items.get().apv, by=cast.sol).pk,
            "advisories": review.items.get().apv.advisory_id,
            "policies": made.rule("policy").rule_id,
            "reflexes": made.rule("reflex").rule_id,
        }
        self.bodies: dict[str, Any] = {
            "decisions_create": {"apv_code": code, "decision": "escalate", "justification": JUSTIFICATION},
            "decisions_bulk_preview": {"apv_codes": [code], "decision": "escalate"},
            "decisions_bulk": {
                "decision": "escalate",
                "justification": JUSTIFICATION,
                "reviews": [row],
            },
            "campaigns_preview": {"advisory_id": apv.advisory_id, "decision": "escalate"},
            "campaigns_start": {
                "advisory_id": apv.advisory_id,
                "decision": "escalate",
                "justification": JUSTIFICATION,
                "reviews": [row],
            },
            "reviews_comment": {"text": "Seen."},
            "suppressions_create": {
                "scope": "apv",
                "apv_code": code,
                "ground": "accepted_risk",
                "reason": "x",
                "expires_at": "2999-01-01T00:00:00Z",
            },
            "jobs_export": {"kind": "openvex"},
            "versions_compare_many": {"ecosystem": "PyPI", "pairs": [{"a": "1", "b": "2"}]},
            "scenarios_attach": {"archive": "bm8gYXJjaGl2ZQ=="},
            "repositories_merging": {"merge_method": "merge", "merge_queue": False},
            "wargames_cancel": {"reason": "It is not needed."},
            "wargames_retry": {"reason": "The network was down."},
            # Refused for its address, once who asks may ask at all.
            "repositories_register": {"url": "https://nowhere.example/a/b"},
            "tokens_create": {"name": "x", "scopes": ["read"]},
            "repositories_label": {"labels": ["web"]},
            "policies_create": {"name": "x", "content": {}},
            "policies_edit": {"content": {"required_approvals": 2}},
            "policies_switch_on": {"version": 1},
            "policies_order": {"order": [str(self.ids["policies"])]},
            "reflexes_create": {"name": "x", "content": made.REFLEX},
            "reflexes_edit": {"content": made.REFLEX},
            "reflexes_switch_on": {"version": 1},
            "automatic_arm": {"reason": "The dry run agreed."},
            "freezes_create": {
                "reason": "release",
                "starts_at": "2026-01-01T00:00:00Z",
                "ends_at": (timezone.now() + timedelta(days=1)).isoformat(),
            },
        }

    def ask(self, api: Api, operation: str) -> int:
        method, path = operations()[operation]
        resource = path.split("/")[2]
        path = path.format(**self.names, id=self.ids.get(resource))
        if method == "get":
            return int(api.get(path, **PARAMETERS.get(operation, {})).status_code)
        if operation in SENDS_A_FILE:
            return int(api.post(path, b"{}", content_type="application/octet-stream").status_code)
        return int(api.post(path, self.bodies.get(operation)).status_code)


def permitted(status: int) -> bool:
    assert status in (200, 201, 202, 401, 403, 404, 409, 422), status
    return status not in (401, 403, 404)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_roles_outsiders_and_strangers(cast: Cast, operation: str) -> None:
    objects = Objects(cast)
    right, of_a_team = OPERATIONS[operation]
    for role, rights in RIGHTS.items():
        status = objects.ask(session(cast.person(role)), operation)
        barred = operation in FOR_WHO_SEES_ALL and role not in SEES_ALL
        if right is None or (right in rights and not barred):
            assert permitted(status) or (operation, status) in OF_ANOTHER, (role, status)
        else:
            assert status == 403, (role, status)
    stranger = objects.ask(Api(), operation)
    assert stranger == (200 if right is None else 401)
    for role in (Role.VIEWER, Role.REVIEWER, Role.LEAD):
        outsider = made.account(f"outside-{role}", role)
        cast.other_team.members.add(outsider)
        status = objects.ask(session(outsider), operation)
        if of_a_team:
            assert status == 404, (role, status)
        elif right is None or (right in RIGHTS[role] and operation not in FOR_WHO_SEES_ALL):
            assert permitted(status), (role, status)
        else:
            assert status == 403, (role, status)


@pytest.mark.parametrize("operation", [name for name, (right, _) in OPERATIONS.items() if right])
def test_scopes_narrow_what_an_admin_may(cast: Cast, operation: str) -> None:
    objects = Objects(cast)
    admin = cast.person(Role.ADMIN)
    right, _ = OPERATIONS[operation]
    for scope in sorted(SCOPES):
        alone = objects.ask(bearer(admin, scope), operation)
        with_sight = objects.ask(bearer(admin, "read", scope), operation)
        if scope != "read":
            assert alone == 403, (scope, alone)
        may = right == "read" or right == scope
        if operation in ("tokens_create", "automatic_arm"):
            may = False  # takes signing in
        if operation in ("decisions_withdraw", "campaigns_end") and scope == "decide":
            may = False  # another's takes a lead
        assert permitted(with_sight) == may, (scope, with_sight)
        assert with_sight != 404


def test_a_lead_withdraws_what_another_decided(cast: Cast) -> None:
    decision = session(cast.rita).decide(made.proved_review(cast)).json()["id"]
    path = f"/hitl/decisions/{decision}/withdraw"
    assert session(cast.sol).post(path).status_code == 403
    assert bearer(cast.person(Role.ADMIN), "read", "decide").post(path).status_code == 403
    assert session(cast.person(Role.LEAD)).post(path).status_code == 200


@pytest.mark.parametrize("role", [Role.VIEWER, Role.REVIEWER, Role.LEAD])
def test_leaving_the_team_is_leaving_its_objects(cast: Cast, role: str) -> None:
    objects = Objects(cast)
    person = cast.person(role)
    _, text = create_token(actor=SYSTEM, account=person, name="x", scopes=["read"])
    api = Api(headers={"Authorization": f"Bearer {text}"})
    assert objects.ask(api, "reviews_detail") == 200
    cast.team.members.remove(person)
    assert objects.ask(api, "reviews_detail") == 404
