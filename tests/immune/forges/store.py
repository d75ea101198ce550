"""A real store of pull requests on SQLite, as a stand-in for the application's tables in tests of the local forge."""

import json
import sqlite3
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

from immune.forges.base import PullState, VerdictReport
from immune.forges.local import StoredPull

_TABLES = """
CREATE TABLE pulls (number INTEGER PRIMARY KEY AUTOINCREMENT, branch TEXT, state TEXT, version INTEGER, data TEXT);
CREATE UNIQUE INDEX one_open ON pulls (branch) WHERE state = 'open';
CREATE TABLE notes (number INTEGER, key TEXT, kind TEXT, body TEXT, UNIQUE (number, key));
CREATE TABLE verdicts (head TEXT, key TEXT, data TEXT, PRIMARY KEY (head, key));
"""


class SqliteStore:
    """One connection per call, so that threads and processes meet only in the file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.exists():
            with self._open() as db:
                db.executescript(_TABLES)

    @contextmanager
    def _open(self):
        db = sqlite3.connect(self.path, timeout=20, isolation_level="IMMEDIATE")
        try:
            with db:
                yield db
        finally:
            db.close()

    def _rows(self, where, *values):
        with self._open() as db:
            found = db.execute(f"SELECT number, version, data FROM pulls WHERE {where}", values).fetchall()
        return [_row(*one) for one in found]

    def get(self, number: int) -> StoredPull | None:
        return next(iter(self._rows("number = ?", number)), None)

    def latest(self, branch: str) -> StoredPull | None:
        return next(iter(self._rows("branch = ? ORDER BY number DESC LIMIT 1", branch)), None)

    def create(self, pull: StoredPull) -> StoredPull | None:
        try:
            with self._open() as db:
                made = db.execute(
                    "INSERT INTO pulls (branch, state, version, data) VALUES (?, ?, 0, ?)",
                    (pull.branch, pull.state.value, _data(pull)),
                )
                return replace(pull, number=made.lastrowid)
        except sqlite3.IntegrityError:
            return None

    def change(self, before: StoredPull, after: StoredPull) -> bool:
        with self._open() as db:
            done = db.execute(
                "UPDATE pulls SET state = ?, branch = ?, data = ?, version = version + 1"
                " WHERE number = ? AND version = ?",
                (after.state.value, after.branch, _data(after), before.number, before.version),
            )
            return done.rowcount == 1

    def add_note(self, number: int, key: str, kind: str, body: str) -> bool:
        with self._open() as db:
            return (
                db.execute("INSERT OR IGNORE INTO notes VALUES (?, ?, ?, ?)", (number, key, kind, body)).rowcount == 1
            )

    def notes(self, number: int):
        with self._open() as db:
            return db.execute("SELECT key, kind, body FROM notes WHERE number = ?", (number,)).fetchall()

    def put_verdict(self, report: VerdictReport) -> bool:
        data = json.dumps(asdict(report))
        with self._open() as db:
            old = db.execute("SELECT data FROM verdicts WHERE head = ? AND key = ?", (report.head_commit, report.key))
            if old.fetchone() == (data,):
                return False
            db.execute("INSERT OR REPLACE INTO verdicts VALUES (?, ?, ?)", (report.head_commit, report.key, data))
            return True


def _data(pull: StoredPull) -> str:
    return json.dumps(asdict(pull))


def _row(number: int, version: int, data: str) -> StoredPull:
    kept = json.loads(data)
    kept |= {"number": number, "version": version, "state": PullState(kept["state"])}
    return StoredPull(**kept | {"labels": tuple(kept["labels"]), "assignees": tuple(kept["assignees"])})
