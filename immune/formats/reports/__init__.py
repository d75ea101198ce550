"""Scanner reports, SBOMs and VEX documents: told apart by content, read into one shape. Pure.

``parse_report`` looks at what a document says of itself, never at its file name. What is recognised but not read, and
what is not recognised, is Unreadable with that reason: a report nobody understood is not an empty one.
"""

from __future__ import annotations

import gzip
import io
import json
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, BinaryIO

from immune.formats import limits
from immune.formats.documents import load_json, table, text_of
from immune.formats.reports import cyclonedx, npm_audits, sarif, scanners, services, spdx, streaming, vex
from immune.formats.reports.shapes import Finding, Gathered, Report, Statement, Status
from immune.formats.xml import load_xml, local
from immune.inventory import Unreadable

__all__ = ["Finding", "Report", "Statement", "Status", "parse_in_batches", "parse_report"]

MAX_REPORT = 64 * 1024 * 1024  # bytes, after unpacking

Reading = Callable[[str, Any], Gathered]


def parse_report(data: bytes | BinaryIO, *, source: str = "report") -> Report:
    """The report in ``data`` (bytes or a binary stream; gzip is unpacked). Raises Unreadable with ``source`` and
    reason."""
    text = _text(source, _bytes(source, data))
    start = text.lstrip("\ufeff \t\r\n")
    if not start:
        raise Unreadable(source, "empty")
    if start[0] == "<":
        return _xml(source, text)
    if start[0] in "{[":
        lines = _json_lines(text)
        if lines is not None:
            return _lines(source, lines)
        document = load_json(source, text)
        return _reading(source, document)(source, document).report()
    if "SPDXVersion:" in text[:65536]:
        return spdx.spdx_tags(source, text).report()
    raise Unreadable(source, "neither JSON, XML nor SPDX tag-value")


def parse_in_batches(stream: BinaryIO, *, source: str = "report", size: int = 1000) -> Iterator[Report]:
    """The report in a seekable stream as partial reports of at most ``size`` rows each, in flat memory.

    Trivy, Grype, OSV-Scanner, pip-audit and SARIF, which grow large, are read row by row, up to 1 GiB unpacked;
    anything else is one batch, by ``parse_report``. Raises Unreadable, also after some batches: who stores them rolls
    back then. Indexes in ``refused`` count within their batch.
    """
    count = 0
    try:
        for document in streaming.batches(source, stream, size=size):
            found = _reading(source, document)(source, document).report()
            if count == 0 or not streaming.is_empty(found):
                yield found
            count += 1
    except (OSError, EOFError, zlib.error) as error:
        raise Unreadable(source, f"not a whole gzip file: {limits.shown(str(error))}") from error
    if count == 0:
        stream.seek(0)
        yield parse_report(stream, source=source)


def _bytes(source: str, data: bytes | BinaryIO) -> bytes:
    stream = io.BytesIO(data) if isinstance(data, bytes) else data
    held = stream.read(MAX_REPORT + 1)
    if held[:2] == b"\x1f\x8b":
        # read through a bound: a small archive may unpack to terabytes
        try:
            with gzip.GzipFile(fileobj=io.BytesIO(held)) as unpacked:
                held = unpacked.read(MAX_REPORT + 1)
        except (OSError, EOFError, zlib.error) as error:
            raise Unreadable(source, f"not a whole gzip file: {limits.shown(str(error))}") from error
    if len(held) > MAX_REPORT:
        raise Unreadable(source, f"larger than {MAX_REPORT} bytes")
    return held


def _text(source: str, data: bytes) -> str:
    if data[:4] in {b"\xff\xfe\x00\x00", b"\x00\x00\xfe\xff"}:
        encoding = "utf-32"
    elif data[:2] in {b"\xff\xfe", b"\xfe\xff"}:
        encoding = "utf-16"
    else:
        return limits.decode(source, data)
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        raise Unreadable(source, f"not {encoding} text (byte {error.start})") from error


def _xml(source: str, text: str) -> Report:
    document = load_xml(source, text)
    if local(document.root) == "bom":
        return cyclonedx.cyclonedx_xml(source, document).report()
    if "spdx" in document.root.tag.lower() or local(document.root) == "Document":
        raise Unreadable(source, "SPDX as XML is not read")
    raise Unreadable(source, f"XML of an unknown kind: {limits.shown(local(document.root))}")


def _json_lines(text: str) -> list[Any] | None:
    """The values of a text with one JSON value a line; None when it is one value."""
    lines = [line for line in text.lstrip("\ufeff").split("\n") if line.strip()]
    if len(lines) < 2:
        return None
    try:
        first = json.loads(lines[0])
    except (ValueError, RecursionError):
        return None
    if not isinstance(first, dict):
        return None
    found = []
    for line in lines:
        try:
            found.append(json.loads(line))
        except (ValueError, RecursionError):
            return None
    return found


def _lines(source: str, lines: list[Any]) -> Report:
    if all("type" in table(line) and "data" in table(line) for line in lines):
        return npm_audits.yarn_1(source, lines).report()
    raise Unreadable(source, "lines of JSON of an unknown kind")


def _reading(source: str, document: Any) -> Reading:
    """The reader for what the document says it is. Raises Unreadable, naming what was recognised but is not read."""
    if isinstance(document, list):
        return _list_reading(source, document)
    root = table(document)
    for is_it, reading in _KINDS:
        if is_it(root):
            return reading
    for is_it, name in _OTHERS:
        if is_it(root):
            raise Unreadable(source, f"{name} is not read")
    raise Unreadable(source, "JSON of an unknown kind")


def _list_reading(source: str, document: list[Any]) -> Reading:
    first = table(document[0]) if document else {}
    if not document:
        raise Unreadable(source, "an empty list: it does not say what kind of report it is")
    if "vulns" in first or "skip_reason" in first:
        return scanners.pip_audit
    if "security_vulnerability" in first or "security_advisory" in first:
        return services.alerts
    if "Target" in first:
        return scanners.trivy
    if "vulnerabilities" in first and ("packageManager" in first or "ok" in first or "projectName" in first):
        return services.snyk
    raise Unreadable(source, "a JSON list of an unknown kind")


def _is_bulk(root: Mapping[str, Any]) -> bool:
    advisories = [one for value in root.values() if isinstance(value, list) for one in value]
    return (
        bool(advisories)
        and all(isinstance(value, list) for value in root.values())
        and all("vulnerable_versions" in table(one) and "severity" in table(one) for one in advisories)
    )


_KINDS: tuple[tuple[Callable[[Mapping[str, Any]], bool], Reading], ...] = (
    (lambda r: r.get("bomFormat") == "CycloneDX", cyclonedx.cyclonedx),
    (lambda r: "spdxVersion" in r and "SPDXID" in r, spdx.spdx_json),
    (lambda r: "openvex" in text_of(r.get("@context")), vex.openvex),
    (lambda r: "csaf_version" in table(r.get("document")), vex.csaf),
    (lambda r: "runs" in r and ("version" in r or "sarif" in text_of(r.get("$schema"))), sarif.sarif),
    (lambda r: "SchemaVersion" in r or ("Results" in r and "ArtifactName" in r) or "ClusterName" in r, scanners.trivy),
    (lambda r: "matches" in r and ("descriptor" in r or "source" in r or "distro" in r), scanners.grype),
    (lambda r: isinstance(r.get("results"), list) and _has_osv_results(r), scanners.osv_scanner),
    (lambda r: isinstance(r.get("dependencies"), list) and _has_audits(r), scanners.pip_audit),
    (lambda r: "auditReportVersion" in r, npm_audits.npm_7),
    (lambda r: isinstance(r.get("advisories"), dict), npm_audits.npm_6),
    (
        lambda r: "vulnerabilities" in r and ("packageManager" in r or "dependencyCount" in r or "ok" in r),
        services.snyk,
    ),
    (lambda r: "alert" in r and "action" in r, services.alerts),
    (lambda r: bool(services.repositories(table(r.get("data")))), services.graphql),
    (_is_bulk, npm_audits.bulk),
)


def _has_osv_results(root: Mapping[str, Any]) -> bool:
    return all("packages" in table(one) for one in root["results"])


def _has_audits(root: Mapping[str, Any]) -> bool:
    return all("vulns" in table(one) or "skip_reason" in table(one) for one in root["dependencies"])


_OTHERS: tuple[tuple[Callable[[Mapping[str, Any]], bool], str], ...] = (
    (lambda r: "error" in r and len(r) <= 3, "an error the tool reported"),
    (lambda r: text_of(r.get("@context")).startswith("https://spdx.org/rdf/3"), "SPDX 3"),
    (
        lambda r: r.get("kind") == "VulnerabilityReport" or "VulnerabilityReport" in str(r.get("items"))[:2000],
        "Trivy Operator's report",
    ),
    (lambda r: "lockfileVersion" in r, "a lock file"),
    (lambda r: "scan" in r and "vulnerabilities" in r, "GitLab's dependency scanning report"),
    (lambda r: "database" in r and "lockfile" in r, "cargo-audit's report"),
    (lambda r: "Calls" in r and "Imports" in r, "govulncheck's report"),
    (lambda r: "jsonapi" in r, "Snyk's REST answer"),
    (lambda r: "findings" in r and "project" in r, "Dependency-Track's findings export"),
    (lambda r: "action" in r or "zen" in r, "a webhook of another kind"),
)
