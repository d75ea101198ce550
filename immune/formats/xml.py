"""XML of untrusted files, by defusedxml: no document types, no entities, nothing fetched, depth bounded. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from xml.etree.ElementTree import Element, ParseError, TreeBuilder

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser

from immune.formats import limits
from immune.inventory import Unreadable

MAX_XML_DEPTH = 200
_DECLARATION = re.compile(r"^\s*<\?xml[^>]*\?>")


class _TooDeepError(Exception):
    """Raised inside the parser's callbacks; never leaves this module."""


class _Lines(TreeBuilder):
    """Builds the tree and notes the line of each element."""

    def __init__(self) -> None:
        super().__init__()
        self.parser: DefusedXMLParser | None = None
        self.lines: dict[int, int] = {}
        self.depth = 0

    def start(self, tag: str, attrs: dict[str, str]) -> Element:
        self.depth += 1
        if self.depth > MAX_XML_DEPTH:
            raise _TooDeepError
        element = super().start(tag, attrs)
        if self.parser is not None:
            self.lines[id(element)] = self.parser.parser.CurrentLineNumber
        return element

    def end(self, tag: str) -> Element:
        self.depth -= 1
        return super().end(tag)


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed document; elements are found by local name, whatever their namespace."""

    root: Element
    lines: dict[int, int]

    def line(self, element: Element) -> int | None:
        return self.lines.get(id(element))


def load_xml(source: str, text: str) -> Document:
    """The document. Raises Unreadable: not XML, a document type or entities, too deep, too large."""
    limits.check_size(source, text)
    builder = _Lines()
    parser = DefusedXMLParser(target=builder, forbid_dtd=True, forbid_entities=True, forbid_external=True)
    builder.parser = parser
    try:
        # The text is decoded already: a declared encoding would be applied a second time.
        declaration = _DECLARATION.match(limits.without_mark(text))
        body = limits.without_mark(text)
        parser.feed(body[declaration.end() :] if declaration else body)
        root = parser.close()
    except DefusedXmlException as error:
        raise Unreadable(source, "XML with a document type or entities") from error
    except _TooDeepError as error:
        raise Unreadable(source, "XML nested too deep") from error
    except (ParseError, ValueError, AssertionError) as error:
        raise Unreadable(source, f"not XML: {limits.shown(str(error))}") from error
    if root is None:
        raise Unreadable(source, "not XML: no element")
    offset = declaration[0].count("\n") if declaration else 0
    return Document(root, {key: line + offset for key, line in builder.lines.items()})


def local(element: Element) -> str:
    """The element's name without its namespace."""
    tag = element.tag
    return tag.rsplit("}", 1)[-1] if isinstance(tag, str) else ""


def children(element: Element | None, name: str) -> Iterator[Element]:
    """The children of that local name."""
    if element is not None:
        yield from (child for child in element if local(child) == name)


def child(element: Element | None, *names: str) -> Element | None:
    """The first child by each name in turn; None when one is missing."""
    for name in names:
        element = next(children(element, name), None)
    return element


def text_at(element: Element | None, *names: str) -> str:
    """The trimmed text of the element, or of the one found by ``names`` below it; empty when missing."""
    found = child(element, *names)
    return (found.text or "").strip() if found is not None else ""
