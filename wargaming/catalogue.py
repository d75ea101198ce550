"""Which scenarios there are for an APV: the shipped library, the repository's own, and those attached to it."""

from __future__ import annotations

import base64
import functools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import structlog

from immune import git
from immune.git_process import GitError
from immune.models import APV, Remedy
from immune.services import mirror_of
from wargaming.environments.spec import same_name
from wargaming.errors import ScenarioRefused
from wargaming.models import AttachedScenario, Wargame
from wargaming.sandbox.base import Trust
from wargaming.scenarios import MAX_FILE_BYTES, MAX_FILES, Scenario, scenario_from_files, scenario_from_folder

log = structlog.get_logger(__name__)

LIBRARY = Path(__file__).parent / "library"
REPOSITORY_FOLDER = ".immune/scenarios/"


@dataclass(frozen=True, slots=True)
class Offered:
    """A scenario for an APV. ``accepted``: it counts without a second person's word (shipped), or that word was given."""

    scenario: Scenario
    accepted: bool


class ScenarioGone(Exception):
    """The scenario a wargame was queued with is not there any more, or is another one by now."""


@functools.cache
def shipped() -> tuple[Scenario, ...]:
    """Every scenario of the project's own library. Raises ScenarioRefused: a broken library must not be overlooked."""
    folders = sorted(folder for folder in LIBRARY.iterdir() if (folder / "case.yaml").is_file())
    return tuple(scenario_from_folder(folder, Trust.SHIPPED) for folder in folders)


@dataclass(frozen=True, slots=True)
class RefusedFolder:
    """A folder below the target's ``.immune/scenarios/`` that is no scenario, and every ``(where, what)`` that is wrong."""

    folder: str
    problems: tuple[tuple[str, str], ...]


def scenarios_for(apv: APV, remedy: Remedy) -> list[Offered]:
    """Every scenario that speaks of the APV's weakness and package, each once by its content."""
    found: dict[str, Offered] = {}
    for offered in _all(apv, remedy):
        if speaks_of(offered.scenario, apv):
            found.setdefault(offered.scenario.digest, offered)
    return list(found.values())


def speaks_of(scenario: Scenario, apv: APV) -> bool:
    """Whether a scenario names the APV's package and one of its weakness's names."""
    names = {name for row in apv.group.advisories.all() for name in (row.pk, *row.aliases)}
    return (
        scenario.ecosystem == apv.ecosystem
        and same_name(apv.ecosystem, scenario.package) == same_name(apv.ecosystem, apv.package_name)
        and bool((names & {scenario.cve, scenario.ghsa}) - {""})
    )


def counting_versions(apv: APV) -> list[AttachedScenario]:
    """Of each name attached to the APV the latest version, and the latest accepted one where that is older: a version nobody
    accepted does not take the place of one that somebody did."""
    found: dict[object, AttachedScenario] = {}
    for row in apv.scenarios.select_related("content").order_by("name", "version"):
        found["latest", row.name] = row
        if row.accepted_by_id is not None:
            found["accepted", row.name] = row
    return list({row.pk: row for row in found.values()}.values())


def _all(apv: APV, remedy: Remedy) -> Iterator[Offered]:
    for scenario in shipped():
        yield Offered(scenario, accepted=True)
    for found in repository_scenarios(remedy):
        if isinstance(found, Scenario):
            yield Offered(found, accepted=False)
    for row in counting_versions(apv):
        if (attached := _attached(row)) is not None:
            yield Offered(attached, accepted=row.accepted_by_id is not None)


def repository_scenarios(remedy: Remedy) -> Iterator[Scenario | RefusedFolder]:
    """The scenarios in the target's own ``.immune/scenarios/`` at the remedy's base; broken ones with what is wrong with them."""
    mirror = mirror_of(remedy.repository)
    folders: dict[str, dict[str, bytes]] = {}
    refused: dict[str, RefusedFolder] = {}
    try:
        for entry in git.list_tree(mirror, remedy.base_commit):
            if not entry.path.startswith(REPOSITORY_FOLDER):
                continue
            folder, _, name = entry.path.removeprefix(REPOSITORY_FOLDER).partition("/")
            if not name or folder in refused:
                continue
            if entry.mode not in ("100644", "100755"):
                refused[folder] = RefusedFolder(folder, ((name, "not a regular file"),))
            elif entry.size > MAX_FILE_BYTES or len(folders.get(folder, ())) >= MAX_FILES:
                refused[folder] = RefusedFolder(folder, ((name, "too large, or too many files"),))
            else:
                folders.setdefault(folder, {})[name] = git.read_file(
                    mirror, remedy.base_commit, entry.path, max_bytes=MAX_FILE_BYTES
                )
    except GitError as error:
        if error.passing:
            raise
        log.warning("repository_scenarios_unreadable", repository=str(remedy.repository_id), reason=error.reason.value)
        yield RefusedFolder("", ((REPOSITORY_FOLDER, error.message),))
        return
    for folder, files in sorted(folders.items()):
        if folder not in refused:
            try:
                yield scenario_from_files(files, Trust.REPOSITORY)
            except ScenarioRefused as error:
                refused[folder] = RefusedFolder(folder, error.problems)
    yield from refused.values()


def _attached(row: AttachedScenario) -> Scenario | None:
    try:
        files = {name: base64.b64decode(text) for name, text in row.content.files.items()}
        return scenario_from_files(files, Trust.ATTACHED)
    except ScenarioRefused as error:
        log.warning("scenario_refused", attached=str(row.pk), problem=str(error))
        return None


def scenario_of(wargame: Wargame) -> Offered | None:
    """The very scenario a wargame was queued with; None when it was queued without one. Raises ScenarioGone."""
    if not wargame.scenario_digest:
        return None
    offered: Iterable[Offered] = _all(wargame.apv, wargame.remedy)
    for candidate in offered:
        if candidate.scenario.digest == wargame.scenario_digest and candidate.scenario.trust == wargame.trust:
            return candidate
    raise ScenarioGone(f"scenario {wargame.scenario} is no longer what it was when the wargame was queued")
