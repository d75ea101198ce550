"""A wargame that is cancelled while it runs: what runs in the sandbox is killed, and nothing of it is written."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path

import pytest
from django.db import connection

from immune import work
from immune.advisories.services import sync_advisories
from immune.events.actors import COMMAND
from immune.models import Event
from immune.people.selectors import viewer_of
from immune.services import request_scan
from tests.reviews import journeys
from wargaming import orders
from wargaming.models import Run, Wargame

pytestmark = pytest.mark.django_db(transaction=True)
RECORD = {
    "schema_version": "1.6.0",
    "id": "GHSA-jfmj-5v4g-7637",
    "aliases": ["CVE-2024-5569"],
    "modified": "2024-07-09T00:00:00Z",
    "summary": "An endless loop",
    "affected": [
        {
            "package": {"ecosystem": "PyPI", "name": "zipp"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "3.19.1"}]}],
        }
    ],
}
CASE = """
id: sleeps
ecosystem: PyPI
package: zipp
cve: CVE-2024-5569
vulnerable_version: "3.19.0"
fixed_version: "3.19.1"
time_limit_s: 120
variants: [{id: slow, reproduce: %s}]
"""


def running(script: str) -> bool:
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if f"/scenario/{script}\0" in (folder / "cmdline").read_text():
                return True
        except OSError:
            continue
    return False


def until(condition, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.05)
    return False


def test_a_running_wargame_that_is_cancelled_is_killed_and_writes_nothing(settings, tmp_path: Path) -> None:
    settings.WORK_DIR = tmp_path / "work"
    script = f"sleeps_{os.getpid()}.py"
    (tmp_path / "advisories.json").write_text(json.dumps(RECORD))
    sync_advisories(actor=COMMAND, paths=[tmp_path / "advisories.json"])
    app = journeys.checkout(tmp_path / "app", requirements__txt="zipp==3.19.0\n")
    folder = app / ".immune" / "scenarios" / "sleeps"
    folder.mkdir(parents=True)
    (folder / "case.yaml").write_text(CASE % script)
    (folder / "control.py").write_text("print('CONTROL OK: fine')\n")
    (folder / "reproduce.py").write_text("import sys\nprint('REPRODUCED: so it is')\nsys.exit(1)\n")
    (folder / script).write_text("import time\ntime.sleep(110)\n")
    journeys.commit(app)
    request_scan(actor=COMMAND, repository=journeys.register(app), cause="asked")
    while not Wargame.objects.filter(scenario="sleeps").exists():
        assert any([work.run_one(kind.name) for kind in work.kinds() if kind.name != "wargame"])  # noqa: C419
    # A shipped scenario of the same weakness may be there too.
    Wargame.objects.exclude(scenario="sleeps").delete()

    def worker() -> None:
        try:
            work.run_one("wargame")
        finally:
            connection.close()

    thread = threading.Thread(target=worker)
    thread.start()
    try:
        assert until(lambda: running(script), 120), "it never began"
    finally:
        account = journeys.reviewer()
        game = orders.cancel(
            account=account, viewer=viewer_of(account), wargame=Wargame.objects.get(), reason="It takes too long."
        )
        thread.join(100)
    assert not thread.is_alive()
    assert not running(script)
    game.refresh_from_db()
    assert (game.state, game.verdict, game.reason) == ("cancelled", "INCONCLUSIVE", "cancelled")
    assert not Run.objects.exists()
    assert game.evidence is None
    assert Event.objects.filter(kind__in=("wargame.cancelled", "wargame.finished")).count() == 1
