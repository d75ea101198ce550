"""SPDX 2.2 and 2.3, JSON and tag-value: packages. Pure.

Source: "The Software Package Data Exchange Specification" 2.2 and 2.3. SPDX 3, and SPDX 2 as XML, YAML or RDF, are
recognised and refused: their rules are others.
"""

from __future__ import annotations

import re
from typing import Any

from immune.formats.documents import items, table
from immune.formats.reports.shapes import Gathered, words
from immune.inventory import Unreadable

_TAG = re.compile(r"([A-Za-z]+):[ \t]*(.*)")
_PURL_KINDS = frozenset({"purl"})


def _known(source: str, version: str) -> str:
    if version not in {"SPDX-2.2", "SPDX-2.3"}:
        raise Unreadable(source, f"{version or 'SPDX without a version'}: SPDX 2.2 and 2.3 are read")
    return version.removeprefix("SPDX-")


def spdx_json(source: str, document: Any) -> Gathered:
    """An SPDX document in JSON. Raises Unreadable for a version whose rules are not known."""
    root = table(document)
    found = Gathered(source, "spdx-json", _known(source, words(root.get("spdxVersion"))))
    for _, one in found.rows("packages", root.get("packages")):
        purls = [
            words(table(ref).get("referenceLocator"))
            for ref in items(one.get("externalRefs"))
            if table(ref).get("referenceType") in _PURL_KINDS
        ]
        _package(found, one.get("name"), one.get("versionInfo"), purls)
    return found


def _package(found: Gathered, name: Any, version: Any, purls: list[str]) -> None:
    # several purls are several ways to the same package; each is a row, since each may match
    for purl in purls or [""]:
        found.component(f"package {words(name)}", name=name, version=_said(version), purl=purl)


def _said(version: Any) -> str:
    written = words(version)
    return "" if written in {"NOASSERTION", "NONE"} else written


def spdx_tags(source: str, text: str) -> Gathered:
    """An SPDX document in tag-value form: ``Tag: value`` a line, texts of several lines between ``<text>`` marks."""
    version = ""
    packages: list[tuple[list[str], list[str], list[str]]] = []
    inside = False
    for line in text.split("\n"):
        if inside:
            inside = "</text>" not in line
            continue
        match = _TAG.match(line.strip())
        if not match:
            continue
        tag, value = match[1], match[2].strip()
        inside = "<text>" in value and "</text>" not in value
        if tag == "SPDXVersion":
            version = value
        elif tag == "PackageName":
            packages.append(([value], [], []))
        elif tag in {"FileName", "SnippetSPDXID"}:
            # what follows belongs to a file, until the next package begins
            packages.append(([], [], []))
        elif packages and tag == "PackageVersion":
            packages[-1][1].append(value)
        elif packages and tag == "ExternalRef":
            parts = value.split()
            if len(parts) == 3 and parts[1] in _PURL_KINDS:
                packages[-1][2].append(parts[2])
    found = Gathered(source, "spdx-tag-value", _known(source, version))
    for names, versions, purls in packages:
        if names:
            _package(found, names[0], versions[0] if versions else "", purls)
    return found
