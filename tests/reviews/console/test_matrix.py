"""Role × action × object: who may do what in the console, written out. The rows are the promise; the code follows them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import get_resolver, reverse

from immune.models import Account, Advisory, AdvisoryName, ApiToken, Delivery, Event, Job, Question, Role, Scan
from reviews.models import Campaign, Decision, Review, ReviewState
from reviews.notices.models import Notice, NoticeChannel
from tests.reviews import cast as builders
from tests.reviews.cast import Cast
from tests.reviews.console import test_policies
from wargaming.models import Wargame

SignedIn = Callable[[Account], Client]
ROLES = list(Role.values)

# action → roles that may, on what their team owns (operators and admins see everything).
ALLOWED: dict[str, set[str]] = {
    "claim": {"reviewer", "lead", "admin"},
    "comment": {"reviewer", "lead", "admin"},
    "decide": {"reviewer", "lead", "admin"},
    "bulk_decide": {"reviewer", "lead", "admin"},
    "start_campaign": {"reviewer", "lead", "admin"},
    "end_anothers_campaign": {"lead", "admin"},
    "release_anothers": {"lead", "admin"},
    "withdraw_anothers": {"lead", "admin"},
    "immunize": {"reviewer", "lead", "operator", "admin"},
    "send_report": {"reviewer", "lead", "operator", "admin"},
    "scan_files": {"reviewer", "lead", "operator", "admin"},
    "send_advisories": {"operator", "admin"},
    "export_vex": {"viewer", "reviewer", "lead", "operator", "admin"},
    "set_merging": {"operator", "admin"},
    "order_revert": {"reviewer", "lead", "admin"},
    "suppress_apv": {"reviewer", "lead", "admin"},
    "suppress_package": {"lead", "admin"},
    "suppress_advisory": {"operator", "admin"},
    "end_anothers_suppression": {"reviewer", "lead", "admin"},
    "settle_question": {"reviewer", "lead", "admin"},
    "cancel_wargame": {"reviewer", "lead", "operator", "admin"},
    "retry_wargame": {"reviewer", "lead", "operator", "admin"},
    "attach_scenario": {"reviewer", "lead", "operator", "admin"},
    "accept_scenario": {"reviewer", "lead", "admin"},
    "replay": {"operator", "admin"},
    "replay_letter": {"operator", "admin"},
    "create_channel": {"lead", "admin"},
    "change_channel": {"lead", "admin"},
    "redeliver": {"lead", "admin"},
    "create_account": {"admin"},
    "create_team": {"admin"},
    "create_token": {"admin"},
    "revoke_token": {"admin"},
    "set_password": {"admin"},
}
# Who reaches what a foreign team owns.
SEES_ALL = {"operator", "admin"}


class World:
    """One of everything, owned by the demo repository's team; each action knows how to tell whether it happened."""

    def __init__(self, cast: Cast) -> None:
        self.cast = cast
        self.review = builders.proved_review(cast, package="one")
        self.claimed = builders.proved_review(cast, package="two")
        self.decided = builders.proved_review(cast, package="three")
        for review, action in ((self.claimed, "claim"), (self.decided, "decide")):
            client = Client()
            client.force_login(cast.sol)
            client.post(reverse(f"admin:reviews_review_{action}", args=(review.pk,)), self.form(review))
        self.decision = Decision.objects.get()
        self.threat = builders.apv(cast.repository, builders.advisory("GHSA-aside"), package="aside", status="open")
        AdvisoryName.objects.create(advisory_id="GHSA-aside", name="GHSA-aside")
        self.question = Question.objects.create(apv=self.threat, kind="alias_removed", about="GHSA-aside - CVE-1")
        self.suppression = builders.set_aside(cast.repository, cast.sol, "held")
        self.record = Advisory.objects.get(pk=self.review.items.get().apv.advisory_id)
        self.campaign = Campaign.objects.create(
            advisory=self.record, decision="escalate", author=cast.sol, until="2999-01-01T00:00Z"
        )
        self.campaign.items.create(review=self.claimed, seen_version=1, state="shown")
        self.ended = self.review.items.get().wargame
        self.queued = builders.wargame(self.review.remedy, self.ended.apv, scenario="another", state="pending")
        self.scenario = builders.attached(self.ended.apv, by=cast.sol, package="one")
        self.alarm = builders.alarmed(cast.repository)
        self.delivery = Delivery.objects.create(event=Event.objects.latest("position"), handler="x", state="parked")
        self.channel = NoticeChannel.objects.create(team=cast.team, name="theirs", kind="mail", topics=["reviews"])
        self.notice = Notice.objects.create(channel=self.channel, key="test:1", state="parked")
        self.token = ApiToken.objects.create(
            account=cast.sol, name="t", prefix="imm_t", digest="t", scopes=["read"], expires_at="2999-01-01T00:00Z"
        )

    @staticmethod
    def form(review: Review) -> dict[str, Any]:
        return {
            "decision": "escalate",
            "justification": "somebody else should look",
            "head_commit": review.head_commit,
            "patch_digest": review.patch_digest,
            "version": review.version,
            "text": "a comment",
        } | ({"decision": "approve"} if review.remedy and review.remedy.package_name == "three" else {})

    def ask(self, client: Client, action: str) -> int:
        review, form = self.review, self.form(self.review)
        wanted: dict[str, tuple[str, tuple[Any, ...], dict[str, Any]]] = {
            "claim": ("reviews_review_claim", (review.pk,), {}),
            "comment": ("reviews_review_comment", (review.pk,), form),
            "decide": ("reviews_review_decide", (review.pk,), form),
            "bulk_decide": (
                "reviews_review_bulk_decide",
                (),
                form
                | {
                    "review": [str(review.pk)],
                    f"head_{review.pk}": review.head_commit,
                    f"patch_{review.pk}": review.patch_digest,
                    f"version_{review.pk}": review.version,
                },
            ),
            "start_campaign": (
                "reviews_campaign_create",
                (),
                form
                | {
                    "advisory": self.record.pk,
                    "review": [str(review.pk)],
                    f"head_{review.pk}": review.head_commit,
                    f"patch_{review.pk}": review.patch_digest,
                    f"version_{review.pk}": review.version,
                },
            ),
            "end_anothers_campaign": ("reviews_campaign_end", (self.campaign.pk,), {}),
            "release_anothers": ("reviews_review_release", (self.claimed.pk,), {}),
            "withdraw_anothers": ("reviews_review_withdraw", (self.decided.pk, self.decision.pk), {}),
            "immunize": ("immune_repository_immunize", (self.cast.repository.pk,), {}),
            "send_report": (
                "immune_repository_report",
                (self.cast.repository.pk,),
                {"report": SimpleUploadedFile("trivy.json", b"{}")},
            ),
            "scan_files": ("immune_job_scan", (), {"file": SimpleUploadedFile("requirements.txt", b"idna==3.6")}),
            "send_advisories": ("immune_job_advisories", (), {"file": SimpleUploadedFile("day.json", b"{}")}),
            "export_vex": ("immune_job_export", (), {"kind": "openvex", "repository": str(self.cast.repository.pk)}),
            "set_merging": ("immune_repository_merging", (self.cast.repository.pk,), {"merge_method": "merge"}),
            "order_revert": ("immune_aftermath_revert", (self.alarm.pk,), {}),
            **{
                f"suppress_{scope}": (
                    "immune_suppression_create",
                    (),
                    {
                        "scope": scope,
                        "name": name,
                        "ground": "accepted_risk",
                        "reason": "x",
                        "until": "2999-01-01",
                        **more,
                    },
                )
                for scope, name, more in (
                    ("apv", self.threat.apv_code, {}),
                    ("package", "aside", {"repository": str(self.cast.repository.pk), "ecosystem": "PyPI"}),
                    ("advisory", "GHSA-aside", {}),
                )
            },
            "end_anothers_suppression": ("immune_suppression_end", (self.suppression.pk,), {}),
            "settle_question": ("immune_apv_settle", (self.threat.pk, self.question.pk), {}),
            "cancel_wargame": ("wargaming_wargame_cancel", (self.queued.pk,), {"reason": "not needed"}),
            "retry_wargame": (
                "wargaming_wargame_retry",
                (self.ended.pk,),
                {"reason": "the network was down"},
            ),
            "attach_scenario": (
                "reviews_review_attach",
                (review.pk, self.ended.apv_id),
                {
                    "archive": SimpleUploadedFile(
                        "s.zip", builders.zipped(builders.scenario(self.ended.apv, id="other"))
                    )
                },
            ),
            "accept_scenario": ("reviews_review_accept", (review.pk, self.scenario.pk), {}),
            "replay": ("immune_delivery_replay", (self.delivery.pk,), {}),
            "replay_letter": ("immune_delivery_replay_letter", (), {"letter": f"delivery:{self.delivery.pk}"}),
            "create_channel": (
                "reviews_noticechannel_create",
                (),
                {"name": "new", "kind": "mail", "team": str(self.cast.team.pk), "topic": ["reviews"], "pace": "digest"},
            ),
            "change_channel": ("reviews_noticechannel_switch", (self.channel.pk,), {}),
            "redeliver": ("reviews_notice_redeliver", (self.notice.pk,), {}),
            "create_account": (
                "immune_account_create",
                (),
                {"username": "new", "password": builders.PASSWORD, "role": "viewer"},
            ),
            "create_team": ("immune_team_create", (), {"name": "new"}),
            "create_token": (
                "immune_apitoken_create",
                (),
                {"name": "new", "account": self.cast.rita.pk, "days": "9", "scopes": ["read"]},
            ),
            "revoke_token": ("immune_apitoken_revoke", (self.token.pk,), {}),
            "set_password": ("immune_account_password", (self.cast.sol.pk,), {"password": builders.PASSWORD + "!"}),
        }
        name, arguments, data = wanted[action]
        return int(client.post(reverse(f"admin:{name}", args=arguments), data).status_code)

    def happened(self, action: str) -> bool:
        for row in (
            self.review,
            self.claimed,
            self.decision,
            self.delivery,
            self.campaign,
            self.alarm,
            self.cast.repository,
            self.token,
            self.cast.sol,
            self.threat,
            self.suppression,
            self.question,
            self.queued,
            self.scenario,
            self.channel,
            self.notice,
        ):
            row.refresh_from_db()
        return bool(
            {
                "claim": lambda: self.review.state == ReviewState.CLAIMED,
                "comment": self.review.comments.exists,
                "decide": self.review.decisions.exists,
                "bulk_decide": self.review.decisions.exists,
                "start_campaign": lambda: Campaign.objects.count() == 2,
                "end_anothers_campaign": lambda: self.campaign.ended_at is not None,
                "release_anothers": lambda: self.claimed.state == ReviewState.PENDING,
                "withdraw_anothers": lambda: self.decision.withdrawn_at is not None,
                "immunize": Scan.objects.exists,
                "send_report": Job.objects.exists,
                "scan_files": Job.objects.exists,
                "send_advisories": Job.objects.exists,
                "export_vex": Job.objects.exists,
                "set_merging": lambda: self.cast.repository.merge_method == "merge",
                "order_revert": lambda: self.alarm.state == "reverting",
                "suppress_apv": lambda: self.threat.status == "suppressed",
                "suppress_package": lambda: self.threat.status == "suppressed",
                "suppress_advisory": lambda: self.threat.status == "suppressed",
                "end_anothers_suppression": lambda: self.suppression.ended_at is not None,
                "settle_question": lambda: self.question.settled_at is not None,
                "cancel_wargame": lambda: self.queued.state == "cancelled",
                "retry_wargame": lambda: Wargame.objects.filter(retry_of=self.ended).exists(),
                "attach_scenario": lambda: self.ended.apv.scenarios.filter(name="other").exists(),
                "accept_scenario": lambda: self.scenario.accepted_by is not None,
                "replay": lambda: self.delivery.state == "pending",
                "replay_letter": lambda: self.delivery.state == "pending",
                "create_channel": lambda: NoticeChannel.objects.filter(name="new").exists(),
                "change_channel": lambda: not self.channel.is_on,
                "redeliver": lambda: self.notice.state == "pending",
                "create_account": lambda: Account.objects.filter(username="new").exists(),
                "create_team": lambda: self.cast.team._meta.model.objects.filter(name="new").exists(),
                "create_token": lambda: ApiToken.objects.filter(name="new").exists(),
                "revoke_token": lambda: self.token.revoked_at is not None,
                "set_password": lambda: self.cast.sol.check_password(builders.PASSWORD + "!"),
            }[action]()
        )


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("action", ALLOWED)
def test_each_role_does_what_its_row_says_and_nothing_else(
    cast: Cast, signed_in: SignedIn, role: str, action: str
) -> None:
    world = World(cast)
    status = world.ask(signed_in(cast.person(role)), action)
    assert world.happened(action) == (role in ALLOWED[action])
    if role not in ALLOWED[action]:
        # Another's token is not there; else a refusal for want of a right is a 403 and no redirect.
        assert status == (404 if action == "revoke_token" else 403)


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize(
    "action",
    [
        "claim",
        "comment",
        "decide",
        "bulk_decide",
        "start_campaign",
        "end_anothers_campaign",
        "release_anothers",
        "withdraw_anothers",
        "immunize",
        "send_report",
        "export_vex",
        "set_merging",
        "order_revert",
        "suppress_apv",
        "suppress_package",
        "end_anothers_suppression",
        "settle_question",
        "cancel_wargame",
        "retry_wargame",
        "attach_scenario",
        "accept_scenario",
    ],
)
def test_on_what_a_foreign_team_owns_only_who_sees_everything_may(
    cast: Cast, signed_in: SignedIn, role: str, action: str
) -> None:
    world = World(cast)
    stranger = builders.account(f"strange-{role}", role)
    cast.other_team.members.add(stranger)
    world.ask(signed_in(stranger), action)
    assert world.happened(action) == (role in ALLOWED[action] and role in SEES_ALL)


@pytest.mark.parametrize("action", ALLOWED)
def test_who_is_not_signed_in_or_has_left_does_nothing(cast: Cast, signed_in: SignedIn, action: str) -> None:
    world = World(cast)
    assert world.ask(Client(), action) == 302
    gone = cast.person("admin")
    client = signed_in(gone)
    gone.is_active = False
    gone.save(update_fields=["is_active"])
    assert world.ask(client, action) == 302
    assert not world.happened(action)


def test_every_change_the_console_offers_has_a_row() -> None:
    routed = get_resolver().namespace_dict["admin"][1].reverse_dict
    own = {
        name
        for name in routed
        if isinstance(name, str)
        and name.startswith(("reviews_", "immune_", "wargaming_"))
        and not name.endswith(("_changelist", "_change"))
    }
    changing = {
        "reviews_review_claim", "reviews_review_release", "reviews_review_comment", "reviews_review_decide",
        "reviews_campaign_prepare", "reviews_campaign_create", "reviews_campaign_end",
        "reviews_review_withdraw", "reviews_review_bulk", "reviews_review_bulk_decide", "immune_repository_register",
        "immune_repository_immunize", "immune_delivery_replay", "immune_delivery_replay_letter",
        "immune_account_create", "immune_account_password",
        "immune_team_create", "immune_suppression_create", "immune_suppression_end", "immune_apitoken_create", "immune_apitoken_revoke",
        "immune_apitoken_rotate",
        "wargaming_wargame_cancel", "wargaming_wargame_retry", "reviews_review_attach", "reviews_review_accept",
        "immune_repository_merging", "immune_aftermath_revert", "immune_apv_settle",
        "immune_repository_report", "immune_job_scan", "immune_job_advisories", "immune_job_export",
        "reviews_noticechannel_create", "reviews_noticechannel_switch",
        # One rule with switching; tests/reviews/notices has them.
        "reviews_noticechannel_rotate", "reviews_noticechannel_try", "reviews_noticechannel_remove",
        "reviews_notice_redeliver",
    } | set(test_policies.CHANGES.values())  # fmt: skip
    reading = {
        "reviews_review_patch", "reviews_review_output", "reviews_review_evidence", "immune_advisory_details",
        "immune_delivery_dead_letters", "reviews_rule_dry_run", "immune_job_document",
    }  # fmt: skip
    assert own == changing | reading
