"""Writing rules: made, edited, ordered, switched on and off. People who administer do, and each change is an event with its actor.

Editing makes the next version and leaves the one that is switched on as it is; switching on names the version that was looked at.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from django.db import IntegrityError
from django.db.models import Max

from immune.events.actors import Actor
from immune.events.log import Log, act
from immune.models import Account, Team
from immune.people.selectors import Viewer
from reviews.errors import BadPolicy, NotAllowed, StalePolicy
from reviews.models import Rule, RuleKind, RuleVersion
from reviews.policy.content import BadContent, checked, digest
from reviews.policy.reflex import checked_rule

LONGEST_NAME = 120
LONGEST_NOTE = 2000


def make_rule(
    *, account: Account, viewer: Viewer, kind: str, name: str, content: Mapping[str, Any], note: str = ""
) -> RuleVersion:
    """Makes a rule with its first version, last in the order and switched off. Raises NotAllowed, BadPolicy."""
    may_change(viewer)
    name = _sound_name(name)
    found, team = _sound(kind, content, note)
    try:
        with act(Actor.of(account)) as log:
            last = Rule.objects.filter(kind=kind).aggregate(last=Max("position"))["last"] or 0
            rule = Rule.objects.create(kind=kind, name=name, position=last + 1)
            return _add(log, account, rule, found, team, note)
    except IntegrityError as error:
        raise BadPolicy("There is one of that name already.", fields={"name": "is taken"}) from error


def edit_rule(
    *, account: Account, viewer: Viewer, rule: Rule, content: Mapping[str, Any], note: str = "", seen: int | None = None
) -> RuleVersion:
    """Makes the next version; the same content again changes nothing. ``seen``: the latest version the editor had before them.

    Raises NotAllowed, BadPolicy, StalePolicy when somebody else made another one meanwhile.
    """
    may_change(viewer)
    found, team = _sound(rule.kind, content, note)
    with act(Actor.of(account)) as log:
        rule = _locked(rule)
        last = rule.versions.order_by("-number").first()
        if last is not None and seen is not None and last.number != seen:
            raise StalePolicy(
                f"Version {last.number} was made meanwhile.", changed={"version": {"seen": seen, "now": last.number}}
            )
        if last is not None and last.digest == digest(found):
            return last
        return _add(log, account, rule, found, team, note)


def switch_on(*, account: Account, viewer: Viewer, rule: Rule, number: int) -> Rule:
    """Lets this version speak from now on. Raises NotAllowed, BadPolicy for a version there is not."""
    may_change(viewer)
    with act(Actor.of(account)) as log:
        rule = _locked(rule)
        version = rule.versions.filter(number=number).first()
        if version is None or digest(version.content) != version.digest:
            raise BadPolicy("There is no such version.", fields={"version": "is none of its versions"})
        if rule.active_id != version.pk:
            rule.active = version
            rule.save(update_fields=["active"])
            _note(log, "switched_on", rule, {"version": str(version.pk), "number": number, "digest": version.digest})
    return rule


def switch_off(*, account: Account, viewer: Viewer, rule: Rule) -> Rule:
    """Silences a rule; its versions stay. Raises NotAllowed."""
    may_change(viewer)
    with act(Actor.of(account)) as log:
        rule = _locked(rule)
        if rule.active_id is not None:
            version, rule.active = rule.active_id, None
            rule.save(update_fields=["active"])
            _note(log, "switched_off", rule, {"version": str(version)})
    return rule


def order_rules(*, account: Account, viewer: Viewer, kind: str, order: Sequence[UUID]) -> list[Rule]:
    """Puts the rules of a kind into this order; every one of them is named once. Raises NotAllowed, BadPolicy."""
    may_change(viewer)
    with act(Actor.of(account)) as log:
        rows = {row.pk: row for row in Rule.objects.select_for_update().filter(kind=kind)}
        if len(order) != len(rows) or set(order) != set(rows):
            raise BadPolicy("The order names every policy once.", fields={"order": "names every one of them once"})
        if [rows[pk].position for pk in order] != sorted(row.position for row in rows.values()):
            for place, pk in enumerate(order, 1):
                Rule.objects.filter(pk=pk).update(position=place)
            log.record(f"{kind}.ordered", subject=f"{kind}:all", data={"order": [str(pk) for pk in order]})
    return list(Rule.objects.filter(kind=kind).order_by("position", "pk"))


def move_rule(*, account: Account, viewer: Viewer, rule: Rule, earlier: bool) -> list[Rule]:
    """Moves a rule one place in the order. Raises NotAllowed."""
    order = list(Rule.objects.filter(kind=rule.kind).order_by("position", "pk").values_list("pk", flat=True))
    at = order.index(rule.pk)
    to = max(0, at - 1) if earlier else min(len(order) - 1, at + 1)
    order[at], order[to] = order[to], order[at]
    return order_rules(account=account, viewer=viewer, kind=rule.kind, order=order)


def may_change(viewer: Viewer) -> None:
    """Raises NotAllowed unless the viewer administers."""
    if not viewer.may("read") or not viewer.may("administer"):
        raise NotAllowed("Your role does not permit it.")


def _sound_name(name: str) -> str:
    name = name.strip()
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        raise BadPolicy("A policy needs a name.", fields={"name": f"holds 1 to {LONGEST_NAME} characters"})
    return name


def _sound(kind: str, content: Mapping[str, Any], note: str) -> tuple[dict[str, Any], Team | None]:
    if len(note) > LONGEST_NOTE or "\x00" in note:
        raise BadPolicy("The note is too long.", fields={"note": f"holds at most {LONGEST_NOTE} characters"})
    try:
        found = checked(content) if kind == RuleKind.POLICY else checked_rule(content)
    except BadContent as error:
        raise BadPolicy(str(error), fields=error.fields) from error
    if not found.get("team"):
        return found, None
    team = Team.objects.filter(pk=found["team"]).first()
    if team is None:
        raise BadPolicy("There is no such team.", fields={"team": "is the id of a team"})
    return found, team


def _add(log: Log, account: Account, rule: Rule, content: dict[str, Any], team: Team | None, note: str) -> RuleVersion:
    last = rule.versions.aggregate(last=Max("number"))["last"] or 0
    version = RuleVersion.objects.create(
        rule=rule,
        number=last + 1,
        content=content,
        digest=digest(content),
        team=team,
        note=note.strip(),
        made_by=account,
        made_by_name=account.shown_name,
    )
    _note(log, "versioned", rule, {"version": str(version.pk), "number": version.number, "digest": version.digest})
    return version


def _locked(rule: Rule) -> Rule:
    return Rule.objects.select_for_update(of=("self",)).get(pk=rule.pk)


def _note(log: Log, what: str, rule: Rule, data: dict[str, Any]) -> None:
    log.record(f"{rule.kind}.{what}", subject=f"{rule.kind}:{rule.pk}", data=data)
