"""One archive with everything a verdict rests on, and reading it back without trusting it.

A ZIP: ``manifest.json`` (scenario, environments, commands, tool versions, commits, runs with their limits and uses, factors,
verdict, and the SHA-256 of every other entry), ``scenario/…``, ``locks/before`` and ``locks/after``, ``outputs/NN-…``. The same
result gives the same bytes, so the archive's own SHA-256 names the evidence.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from wargaming.concluding import Run, Side, WargameResult
from wargaming.errors import WargameError
from wargaming.sandbox.base import Trust
from wargaming.scenarios import Scenario

FORMAT = 1
MAX_ARCHIVE_BYTES = 64 << 20
MAX_ENTRY_BYTES = 8 << 20
MAX_ENTRIES = 400
_MANIFEST = "manifest.json"


@dataclass(frozen=True, slots=True)
class Binding:
    """What in the world a verdict is bound to (DESIGN section 6); "" where there is no repository."""

    base_commit: str = ""
    head_commit: str = ""
    patch_digest: str = ""


@dataclass(frozen=True, slots=True)
class Bundle:
    """A read archive: its manifest and its checked entries by name."""

    manifest: Mapping[str, Any]
    entries: Mapping[str, bytes]
    sha256: str

    def scenario_files(self) -> dict[str, bytes]:
        prefix = "scenario/"
        return {name[len(prefix) :]: data for name, data in self.entries.items() if name.startswith(prefix)}


def evidence_bundle(
    result: WargameResult,
    scenario: Scenario,
    *,
    tools: Mapping[str, str],
    binding: Binding | None = None,
    accepted: bool = False,
    elsewhere: Mapping[str, str] | None = None,
) -> bytes:
    """The archive of one wargame; ``tools`` maps a tool's name to its version, ``accepted`` says that somebody stood for the
    scenario (the project itself, or a second person) when it ran. ``elsewhere``: where it ran, when that was not here."""
    entries: dict[str, bytes] = {f"scenario/{name}": data for name, data in scenario.files.items()}
    entries |= {"locks/before": result.before.lock.encode(), "locks/after": result.after.lock.encode()}
    runs = []
    for number, run in enumerate(result.runs):
        runs.append(run_record(run))
        if run.result is not None:
            stem = f"outputs/{number:03d}-{run.step}-{run.phase}-{run.variant}-{run.round}"
            entries[f"{stem}.out"] = zlib.decompress(run.result.stdout_zlib)
            entries[f"{stem}.err"] = zlib.decompress(run.result.stderr_zlib)
    manifest = {
        "format": FORMAT,
        "scenario": {
            "id": scenario.id,
            "digest": scenario.digest,
            "trust": scenario.trust,
            "accepted": accepted or scenario.trust is Trust.SHIPPED,
            "ecosystem": scenario.ecosystem,
            "package": scenario.package,
        },
        "binding": dataclasses.asdict(binding or Binding()),
        "environments": {"before": _side(result.before), "after": _side(result.after)},
        "driver": result.driver,
        "runtime": result.runtime,
        "elsewhere": dict(elsewhere or {}),
        "tools": dict(tools),
        "runs": runs,
        "own_tests": result.own_tests,
        "outcomes": result.outcomes,
        "verdict": result.verdict,
        "reason": result.reason,
        "detail": result.detail,
        "confidence": result.confidence,
        "factors": [dataclasses.asdict(factor) for factor in result.factors],
        "entries": {name: hashlib.sha256(data).hexdigest() for name, data in sorted(entries.items())},
    }
    entries[_MANIFEST] = json.dumps(manifest, sort_keys=True, indent=1, ensure_ascii=True).encode()
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as out:
        for name in sorted(entries):
            # A fixed date: the same evidence has the same bytes.
            out.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), entries[name], zipfile.ZIP_DEFLATED)
    return archive.getvalue()


def run_record(run: Run) -> dict[str, Any]:
    """One run as plain values: what was seen beside what was allowed."""
    record: dict[str, Any] = {
        "step": run.step,
        "phase": run.phase,
        "variant": run.variant,
        "round": run.round,
        "outcome": run.outcome,
        "why": run.why,
    }
    if run.result is None:
        return record
    seen = run.result
    return record | {
        "ending": seen.ending,
        "exit_code": seen.exit_code,
        "signal": seen.signal,
        "last_line": seen.last_line,
        "seconds": round(seen.seconds, 4),
        "output_bytes": seen.output_bytes,
        "usage": dataclasses.asdict(seen.usage),
        "limits": dataclasses.asdict(seen.limits),
        "limit_hits": list(seen.limit_hits),
        "driver": seen.driver,
    }


def _side(side: Side) -> dict[str, Any]:
    kept = dataclasses.asdict(dataclasses.replace(side, from_source=()))
    kept.pop("lock")
    # Where it is kept is this machine's own; its hash says what it is.
    names = ("name", "version", "sha256", "source", "source_sha256")
    kept["from_source"] = [
        {"wheel": wheel.path.name, **{name: getattr(wheel, name) for name in names}} for wheel in side.from_source
    ]
    return kept


def read_bundle(archive: bytes) -> Bundle:
    """Open an archive that anyone may have written: bounded, every entry named in the manifest and hashed as it says.

    Raises ``WargameError`` (``evidence_refused``).
    """
    if len(archive) > MAX_ARCHIVE_BYTES:
        raise WargameError("evidence_refused", "the archive is too large")
    try:
        with zipfile.ZipFile(io.BytesIO(archive)) as opened:
            listed = opened.infolist()
            if len(listed) > MAX_ENTRIES or len({entry.filename for entry in listed}) != len(listed):
                raise WargameError("evidence_refused", "too many entries, or two of one name")
            entries: dict[str, bytes] = {}
            total = 0
            for entry in listed:
                with opened.open(entry) as stream:
                    data = stream.read(MAX_ENTRY_BYTES + 1)  # what is read counts, not what the header claims
                total += len(data)
                if len(data) > MAX_ENTRY_BYTES or total > 2 * MAX_ARCHIVE_BYTES:
                    raise WargameError("evidence_refused", f"{entry.filename[:100]} is too large")
                entries[entry.filename] = data
        manifest = json.loads(entries.pop(_MANIFEST))
    except (zipfile.BadZipFile, KeyError, ValueError, NotImplementedError, RuntimeError, zlib.error, OSError) as error:
        raise WargameError("evidence_refused", f"not an evidence archive: {error}") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise WargameError("evidence_refused", "not a manifest of this format")
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in entries.items()}
    if hashes != manifest.get("entries"):
        raise WargameError("evidence_refused", "an entry is missing, added or altered")
    return Bundle(manifest, entries, hashlib.sha256(archive).hexdigest())
