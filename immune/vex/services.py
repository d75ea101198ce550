"""Taking what VEX documents say: a suppression, a confirmation or a note, each with its source; nothing is closed by a document.

What is not taken is in ``refused`` with the reason: a statement nobody could place or that contradicts what was read is for a person.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.utils import timezone

from immune.events.actors import Actor
from immune.events.log import act
from immune.formats.reports.shapes import Statement, Status
from immune.ingest.knowing import group_of_names
from immune.inventory import Refusal
from immune.models import APV, Account, AdvisoryName, AliasGroup, ReportedName, Repository, VexStatement
from immune.models.apvs import LIVE, APVStatus
from immune.models.suppressions import NOT_AFFECTED
from immune.people.selectors import EVERYTHING, Viewer, visible_repositories
from immune.people.services import NotPermitted
from immune.services import Refused
from immune.suppression.selectors import holds_for
from immune.suppression.services import LONGEST_REASON, Target, suppress
from immune.versions import Unparsable, ecosystem_of_purl
from immune.vex.standing import is_standing
from immune.vex.statements import repository_reference

MAX_NAME = 120  # characters of a vulnerability's name
MAX_NAMES = 50


@dataclass(slots=True)
class Applied:
    """What became of a document's statements. Lists of APV codes, but for ``kept`` (``ecosystem:package`` of a ``fixed`` or
    ``not_affected`` with no live APV) and ``refused``."""

    suppressed: list[str] = field(default_factory=list)
    confirmed: list[str] = field(default_factory=list)
    under_investigation: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    already: list[str] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Place:
    """A package in a repository that a statement is about. ``versions`` None: all. ``package`` "": every one of the vulnerability."""

    repository: Repository
    ecosystem: str
    package: str
    versions: frozenset[str] | None


class _Unplaced(Exception):
    """Why a statement cannot be applied; the text is for people."""


def apply_vex(
    statements: Iterable[Statement],
    repository: Repository | None,
    actor: Actor,
    *,
    viewer: Viewer = EVERYTHING,
    author: Account | None = None,
    source: str = "vex",
    until: datetime | None = None,
) -> Applied:
    """Applies the statements of one document (``Report.statements``) to the APVs there are, each by itself: one that is refused stops none.

    ``repository``: the one the document is about, where its own products do not name one of ours; None: products must name a
    repository (as ``export_vex`` does), or a package, which then means each repository in sight and takes the right ``operate``.
    ``viewer``: whose sight and rights count (commands: everything). ``author``: the account behind it. ``source``: name of the document.
    ``until``: end of the suppressions made, else ``VEX_SUPPRESSION_DAYS`` from now. Applying twice changes nothing the second time.

    not_affected with one of VEX's justifications → a suppression of that APV, or kept for the one that may open; without one it is
    refused. affected → kept as a confirmation. under_investigation → kept. fixed → kept where no APV lives; refused where one does:
    only a reading closes. What is kept may be about a vulnerability no record names yet.
    """
    end = until or timezone.now() + timedelta(days=settings.VEX_SUPPRESSION_DAYS)
    taking = _Taking(repository, actor, viewer, author, source, end)
    for number, statement in enumerate(statements, 1):
        taking.take(number, statement)
    return taking.applied


class _Taking:
    def __init__(
        self,
        repository: Repository | None,
        actor: Actor,
        viewer: Viewer,
        author: Account | None,
        source: str,
        end: datetime,
    ) -> None:
        self.repository = repository
        self.actor = actor
        self.viewer = viewer
        self.author = author
        self.source = source
        self.end = end
        self.applied = Applied()
        rows = visible_repositories(viewer).order_by("name")
        self.repositories = {repository_reference(row.name, row.location): row for row in rows}

    def take(self, number: int, statement: Statement) -> None:
        where = f"{self.source}: statement {number} ({statement.advisory})"
        try:
            if not self.viewer.may("decide"):
                raise _Unplaced("your role does not permit it")
            places = self._places(statement)
            group = _group(statement, places)
        except _Unplaced as error:
            self._refuse(where, str(error))
            return
        for place in places:
            try:
                self._at(statement, group, place)
            except (_Unplaced, Refused, NotPermitted) as error:
                self._refuse(f"{where} in {place.repository}", str(error))

    def _refuse(self, where: str, reason: str) -> None:
        self.applied.refused.append(Refusal(where, reason))

    # -- what it is about --------------------------------------------------------------------------------------------

    def _places(self, statement: Statement) -> list[_Place]:
        named = statement.parts or tuple(("", product) for product in statement.products)
        if not named:
            raise _Unplaced("it names no product")
        versions: dict[tuple[Repository, str, str], set[str | None]] = defaultdict(set)
        for whole, part in named:
            ecosystem, package, version = "", "", None
            if not (not whole and part in self.repositories):
                try:
                    ecosystem, package, version = ecosystem_of_purl(part)
                except Unparsable as error:
                    raise _Unplaced(f"{part[:200]} is no package URL of a known ecosystem") from error
            for repository in self._repositories(whole or (part if not package else "")):
                versions[repository, ecosystem, package].add(version)
        return [
            _Place(*about, None if None in found else frozenset(v for v in found if v))
            for about, found in versions.items()
        ]

    def _repositories(self, named: str) -> list[Repository]:
        known = self.repositories.get(named)
        if self.repository is not None:
            if known is not None and known.pk != self.repository.pk:
                raise _Unplaced(f"it is about {known}, not about {self.repository}")
            if self.repository.pk not in {row.pk for row in self.repositories.values()}:
                raise _Unplaced("the repository is not yours to see")
            return [self.repository]
        if known is not None:
            return [known]
        if named:
            raise _Unplaced(f"{named[:200]} is no repository in sight")
        if not self.viewer.may("operate"):
            raise _Unplaced("it is about a package everywhere, which takes the right to operate; name a repository")
        return list(self.repositories.values())

    # -- what becomes of it ------------------------------------------------------------------------------------------

    def _at(self, statement: Statement, group: AliasGroup, place: _Place) -> None:
        rows = APV.objects.filter(repository=place.repository, group=group, status__in=LIVE)
        if place.package:
            rows = rows.filter(ecosystem=place.ecosystem, package_name=place.package)
        apvs = list(rows.select_related("repository").order_by("apv_code"))
        if statement.status is Status.FIXED:
            self._fixed(statement, group, place, apvs)
        elif not apvs and statement.status is Status.NOT_AFFECTED and (self.repository is not None or statement.parts):
            self._keep_standing(statement, group, place)
        elif not apvs:
            if self.repository is not None or statement.parts:
                raise _Unplaced("there is no live APV it could be about")
        elif statement.status is Status.NOT_AFFECTED:
            for apv in apvs:
                self._set_aside(statement, apv, place)
        else:
            for apv in apvs:
                self._keep_about(statement, apv, place)

    def _set_aside(self, statement: Statement, apv: APV, place: _Place) -> None:
        _justified(statement)
        others = sorted(set(apv.versions) - place.versions) if place.versions is not None else []
        if others:
            raise _Unplaced(f"{apv.apv_code}: it says nothing about {', '.join(others)[:200]}, which is there too")
        held = holds_for(apv) if apv.status == APVStatus.SUPPRESSED else None
        if held is not None and held.ground == statement.justification:
            self.applied.already.append(apv.apv_code)
            return
        suppress(
            actor=self.actor,
            viewer=self.viewer,
            target=Target(apv=apv),
            ground=statement.justification,
            reason=(statement.impact or f"{self.source} says so.")[:LONGEST_REASON],
            until=self.end,
            author=self.author,
            source=self.source,
        )
        self.applied.suppressed.append(apv.apv_code)

    def _keep_standing(self, statement: Statement, group: AliasGroup, place: _Place) -> None:
        """Keeps that something is not affected before anything was found there: it holds for the APV that may open."""
        _justified(statement)
        if not place.package:
            raise _Unplaced("there is no live APV it could be about, and it names no package")
        kept = self._keep(
            statement,
            group.pk,
            place.repository,
            place.ecosystem,
            place.package,
            justification=statement.justification,
            versions=None if place.versions is None else sorted(place.versions),
        )
        (self.applied.kept if kept else self.applied.already).append(f"{place.ecosystem}:{place.package}")

    def _keep_about(self, statement: Statement, apv: APV, place: _Place) -> None:
        if place.versions is not None and not place.versions & set(apv.versions):
            raise _Unplaced(f"{apv.apv_code}: none of the versions it names is there")
        held = holds_for(apv) if apv.status == APVStatus.SUPPRESSED else None
        if held is not None and held.ground in NOT_AFFECTED:
            raise _Unplaced(f"{apv.apv_code} is set aside as {held.ground}: a person has to say which holds")
        done = self.applied.confirmed if statement.status is Status.AFFECTED else self.applied.under_investigation
        kept = self._keep(statement, apv.group_id, apv.repository, apv.ecosystem, apv.package_name)
        (done if kept else self.applied.already).append(apv.apv_code)

    def _fixed(self, statement: Statement, group: AliasGroup, place: _Place, apvs: list[APV]) -> None:
        if apvs:
            codes = ", ".join(apv.apv_code for apv in apvs)
            raise _Unplaced(f"{codes}: an affected version was read on the default branch; only a reading closes it")
        if not place.package:
            raise _Unplaced("it names no package")
        name = f"{place.ecosystem}:{place.package}"
        gone = APV.objects.filter(
            repository=place.repository,
            group=group,
            ecosystem=place.ecosystem,
            package_name=place.package,
            status=APVStatus.RESOLVED,
        )
        kept = not gone.exists() and self._keep(statement, group.pk, place.repository, place.ecosystem, place.package)
        (self.applied.kept if kept else self.applied.already).append(name)

    def _keep(
        self, statement: Statement, group: int, repository: Repository, ecosystem: str, package: str, **more: Any
    ) -> bool:
        """Keeps the statement; False when the latest about the same says the same and, where it ends, still holds."""
        about = {"repository": repository, "group_id": group, "ecosystem": ecosystem, "package_name": package}
        says = {"status": statement.status.value, "impact": statement.impact, "action": statement.action, **more}
        ends = self.end if statement.status is Status.NOT_AFFECTED else None
        with act(self.actor) as log:
            Repository.objects.select_for_update().get(pk=repository.pk)
            last = VexStatement.objects.filter(**about).order_by("-created_at", "-pk").first()
            holds = last is not None and (ends is None or is_standing(last))
            if holds and all(getattr(last, name) == value for name, value in says.items()):
                return False
            row = VexStatement.objects.create(
                **about, **says, expires_at=ends, source=self.source[:300], author=self.author
            )
            log.record(
                "vex.stated",
                subject=f"vex_statement:{row.pk}",
                repository=repository.pk,
                data={"status": row.status, "group": group, "package": f"{ecosystem}:{package}"},
            )
        return True


def _justified(statement: Statement) -> None:
    if statement.justification not in NOT_AFFECTED:
        said = f"{statement.justification[:100]!r} is none of VEX's" if statement.justification else "it gives none"
        raise _Unplaced(f"not_affected needs a justification: {said}")


def _group(statement: Statement, places: list[_Place]) -> AliasGroup:
    """The vulnerability the statement names. Names of two of them are no answer."""
    names = [statement.advisory, *statement.aliases]
    if any(not name.isprintable() or not 0 < len(name) <= MAX_NAME for name in names) or len(names) > MAX_NAMES:
        raise _Unplaced(f"its names are not {MAX_NAMES} at most, of 1 to {MAX_NAME} printable characters")
    found = set(AdvisoryName.objects.filter(name__in=names).values_list("advisory__group", flat=True))
    found |= set(AliasGroup.objects.filter(canonical_id__in=names).values_list("pk", flat=True))
    found = found or set(ReportedName.objects.filter(name__in=names).values_list("group", flat=True))
    if not found:
        return _unknown(statement, names, places)
    if len(found) > 1:
        raise _Unplaced("its names belong to different vulnerabilities")
    return AliasGroup.objects.get(pk=found.pop())


def _unknown(statement: Statement, names: list[str], places: list[_Place]) -> AliasGroup:
    """A group for a vulnerability no record of ours names yet; the record joins it when it comes (``immune.folding``).

    Only for what can be kept until then: the rest is about an APV, and there can be none.
    """
    keeps = statement.status in (Status.NOT_AFFECTED, Status.FIXED)
    if not keeps or not all(place.package for place in places):
        raise _Unplaced("no advisory of that name is known")
    if statement.status is Status.NOT_AFFECTED:
        _justified(statement)
    return group_of_names(names)
