"""A wargame at GitHub Actions: ordered, pushed onto a branch of its own, played there, read back, and the branch gone again."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from django.utils import timezone

from immune import claims, git, work
from immune.forges.github_actions import WorkflowRuns
from immune.forges.store import actions_of
from immune.models import Balance, Remedy
from reviews import automatic
from reviews.models import Decision
from reviews.policies.consulting import consult_review
from tests.github_server.action_routes import Run, finish, keep, packed
from tests.github_server.faults import Kind
from tests.github_server.runner import play
from tests.reviews import cast as made
from tests.reviews.github.hub import CLICK
from tests.reviews.journeys import review_of, scan, states, work_off
from tests.reviews.test_automatic import armed
from wargaming import services
from wargaming.actions import services as stepping
from wargaming.actions.order import EVIDENCE, WORKFLOW, make_order
from wargaming.catalogue import shipped
from wargaming.engine import specs_of
from wargaming.environments.spec import Lock
from wargaming.evidence import read_bundle
from wargaming.models import ActionsRun, Wargame

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.xdist_group("github")]
MINUTE = timedelta(minutes=1)


@pytest.fixture
def at_actions(world, settings):
    settings.WARGAMING_ENABLED = True
    settings.GITHUB_ACTIONS_WARGAMES = ["*"]
    return world


def now_due():
    claims.hasten(ActionsRun.objects.all())


def looked_again():
    """The next look, without waiting for its time."""
    now_due()
    work_off()


# -- from the order to the verdict -----------------------------------------------------------------------------------------------


def test_the_way_from_the_order_to_the_verdict(at_actions, tmp_path):
    Balance.objects.create(state="rest", since=timezone.now(), looked_at=timezone.now())
    armed(made.Cast())
    repository = at_actions.put(requirements__txt=CLICK, app__py="print(1)\n")
    there = at_actions.at(repository)
    at_actions.push(repository, **{".github/workflows/release.yml": "on: push\njobs: {}\n"})
    there.runs.clear()
    scan(repository)

    remedy, row = Remedy.objects.get(), ActionsRun.objects.get()
    assert (row.wargame.state, row.step, states(repository)) == ("running", "watch", {"click": "wargaming"})
    # On a branch of its own, cut from where the change was cut, and no part of the change.
    assert {one.path for one in there.runs if one.branch != row.branch} == {".github/workflows/release.yml"}
    [run] = [one for one in there.runs if one.branch == row.branch]
    assert (run.path, run.head) == (WORKFLOW, row.commit), "no other workflow was started"
    assert row.branch not in (remedy.branch, "main")
    assert git.is_ancestor(there.mirror, remedy.base_commit, row.commit)
    assert not git.is_ancestor(there.mirror, remedy.head_commit, row.commit)
    fix = {entry.path for entry in git.list_tree(there.mirror, remedy.head_commit)}
    assert fix == {"requirements.txt", "app.py", ".github/workflows/release.yml"}
    assert "immune" not in remedy.patch

    play(at_actions.server.world, there, run, tmp_path)
    assert run.conclusion == "success"
    looked_again()

    row.refresh_from_db()
    wargame = row.wargame
    assert (wargame.state, wargame.verdict, wargame.reason) == ("finished", "PATCH_EFFECTIVE", ""), wargame.explanation
    assert (row.state, row.step, row.last_error) == ("done", "tidy", "")
    assert there.head(row.branch) is None, "its branch is gone"
    assert (wargame.driver, wargame.own_tests["status"]) == ("github-actions", "not_run")
    outcomes = {(seen.step.partition(":")[0], seen.phase, seen.outcome) for seen in wargame.runs.all()}
    assert outcomes == {
        ("control", "before", "pass"), ("control", "after", "pass"),
        ("reproduce", "before", "present"), ("reproduce", "after", "absent"),
    }  # fmt: skip
    told = read_bundle(bytes(wargame.evidence.archive)).manifest["elsewhere"]
    assert (told["run_id"], told["commit"], told["nonce"]) == (str(run.id), row.commit, row.nonce)

    # Everything else would allow it: where it ran does not.
    review = review_of("click")
    facts = consult_review(review).facts
    assert (facts.proof, facts.counts, review.recommendation) == ("at_actions", False, "approve")
    assert automatic.consider(review) is None
    assert (Decision.objects.count(), states(repository)) == (0, {"click": "in_review"})
    Wargame.objects.update(driver="bubblewrap")
    assert automatic.consider(review_of("click")), "the same, run here"


# -- what GitHub shows otherwise -------------------------------------------------------------------------------------------------


def ordered(world, step="watch", **changes):
    """A wargame that was pushed to GitHub: its row, and its run there."""
    [scenario] = [one for one in shipped() if one.id == "click-cve-2026-7246"]
    repository = world.put(requirements__txt=CLICK)
    threat = made.apv(repository, made.advisory("GHSA-47fr-3ffg-hgmw", aliases=["CVE-2026-7246"]), package="click")
    change = made.remedy(repository, threat, package="click", old="8.3.2", new="8.3.3")
    game = made.wargame(
        change, threat, "INCONCLUSIVE", repeats=0, scenario=scenario.id, state="running", evidence=None, driver=""
    )
    locks = [Lock("PyPI", (), f"click=={version} \\\n    --hash=sha256:{'0' * 64}\n") for version in ("8.3.2", "8.3.3")]
    order = make_order(scenario, specs_of(scenario), (locks[0], locks[1]), versions={"python": "3.11"})
    found = {"commit": "c" * 40, "pushed_at": timezone.now(), "step": step, **changes}
    row = ActionsRun.objects.create(
        wargame=game,
        correlation=order.correlation,
        nonce=order.nonce,
        order=order.text,
        locks={"before": locks[0].text, "after": locks[1].text},
        branch=order.branch,
        **found,
    )
    Wargame.objects.filter(pk=game.pk).update(
        owner=row.holder, scenario_digest=scenario.digest, verdict="", confidence=None, reason=""
    )
    run = Run(world.server.world.new_id(), row.branch, row.commit, WORKFLOW, world.server.world.account("immune-bot"))
    run.title = order.title
    world.at(repository).runs.append(run)
    if step == "watch":
        ActionsRun.objects.filter(pk=row.pk).update(run_id=run.id)
    return row, run


def stepped(row):
    """One step of it."""
    now_due()
    assert work.run_one("actions_run", pk=str(row.pk))
    row.refresh_from_db()
    return row


def ends(conclusion):
    return lambda world, row, run: finish(world, run, conclusion)


def leaves(archive):
    def left(world, row, run):
        finish(world, run, "success")
        keep(world, run, EVIDENCE, archive)

    return left


def is_another(**facts):
    def changed(world, row, run):
        finish(world, run, "success")
        for name, value in facts.items():
            setattr(run, name, value)

    return changed


def is_too_large(world, row, run):
    leaves(b"0" * 2048)(world, row, run)
    run.artifacts[EVIDENCE] = (run.artifacts[EVIDENCE][0], b"0" * ((32 << 20) + 1))


def takes_too_long(world, row, run):
    ActionsRun.objects.filter(pk=row.pk).update(created_at=timezone.now() - 121 * MINUTE)


@pytest.mark.parametrize(
    ("happens", "reason", "says"),
    [
        (ends("failure"), "actions_run_failed", "ended with failure"),
        (ends("cancelled"), "actions_run_failed", "ended with cancelled"),
        (ends("timed_out"), "actions_run_failed", "ended with timed_out"),
        (ends("success"), "evidence_missing", "no artifact"),
        (is_too_large, "evidence_refused", "larger than"),
        (leaves(b"PK\x03\x04 cut off"), "evidence_refused", "not a whole archive"),
        (leaves(packed({"evidence.json": b"{}"})), "evidence_refused", "format"),
        (is_another(head="d" * 40), "actions_run_another", "its commit is ddd"),
        (is_another(path=".github/workflows/theirs.yml"), "actions_run_another", "its workflow is"),
        (is_another(branch="main"), "actions_run_another", "its branch is main"),
        (is_another(title="Immune wargame 0"), "actions_run_another", "its name is"),
        (is_another(attempt=2), "actions_run_another", "run 2 times"),
        (takes_too_long, "actions_timeout", "120 minutes"),
    ],
)
def test_what_github_shows_otherwise_proves_nothing(at_actions, happens, reason, says):
    row, run = ordered(at_actions)
    happens(at_actions.server.world, row, run)
    stepped(row)
    game = Wargame.objects.get(pk=row.wargame_id)
    assert (game.state, game.verdict, game.reason, game.confidence) == ("finished", "INCONCLUSIVE", reason, 0.0)
    assert says in game.explanation
    assert (game.driver, game.evidence) == ("github-actions", None)
    assert (row.state, row.step) == ("pending", "tidy"), "the branch still goes"


def test_a_run_is_found_by_its_name_commit_branch_and_workflow(at_actions):
    row, run = ordered(at_actions, step="find")
    there = at_actions.at(row.wargame.remedy.repository)
    decoys = [
        {"title": "Immune wargame other"},
        {"branch": "main"},
        {"head": "d" * 40},
        {"path": ".github/workflows/a.yml"},
    ]
    there.runs[:0] = [replace(run, id=run.id - 10 - n, **each) for n, each in enumerate(decoys)]
    stepped(row)
    assert (row.step, row.run_id) == ("watch", run.id)


def test_without_a_run_it_is_waited_for_and_then_given_up(at_actions):
    row, _ = ordered(at_actions, step="find")
    at_actions.at(row.wargame.remedy.repository).runs.clear()
    stepped(row)
    assert (row.state, row.step, row.attempts) == ("pending", "find", 0)
    assert row.due_at > timezone.now(), "no worker waits meanwhile"
    ActionsRun.objects.filter(pk=row.pk).update(pushed_at=timezone.now() - 16 * MINUTE)
    stepped(row)
    game = Wargame.objects.get(pk=row.wargame_id)
    assert (game.verdict, game.reason, row.step) == ("INCONCLUSIVE", "actions_no_run", "tidy")


def test_a_look_that_finds_nothing_new_costs_nothing_of_the_limit(at_actions):
    row, _ = ordered(at_actions)
    stepped(row)
    left = at_actions.server.remaining["immune-bot"]
    stepped(row)
    assert at_actions.server.remaining["immune-bot"] == left


def test_an_outage_is_waited_out_and_decides_nothing(at_actions):
    row, _ = ordered(at_actions)
    at_actions.server.faults.add(Kind.STATUS, path=r"/actions/runs/\d+$", status=502, times=4)
    stepped(row)
    assert (row.state, row.step, row.last_error.partition(":")[0]) == ("pending", "watch", "server_error")
    assert Wargame.objects.get(pk=row.wargame_id).state == "running"
    stepped(row)
    assert (row.step, row.last_error) == ("watch", "")


# -- cut off, cancelled, refused -------------------------------------------------------------------------------------------------


@pytest.fixture
def handed_over(at_actions, monkeypatch):
    """A wargame that was handed over, before anything was asked of GitHub."""
    repository = at_actions.put(requirements__txt=CLICK)
    asleep = replace(work.kind_named("actions_run"), rows=ActionsRun.objects.none)
    with monkeypatch.context() as patched:
        patched.setattr(work, "_kinds", {**work._kinds, "actions_run": asleep})
        scan(repository)
    return ActionsRun.objects.get(), at_actions.at(repository)


def killed(row, **done):
    """A worker claimed it, did what it did at GitHub, and was killed before it wrote that down."""
    ActionsRun.objects.filter(pk=row.pk).update(
        state="running", owner="killed", lease_until=timezone.now() - MINUTE, attempts=1, **done
    )


def test_killed_after_the_push_it_finds_its_own_branch_again(handed_over, monkeypatch):
    row, there = handed_over
    monkeypatch.setattr(stepping, "_go_on", lambda *_, **__: None)
    stepped(row)
    pushed = there.head(row.branch)
    assert (row.step, row.commit) == ("push", ""), "nothing was written down"
    monkeypatch.undo()
    killed(row)
    assert work.run_one("actions_run", pk=str(row.pk))
    row.refresh_from_db()
    assert (row.step, row.commit, there.head(row.branch)) == ("find", pushed, pushed)
    assert len(there.runs) == 1, "and starts no second run"


def test_killed_after_the_verdict_the_branch_still_goes_and_the_verdict_stands(handed_over):
    row, there = handed_over
    stepped(row)
    there.runs.clear()
    ActionsRun.objects.filter(pk=row.pk).update(pushed_at=timezone.now() - 16 * MINUTE)
    stepped(row)
    assert (row.step, there.head(row.branch)) == ("tidy", row.commit)
    killed(row)
    assert work.run_one("actions_run", pk=str(row.pk))
    row.refresh_from_db()
    assert (row.state, there.head(row.branch)) == ("done", None)
    assert Wargame.objects.get(pk=row.wargame_id).reason == "actions_no_run"


def test_a_worker_that_lost_it_writes_nothing(handed_over):
    row, _ = handed_over
    now_due()
    mine = claims.claim(ActionsRun.objects.all(), lease=MINUTE, owner="late")
    ActionsRun.objects.filter(pk=row.pk).update(owner="another", created_at=timezone.now() - 200 * MINUTE)
    mine.created_at = timezone.now() - 200 * MINUTE
    with pytest.raises(claims.LostClaim):
        stepping.run(mine, None)
    assert Wargame.objects.get(pk=row.wargame_id).state == "running"


@pytest.mark.parametrize("written_down", [True, False])
def test_cancelled_it_says_nothing_more_and_its_branch_goes(handed_over, monkeypatch, written_down):
    row, there = handed_over
    if not written_down:
        monkeypatch.setattr(stepping, "_go_on", lambda *_, **__: None)
    stepped(row)
    monkeypatch.undo()
    assert there.head(row.branch)
    services.cancel_wargame(actor=made.SYSTEM, wargame=row.wargame)
    if not written_down:
        killed(row)
    looked_again()
    row.refresh_from_db()
    assert (row.state, there.head(row.branch)) == ("done", None)
    assert (row.wargame.state, row.wargame.reason) == ("cancelled", "cancelled")


def test_a_branch_that_somebody_pushed_to_is_left_to_them(handed_over, at_actions):
    row, there = handed_over
    stepped(row)
    theirs = at_actions.push(row.wargame.remedy.repository, branch=row.branch, README="mine")
    services.cancel_wargame(actor=made.SYSTEM, wargame=row.wargame)
    looked_again()
    row.refresh_from_db()
    assert (row.state, there.head(row.branch)) == ("failed", theirs)
    assert "branch_moved" in row.last_error


def test_an_account_that_may_write_no_workflows_is_told_so(handed_over, at_actions, settings):
    row, there = handed_over
    bot = at_actions.server.world.account("immune-bot")
    bot.workflows = False
    try:
        stepped(row)
    finally:
        bot.workflows = True
    game = Wargame.objects.get(pk=row.wargame_id)
    assert (game.verdict, game.reason) == ("INCONCLUSIVE", "actions_refused")
    assert "scope workflow" in game.explanation
    assert there.head(row.branch) is None


def test_an_app_asks_for_the_rights_it_needs_there_and_no_others(at_actions, settings):
    repository = at_actions.put(requirements__txt="")
    at_actions.settle(settings, **at_actions.install_app(repository))
    forge, runs = actions_of(repository)
    assert dict(forge.session.account.app.permissions) == {"contents": "write", "workflows": "write", "actions": "read"}
    assert isinstance(runs, WorkflowRuns)


@pytest.mark.parametrize(
    ("listed", "forge", "expected"),
    [([], "github", False), (["*"], "github", True), (["*"], "local", False), (["ACME/shop"], "github", True),
     (["acme/other"], "github", False)],
)  # fmt: skip
def test_it_is_done_where_the_setting_names_the_repository(settings, listed, forge, expected):
    settings.GITHUB_ACTIONS_WARGAMES = listed
    repository = made.repository("acme/shop")
    repository.forge, repository.location = forge, "https://github.com/acme/shop.git"
    assert stepping.at_actions(repository) is expected
