"""pom.xml: the dependencies a Maven project declares. Pure.

Source: "POM Reference" and "Introduction to the Dependency Mechanism" on maven.apache.org. Properties and managed
versions are resolved from the file and from parents inside the repository (``relativePath``); parents and imported
lists elsewhere are not fetched, so what they manage is unresolved. Plugins and their dependencies belong to the build
and are left out.
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass, field
from xml.etree.ElementTree import Element

from immune.formats import limits
from immune.formats.rows import Rows
from immune.formats.xml import Document, child, children, load_xml, local, text_at
from immune.inventory import Inventory, Origin, Reader, Scope, Unreadable

FORMAT = "pom.xml"
_PROPERTY = re.compile(r"\$\{([^${}]+)\}")
_MAX_PARENTS = 16
_MAX_VALUE = 4096
_SCOPES = {"test": Scope.DEV}


@dataclass(slots=True)
class _Project:
    """What one pom and its parents in the repository define, the nearest first."""

    properties: dict[str, str] = field(default_factory=dict)
    managed: dict[tuple[str, str], str] = field(default_factory=dict)
    # the same with the properties in their names put in, made anew when more became known
    by_name: tuple[int, dict[tuple[str, str], str]] = field(default_factory=lambda: (0, {}))


def parse(text: str, *, path: str, read: Reader) -> Inventory:
    """Every dependency of the project and its profiles. Raises Unreadable when the text is no pom."""
    rows = Rows(format=FORMAT, path=path, ecosystem="Maven")
    document = load_xml(path, text)
    if local(document.root) != "project":
        raise Unreadable(path, f"root element {limits.shown(local(document.root))}: not a pom.xml")
    project = _Project()
    _define(project, document.root)
    _parents(rows, project, document.root, path, read)
    for entry in children(child(document.root, "dependencyManagement", "dependencies"), "dependency"):
        if text_at(entry, "scope") == "import":
            rows.note(document.line(entry), "import", f"{text_at(entry, 'groupId')}:{text_at(entry, 'artifactId')}")
    for entry in children(child(document.root, "dependencies"), "dependency"):
        _dependency(rows, document, project, entry, group="")
    for profile in children(child(document.root, "profiles"), "profile"):
        _define_profile(project, profile)
        for entry in children(child(profile, "dependencies"), "dependency"):
            _dependency(rows, document, project, entry, group=f"profile:{text_at(profile, 'id')}")
    return rows.inventory()


def _define(project: _Project, root: Element) -> None:
    parent = child(root, "parent")
    own = {name: text_at(root, name) or text_at(parent, name) for name in ("groupId", "artifactId", "version")}
    for name, value in own.items():
        for prefix in ("project.", "pom.", ""):
            project.properties.setdefault(prefix + name, value)
    for name in ("groupId", "artifactId", "version"):
        project.properties.setdefault(f"project.parent.{name}", text_at(parent, name))
    _define_profile(project, root)


def _define_profile(project: _Project, root: Element) -> None:
    properties = child(root, "properties")
    for one in properties if properties is not None else ():
        project.properties.setdefault(local(one), (one.text or "").strip())
    for entry in children(child(root, "dependencyManagement", "dependencies"), "dependency"):
        key = (text_at(entry, "groupId"), text_at(entry, "artifactId"))
        if text_at(entry, "scope") != "import":
            project.managed.setdefault(key, text_at(entry, "version"))


def _parents(rows: Rows, project: _Project, root: Element, path: str, read: Reader) -> None:
    """Adds what parents inside the repository define. One elsewhere, or one that does not fit, is a note."""
    at, place, seen = root, path, {path}
    for _ in range(_MAX_PARENTS):
        parent = child(at, "parent")
        if parent is None:
            return
        named = f"{text_at(parent, 'groupId')}:{text_at(parent, 'artifactId')}:{text_at(parent, 'version')}"
        relative = child(parent, "relativePath")
        where = "../pom.xml" if relative is None else (relative.text or "").strip()
        place = posixpath.normpath(posixpath.join(posixpath.dirname(place), where)) if where else ""
        if not place.endswith(".xml") and place:
            place = posixpath.join(place, "pom.xml")
        if not where or place.startswith(("../", "/")):
            rows.note(None, "parent", f"{named} is not in this repository")
            return
        if place in seen:
            rows.refuse(None, f"{limits.shown(place)} is its own parent")
            return
        seen.add(place)
        try:
            at = load_xml(place, read(place)).root
        except Unreadable:
            rows.note(None, "parent", f"{named} is not in this repository")
            return
        if text_at(at, "artifactId") != text_at(parent, "artifactId"):
            rows.note(None, "parent", f"{named} is not in this repository")
            return
        _define_parent(project, at)
    rows.refuse(None, f"more than {_MAX_PARENTS} parents")


def _define_parent(project: _Project, root: Element) -> None:
    # A parent's own coordinates are not the child's; its properties and managed versions are.
    _define_profile(project, root)


def _dependency(rows: Rows, document: Document, project: _Project, entry: Element, *, group: str) -> None:
    line = document.line(entry)
    group_id, _ = _resolved(project, text_at(entry, "groupId"))
    artifact, _ = _resolved(project, text_at(entry, "artifactId"))
    if not group_id or not artifact or "${" in group_id + artifact:
        rows.refuse(line, f"a dependency without a known name: {limits.shown(f'{group_id}:{artifact}')}")
        return
    raw = (text_at(entry, "groupId"), text_at(entry, "artifactId"))
    written = text_at(entry, "version") or _managed(project, raw, (group_id, artifact))
    version, reason = _version(project, written)
    scope = text_at(entry, "scope")
    origin = Origin.PATH if scope == "system" else Origin.REGISTRY
    optional = text_at(entry, "optional") == "true"
    rows.add(
        f"{group_id}:{artifact}",
        version,
        line=line,
        reason="comes from a path, not from a repository" if origin is Origin.PATH else reason,
        requirement=written,
        origin=origin,
        scope=_SCOPES.get(scope, Scope.OPTIONAL if optional else Scope.RUNTIME),
        direct=True,
        groups=tuple(one for one in (scope, group) if one),
        extras=tuple(one for one in (text_at(entry, "type"), text_at(entry, "classifier")) if one and one != "jar"),
    )


def _managed(project: _Project, raw: tuple[str, str], name: tuple[str, str]) -> str:
    """The version managed for a dependency, by its name as written or with properties put in."""
    for key in (raw, name):
        if key in project.managed:
            return project.managed[key]
    known = len(project.managed) + len(project.properties)
    if project.by_name[0] != known:
        named = {(_resolved(project, g)[0], _resolved(project, a)[0]): v for (g, a), v in project.managed.items()}
        project.by_name = (known, named)
    return project.by_name[1].get(name, "")


def _resolved(project: _Project, value: str) -> tuple[str, str]:
    """The value with its properties put in, and what stands in the way when some could not be.

    Bounded in rounds and length: properties that name each other twice over would double with every round.
    """
    for _ in range(32):
        if "${" not in value:
            return value, ""
        new = _PROPERTY.sub(lambda found: project.properties.get(found[1]) or found[0], value)
        if new == value:
            missing = _PROPERTY.search(value)
            return value, f"the property {limits.shown(missing[1]) if missing else ''} is not defined here"
        if len(new) > _MAX_VALUE:
            return value[:_MAX_VALUE], "its properties grow without end"
        value = new
    return value, "its properties name each other in a circle"


def _version(project: _Project, written: str) -> tuple[str | None, str]:
    if not written:
        return None, "no version given here: a parent or an imported list manages it"
    value, problem = _resolved(project, written)
    if problem:
        return None, problem
    if value.startswith("[") and value.endswith("]") and "," not in value:
        return value[1:-1].strip(), ""
    if value[:1] in "[(" or value in {"LATEST", "RELEASE"}:
        return None, f"not pinned: {limits.shown(value)}"
    return value, ""
