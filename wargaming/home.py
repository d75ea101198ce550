"""What the repository itself says of an upgrade: its own tests on both sides, how near its code comes to the package, and what can be
seen of the upgrade when there is no scenario. No rows are written here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from immune import git
from immune.advisories.selectors import knowledge_of
from immune.git import TreeEntry
from immune.matching import NotAffected
from immune.models import APV, Remedy
from immune.priority import Reachability, reachability_in
from immune.reachability.judging import Reach
from immune.services import mirror_of
from wargaming.api_difference import uses_of
from wargaming.checkout import checked_out
from wargaming.environments.spec import EnvironmentSpec
from wargaming.environments.workshop import Workshop
from wargaming.own_tests import (
    CONFIG_FILE,
    ConfigRefused,
    OwnTestsResult,
    find_command,
    own_tests_record,
    run_own_tests,
    test_environment,
)
from wargaming.sandbox.base import Driver
from wargaming.verdict import OwnTests
from wargaming.without_scenario import Examination, examine_upgrade, import_names

MAX_SOURCE_FILES = 5_000
MAX_SOURCE_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True)
class Home:
    """One remedy's repository at base and head, with the environments and the driver to try it in."""

    remedy: Remedy
    base: EnvironmentSpec
    head: EnvironmentSpec
    driver: Driver
    workshop: Workshop
    folder: Path
    cancelled: Callable[[], bool]

    @cached_property
    def _tree(self) -> list[TreeEntry]:
        return git.list_tree(mirror_of(self.remedy.repository), self.remedy.base_commit)

    def own_tests(self) -> dict[str, Any]:
        """Runs the repository's own tests before and after. Never raises for what they do. Raises GitError, WargameError."""
        return own_tests_record(self._run_own_tests())

    def _run_own_tests(self) -> OwnTestsResult:
        def not_run(why: str) -> OwnTestsResult:
            return OwnTestsResult(OwnTests.NOT_RUN, None, None, None, why=why)

        wanted = {CONFIG_FILE, "package.json"}
        mirror = mirror_of(self.remedy.repository)
        files: dict[str, bytes | None] = {entry.path: None for entry in self._tree}
        files |= {
            entry.path: content
            for entry, content in git.read_blobs(mirror, [e for e in self._tree if e.path in wanted])
        }
        try:
            command = find_command(files)
        except ConfigRefused as error:
            return not_run(str(error))
        if command is None:
            return OwnTestsResult(OwnTests.NONE, None, None, None, why="no tests found")
        before, after = self.workshop.build(test_environment(self.base, command), test_environment(self.head, command))
        if before.layer is None or after.layer is None:
            missing = before if before.layer is None else after
            return not_run(f"{missing.reason}: {missing.detail}")
        with (
            checked_out(mirror, self.remedy.base_commit, self.folder) as base,
            checked_out(mirror, self.remedy.head_commit, self.folder) as head,
        ):
            return run_own_tests(
                command,
                (base, head),
                (before.layer, after.layer),
                ecosystem=self.remedy.ecosystem,
                driver=self.driver,
                workshop=self.workshop,
                cancelled=self.cancelled,
            )

    @cached_property
    def sources(self) -> dict[str, str]:
        """The repository's Python files at the base; empty for other ecosystems and for trees too large to read."""
        entries = [entry for entry in self._tree if entry.path.endswith(".py") and entry.mode in ("100644", "100755")]
        if self.remedy.ecosystem != "PyPI" or len(entries) > MAX_SOURCE_FILES:
            return {}
        if sum(entry.size for entry in entries) > MAX_SOURCE_BYTES:
            return {}
        blobs = git.read_blobs(mirror_of(self.remedy.repository), entries)
        return {entry.path: content.decode("utf-8", "replace") for entry, content in blobs}

    def reachability(self, apv: APV) -> Reach:
        """How near the code comes to the package, as the last reading found and its APV keeps; where that is not known, whether
        a file imports what the package really brings. That none does says nothing: other packages may."""
        kept = Reach(*reachability_in(apv.priority_factors))
        if kept.value is not Reachability.UNKNOWN or not self.sources:
            return kept
        layer = self.workshop.build(self.base, self.head)[0].layer
        names = import_names(layer, apv.package_name) if layer is not None else ()
        uses = uses_of(names, self.sources)[0] if names else ()
        return Reach(Reachability.POTENTIAL, uses[0].file) if uses else kept

    def examine(self, group: int, package: str) -> Examination:
        """What can be seen of the upgrade without a reproduction test. ``group`` is the alias group that must be gone."""
        knowledge = knowledge_of({(self.remedy.ecosystem, package)})

        def is_affected(version: str) -> bool:
            # What cannot be decided counts as affected.
            return any(
                knowledge.groups[finding.record.id].pk == group
                and not finding.withdrawn
                and not isinstance(finding.answer, NotAffected)
                for finding in knowledge.index.findings(self.remedy.ecosystem, package, version)
            )

        return examine_upgrade(
            package,
            self.base,
            self.head,
            is_affected=is_affected,
            sources=self.sources,
            driver=self.driver,
            workshop=self.workshop,
            cancelled=self.cancelled,
        )
