"""One game: private servers, the processes of the Procfile, people and pages, and a list of blows in an order the seed decides.

Repositories are handed in one after the other while the blows fall, so that at every blow something is on its way. When the last has
fallen, everything is given time to come to its end; then the product's own rows, the git repositories and what each page was shown
are compared. Every wait is bounded.
"""

from __future__ import annotations

import contextlib
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.chaos import at_github, faults
from tests.chaos.clients import Pages, People
from tests.chaos.processes import START_SECONDS, Processes, environment_of
from tests.github_server import GitHubServer
from tests.immune.repositories import checkout
from tests.servers.private import PrivateServer, free_port, private_postgresql, private_rabbitmq, private_redis
from tests.worlds import World

INSIDE = "tests.chaos.inside"
# Each is closed by one upgrade; two of them in a repository, so that merging one makes the other stale.
PINS = ("certifi==2023.7.22", "click==8.1.0", "flask==3.1.2", "idna==3.7", "markdown2==2.3.9",
        "requests==2.32.4", "sqlparse==0.4.4", "waitress==3.0.0")  # fmt: skip
PINS_EACH = 2
PAGES = 20
BLOWS = (
    "web",
    "web child",
    "live",
    "worker child",
    "worker parent",
    "worker tree",
    "beat",
    "postgresql",
    "rabbitmq",
    "redis",
)


@dataclass(frozen=True)
class Options:
    """``rounds``: how often every kind of blow falls. ``settle_seconds``: how long everything may take to end after the last;
    ``stall_seconds``: how long nothing at all may change meanwhile, although something is due; longer than any lease."""

    remedies: int = 20
    seed: int = 1
    rounds: int = 1
    pause: tuple[float, float] = (0.3, 1.5)
    fault_rate: float = 0.3
    lease_seconds: float = 6
    settle_seconds: float = 900
    stall_seconds: float = 120
    wargames: bool = False
    forge: str = "local"


@dataclass
class Outcome:
    """What happened and what did not hold. ``problems`` is empty after a clean game."""

    options: Options
    kills: Counter[str] = field(default_factory=Counter)
    ended_by_themselves: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    answers: Counter[str] = field(default_factory=Counter)
    found: dict[str, Any] = field(default_factory=dict)
    frames: int = 0
    resumed: int = 0
    seconds: float = 0
    at: str = ""
    problems: list[str] = field(default_factory=list)

    @property
    def reruns(self) -> int:
        return sum(self.found.get("reruns", {}).values())

    def row(self) -> dict[str, Any]:
        """One line of the table."""
        servers = sum(self.kills[name] for name in ("postgresql", "rabbitmq", "redis"))
        return {
            "seed": self.options.seed,
            "forge": self.options.forge,
            "remedies": self.found.get("remedies", 0),
            "process kills": self.kills.total() - servers,
            "server kills": servers,
            "forge faults": self.faults.total() - self.faults["actions"],
            "decisions": self.found.get("decisions", 0),
            "effects": self.found.get("effects", 0),
            "refusals": self.found.get("refusals", 0),
            "reruns absorbed": self.reruns,
            "frames": self.frames,
            "problems": len(self.problems),
        }


def play(options: Options, folder: Path, tell: Callable[[str], None] = lambda _: None) -> Outcome:
    """Plays one game in ``folder`` and says what it found."""
    began = time.monotonic()
    outcome = Outcome(options, at=f"{datetime.now(UTC):%Y-%m-%d %H:%M}")
    with contextlib.ExitStack() as rooms:
        servers = rooms.enter_context(_servers())
        there = rooms.enter_context(at_github.github(folder, options.seed)) if options.forge == "github" else None
        game = _Game(options, folder, servers, outcome, tell, there)
        try:
            game.play()
        finally:
            game.stop()
    outcome.seconds = time.monotonic() - began
    return outcome


@contextlib.contextmanager
def _servers() -> Iterator[dict[str, PrivateServer]]:
    with private_postgresql() as postgresql, private_rabbitmq() as rabbitmq, private_redis() as redis:
        yield {"postgresql": postgresql, "rabbitmq": rabbitmq, "redis": redis}


class _Game:
    def __init__(
        self,
        options: Options,
        folder: Path,
        servers: dict[str, PrivateServer],
        outcome: Outcome,
        tell: Callable[[str], None],
        github: GitHubServer | None,
    ) -> None:
        self.github = github
        self.options = options
        self.folder = folder
        self.servers = servers
        self.outcome = outcome
        self.tell = tell
        self.choose = random.Random(options.seed)
        self.ports = {"WEB_PORT": str(free_port()), "LIVE_PORT": str(free_port())}
        calls = folder / "forge"
        calls.mkdir(parents=True)
        self.world = World(
            servers["postgresql"].url,
            folder,
            DJANGO_SETTINGS_MODULE="tests.chaos.settings",
            RABBITMQ_URL=servers["rabbitmq"].url,
            REDIS_URL=servers["redis"].url,
            ALLOWED_HOSTS="127.0.0.1",
            SWEEP_SECONDS="2",
            CHECKPOINT_SECONDS="10",
            WARGAMING_ENABLED=str(options.wargames).lower(),
            PROMETHEUS_MULTIPROC_DIR=str(folder / "metrics"),
            CHAOS_FOLDER=str(calls),
            CHAOS_SEED=str(options.seed),
            CHAOS_FAULT_RATE=str(options.fault_rate),
            CHAOS_LEASE_SECONDS=str(options.lease_seconds),
            **self.ports,
            **(at_github.environment(github, self.ports["WEB_PORT"]) if github is not None else {}),
        )
        (folder / "metrics").mkdir()
        environment = environment_of(self.world.environment, Path(sys.executable).parent)
        self.processes = Processes(environment, folder)
        self.people: People | None = None
        self.pages: Pages | None = None

    # ── the game ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def play(self) -> None:
        migrated = self.world.manage("migrate", "-v0")
        assert migrated.returncode == 0, migrated.stderr
        places = list(self._repositories())
        cast = self.world.start(f"{INSIDE}:set_up", places).result(300)
        self.tell(f"{len(places)} repositories, database and queues are there")
        self.processes.start()
        self.people = People(int(self.ports["WEB_PORT"]), cast["tokens"], self.options.seed)
        self.pages = Pages(int(self.ports["LIVE_PORT"]), cast["tokens"], PAGES)
        self.people.start()
        self.pages.start()
        # A page that is not there yet when the live feed is killed has nothing to come back to.
        assert self.pages.all_connected(START_SECONDS), "not every page was let in"
        self._blows(cast["repositories"])
        self.tell("the last blow has fallen")
        self._settle()
        self._judge()

    def stop(self) -> None:
        for thread in (self.people, self.pages):
            if thread is not None:
                with contextlib.suppress(Exception):
                    thread.finish()
        self.processes.stop()
        self.world.close()

    def _repositories(self) -> Iterator[str]:
        pins = iter(PINS * self.options.remedies)
        for number in range(-(-self.options.remedies // PINS_EACH)):
            text = "".join(f"{next(pins)}\n" for _ in range(PINS_EACH))
            place = checkout(
                self.folder / "origin" / f"shop-{number}", {"requirements.txt": text, "app.py": "print()\n"}
            )
            yield str(place) if self.github is None else at_github.put(self.github, place)

    def _blows(self, repositories: list[str]) -> None:
        """Hands the repositories in evenly between the blows."""
        blows = [blow for _ in range(self.options.rounds) for blow in self.choose.sample(BLOWS, len(BLOWS))]
        waiting = list(repositories)
        for number, blow in enumerate(blows):
            while waiting and len(repositories) - len(waiting) <= number * len(repositories) / len(blows):
                self._hand_in(waiting.pop(0))
            time.sleep(self.choose.uniform(*self.options.pause))  # the moment is what the seed draws
            self._strike(blow)
            self.processes.start_again()
        for repository in waiting:
            self._hand_in(repository)

    def _hand_in(self, repository: str) -> None:
        self.world.start(f"{INSIDE}:immunize", repository).result(120)

    def _strike(self, blow: str) -> None:
        self.tell(f"kills {blow}")
        self.outcome.kills[blow] += 1
        name, _, how = blow.partition(" ")
        if name in self.servers:
            server = self.servers[name]
            server.kill()
            time.sleep(self.choose.uniform(0.2, 1.0))  # how long it is away
            server.restart()
            return
        process = self.choose.choice(self.processes.workers) if name == "worker" else self.processes.by_name[name]
        if how == "child":
            process.kill_child(self.choose)
            return
        if how == "parent":
            process.kill_parent()
        else:
            process.kill_tree()
        process.start()

    # ── the end ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _settle(self) -> None:
        """Waits for the end of everything, and then once more without beat: a duty may find something to tell at any moment, and
        who judges wants to see an end."""
        self._until_quiet()
        self.processes.retire("beat")
        self._until_quiet()

    def _until_quiet(self) -> None:
        """Returns when nothing is left to do, twice in a row, or nothing moves any more, or the time is over.

        What is left then is a problem. How fast things move depends on the machine; that they move does not.
        """
        over = moved = time.monotonic()
        over += self.options.settle_seconds
        quiet, before = 0, None
        while quiet < 2 and time.monotonic() < min(over, moved + self.options.stall_seconds):
            self.processes.start_again()
            try:
                left, events, waiting = self.world.start(f"{INSIDE}:unfinished").result(120)
            except AssertionError as error:
                # On a machine this busy a look may get no connection in time. That is not quiet, and the clocks above go on.
                self.tell(f"could not look: {str(error).strip().splitlines()[-1:]}")
                quiet = 0
                continue
            quiet = quiet + 1 if not left else 0
            if waiting:
                moved = time.monotonic()
            if (left, events) != before:
                self.tell(f"left: {left or 'nothing'}, at event {events}")
                before, moved = (left, events), time.monotonic()
            time.sleep(0.5)  # between two looks at the tables

    def _judge(self) -> None:
        assert self.people is not None
        assert self.pages is not None
        self.people.finish()
        outcome = self.outcome
        outcome.found = found = self.world.start(f"{INSIDE}:found").result(600)
        outcome.problems += found["problems"]
        if self.github is not None:
            outcome.problems += at_github.problems(self.github, self.world.start(f"{INSIDE}:forge_jobs").result(120))
        outcome.answers = self.people.answers
        outcome.faults = (
            faults.happened(self.folder / "forge") if self.github is None else at_github.happened(self.github)
        )
        outcome.ended_by_themselves = self.processes.ended_by_themselves
        lost = set(self.people.acknowledged.values()) - set(found.pop("decided"))
        outcome.problems += [f"decision {pk} was acknowledged and is not there" for pk in sorted(lost)]
        if not found["decisions"]:
            outcome.problems.append("nothing was decided: the game says nothing")
        if not outcome.reruns:
            outcome.problems.append("no rerun was absorbed: the game did not bite")
        self._compare_pages()

    def _compare_pages(self) -> None:
        assert self.pages is not None
        visible = self.world.start(f"{INSIDE}:visible").result(300)
        last = max(positions[-1] for positions in visible.values())
        if not self.pages.all_reached(last, self.options.stall_seconds):
            behind = [page.position for page in self.pages.pages if page.position < last]
            self.outcome.problems.append(f"{len(behind)} pages were not shown everything: {behind[:5]} of {last}")
        for number, page in enumerate(self.pages.pages):
            self.outcome.frames += len(page.positions)
            self.outcome.resumed += max(0, page.connections - 1)
            if page.connections < 2:
                self.outcome.problems.append(f"page {number} of {page.owner} never had to come back")
            if page.resyncs:
                self.outcome.problems.append(f"page {number} of {page.owner} had to load anew {page.resyncs} times")
            if page.positions != visible[page.owner]:
                self.outcome.problems.append(
                    f"page {number} of {page.owner}: {_difference(page.positions, visible[page.owner])}"
                )


def _difference(shown: list[int], wanted: list[int]) -> str:
    missed, more = sorted(set(wanted) - set(shown)), sorted(set(shown) - set(wanted))
    twice = [position for position, count in Counter(shown).items() if count > 1]
    order = "" if shown == sorted(shown) else ", out of order"
    return f"missed {missed[:5]} ({len(missed)}), not its to see {more[:5]} ({len(more)}), twice {twice[:5]}{order}"


def keep_logs(folder: Path, into: Path) -> None:
    """Copies the processes' output, for whoever looks for the reason of a problem."""
    into.mkdir(parents=True, exist_ok=True)
    for log in folder.glob("*.log"):
        (into / log.name).write_bytes(log.read_bytes()[-(2**20) :])
