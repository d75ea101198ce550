"""Scenarios that people and API clients attach to an APV: checked at the door, kept by content, and run; they count towards an
approval without people only after a second person accepted them."""

from __future__ import annotations

import base64

from django.utils import timezone

from immune.events.actors import SYSTEM, Actor
from immune.events.log import Log, act
from immune.models import APV, Account
from immune.people.selectors import Viewer
from wargaming import services
from wargaming.archives import files_in
from wargaming.catalogue import counting_versions, speaks_of
from wargaming.errors import OrderNotAllowed, OrderTooLate, ScenarioRefused
from wargaming.models import AttachedScenario, ScenarioContent, Trust, Wargame, WargameState
from wargaming.orders import may
from wargaming.sandbox.base import Trust as EngineTrust
from wargaming.scenarios import Scenario, scenario_from_files


def attach(*, account: Account, viewer: Viewer, apv: APV, archive: bytes) -> AttachedScenario:
    """Checks an archive as ``check_scenario`` does and keeps it as the next version of its name. The same again changes nothing.

    It is run by the handler of its event. Raises OrderNotAllowed, ScenarioRefused with every problem found.
    """
    may(viewer, apv.repository_id)
    files = files_in(archive)
    scenario = scenario_from_files(files, EngineTrust.ATTACHED)
    _about(scenario, apv)
    with act(Actor.of(account)) as log:
        apv = APV.objects.select_for_update().get(pk=apv.pk)
        last = apv.scenarios.filter(name=scenario.id).order_by("-version").first()
        if last is not None and last.content_id == scenario.digest:
            return last
        kept = {name: base64.b64encode(content).decode() for name, content in sorted(files.items())}
        content, _ = ScenarioContent.objects.get_or_create(digest=scenario.digest, defaults={"files": kept})
        row = AttachedScenario.objects.create(
            apv=apv,
            name=scenario.id,
            version=last.version + 1 if last else 1,
            content=content,
            attached_by=account,
        )
        _supersede(apv)
        _note(log, "scenario.attached", row)
    return row


def accept(*, account: Account, viewer: Viewer, scenario: AttachedScenario) -> AttachedScenario:
    """A second person stands for a scenario. What it showed before is shown again by a run that counts in full.

    Raises OrderNotAllowed (also for the person who attached it), OrderTooLate (accepted already, or replaced by a newer version).
    """
    may(viewer, scenario.apv.repository_id, "decide")
    if scenario.attached_by_id == account.pk:
        raise OrderNotAllowed("second_person_needed", "You attached it; another person has to accept it.")
    with act(Actor.of(account)) as log:
        apv = APV.objects.select_for_update().get(pk=scenario.apv_id)
        if scenario.pk not in {row.pk for row in counting_versions(apv)}:
            raise OrderTooLate("replaced", "A newer version of it was attached.")
        now = timezone.now()
        if not AttachedScenario.objects.filter(pk=scenario.pk, accepted_by=None).update(
            accepted_by=account, accepted_at=now
        ):
            raise OrderTooLate("accepted", "It was accepted already.")
        scenario.refresh_from_db()
        _supersede(apv)
        _note(log, "scenario.accepted", scenario)
    return scenario


def _about(scenario: Scenario, apv: APV) -> None:
    if not speaks_of(scenario, apv):
        raise ScenarioRefused(
            (
                (
                    "package, cve, ghsa",
                    f"it speaks of another package or weakness than {apv.apv_code} ({apv.package_name})",
                ),
            )
        )


def _supersede(apv: APV) -> None:
    """What versions that no longer count showed, counts no longer; those that wait need not be run."""
    counting = {row.content_id for row in counting_versions(apv)}
    old = Wargame.objects.filter(apv=apv, trust=Trust.ATTACHED).exclude(scenario_digest__in=counting)
    for wargame in old.filter(state__in=(WargameState.PENDING, WargameState.RUNNING)).select_related("apv"):
        services.cancel_wargame(
            actor=SYSTEM, wargame=wargame, explanation="A newer version of its scenario was attached."
        )
    old.update(superseded=True)


def _note(log: Log, kind: str, row: AttachedScenario) -> None:
    log.record(
        kind,
        subject=f"scenario:{row.pk}",
        repository=row.apv.repository_id,
        data={"apv_code": row.apv.apv_code, "digest": row.content_id, "version": row.version},
    )
