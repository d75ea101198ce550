"""Bad input by the way it comes in: each command refuses it with source and reason, ends with 2, and leaves the database as it was."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import os
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.core.management import call_command

from immune.advisories.services import sync_advisories
from immune.events.actors import COMMAND

from .ingest.reports import ingest, record, repository, trivy, trivy_row

pytestmark = pytest.mark.django_db
Made = Callable[[Path], Any]

LONG = "x" * 10_000_000
LOCK = json.dumps({"lockfileVersion": 3, "packages": {"node_modules/a": {"version": "1.0.0"}}}).encode()
REPORT = json.dumps(trivy(trivy_row("CVE-2026-9", "leaky", "1.0"))).encode()
RECORD = json.dumps(record("PYSEC-9", "leaky", "2.0")).encode()
YAML_BOMB = b"a: &a [x,x,x,x,x,x,x,x,x]\n" + b"".join(
    b"%c: &%c [%s]\n" % (new, new, b",".join([b"*%c" % old] * 9))
    for old, new in zip(b"abcdefgh", b"bcdefghi", strict=True)
)
ENTITIES = b'<!DOCTYPE p [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;&a;">]>'


def file(name: str, data: bytes) -> Made:
    return lambda folder: (folder / name).write_bytes(data)


def link(name: str, to: str) -> Made:
    return lambda folder: (folder / name).symlink_to(to)


def zipped(*members: tuple[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return out.getvalue()


def tarred(name: str, kind: bytes, to: str = "", data: bytes = b"") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        member = tarfile.TarInfo(name)
        member.type, member.linkname, member.size = kind, to, len(data)
        archive.addfile(member, io.BytesIO(data))
    return out.getvalue()


SCAN: dict[str, Made] = {
    "cut short": file("package-lock.json", LOCK[:-9]),
    "empty": file("Cargo.lock", b""),
    "another encoding": file("requirements.txt", "leaky==1.0 # é".encode("latin-1")),
    "half an encoding": file("requirements.txt", b"\xff\xfel\x00e"),
    "packed": file("poetry.lock", gzip.compress(b"[[package]]")),
    "deep JSON": file("package-lock.json", b'{"packages":' * 100_000),
    "deep YAML": file("pnpm-lock.yaml", b"lockfileVersion: '9.0'\npackages: " + b"[" * 10_000),
    "deep TOML": file("uv.lock", b"version = " + b"[" * 50_000),
    "deep XML": file("pom.xml", b"<project>" + b"<a>" * 5000 + b"</a>" * 5000 + b"</project>"),
    "aliases of YAML": file("pnpm-lock.yaml", b"lockfileVersion: '9.0'\n" + YAML_BOMB),
    "entities": file("pom.xml", ENTITIES + b"<project>&b;</project>"),
    "wrong types": file("package-lock.json", b'{"lockfileVersion": 3, "packages": 7}'),
    "wrong types within": file("package-lock.json", b'{"lockfileVersion": 3, "packages": {"node_modules/a": {"version": 7}}}'),
    "a key twice": file("Pipfile.lock", b'{"_meta": {}, "default": {}, "default": {}}'),
    "a table twice": file("uv.lock", b"version = 1\nversion = 2\n"),
    "a name of 10 MB": file("package-lock.json", LOCK.replace(b"modules/a", LONG.encode())),
    "a requirement of 10 MB": file("Pipfile.lock", json.dumps({"_meta": {}, "default": {"a": {"version": f"=={LONG}"}}}).encode()),
    "a version of 10 MB": file("package-lock.json", LOCK.replace(b"1.0.0", LONG.encode())),
    "a name no column holds": file("package-lock.json", LOCK.replace(b"modules/a", b"modules/" + b"a" * 301)),
    "a version no column holds": file("package-lock.json", LOCK.replace(b"1.0.0", b"1." * 100 + b"0")),
    "a line of 10 MB": file("requirements.txt", b"leaky==" + LONG.encode()),
    "a link out of the tree": link("requirements.txt", "/etc/hosts"),
    "a link to itself": link("requirements.txt", "requirements.txt"),
    "an include out of the tree": file("requirements.txt", b"-r ../../../etc/hosts\n"),
    "an include without an end": file("requirements.txt", b"-r requirements.txt\n"),
    "a pipe": lambda folder: os.mkfifo(folder / "go.mod"),
    "a folder in its place": lambda folder: (folder / "yarn.lock").mkdir(),
}  # fmt: skip

REPORTS: dict[str, Made] = {
    "cut short": file("r", REPORT[:-9]),
    "empty": file("r", b""),
    "another encoding": file("r", REPORT.replace(b"leaky", b"l\xe9aky")),
    "half a gzip": file("r", gzip.compress(REPORT * 50)[:-20]),
    "another packing": file("r", bz2.compress(REPORT)),
    "an archive": file("r", zipped(("r.json", REPORT))),
    "deep JSON": file("r", b'{"SchemaVersion": 2, "Results": ' + b"[" * 100_000),
    "deep XML": file("r", b'<bom xmlns="http://cyclonedx.org/schema/bom/1.5">' + b"<a>" * 50_000),
    "entities": file("r", ENTITIES + b'<bom xmlns="http://cyclonedx.org/schema/bom/1.5">&b;</bom>'),
    "wrong types": file("r", b'{"SchemaVersion": 2, "Results": 7}'),
    "wrong types within": file("r", b'{"SchemaVersion": 2, "Results": [{"Target": "a", "Vulnerabilities": "none"}]}'),
    "a key twice": file("r", b'{"SchemaVersion": 2, "Results": [], "Results": []}'),
    "a name of 10 MB": file("r", json.dumps(trivy(trivy_row("CVE-2026-9", LONG, "1.0"))).encode()),
    "an id of 10 MB": file("r", json.dumps(trivy(trivy_row(LONG, "leaky", "1.0"))).encode()),
    "a folder": lambda folder: (folder / "r").mkdir(),
    "a pipe": lambda folder: os.mkfifo(folder / "r"),
    "nothing there": lambda folder: None,
}  # fmt: skip

ADVISORIES: dict[str, Made] = {
    "cut short": file("r.json", RECORD[:-9]),
    "another encoding": file("r.json", RECORD.replace(b"leaky", b"l\xe9aky")),
    "half a gzip": file("r.jsonl.gz", gzip.compress(RECORD * 50)[:-20]),
    "half an archive": file("r.zip", zipped(("a.json", RECORD))[:-30]),
    "deep JSON": file("r.json", b'{"id": ' + b"[" * 100_000),
    "deep YAML": file("r.yaml", b"id: " + b"[" * 100_000),
    "aliases of YAML": file("r.yaml", b"id: A-1\n" + YAML_BOMB),
    "wrong types": file("r.json", RECORD.replace(b'"affected": [', b'"affected": 7, "x": [')),
    "wrong types within": file("r.json", RECORD.replace(b'"introduced": "0"', b'"introduced": 0')),
    "a key twice": file("r.json", RECORD[:-1] + b', "affected": []}'),
    "an id of 10 MB": file("r.json", RECORD.replace(b"PYSEC-9", LONG.encode())),
    "a name of 10 MB": file("r.json", RECORD.replace(b"leaky", LONG.encode())),
    "an id no column holds": file("r.json", RECORD.replace(b"PYSEC-9", b"P" * 121)),
    "an alias no column holds": file("r.json", RECORD.replace(b'"aliases": [', b'"aliases": ["' + b"C" * 121 + b'"')),
    "a name no column holds": file("r.json", RECORD.replace(b"leaky", b"l" * 301)),
    "half a character": file("r.json", RECORD[:-1] + b', "summary": "\\ud800"}'),
    "a NUL": file("r.json", RECORD[:-1] + b', "summary": "\\u0000"}'),
    "a link in an archive": file("r.tar", tarred("a.json", tarfile.SYMTYPE, "/etc/hosts")),
    "a name out of the archive": file("r.tar", tarred("../../a.json", tarfile.REGTYPE, data=RECORD)),
    "a name out of the zip": file("r.zip", zipped(("../../a.json", RECORD))),
    "a bomb in a zip": file("r.zip", zipped(("a.json", b'{"id": "' + b"x" * 60_000_000))),
    "a link in a folder": link("r.json", "/etc/hosts"),
    "a pipe": lambda folder: os.mkfifo(folder / "r.json"),
    "nothing there": lambda folder: None,
}  # fmt: skip


def tables() -> dict[str, list[Any]]:
    """Every row of every table of our own."""
    return {
        model._meta.db_table: list(model._default_manager.order_by("pk").values_list())
        for app in ("immune", "wargaming", "reviews")
        for model in apps.get_app_config(app).get_models()
    }


def refused(*command: str) -> list[dict[str, str]]:
    """What the command refuses. It must end with 2, say so in one JSON document, and change no row."""
    before = tables()
    out = io.StringIO()
    with pytest.raises(SystemExit) as end:
        call_command(*command, "--format", "json", stdout=out)
    said = json.loads(out.getvalue())
    assert end.value.code == 2, said
    assert tables() == before
    found: list[dict[str, str]] = said["unreadable"] if command[0] == "scan" else said["refused"]
    for one in found:
        assert set(one) == {"source", "reason"}
        assert all(text and text.isprintable() and len(text) < 1100 for text in one.values()), one
    return found


@pytest.fixture
def known(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("known") / "r.json"
    path.write_text(json.dumps(record("PYSEC-1", "leaky", "2.0")))
    sync_advisories(actor=COMMAND, paths=[path])
    ingest(repository(), trivy(trivy_row("CVE-2026-1", "leaky", "1.0")))


@pytest.mark.usefixtures("known")
@pytest.mark.parametrize("made", SCAN.values(), ids=SCAN)
def test_a_scan_calls_it_unreadable(tmp_path: Path, made: Made) -> None:
    made(tmp_path)
    assert refused("scan", str(tmp_path))


@pytest.mark.usefixtures("known")
@pytest.mark.parametrize("made", REPORTS.values(), ids=REPORTS)
def test_a_report_is_refused(tmp_path: Path, made: Made) -> None:
    made(tmp_path)
    assert refused("ingest_report", str(tmp_path / "r"), "--repository", "demo/noticeboard")


@pytest.mark.usefixtures("known")
@pytest.mark.parametrize("made", ADVISORIES.values(), ids=ADVISORIES)
def test_advisories_are_refused(tmp_path: Path, made: Made) -> None:
    made(tmp_path)
    files = sorted(str(path) for path in tmp_path.iterdir()) or [str(tmp_path / "r.json")]
    assert refused("sync_advisories", *files)
