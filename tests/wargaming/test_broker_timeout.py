"""A wargame that takes longer than the broker waits for its acknowledgement: handed out again and again, it ends once."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.environment import ROOT
from tests.immune.repositories import checkout
from tests.servers.private import kill_family, private_rabbitmq, wait_until
from tests.worlds import World, new_world

__all__ = ["new_world"]  # a fixture

HERE = "tests.wargaming.test_broker_timeout"
# RabbitMQ closes the channel of who has not acknowledged within two seconds, and looks twice a second. The scenario takes
# three CPU seconds for each of several runs before anything else.
IMPATIENT = {"consumer_timeout": "2000"}
OFTEN = "application:set_env(rabbit, channel_tick_interval, 500)."  # no line of its configuration
CLOSED = "PRECONDITION_FAILED - delivery acknowledgement on channel"


def queue_one(place: str) -> str:
    """Everything up to the wargame; run in a world."""
    from immune import broker, work  # noqa: PLC0415 - needs Django set up
    from immune.demo.bootstrap import load_advisories  # noqa: PLC0415
    from immune.events.actors import COMMAND  # noqa: PLC0415
    from immune.services import register_local, request_scan  # noqa: PLC0415
    from wargaming.models import Wargame  # noqa: PLC0415

    broker.set_up()
    load_advisories()
    request_scan(actor=COMMAND, repository=register_local(actor=COMMAND, path=Path(place)), cause="asked")
    others = [kind.name for kind in work.kinds() if kind.name != "wargame"]
    while any([work.run_one(name) for name in others]):  # noqa: C419 - each kind gets its turn
        pass
    return str(Wargame.objects.get(apv__package_name="idna", scenario__contains="3651").pk)


def ended(pk: str) -> bool:
    from wargaming.models import Wargame  # noqa: PLC0415 - needs Django set up

    return Wargame.objects.get(pk=pk).state == "finished"


def said(pk: str) -> dict[str, Any]:
    from immune.models import Event  # noqa: PLC0415 - needs Django set up
    from wargaming.models import Wargame  # noqa: PLC0415

    game = Wargame.objects.get(pk=pk)
    runs = list(game.runs.values_list("step", "phase", "details__round"))
    return {
        "verdict": game.verdict,
        "attempts": game.attempts,
        "runs twice": len(runs) - len(set(runs)),
        "ends": Event.objects.filter(kind="wargame.finished", subject=f"wargame:{pk}").count(),
        "starts": Event.objects.filter(kind="wargame.started", subject=f"wargame:{pk}").count(),
    }


def test_a_wargame_longer_than_the_brokers_patience_ends_once(new_world: Callable[..., World], tmp_path: Path) -> None:
    place = checkout(tmp_path / "app", {"requirements.txt": "idna==3.6\n"})
    log = tmp_path / "worker.log"
    with private_rabbitmq(IMPATIENT) as rabbitmq:
        control, variables = rabbitmq.control()
        subprocess.run([*control, "eval", OFTEN], env=variables, check=True, capture_output=True)
        world = new_world("postgresql", RABBITMQ_URL=rabbitmq.url)
        pk = world.start(f"{HERE}:queue_one", str(place)).result(120)
        with log.open("wb") as output:
            celery = [str(Path(sys.executable).with_name("celery")), "-A", "config", "worker", "-Q", "wargame"]
            worker = subprocess.Popen(
                [*celery, "--concurrency", "2", "--without-gossip", "--without-mingle"],
                cwd=ROOT,
                env=world.environment,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        try:
            wait_until(lambda: world.call(f"{HERE}:ended", pk), worker, "the wargame's end", log, seconds=150)
        finally:
            kill_family(worker)
        assert CLOSED in log.read_text(errors="replace"), "the broker lost no patience, so nothing was shown"
    assert world.call(f"{HERE}:said", pk) == {
        "verdict": "PATCH_EFFECTIVE",
        "attempts": 1,
        "runs twice": 0,
        "ends": 1,
        "starts": 1,
    }
