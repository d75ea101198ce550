"""Learning when the version a change goes to was published, where a policy that is switched on asks for it: no registry is asked
otherwise. What is not learned stays unknown, which never makes an advice laxer, and is asked for again with the next look."""

from __future__ import annotations

from uuid import UUID

from immune.events.actors import SYSTEM
from immune.events.log import act
from immune.events.subscriptions import Happened, subscribe
from immune.models import Remedy
from immune.models.remedies import LIVE_REMEDIES
from reviews.policies.consulting import active_policies
from wargaming.releases import published


@subscribe("reviews.learn_release_date", "remedy.proposed")
def learn_when_proposed(event: Happened) -> None:
    """Before the wargames have ended, so that policy knows it when the round opens."""
    if asked_for():
        learn(Remedy.objects.get(pk=UUID(event.data["remedy"])))


def asked_for() -> bool:
    """Whether a policy that is switched on asks how old a release is."""
    return any(policy.conditions.minimum_release_age is not None for policy in active_policies())


def learn(remedy: Remedy) -> bool:
    """Asks the registry and keeps what it says. The registry is asked outside any transaction. False when nothing was learned."""
    if remedy.released_at is not None or remedy.state not in LIVE_REMEDIES:
        return False
    moment = published(remedy.ecosystem, remedy.package_name, remedy.target_version)
    if moment is None:
        return False
    with act(SYSTEM) as log:
        if not Remedy.objects.filter(pk=remedy.pk, released_at=None).update(released_at=moment):
            return False
        log.record(
            "remedy.release_dated",
            subject=f"remedy:{remedy.pk}",
            repository=remedy.repository_id,
            data={"published": moment.isoformat()},
        )
    remedy.released_at = moment
    return True
