"""Small reports as their tools write them, and the records they speak of."""

from __future__ import annotations

import io
import json
from typing import Any

from immune.events.actors import COMMAND
from immune.ingest.services import Ingested, ingest_report
from immune.models import Repository


def repository(name: str = "demo/noticeboard") -> Repository:
    return Repository.objects.create(name=name, location=f"https://git.example/{name}.git", default_branch="main")


def record(identifier: str, package: str, fixed: str, *aliases: str, **more: Any) -> dict[str, Any]:
    return {
        "id": identifier,
        "modified": "2026-01-02T03:04:05Z",
        "aliases": list(aliases),
        "severity": [{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:N/A:N"}],
        "affected": [
            {
                "package": {"ecosystem": "PyPI", "name": package},
                "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": fixed}]}],
            }
        ],
        **more,
    }


def vulnerable(
    package: str, version: str, *vulns: tuple[str, ...], fixed: tuple[str, ...] = ("9.9",)
) -> dict[str, Any]:
    """One dependency of a pip-audit report; each of ``vulns`` an id with its aliases."""
    return {
        "name": package,
        "version": version,
        "vulns": [{"id": names[0], "aliases": list(names[1:]), "fix_versions": list(fixed)} for names in vulns],
    }


def pip_audit(*dependencies: dict[str, Any]) -> dict[str, Any]:
    return {"dependencies": list(dependencies), "fixes": []}


def trivy(*rows: dict[str, Any], target: str = "requirements.txt") -> dict[str, Any]:
    return {
        "SchemaVersion": 2,
        "ArtifactName": ".",
        "Results": [{"Target": target, "Class": "lang-pkgs", "Type": "pip", "Vulnerabilities": list(rows)}],
    }


def trivy_row(identifier: str, package: str, version: str, severity: str = "HIGH", **more: Any) -> dict[str, Any]:
    row = {"VulnerabilityID": identifier, "PkgName": package, "InstalledVersion": version, "Severity": severity}
    return {**row, **more}


def sbom(*purls: str, **more: Any) -> dict[str, Any]:
    parts = [{"type": "library", "name": purl.split("/")[-1].split("@")[0], "purl": purl} for purl in purls]
    return {"bomFormat": "CycloneDX", "specVersion": "1.5", "components": parts, **more}


def ingest(where: Repository, document: Any, *, source: str = "report.json", part: str = "") -> Ingested:
    data = document if isinstance(document, bytes) else json.dumps(document).encode()
    return ingest_report(file=io.BytesIO(data), repository=where, actor=COMMAND, source=source, part=part)


def changed(done: Ingested) -> dict[str, int]:
    """What the report changed, without what it did not."""
    names = ("opened", "updated", "reopened", "closed")
    return {name: getattr(done.changes, name) for name in names if getattr(done.changes, name)}
