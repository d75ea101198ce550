"""OpenVEX and CSAF: statements about vulnerabilities in products. Pure.

Sources: the OpenVEX specification 0.2.0 (0.0.x read too); OASIS, "Common Security Advisory Framework 2.0", profile VEX.
A status nobody knows is refused, never taken for one that suppresses.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from immune.formats import limits
from immune.formats.documents import items, table
from immune.formats.reports.shapes import Gathered, Status, texts, words
from immune.inventory import Unreadable

_CSAF_STATUS = {
    "known_affected": Status.AFFECTED,
    "first_affected": Status.AFFECTED,
    "last_affected": Status.AFFECTED,
    "known_not_affected": Status.NOT_AFFECTED,
    "fixed": Status.FIXED,
    "first_fixed": Status.FIXED,
    "under_investigation": Status.UNDER_INVESTIGATION,
}
_OPENVEX_STATUS = {one.value: one for one in Status}


def openvex(source: str, document: Any) -> Gathered:
    """Every statement. In 0.0.x vulnerability and products are texts, since 0.2 objects with ``@id``."""
    root = table(document)
    found = Gathered(source, "openvex", words(root.get("@context")).rsplit("/", 1)[-1])
    for at, one in found.rows("statements", root.get("statements")):
        what = one.get("vulnerability")
        named = table(what)
        stated = words(one.get("status"))
        status = _OPENVEX_STATUS.get(stated)
        justification = words(one.get("justification"))
        if status is Status.NOT_AFFECTED and not justification and not one.get("impact_statement"):
            found.refuse(f"statements[{at}]", "not_affected without a justification or an impact statement")
            continue
        found.statement(
            f"statements[{at}]",
            advisory=what if isinstance(what, str) else named.get("name") or named.get("@id"),
            status=status,
            products=texts([product for entry in items(one.get("products")) for product in _product(entry)]),
            parts=tuple(part for entry in items(one.get("products")) for part in _parts(entry)),
            aliases=texts(named.get("aliases") or []),
            justification=justification,
            stated=stated,
            impact=words(one.get("impact_statement")),
            action=words(one.get("action_statement")),
        )
    return found


def _product(entry: Any) -> Iterable[str]:
    if isinstance(entry, str):
        yield entry
        return
    known = table(entry)
    yield words(known.get("@id")) or words(table(known.get("identifiers")).get("purl"))


def _parts(entry: Any) -> Iterable[tuple[str, str]]:
    for part in items(table(entry).get("subcomponents")):
        for product in _product(entry):
            known = table(part)
            named = words(table(known.get("identifiers")).get("purl")) or words(known.get("@id"))
            yield product, named or words(part)


def csaf(source: str, document: Any) -> Gathered:
    """One statement per vulnerability, status and justification. Raises Unreadable for another version than 2.0."""
    root = table(document)
    head = table(root.get("document"))
    version = words(head.get("csaf_version"))
    if version != "2.0":
        raise Unreadable(source, f"CSAF {version or 'without a version'}: only 2.0 is read")
    found = Gathered(source, "csaf", version)
    purls = _purls(root.get("product_tree"))
    parts = _relations(root.get("product_tree"), purls)
    for at, one in found.rows("vulnerabilities", root.get("vulnerabilities")):
        ids = texts([one.get("cve"), *[table(pair).get("text") for pair in items(one.get("ids"))]])
        flags = {
            pid: words(table(f).get("label"))
            for f in items(one.get("flags"))
            for pid in texts(table(f).get("product_ids") or [])
        }
        threats, remediations = items(one.get("threats")), items(one.get("remediations"))
        told = one.get("product_status")
        if told is not None and not isinstance(told, dict):
            found.refuse(f"vulnerabilities[{at}].product_status", "is no object")
        for stated, products in table(told).items():
            if stated == "recommended":
                continue  # says which version to take, nothing about the vulnerability
            alike: dict[tuple[str, str, str], list[str]] = {}
            if not texts(products):
                found.refuse(f"vulnerabilities[{at}].product_status.{limits.shown(stated)}", "names no product")
            for product in texts(products):
                why = _details(threats, "impact", product), _details(remediations, None, product)
                alike.setdefault((flags.get(product, ""), *why), []).append(product)
            for (flag, impact, action), held in alike.items():
                found.statement(
                    f"vulnerabilities[{at}]",
                    advisory=ids[0] if ids else None,
                    status=_CSAF_STATUS.get(stated),
                    products=tuple(purls.get(product, product) for product in held),
                    parts=tuple(parts[product] for product in held if product in parts),
                    aliases=ids[1:],
                    justification=flag,
                    stated=stated,
                    impact=impact,
                    action=action,
                )
    return found


def _details(entries: list[Any], category: str | None, product: str) -> str:
    """The first that is about the product: one that names no products is about all."""
    for entry in map(table, entries):
        named = texts(entry.get("product_ids") or [])
        if category in {None, entry.get("category")} and (not named or product in named):
            return words(entry.get("details"))
    return ""


def _relations(tree: Any, purls: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Product id of a part in a product → (that product's id, the part's purl)."""
    found: dict[str, tuple[str, str]] = {}
    for one in map(table, items(table(tree).get("relationships"))):
        whole, part = words(one.get("relates_to_product_reference")), words(one.get("product_reference"))
        named = words(table(one.get("full_product_name")).get("product_id"))
        if named and whole and part in purls:
            found[named] = (whole, purls[part])
    return found


def _purls(tree: Any) -> dict[str, str]:
    """Product id to purl, over the whole tree (walked without recursion)."""
    found: dict[str, str] = {}
    waiting = [table(tree)]
    while waiting:
        node = waiting.pop()
        product: Mapping[str, Any] = table(node.get("product")) or node
        purl = words(table(product.get("product_identification_helper")).get("purl"))
        if purl and words(product.get("product_id")):
            found[words(product.get("product_id"))] = purl
        waiting += [table(one) for one in [*items(node.get("branches")), *items(node.get("full_product_names"))]]
        waiting += [table(table(one).get("full_product_name")) for one in items(node.get("relationships"))]
    return found
