"""Damaged files of every kind: each ends in records and refusals, never in an error that was not foreseen."""

from __future__ import annotations

import gzip
import io
import json
import lzma
import tarfile
import zipfile

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from immune.advisories.osv import AdvisoryRecord
from immune.advisories.sources import Limits, read_advisories
from immune.inventory import Refusal

RECORDS = [
    {
        "id": f"A-{number}",
        "modified": "2026-01-01T00:00:00Z",
        "aliases": [f"CVE-2026-{number}"],
        "affected": [
            {
                "package": {"ecosystem": "PyPI", "name": "boat"},
                "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "1.0"}]}],
                "versions": ["0.1"],
            }
        ],
    }
    for number in range(3)
]
LINES = b"\n".join(json.dumps(record).encode() for record in RECORDS)
YAML = b"id: A-1\nmodified: 2026-01-01T00:00:00Z\naffected:\n- package: {ecosystem: PyPI, name: boat}\n  versions: ['1.0', 2]\n"


def zipped(method):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for record in RECORDS:
            archive.writestr(f"{record['id']}.json", json.dumps(record))
    return buffer.getvalue()


def tarred():
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for record in RECORDS:
            data = json.dumps(record).encode()
            info = tarfile.TarInfo(f"{record['id']}.json")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


CORPUS = [
    LINES,
    json.dumps(RECORDS).encode(),
    json.dumps({"vulns": RECORDS}, indent=1).encode(),
    YAML,
    YAML + b"---\n" + YAML,
    gzip.compress(LINES, mtime=0),
    lzma.compress(LINES),
    zipped(zipfile.ZIP_STORED),
    zipped(zipfile.ZIP_DEFLATED),
    tarred(),
    gzip.compress(tarred(), mtime=0),
    lzma.compress(tarred()),
]
LIMITS = Limits(total=50_000_000, record=1_000_000, document=2_000_000, members=1000)


@st.composite
def damaged(draw):
    data = bytearray(draw(st.sampled_from(CORPUS)))
    for _ in range(draw(st.integers(1, 6))):
        place = draw(st.integers(0, max(0, len(data) - 1)))
        kind = draw(st.sampled_from(["byte", "cut", "repeat", "insert", "drop"]))
        if kind == "byte" and data:
            data[place] = draw(st.integers(0, 255))
        elif kind == "cut":
            del data[place:]
        elif kind == "repeat":
            data[place:place] = data[place : place + draw(st.integers(1, 200))]
        elif kind == "insert":
            data[place:place] = draw(st.binary(max_size=20))
        else:
            del data[place : place + draw(st.integers(1, 50))]
    return bytes(data)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=damaged())
def test_damage_is_refused_or_read(tmp_path, data):
    path = tmp_path / "damaged"
    path.write_bytes(data)
    for found in read_advisories([path], LIMITS):
        assert isinstance(found, AdvisoryRecord | Refusal)
        if isinstance(found, Refusal):
            assert found.source.startswith("damaged")
            assert found.reason
