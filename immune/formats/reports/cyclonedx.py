"""CycloneDX 1.2 to 1.7, JSON and XML: components, vulnerabilities, analyses. Pure.

Source: the CycloneDX specification. A vulnerability with an analysis is a VEX statement, one without is a finding for
each component it affects. The states and justifications map onto VEX's as the OpenVEX and CISA tables do.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from xml.etree.ElementTree import Element

from immune.formats.documents import items, table
from immune.formats.reports.shapes import Gathered, Status, from_purl, texts, words
from immune.formats.xml import Document, child, children, text_at
from immune.inventory import Unreadable

_STATES = {
    "resolved": Status.FIXED,
    "resolved_with_pedigree": Status.FIXED,
    "exploitable": Status.AFFECTED,
    "in_triage": Status.UNDER_INVESTIGATION,
    "false_positive": Status.NOT_AFFECTED,
    "not_affected": Status.NOT_AFFECTED,
}
_JUSTIFICATIONS = {
    "code_not_present": "vulnerable_code_not_present",
    "code_not_reachable": "vulnerable_code_not_in_execute_path",
    "requires_configuration": "vulnerable_code_cannot_be_controlled_by_adversary",
    "requires_dependency": "component_not_present",
    "requires_environment": "vulnerable_code_cannot_be_controlled_by_adversary",
    "protected_by_compiler": "inline_mitigations_already_exist",
    "protected_at_runtime": "inline_mitigations_already_exist",
    "protected_at_perimeter": "inline_mitigations_already_exist",
    "protected_by_mitigating_control": "inline_mitigations_already_exist",
}
_VERSIONS = frozenset({"1.2", "1.3", "1.4", "1.5", "1.6", "1.7"})


def cyclonedx(source: str, document: Any) -> Gathered:
    """A CycloneDX BOM in JSON. Raises Unreadable for a version whose rules are not known."""
    root = table(document)
    version = words(root.get("specVersion"))
    if version not in _VERSIONS:
        raise Unreadable(source, f"CycloneDX {version or 'without a version'}: 1.2 to 1.7 are read")
    for field in ("components", "vulnerabilities"):
        if root.get(field) is not None and not isinstance(root[field], list):
            raise Unreadable(source, f"{field} is no list")
    found = Gathered(source, "cyclonedx-json", version)
    named, whole = _components(found, root)
    for at, one in found.rows("vulnerabilities", root.get("vulnerabilities")):
        _vulnerability(found, one, named, whole, where=f"vulnerabilities[{at}]")
    return found


def _components(found: Gathered, root: Mapping[str, Any]) -> tuple[dict[str, Mapping[str, Any]], dict[str, str]]:
    """Every component, nested ones too (without recursion), by reference, the described one included; and for each nested one the
    reference of the outermost that holds it."""
    subject = table(table(root.get("metadata")).get("component"))
    named: dict[str, Mapping[str, Any]] = {words(subject.get("bom-ref")): subject}
    whole: dict[str, str] = {}
    waiting = [(one, "") for _, one in reversed([*found.rows("components", root.get("components"))])]
    while waiting:
        one, outermost = waiting.pop()
        group, name = words(one.get("group")), words(one.get("name"))
        found.component(
            f"component {name}",
            name=f"{group}/{name}" if group else name,
            version=one.get("version"),
            purl=one.get("purl"),
            hashes=texts(
                [f"{words(table(h).get('alg'))}:{words(table(h).get('content'))}" for h in items(one.get("hashes"))]
            ),
        )
        for reference in texts([one.get("bom-ref"), one.get("purl")]):
            named.setdefault(reference, one)
        own = words(one.get("bom-ref"))
        if outermost and own:
            whole.setdefault(own, outermost)
        inside = [*found.rows(f"component {name}.components", one.get("components"))]
        waiting += [(inner, outermost or own) for _, inner in reversed(inside)]
    return named, whole


def _vulnerability(
    found: Gathered,
    one: Mapping[str, Any],
    named: Mapping[str, Mapping[str, Any]],
    whole: Mapping[str, str],
    *,
    where: str,
) -> None:
    analysis = table(one.get("analysis"))
    aliases = texts([table(reference).get("id") for reference in items(one.get("references"))])
    affects = [table(entry) for entry in items(one.get("affects"))]
    references = texts([entry.get("ref") for entry in affects])
    stated = words(analysis.get("state"))
    if stated:
        own = words(analysis.get("justification"))
        found.statement(
            where,
            advisory=one.get("id"),
            status=_STATES.get(stated),
            products=tuple(words(named.get(r, {}).get("purl")) or r for r in references),
            parts=tuple((whole[r], words(named[r].get("purl"))) for r in references if r in whole and r in named),
            aliases=aliases,
            justification=_JUSTIFICATIONS.get(own, own),
            stated=stated,
            impact=words(analysis.get("detail")),
            action=", ".join(texts(analysis.get("response") or [])),
        )
    severities = [words(table(rating).get("severity")) for rating in items(one.get("ratings"))]
    vectors = texts([table(rating).get("vector") for rating in items(one.get("ratings"))])
    for reference in references or ("",):
        component = named.get(reference, {})
        purl = words(component.get("purl")) or (reference if reference.startswith("pkg:") else "")
        ecosystem, package, version = from_purl(purl)
        found.finding(
            where,
            package=package or component.get("name") or reference,
            version=version or component.get("version"),
            advisory=one.get("id"),
            ecosystem=ecosystem,
            purl=purl,
            aliases=aliases,
            severity=next((s for s in severities if s), ""),
            vectors=vectors,
            target=reference,
            state=stated,
            suppressed=_STATES.get(stated) in {Status.NOT_AFFECTED, Status.FIXED},
            justification=words(analysis.get("justification")),
            tool="CycloneDX",
        )


# --- XML ------------------------------------------------------------------------------------------------------


def cyclonedx_xml(source: str, document: Document) -> Gathered:
    """A CycloneDX BOM in XML: turned into the JSON form's values, then read alike. Raises Unreadable as that does."""
    tag = document.root.tag
    version = tag.rsplit("/", 1)[-1].split("}")[0] if "cyclonedx.org/schema/bom/" in tag else ""
    root: dict[str, Any] = {
        "specVersion": version,
        "metadata": {"component": _component(child(document.root, "metadata", "component"))},
        "components": [_component(one) for one in _all(document.root, "components", "component")],
        "vulnerabilities": [_xml_vulnerability(one) for one in _all(document.root, "vulnerabilities", "vulnerability")],
    }
    # before 1.4 vulnerabilities stood inside their components, in a schema extension
    for element, component in zip(_all(document.root, "components", "component"), root["components"], strict=True):
        for one in _all(element, "vulnerabilities", "vulnerability"):
            root["vulnerabilities"].append({**_xml_vulnerability(one), "affects": [{"ref": component["bom-ref"]}]})
    gathered = cyclonedx(source, root)
    gathered.format = "cyclonedx-xml"
    return gathered


def _all(element: Element | None, holder: str, name: str) -> Iterable[Element]:
    return children(child(element, holder), name)


def _component(element: Element | None) -> dict[str, Any]:
    """A component and, one under the other, those nested in it. Depth is bounded by the XML reader."""
    if element is None:
        return {}
    purl = text_at(element, "purl")
    return {
        "bom-ref": element.get("bom-ref") or purl,
        "group": text_at(element, "group"),
        "name": text_at(element, "name"),
        "version": text_at(element, "version"),
        "purl": purl,
        "hashes": [{"alg": h.get("alg"), "content": h.text} for h in _all(element, "hashes", "hash")],
        "components": [_component(one) for one in _all(element, "components", "component")],
    }


def _xml_vulnerability(element: Element) -> dict[str, Any]:
    analysis = child(element, "analysis")
    ratings = [
        {"severity": text_at(one, "severity").lower(), "vector": text_at(one, "vector")}
        for one in _all(element, "ratings", "rating")
    ]
    return {
        "id": text_at(element, "id"),
        "ratings": ratings,
        "references": [{"id": text_at(one, "id")} for one in _all(element, "references", "reference")],
        "affects": [{"ref": text_at(one, "ref")} for one in _all(element, "affects", "target")],
        "analysis": {
            "state": text_at(analysis, "state"),
            "justification": text_at(analysis, "justification"),
            "detail": text_at(analysis, "detail"),
            "response": [(one.text or "").strip() for one in _all(analysis, "responses", "response")],
        },
    }
