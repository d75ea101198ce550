"""Taking one report in: read whole first, so that a bad file changes nothing; then applied in steps, each a unit of work.

A step that was cut short is no harm: the same report again goes on where it stopped. Two reports of one tool at once do not
mix: the one that began later goes on, the other stops with ``Overtaken``.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, BinaryIO, TypeVar

from immune import remedies
from immune.advisories.selectors import knowledge_of
from immune.apvs import dependency_rows
from immune.copying import copy_rows
from immune.events.actors import Actor
from immune.events.log import Log, act
from immune.findings import findings_in, packages_in, unresolved_packages
from immune.formats import limits
from immune.formats.reports import Report, parse_in_batches
from immune.ingest.applying import Batch, Counts, Kept, let_go
from immune.ingest.rows import component_of, row_of, row_of_place
from immune.ingest.spool import MAX_OF_PACKAGE, Spool
from immune.ingest.vex import apply_statements
from immune.inventory import Dependency, Origin, Refusal, Scope, Unreadable
from immune.models import Account, DependencyRow, ReportStream, Repository, Sighting
from immune.people.selectors import EVERYTHING, Viewer
from immune.services import Refused, request_scan
from immune.suppression.services import set_aside_covered
from immune.vex.standing import set_aside_as_stated

STEP = 1000  # findings of one unit of work
MAX_REFUSED = 1000  # kept with their reasons; all are counted
MAX_PART = 200
COMPONENTS = "components"
T = TypeVar("T")
Progress = Callable[[dict[str, int]], None]

# Formats of one tool that follow each other: another version of it does not begin a second set of findings.
_TOOLS = {
    "npm-audit-6": "npm-audit",
    "npm-audit-7": "npm-audit",
    "npm-bulk-advisories": "npm-audit",
    "cyclonedx-xml": "cyclonedx",
    "spdx-json": "spdx",
    "spdx-tag-value": "spdx",
}


class Overtaken(Exception):
    """A later report of the same tool on the same part is being taken in."""


@dataclass(slots=True)
class Ingested:
    """What taking a report in did. ``read``: findings, components and statements. ``refused``: the first of ``refused_count``."""

    format: str = ""
    version: str = ""
    tool: str = ""
    read: int = 0
    findings: int = 0
    components: int = 0
    statements: int = 0
    changes: Counts = field(default_factory=Counts)
    statements_applied: int = 0
    refused_count: int = 0
    refused: list[Refusal] = field(default_factory=list)

    def refuse(self, refusal: Refusal) -> None:
        self.refused_count += 1
        if len(self.refused) < MAX_REFUSED:
            self.refused.append(refusal)

    def as_dict(self) -> dict[str, Any]:
        counts = {name: getattr(self.changes, name) for name in Counts.__slots__}
        return {
            "format": f"{self.format} {self.version}".strip(),
            "tool": self.tool,
            "read": self.read,
            "findings": self.findings,
            "components": self.components,
            "statements": self.statements,
            **counts,
            "statements_applied": self.statements_applied,
            "refused_count": self.refused_count,
            "refused": [
                {"source": limits.shown(one.source, 400), "reason": limits.shown(one.reason, 400)}
                for one in self.refused
            ],
        }


def ingest_report(
    *,
    file: BinaryIO,
    repository: Repository,
    actor: Actor,
    source: str = "report",
    part: str = "",
    progress: Progress | None = None,
    viewer: Viewer = EVERYTHING,
    author: Account | None = None,
) -> Ingested:
    """Takes the report in ``file`` (seekable; gzip is unpacked) in for the repository. The same report again changes nothing.

    ``part`` tells apart reports of one tool on several parts of a repository: each says what stands now in its part. What an
    earlier report of the tool had and this one has not is let go, unless part of this one could not be read.
    ``viewer``: whose rights the statements of a VEX document are applied with (commands: everything); ``author``: the account behind them.
    Raises Unreadable, having changed nothing, and Overtaken.
    """
    if len(part) > MAX_PART or "\x00" in part:
        raise Refused("bad_part", f"the part has at most {MAX_PART} characters")
    done = Ingested()
    with Spool() as spool:
        whole = _read(file, source, spool, done, progress)
        if not whole and spool.is_empty():
            return done  # nothing of it could be taken: it is no report of ours
        done.tool = done.tool or _TOOLS.get(done.format, done.format)
        taking = _Taking(repository, actor, done, progress)
        # One format is SBOM, VDR and VEX: a document that holds no findings, or no components, says nothing about them, unless
        # it is empty of everything.
        empty = not (done.findings or done.components or done.statements)
        if done.findings or (empty and done.format not in _INVENTORIES):
            taking.findings(spool, done.tool, part, source, whole=whole)
        if done.components or (empty and done.format in _INVENTORIES):
            taking.components(spool, done.tool, part, source, whole=whole)
        if spool.statements:
            applied = apply_statements(
                repository=repository,
                actor=actor,
                viewer=viewer,
                author=author,
                statements=spool.read_statements(),
                source=source,
                refuse=done.refuse,
            )
            # A document that is report and VEX in one says the same twice: what its statements did is what counts.
            done.changes.suppressed = len(applied.suppressed)
            done.statements_applied = sum(
                map(len, (applied.suppressed, applied.confirmed, applied.under_investigation, applied.kept))
            )
    taking.finish()
    return done


_INVENTORIES = frozenset({"cyclonedx", "cyclonedx-xml", "spdx-json", "spdx-tag-value"})


def match_components_again(repository: Repository, actor: Actor) -> Counts:
    """Matches what SBOMs of the repository say against what is known now. Part of every scan."""
    done = Ingested()
    for stream in ReportStream.objects.filter(repository=repository, tool__endswith=f" {COMPONENTS}"):
        try:
            taking = _Taking(repository, actor, done, None)
            taking.match(stream)
        except Overtaken:
            continue  # a newer SBOM is being taken in, and matched at its end
        taking.set_aside()
    return done.changes


def _read(file: BinaryIO, source: str, spool: Spool, done: Ingested, progress: Progress | None) -> bool:
    """Reads the whole report onto the spool. Returns whether all of it could be read. Raises Unreadable."""
    whole = True
    for report in parse_in_batches(file, source=source, size=STEP):
        done.format, done.version = report.format, report.version or done.version
        done.tool = done.tool or report.tool[:80]
        done.findings += len(report.findings)
        done.components += len(report.components)
        done.statements += len(report.statements)
        done.read = done.findings + done.components + done.statements
        for refusal in report.refused:
            done.refuse(refusal)
            whole = False
        whole &= _spool(report, spool, done)
        if progress:
            progress({"read": done.read, "applied": 0})
    if (crowded := spool.crowded()) is not None:
        raise Unreadable(source, f"more than {MAX_OF_PACKAGE} findings of one package: {limits.shown(crowded[1], 100)}")
    return whole


def _spool(report: Report, spool: Spool, done: Ingested) -> bool:
    """Returns whether all of it became rows. A place in code, of which SARIF speaks, is refused and never was one."""
    rows, whole = [], True
    for finding in report.findings:
        found = row_of(finding)
        if isinstance(found, Refusal):
            done.refuse(found)
            whole &= report.format == "sarif" and not finding.package
        else:
            rows.append(found)
    spool.add(rows)
    components = []
    for component in report.components:
        kept = component_of(component)
        if isinstance(kept, Refusal):
            done.refuse(kept)
            whole = False
        else:
            components.append(kept)
    if components:
        spool.add_components(components)
    if report.statements:
        spool.add_statements(report.statements)
    return whole


class _Taking:
    """One report being applied."""

    def __init__(self, repository: Repository, actor: Actor, done: Ingested, progress: Progress | None) -> None:
        self.repository, self.actor, self.done, self.progress = repository, actor, done, progress
        self.counts = done.changes

    def findings(self, spool: Spool, tool: str, part: str, source: str, *, whole: bool) -> None:
        stream = self._begin(tool, part, source)
        self._apply(stream, spool, whole=whole)

    def components(self, spool: Spool, tool: str, part: str, source: str, *, whole: bool) -> None:
        """Keeps what an SBOM lists as dependencies and matches them as our own readings are matched."""
        stream = self._begin(f"{tool} {COMPONENTS}", part, source)
        digest = spool.components_digest()
        if stream.components_digest != digest:
            with self._step(stream):
                self._store(stream, spool, whole=whole)
                ReportStream.objects.filter(pk=stream.pk).update(components_digest=digest if whole else "")
            # A scan that matched what was stored before steps aside now.
            stream = self._begin(stream.tool, part, source)
        self.match(stream)

    def _store(self, stream: ReportStream, spool: Spool, *, whole: bool) -> None:
        held: set[tuple[str, str, str | None]] = set()
        if whole:
            DependencyRow.objects.filter(stream=stream).delete()
        else:
            # What could not be read may be what was there before: nothing is taken away.
            held = set(DependencyRow.objects.filter(stream=stream).values_list("ecosystem", "name", "version"))
        fresh = (d for d in spool.dependencies() if (d.ecosystem, d.name, d.version) not in held)
        for some in _chunks(dependency_rows(self.repository, fresh, stream), STEP):
            copy_rows(some)

    def match(self, stream: ReportStream) -> None:
        """What our own matching finds in the components becomes findings like any others."""
        keep = Kept()
        with Spool() as spool:
            for some in _chunks(_stored(stream), 5 * STEP):
                found = findings_in(some, knowledge_of(packages_in(some)))
                for doubt in found.doubts:
                    self.done.refuse(doubt)
                keep.identities |= found.undecided
                keep.packages |= unresolved_packages(some)
                spool.add(((place.ecosystem, place.package), row_of_place(place)) for place in found.places)
            self._apply(stream, spool, whole=True, keep=keep)

    def _apply(self, stream: ReportStream, spool: Spool, *, whole: bool, keep: Kept | None = None) -> None:
        # Of a report that could not be read whole nothing is gone.
        keep = keep or Kept(everything=not whole)
        applied = 0
        for packages in spool.batches(STEP):
            with self._step(stream) as log:
                Batch(stream, log, self.counts, keep).apply(packages)
            applied += sum(len(one.rows) for one in packages)
            if self.progress:
                self.progress({"read": self.done.read, "applied": applied})
        if not keep.everything:
            self._let_go(stream, spool, keep)

    def _let_go(self, stream: ReportStream, spool: Spool, keep: Kept) -> None:
        """Lets go of packages the report no longer names at all."""
        last = 0
        while True:
            found = Sighting.objects.filter(stream=stream, pk__gt=last).order_by("pk")
            rows = list(found.values_list("pk", "ecosystem", "package_name")[: 5 * STEP])
            if not rows:
                return
            last = rows[-1][0]
            absent = [pk for pk, ecosystem, name in rows if not spool.holds((ecosystem, name))]
            for some in _chunks(absent, STEP):
                with self._step(stream) as log:
                    held = Sighting.objects.filter(pk__in=some).select_related("apv")
                    let_go(log, [sighting for sighting in held if not keep.keeps(sighting)], self.counts)

    def _begin(self, tool: str, part: str, source: str) -> ReportStream:
        taker = secrets.token_hex(8)
        stream, _ = ReportStream.objects.get_or_create(repository=self.repository, tool=tool, part=part)
        ReportStream.objects.filter(pk=stream.pk).update(taker=taker, source=source[-300:])
        stream.taker, stream.source = taker, source[-300:]
        return stream

    def _step(self, stream: ReportStream) -> Any:
        return _Step(stream, self.actor)

    def set_aside(self) -> None:
        """Sets aside what opened and falls into a suppression that holds, as each reading does."""
        if self.counts.opened or self.counts.reopened:
            with act(self.actor) as log:
                self.counts.suppressed += set_aside_covered(log, self.repository)
                self.counts.suppressed += set_aside_as_stated(log, self.repository)

    def finish(self) -> None:
        """Says what was done, sets aside what a suppression covers, retires remedies nothing waits for, and asks for a reading
        where a remedy may be made."""
        if not self.counts.anything:
            return
        self.set_aside()
        with act(self.actor) as log:
            log.record(
                "report.ingested",
                subject=f"repository:{self.repository.pk}",
                repository=self.repository.pk,
                data={
                    "tool": self.done.tool,
                    "opened": self.counts.opened,
                    "updated": self.counts.updated,
                    "reopened": self.counts.reopened,
                    "closed": self.counts.closed,
                },
            )
            if self.counts.closed:
                remedies.retire_moot(log, self.repository)
            if self.counts.opened or self.counts.reopened:
                request_scan(actor=self.actor, repository=self.repository, cause="report")


class _Step:
    """A unit of work of the report that holds the stream: a later report waits for it, or has overtaken it."""

    def __init__(self, stream: ReportStream, actor: Actor) -> None:
        self._stream, self._act = stream, act(actor)

    def __enter__(self) -> Log:
        log = self._act.__enter__()
        if not ReportStream.objects.filter(pk=self._stream.pk, taker=self._stream.taker).update(
            taker=self._stream.taker
        ):
            error = Overtaken("a later report of the same tool on the same part is being taken in")
            self._act.__exit__(Overtaken, error, None)
            raise error
        return log

    def __exit__(self, *error: Any) -> Any:
        return self._act.__exit__(*error)


def _chunks(values: Iterable[T], size: int) -> Iterator[list[T]]:
    following = iter(values)
    while some := list(islice(following, size)):
        yield some


def _stored(stream: ReportStream) -> Iterator[Dependency]:
    rows = DependencyRow.objects.filter(stream=stream).order_by("ecosystem", "name", "pk")
    for row in rows.iterator(chunk_size=STEP):
        yield Dependency(
            row.ecosystem, row.name, row.version, row.manifest, origin=Origin(row.origin), scope=Scope(row.scope)
        )
