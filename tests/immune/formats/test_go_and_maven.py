# ruff: noqa: E501 - tables of samples read best a row a line
"""What go.mod and pom.xml say, where it takes more than reading off a line."""

from __future__ import annotations

import pytest

from immune.formats import go_mod, pom_xml
from immune.inventory import Origin, Scope, Unreadable

from .corpus import needs_data, no_files, read


def modules(text: str):
    return go_mod.parse(text, path="go.mod", read=no_files)


@pytest.mark.parametrize(
    ("replace", "name", "version", "origin"),
    [
        ("", "example.org/a", "v1.0.0", Origin.REGISTRY),
        ("replace example.org/a v1.0.0 => example.org/fork v1.0.1", "example.org/fork", "v1.0.1", Origin.REGISTRY),
        ("replace example.org/a => example.org/a v1.2.0", "example.org/a", "v1.2.0", Origin.REGISTRY),
        ("replace example.org/a v2.0.0 => example.org/fork v1.0.1", "example.org/a", "v1.0.0", Origin.REGISTRY),
        ("replace example.org/a => ../a", "example.org/a", None, Origin.PATH),
        (
            "replace (\n\texample.org/a => example.org/b v1.0.0\n\texample.org/a v1.0.0 => example.org/c v1.0.0\n)",
            "example.org/c",
            "v1.0.0",
            Origin.REGISTRY,
        ),
    ],
)
def test_a_replaced_module_is_the_one_that_is_built(replace, name, version, origin):
    (found,) = modules(f"module m\n\nrequire example.org/a v1.0.0 // why\n{replace}\n").dependencies
    assert (found.name, found.version, found.origin, found.raw_name) == (name, version, origin, "example.org/a")


@pytest.mark.parametrize(
    ("comment", "direct"),
    [
        ("", True),
        ("// indirect", False),
        ("//indirect", False),
        ("// indirect; why", False),
        ("// not indirect", True),
        ("// indirectly", True),
    ],
)
def test_indirect_is_the_mark_and_nothing_like_it(comment, direct):
    assert modules(f"require example.org/a v1.0.0 {comment}\n").dependencies[0].direct is direct


def test_what_go_itself_would_not_read_is_refused_by_line():
    found = modules(
        "module m\nrequire example.org/a\nrequire example.org/b latest\nfrobnicate x\nreplace a b\nrequire (\n\texample.org/c v1.0.0\n"
    )
    assert [one.name for one in found.dependencies] == ["example.org/c"]
    assert [refusal.source for refusal in found.refused] == ["go.mod:4", "go.mod:5", "go.mod:2", "go.mod:3"]


def test_quoted_paths_and_comments_inside_blocks_are_read():
    found = modules(
        'module "m"\nrequire (\n\t// a comment\n\t"example.org/a" v1.0.0\n\n\t`example.org/b` v1.0.0 // x\n)\nexclude example.org/z v1.0.0\n'
    )
    assert [(one.name, one.line) for one in found.dependencies] == [("example.org/a", 4), ("example.org/b", 6)]


def pom(inner: str) -> str:
    return f'<project xmlns="http://maven.apache.org/POM/4.0.0"><groupId>g</groupId><artifactId>own</artifactId><version>7</version>{inner}</project>'


def wish(version: str = "", extra: str = "") -> str:
    written = f"<version>{version}</version>" if version else ""
    return f"<dependencies><dependency><groupId>org.x</groupId><artifactId>y</artifactId>{written}{extra}</dependency></dependencies>"


@pytest.mark.parametrize(
    ("written", "version", "reason"),
    [
        ("1.0", "1.0", ""),
        ("${v}", "1.5", ""),
        ("${chain}", "1.5.RELEASE", ""),
        ("${project.version}", "7", ""),
        ("${pom.version}", "7", ""),
        ("[2.0]", "2.0", ""),
        ("[1.0,2.0)", None, "not pinned"),
        ("LATEST", None, "not pinned"),
        ("${nowhere}", None, "nowhere is not defined"),
        ("", None, "a parent or an imported list"),
        ("1.0-SNAPSHOT", "1.0-SNAPSHOT", ""),
    ],
)
def test_a_version_is_resolved_through_the_files_own_properties(written, version, reason):
    properties = "<properties><v>1.5</v><chain>${v}.RELEASE</chain></properties>"
    (found,) = pom_xml.parse(pom(properties + wish(written)), path="pom.xml", read=no_files).dependencies
    assert (found.name, found.version) == ("org.x:y", version)
    assert reason in found.reason


def test_managed_versions_of_the_file_apply_also_by_properties():
    managed = "<properties><who>org.x</who></properties><dependencyManagement><dependencies><dependency><groupId>${who}</groupId><artifactId>y</artifactId><version>3.0</version></dependency></dependencies></dependencyManagement>"
    (found,) = pom_xml.parse(pom(managed + wish()), path="pom.xml", read=no_files).dependencies
    assert found.version == "3.0"


def test_a_parent_in_the_repository_is_read_and_one_outside_is_noted():
    parent = pom("<properties><v>2.5</v></properties>").replace("own", "top")
    child = pom("<parent><groupId>g</groupId><artifactId>top</artifactId><version>7</version></parent>" + wish("${v}"))

    def reader(path: str) -> str:
        assert path == "pom.xml"
        return parent

    (found,) = pom_xml.parse(child, path="child/pom.xml", read=reader).dependencies
    assert found.version == "2.5"
    alone = pom_xml.parse(child, path="pom.xml", read=no_files)
    assert alone.dependencies[0].version is None
    assert [note.kind for note in alone.notes] == ["parent"]


def test_a_pom_that_is_its_own_parent_is_refused_not_followed():
    text = pom(
        "<parent><groupId>g</groupId><artifactId>own</artifactId><relativePath>pom.xml</relativePath></parent>"
        + wish("1.0")
    )
    found = pom_xml.parse(text, path="pom.xml", read=lambda path: text)
    assert ["own parent" in refusal.reason for refusal in found.refused] == [True]
    assert len(found.dependencies) == 1


def test_a_parent_outside_the_tree_is_never_read():
    text = pom(
        "<parent><groupId>g</groupId><artifactId>p</artifactId><relativePath>../../etc/pom.xml</relativePath></parent>"
        + wish("1.0")
    )

    def reader(path: str) -> str:
        raise AssertionError(path)

    assert [note.kind for note in pom_xml.parse(text, path="a/pom.xml", read=reader).notes] == ["parent"]


@pytest.mark.parametrize(
    ("extra", "scope", "origin"),
    [
        ("", Scope.RUNTIME, Origin.REGISTRY),
        ("<scope>test</scope>", Scope.DEV, Origin.REGISTRY),
        ("<scope>provided</scope>", Scope.RUNTIME, Origin.REGISTRY),
        ("<optional>true</optional>", Scope.OPTIONAL, Origin.REGISTRY),
        ("<scope>system</scope>", Scope.RUNTIME, Origin.PATH),
    ],
)
def test_mavens_scopes_are_ours(extra, scope, origin):
    (found,) = pom_xml.parse(pom(wish("1.0", extra)), path="pom.xml", read=no_files).dependencies
    assert (found.scope, found.origin) == (scope, origin)


@needs_data
def test_plugins_are_left_out_and_profiles_taken():
    folder = "manifests/pom-xml/edge/"
    plugin = pom_xml.parse(read(folder + "plugin-dependency.xml"), path="pom.xml", read=no_files)
    assert [(one.name, one.line) for one in plugin.dependencies] == [("com.example:hijack-lib", 27)]
    profile = pom_xml.parse(read(folder + "profiles.xml"), path="pom.xml", read=no_files)
    assert [one.groups for one in profile.dependencies] == [("profile:my-profile",)]


def test_a_page_that_is_no_pom_is_unreadable():
    with pytest.raises(Unreadable, match="not a pom"):
        pom_xml.parse("<html/>", path="pom.xml", read=no_files)
