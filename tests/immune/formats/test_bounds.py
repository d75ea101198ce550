# ruff: noqa: E501 - tables of samples read best a row a line
"""Hostile files: refused with the reason, in bounded time, whatever the format."""

from __future__ import annotations

import json
import time

import pytest

from immune.formats import limits, package_json
from immune.inventory import Inventory, Unreadable

from .corpus import no_files
from .outcomes import PARSERS

ALL = {**PARSERS, "package-json": package_json.parse}
JSON = ["pipfile-lock", "package-json", "package-lock-v1", "package-lock-v3"]
TOML = ["pyproject", "poetry-lock", "uv-lock", "pylock", "cargo-lock"]
YAML = ["pnpm-lock", "yarn-berry"]
SECONDS = 20  # far above what each takes, far below what a hang would


def outcome(kind: str, text: str) -> Inventory | Unreadable:
    began = time.monotonic()
    try:
        return ALL[kind](text, path="some/file", read=no_files)
    except Unreadable as error:
        return error
    finally:
        assert time.monotonic() - began < SECONDS


def refused(kind: str, text: str, reason: str) -> None:
    found = outcome(kind, text)
    assert isinstance(found, Unreadable), found
    assert reason in found.reason
    assert found.source == "some/file"


@pytest.mark.parametrize("kind", ALL)
def test_a_file_over_the_limits_is_refused(kind):
    refused(kind, " " * (limits.MAX_CHARACTERS + 1), "larger than")
    refused(kind, "\n" * (limits.MAX_LINES + 1), "more than")


@pytest.mark.parametrize("kind", [k for k in ALL if k not in {"requirements", "pyproject"}])
@pytest.mark.parametrize(
    "text", ["", "\n\n", "\x00", "\ufeff", "just words", "[1, 2]", '"text"', "null", "<a/>", "- a\n- b\n"]
)
def test_a_file_that_is_no_such_lock_is_unreadable_not_empty(kind, text):
    if (kind, text) == ("go-mod", "just words"):
        refused(kind, text, "no directive")
    assert isinstance(outcome(kind, text), Unreadable)


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize(
    "text",
    [
        "a" * 10_000_000,
        '"' + "a" * 2_000_000,
        "[" * 100_000,
        "{" * 100_000,
        " " * 2_000_000,
        "\n" * 100_000,
        "(" * 100_000,
        "a." * 100_000 + "a = 1",
    ],
    ids=["letters", "quote", "brackets", "braces", "spaces", "newlines", "parentheses", "dots"],
)
def test_large_and_deep_texts_end_in_bounded_time(kind, text):
    outcome(kind, text)


@pytest.mark.parametrize("kind", JSON)
@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"a":' * 100_000 + "1" + "}" * 100_000, "too deep"),
        ('{"default": {}, "default": {}}', "twice"),
        ('{"lockfileVersion": ' + "9" * 5000 + "}", "not JSON"),
        ('{"lockfileVersion": NaN}', "not JSON"),
        ('{"default": {"a": ', "not JSON"),
    ],
)
def test_hostile_json_is_refused(kind, text, reason):
    refused(kind, text, reason)


@pytest.mark.parametrize("kind", TOML)
@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a = " + "[" * 50_000, "too deep"),
        ("a = " + "{a=" * 50_000, "TOML"),
        ("version = 1\nversion = 2\n", "not TOML"),
        ("a" + ".a" * 100_000 + " = 1", "too many parts"),
        ("[" + "a." * 100_000 + "a]", "too many parts"),
        ("a = " + "9" * 5000, "not TOML"),
        ('a = "', "not TOML"),
    ],
)
def test_hostile_toml_is_refused(kind, text, reason):
    refused(kind, text, reason)


BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{new}: &{new} [{','.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize("kind", YAML)
@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("lockfileVersion: '9.0'\n__metadata: 1\n" + BOMB, "aliases"),
        ("lockfileVersion: &x '9.0'\n__metadata: *x\n", "aliases"),
        ("lockfileVersion: '9.0'\n__metadata: " + "[" * 10_000, ""),
        ("lockfileVersion: '9.0'\n__metadata:\n" + "".join(" " * n + f"k{n}:\n" for n in range(1, 2000)), "too deep"),
        ("lockfileVersion: '9.0'\n__metadata: 1\nlockfileVersion: '6.0'\n__metadata: 2\n", "twice"),
        ("lockfileVersion: '9.0'\n__metadata: !!python/object/apply:os.system ['true']\n", "tags"),
        ("lockfileVersion: '9.0'\n__metadata: 1\n---\nb: 2\n", "more than one"),
        ("lockfileVersion: '9.0'\n__metadata: 1\n? [a]\n: b\n", "no text"),
        ("lockfileVersion: '9.0'\n__metadata: {", "not YAML"),
    ],
)
def test_hostile_yaml_is_refused(kind, text, reason):
    refused(kind, text, reason)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('<!DOCTYPE p [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><project>&b;</project>', "entities"),
        ('<!DOCTYPE p SYSTEM "file:///etc/passwd"><project/>', "entities"),
        ('<!DOCTYPE p [<!ENTITY x SYSTEM "file:///etc/passwd">]><project>&x;</project>', "entities"),
        ("<project>" + "<a>" * 5000 + "</a>" * 5000 + "</project>", "too deep"),
        ("<project>&undefined;</project>", "not XML"),
        ("<project>", "not XML"),
        ("<other/>", "not a pom.xml"),
    ],
)
def test_hostile_xml_is_refused(text, reason):
    refused("pom-xml", text, reason)


def test_maven_properties_that_double_end():
    doubling = "".join(f"<p{n}>${{p{n + 1}}}${{p{n + 1}}}</p{n}>" for n in range(60))
    circle = "<a>${b}</a><b>${a}</b>"
    wish = "<dependency><groupId>g</groupId><artifactId>a</artifactId><version>${%s}</version></dependency>"
    text = f"<project><properties>{doubling}{circle}</properties><dependencies>{wish % 'p0'}{wish % 'a'}</dependencies></project>"
    found = outcome("pom-xml", text)
    assert [one.version for one in found.dependencies] == [None, None]
    assert ["grow without end" in found.dependencies[0].reason, "circle" in found.dependencies[1].reason] == [
        True,
        True,
    ]


def test_a_thousand_packages_of_one_name_do_not_make_a_million_arrows_times_a_thousand():
    entry = '[[package]]\nname = "a"\nversion = "%d"\ndependencies = ["a"]\n'
    refused("cargo-lock", "version = 3\n" + "".join(entry % n for n in range(3000)), "arrows")


def test_a_long_chain_of_dependencies_is_walked_and_the_path_kept_short():
    entry = '[[package]]\nname = "p%d"\nversion = "1.0.0"\nsource = "registry+x"\ndependencies = ["p%d"]\n'
    own = '[[package]]\nname = "own"\nversion = "1.0.0"\ndependencies = ["p0"]\n'
    found = outcome("cargo-lock", "version = 3\n" + own + "".join(entry % (n, n + 1) for n in range(5000)))
    assert max(len(one.path) for one in found.dependencies) == limits.MAX_DEPTH


def test_npm_trees_nested_without_end_are_refused():
    text = (
        '{"lockfileVersion": 1, "dependencies": {'
        + '"a": {"version": "1.0.0", "dependencies": {' * 300
        + "}}" * 300
        + "}}"
    )
    assert len(outcome("package-lock-v1", text).dependencies) == 300
    deeper = (
        '{"lockfileVersion": 1, "dependencies": {'
        + '"a": {"version": "1.0.0", "dependencies": {' * 3000
        + "}}" * 3000
        + "}}"
    )
    refused("package-lock-v1", deeper, "too deep")


def test_a_lock_of_names_that_cannot_be_found_in_its_text_takes_no_quadratic_time():
    text = json.dumps({"lockfileVersion": 1, "dependencies": {f"é{n}": {"version": "1.0.0"} for n in range(20_000)}})
    found = outcome("package-lock-v1", text)
    assert {one.line for one in found.dependencies} == {None}


WRONG = [None, True, 7, 1.5, "text", [], [1], {}, {"a": 1}, [[]], [{}], {"": {}}, [None]]


@pytest.mark.parametrize("wrong", WRONG, ids=repr)
@pytest.mark.parametrize(
    ("kind", "shape"),
    [
        ("package-lock-v3", '{"lockfileVersion": 3, "packages": %s}'),
        ("package-lock-v3", '{"lockfileVersion": 3, "packages": {"": %s, "node_modules/a": %s}}'),
        (
            "package-lock-v3",
            '{"lockfileVersion": 3, "packages": {"": {"dependencies": %s}, "node_modules/a": {"version": %s, "name": %s}}}',
        ),
        (
            "package-lock-v3",
            '{"lockfileVersion": 3, "packages": {"node_modules/a": {"link": true, "resolved": %s}, "b": {"dependencies": %s}}}',
        ),
        ("package-lock-v1", '{"lockfileVersion": 1, "dependencies": %s}'),
        (
            "package-lock-v1",
            '{"lockfileVersion": 1, "dependencies": {"a": %s, "b": {"version": %s, "requires": %s, "dependencies": %s}}}',
        ),
        ("package-lock-v1", '{"lockfileVersion": %s, "dependencies": {}}'),
        ("package-json", '{"dependencies": %s, "devDependencies": {"a": %s}}'),
        (
            "pipfile-lock",
            '{"_meta": %s, "default": %s, "develop": {"a": %s, "b": {"version": %s, "hashes": %s, "extras": %s}}}',
        ),
        ("pnpm-lock", '{"lockfileVersion": %s, "packages": %s}'),
        ("pnpm-lock", '{"lockfileVersion": "9.0", "importers": %s, "snapshots": %s, "packages": {"a@1.0.0": %s}}'),
        (
            "pnpm-lock",
            '{"lockfileVersion": "9.0", "packages": {"a@1.0.0": {"resolution": %s, "version": %s, "name": %s}}}',
        ),
        ("yarn-berry", '{"__metadata": %s, "a@npm:1": %s}'),
        ("yarn-berry", '{"__metadata": {}, "a@npm:1": {"version": %s, "resolution": %s, "dependencies": %s}}'),
    ],
)
def test_wrong_types_anywhere_are_refused_or_passed_over(kind, shape, wrong):
    outcome(kind, shape.replace("%s", json.dumps(wrong)))


def test_a_row_with_an_unusable_name_or_version_is_refused_not_dropped():
    text = '{"lockfileVersion": 3, "packages": {"node_modules/a": {"version": 7}, "node_modules/b": {"version": "1.0.0"}, "node_modules/c\\u0007": {"version": "1"}}}'
    found = outcome("package-lock-v3", text)
    assert [one.name for one in found.dependencies] == ["b"]
    assert len(found.refused) == 2


@pytest.mark.parametrize(
    ("data", "reason"),
    [(b"\xff\xfe\x00", "utf-16"), (b"django==1.0 \xe9", "utf-8"), (b"\x80abc", "utf-8")],
)
def test_bytes_that_are_no_text_are_unreadable(data, reason):
    with pytest.raises(Unreadable, match=reason):
        limits.decode("requirements.txt", data)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ("a é".encode(), "a é"),
        ("a é".encode("utf-16"), "a é"),
        ("a é".encode("utf-32"), "a é"),
        (
            "<?xml version='1.0' encoding='iso-8859-1'?><a>é</a>".encode("iso-8859-1"),
            "<?xml version='1.0' encoding='iso-8859-1'?><a>é</a>",
        ),
        (b"\xef\xbb\xbfa", "\ufeffa"),
    ],
)
def test_text_is_decoded_by_what_the_file_itself_says(data, text):
    assert limits.decode("pom.xml", data) == text


def test_an_encoding_that_could_hide_markup_is_not_obeyed():
    with pytest.raises(Unreadable):
        limits.decode("pom.xml", b"<?xml version='1.0' encoding='utf-7'?><a>\xff</a>")
