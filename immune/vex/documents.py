"""VEX documents from statements: OpenVEX 0.2.0, CycloneDX 1.6, CSAF 2.0 (profile VEX). Pure.

Sources: the OpenVEX specification 0.2.0; the CycloneDX specification 1.6; OASIS, "Common Security Advisory Framework 2.0", 4.5.
The product is the repository and the package a part of it, so that nobody takes a statement for one about the package everywhere.
"""

from __future__ import annotations

import hashlib
import re
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from immune.formats.reports.shapes import Status
from immune.vex.statements import Said

# Chosen so that reading them back (immune.formats.reports.cyclonedx) gives the same word again.
_STATES = {
    Status.AFFECTED: "exploitable",
    Status.FIXED: "resolved",
    Status.UNDER_INVESTIGATION: "in_triage",
    Status.NOT_AFFECTED: "not_affected",
}
_JUSTIFICATIONS = {
    "component_not_present": "requires_dependency",
    "vulnerable_code_not_present": "code_not_present",
    "vulnerable_code_not_in_execute_path": "code_not_reachable",
    "vulnerable_code_cannot_be_controlled_by_adversary": "requires_configuration",
    "inline_mitigations_already_exist": "protected_by_mitigating_control",
}
# As CSAF wants them in their field; any other name is an id like the rest.
_CVE = re.compile(r"CVE-[0-9]{4}-[0-9]{4,}")
_CSAF = {
    Status.AFFECTED: "known_affected",
    Status.FIXED: "fixed",
    Status.UNDER_INVESTIGATION: "under_investigation",
    Status.NOT_AFFECTED: "known_not_affected",
}


@dataclass(frozen=True, slots=True)
class Issue:
    """Who says it and when. ``at`` is aware."""

    author: str
    at: datetime
    version: str = ""  # of the program


class NothingToSay(ValueError):
    """No statement: a document without one is none (each format asks for at least one)."""


def openvex(said: Sequence[Said], issue: Issue) -> dict[str, Any]:
    """An OpenVEX document. Raises NothingToSay."""
    return {
        "@context": "https://openvex.dev/ns/v0.2.0",
        "@id": f"urn:uuid:{_id(said, issue)}",
        "author": issue.author,
        "timestamp": _time(issue.at),
        "version": 1,
        "tooling": f"immune {issue.version}".strip(),
        "statements": [
            _without_empty(
                {
                    "vulnerability": _without_empty({"name": one.advisory, "aliases": list(one.aliases)}),
                    "timestamp": _time(one.at or issue.at),
                    "products": [
                        {
                            "@id": one.repository,
                            "subcomponents": [{"@id": purl, "identifiers": {"purl": purl}} for purl in one.parts],
                        }
                    ],
                    "status": one.status.value,
                    "justification": one.justification,
                    "impact_statement": one.impact,
                    "action_statement": one.action,
                }
            )
            for one in _some(said)
        ],
    }


def cyclonedx(said: Sequence[Said], issue: Issue) -> dict[str, Any]:
    """A CycloneDX BOM with the repositories, the packages in them that something is said about, and the analyses."""
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{_id(said, issue)}",
        "version": 1,
        "metadata": {
            "timestamp": _time(issue.at),
            "authors": [{"name": issue.author}],
            "tools": {
                "components": [_without_empty({"type": "application", "name": "immune", "version": issue.version})]
            },
        },
        "components": [_application(reference, of) for reference, of in _by(said, lambda one: one.repository).items()],
        "vulnerabilities": [
            _without_empty(
                {
                    "bom-ref": f"statement-{number}",
                    "id": one.advisory,
                    "references": [{"id": name, "source": {"name": _database(name)}} for name in one.aliases],
                    "analysis": _analysis(one),
                    "affects": [{"ref": _part(one.repository, purl)} for purl in one.parts],
                }
            )
            for number, one in enumerate(_some(said), 1)
        ],
    }


def _application(reference: str, said: list[Said]) -> dict[str, Any]:
    parts = {purl: one.package for one in said for purl in one.parts}
    return {
        "type": "application",
        "bom-ref": reference,
        "name": said[0].name,
        "components": [
            _without_empty(
                {
                    "type": "library",
                    "bom-ref": _part(reference, purl),
                    "name": package,
                    "version": _version(purl),
                    "purl": purl,
                }
            )
            for purl, package in sorted(parts.items())
        ],
    }


def _analysis(one: Said) -> dict[str, Any]:
    detail = one.impact or one.action
    return _without_empty(
        {"state": _STATES[one.status], "justification": _JUSTIFICATIONS.get(one.justification, ""), "detail": detail}
    )


def csaf(said: Sequence[Said], issue: Issue) -> dict[str, Any]:
    """A CSAF document of the profile VEX. Raises NothingToSay."""
    packages = {purl: one.package for one in _some(said) for purl in one.parts}
    repositories = {one.repository: one.name for one in said}
    pairs = sorted({(one.repository, purl) for one in said for purl in one.parts})
    return {
        "document": {
            "category": "csaf_vex",
            "csaf_version": "2.0",
            "lang": "en",
            "publisher": {"category": "user", "name": issue.author, "namespace": "urn:immune:publisher"},
            "title": "Vulnerabilities in repositories",
            "tracking": {
                "id": str(_id(said, issue)),
                "status": "final",
                "version": "1",
                "initial_release_date": _time(issue.at),
                "current_release_date": _time(issue.at),
                "revision_history": [{"number": "1", "date": _time(issue.at), "summary": "Exported."}],
                "generator": {"engine": _without_empty({"name": "immune", "version": issue.version})},
            },
        },
        "product_tree": {
            "full_product_names": [
                *({"product_id": reference, "name": name} for reference, name in sorted(repositories.items())),
                *(
                    {
                        "product_id": purl,
                        "name": f"{package} {_version(purl)}".strip(),
                        "product_identification_helper": {"purl": purl},
                    }
                    for purl, package in sorted(packages.items())
                ),
            ],
            "relationships": [
                {
                    "category": "default_component_of",
                    "product_reference": purl,
                    "relates_to_product_reference": reference,
                    "full_product_name": {
                        "product_id": _part(reference, purl),
                        "name": f"{packages[purl]} {_version(purl)} in {repositories[reference]}",
                    },
                }
                for reference, purl in pairs
            ],
        },
        "vulnerabilities": [_vulnerability(of) for of in _by(said, lambda one: one.advisory).values()],
    }


def _vulnerability(said: list[Said]) -> dict[str, Any]:
    first = said[0]
    names = (first.advisory, *first.aliases)
    cve = next((name for name in names if _CVE.fullmatch(name)), "")
    status: dict[str, list[str]] = defaultdict(list)
    flags, threats, remediations = [], [], []
    for one in said:
        products = [_part(one.repository, purl) for purl in one.parts]
        status[_CSAF[one.status]] += products
        if one.justification:
            flags.append({"label": one.justification, "product_ids": products})
        if one.impact:
            threats.append({"category": "impact", "details": one.impact, "product_ids": products})
        if one.action:
            category = "vendor_fix" if one.action.startswith("Upgrade") else "mitigation"
            remediations.append({"category": category, "details": one.action, "product_ids": products})
    return _without_empty(
        {
            "cve": cve,
            "ids": [{"system_name": _database(name), "text": name} for name in names if name != cve],
            "notes": [{"category": "summary", "text": f"Known as {', '.join(names)}."}],
            "product_status": {label: list(dict.fromkeys(products)) for label, products in sorted(status.items())},
            "flags": flags,
            "threats": threats,
            "remediations": remediations,
        }
    )


def _part(repository: str, purl: str) -> str:
    """The reference of a package in a repository."""
    return f"{repository}#{purl}"


def _version(purl: str) -> str:
    return purl.rpartition("@")[2] if "@" in purl.rpartition("/")[2] else ""


def _database(name: str) -> str:
    return name.partition("-")[0] or "id"


def _by(said: Iterable[Said], key: Callable[[Said], str]) -> dict[str, list[Said]]:
    found: dict[str, list[Said]] = defaultdict(list)
    for one in said:
        found[key(one)].append(one)
    return found


def _some(said: Sequence[Said]) -> Sequence[Said]:
    if not said:
        raise NothingToSay("there is nothing to say: no APV in sight that a statement could be made of")
    return said


def _id(said: Sequence[Said], issue: Issue) -> uuid.UUID:
    """The same statements at the same moment are the same document."""
    digest = hashlib.sha256(repr((tuple(_some(said)), issue)).encode()).digest()
    return uuid.UUID(bytes=digest[:16], version=4)


def _time(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def _without_empty(found: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in found.items() if value not in ("", [], {})}


KINDS: dict[str, Callable[[Sequence[Said], Issue], dict[str, Any]]] = {
    "openvex": openvex,
    "cyclonedx": cyclonedx,
    "csaf": csaf,
}
