"""A report's findings on disk, sorted by package: a report of any size is read whole before a row of ours changes, in flat memory.

A private SQLite file that is gone when it is closed. No Django here.
"""

from __future__ import annotations

import hashlib
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import orjson

from immune.formats.reports import Statement
from immune.formats.reports.shapes import Status
from immune.ingest.rows import Package, Row, unpacked
from immune.inventory import Dependency, Origin, Scope

MAX_OF_PACKAGE = 20_000  # findings of one package: they are looked at together


@dataclass(frozen=True, slots=True)
class PackageRows:
    """Everything the report says about one package. ``digest`` is over all of it."""

    package: Package
    rows: tuple[Row, ...]
    digest: str


class Spool:
    """Findings, components and statements of one report. Use as a context; equal findings are kept once."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="immune-report-")
        self._db = sqlite3.connect(Path(self._folder.name) / "spool", check_same_thread=False)
        self._db.executescript(
            "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA cache_size=-8000; PRAGMA temp_store=FILE;"
            "CREATE TABLE findings (ecosystem TEXT, package TEXT, row BLOB, PRIMARY KEY (ecosystem, package, row)) WITHOUT ROWID;"
            "CREATE TABLE components (ecosystem TEXT, name TEXT, row BLOB, PRIMARY KEY (ecosystem, name, row)) WITHOUT ROWID;"
            "CREATE TABLE statements (row BLOB);"
        )
        self.components = 0
        self.statements = 0

    def __enter__(self) -> Spool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._db.close()
        self._folder.cleanup()

    # -- findings ----------------------------------------------------------------------------------------------------

    def add(self, found: Iterable[tuple[Package, bytes]]) -> None:
        self._db.executemany("INSERT OR IGNORE INTO findings VALUES (?, ?, ?)", ((*p, row) for p, row in found))

    def crowded(self) -> Package | None:
        """A package with more findings than are looked at together, if there is one."""
        found: Package | None = self._db.execute(
            "SELECT ecosystem, package FROM findings GROUP BY 1, 2 HAVING count(*) > ? LIMIT 1", (MAX_OF_PACKAGE,)
        ).fetchone()
        return found

    def batches(self, size: int) -> Iterator[list[PackageRows]]:
        """Whole packages in order, together about ``size`` findings at a time."""
        batch: list[PackageRows] = []
        held: list[bytes] = []
        current: Package | None = None
        count = 0
        for ecosystem, name, data in self._db.execute("SELECT * FROM findings ORDER BY ecosystem, package, row"):
            if current is not None and (ecosystem, name) != current:
                batch.append(_package_rows(current, held))
                held = []
                if count >= size:
                    yield batch
                    batch, count = [], 0
            current = (ecosystem, name)
            held.append(data)
            count += 1
        if current is not None:
            batch.append(_package_rows(current, held))
        if batch:
            yield batch

    def is_empty(self) -> bool:
        """Whether nothing at all was kept."""
        found = self._db.execute("SELECT 1 FROM findings LIMIT 1").fetchone()
        return found is None and not self.components and not self.statements

    def holds(self, package: Package) -> bool:
        row = self._db.execute("SELECT 1 FROM findings WHERE ecosystem = ? AND package = ? LIMIT 1", package)
        return row.fetchone() is not None

    # -- components --------------------------------------------------------------------------------------------------

    def add_components(self, found: list[Dependency]) -> None:
        self.components += len(found)
        self._db.executemany(
            "INSERT OR IGNORE INTO components VALUES (?, ?, ?)",
            [
                (d.ecosystem, d.name, orjson.dumps([d.version, d.manifest, d.requirement, d.origin, d.scope, d.reason]))
                for d in found
            ],
        )

    def dependencies(self) -> Iterator[Dependency]:
        """The components, each distinct one once, by ecosystem and name."""
        for ecosystem, name, data in self._db.execute("SELECT * FROM components ORDER BY ecosystem, name, row"):
            version, manifest, requirement, origin, scope, reason = orjson.loads(data)
            yield Dependency(
                ecosystem,
                name,
                version,
                manifest,
                requirement=requirement,
                origin=Origin(origin),
                scope=Scope(scope),
                reason=reason,
            )

    def components_digest(self) -> str:
        digest = hashlib.sha256()
        for row in self._db.execute("SELECT ecosystem, name, row FROM components ORDER BY ecosystem, name, row"):
            digest.update(orjson.dumps([row[0], row[1], row[2].decode()]))
        return digest.hexdigest()

    # -- statements --------------------------------------------------------------------------------------------------

    def add_statements(self, found: tuple[Statement, ...]) -> None:
        self.statements += len(found)
        self._db.executemany("INSERT INTO statements VALUES (?)", [(orjson.dumps(one),) for one in found])

    def read_statements(self) -> Iterator[Statement]:
        for (data,) in self._db.execute("SELECT row FROM statements ORDER BY rowid"):
            found = orjson.loads(data)
            yield Statement(
                **{
                    **found,
                    "status": Status(found["status"]),
                    "products": tuple(found["products"]),
                    "aliases": tuple(found["aliases"]),
                    "parts": tuple((product, part) for product, part in found["parts"]),
                }
            )


def _package_rows(package: Package, held: list[bytes]) -> PackageRows:
    digest = hashlib.sha256()
    for data in held:
        digest.update(data)
        digest.update(b"\n")
    return PackageRows(package, tuple(unpacked(data) for data in held), digest.hexdigest())
