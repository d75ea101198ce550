"""How near a repository's own code comes to a package: what is seen, what is not known, and what may be called unreachable."""

from __future__ import annotations

from itertools import count
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from immune import git, git_mirror
from immune.priority import Facts, Reachability, assess
from immune.reachability import tree
from immune.reachability.judging import Reach, names_of, reach_of
from immune.reachability.names import KNOWN, python_modules
from immune.reachability.uses import javascript_uses, python_uses
from immune.severity import Severity
from immune.versions import normalize_name
from tests.immune.repositories import checkout

UNKNOWN, POTENTIAL, STATIC, UNREACHABLE = (
    Reachability.UNKNOWN,
    Reachability.POTENTIAL,
    Reachability.STATIC,
    Reachability.UNREACHABLE,
)


def look(
    folder: Path, files: dict[str, str], package: str = "requests", ecosystem: str = "PyPI", **more: object
) -> Reach:
    made = checkout(folder / "work", files)
    mirror = git_mirror.mirror(made, folder / "mirror.git")
    found = {"direct": True, **more}
    names = names_of(ecosystem, package, found.get("symbols", ()))  # type: ignore[arg-type]
    sources = tree.sources_of(mirror, git.head_of(mirror, "main"), names)
    return reach_of(sources, ecosystem=ecosystem, package=package, **found)  # type: ignore[arg-type]


APP = "import os\n\n\ndef main():\n    return os.getcwd()\n"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"app.py": "import requests\n"}, Reach(POTENTIAL, "app.py")),
        ({"a/b.py": "from requests.sessions import Session\n"}, Reach(POTENTIAL, "a/b.py")),
        ({"app.py": "def f():\n    import requests as r\n"}, Reach(POTENTIAL, "app.py")),
        ({"tests/test_app.py": "import requests\n", "app.py": APP}, Reach(POTENTIAL, "tests/test_app.py")),
        ({"app.py": APP}, Reach(UNREACHABLE, "1 files read")),
        ({"app.py": "from . import requests\n"}, Reach(UNREACHABLE, "1 files read")),
        ({"app.py": "# requests are answered\n"}, Reach(UNREACHABLE, "1 files read")),
        # What stands in a text may be imported from there: plug-ins, settings, importlib.
        ({"app.py": "PLUGINS = ['requests.adapters']\n"}, Reach(UNKNOWN, "named in app.py")),
        ({"app.py": "__import__('requests')\n"}, Reach(UNKNOWN, "named in app.py")),
        (
            {"app.py": "import importlib\nimportlib.import_module(name)\n"},
            Reach(UNKNOWN, "app.py imports what it computes"),
        ),
        ({"app.py": APP, "Procfile": "web: python -m requests\n"}, Reach(UNKNOWN, "named in Procfile")),
        ({"app.py": APP, "bad.py": "print 'two'\n"}, Reach(UNKNOWN, "bad.py cannot be parsed")),
        ({"app.py": APP, "note.ipynb": "{}"}, Reach(UNKNOWN, "note.ipynb is of a kind that is not read")),
        ({"index.js": "1\n"}, Reach(UNKNOWN, "there is no Python here")),
        # Others' code and what only says that it is required are no use of it.
        ({"app.py": APP, "venv/lib/x.py": "import requests\n"}, Reach(UNREACHABLE, "1 files read")),
        ({"app.py": APP, "requirements.txt": "requests==2.31.0\n"}, Reach(UNREACHABLE, "1 files read")),
        ({"app.py": APP, "setup.cfg": "[options]\ninstall_requires = requests\n"}, Reach(UNREACHABLE, "1 files read")),
    ],
    ids=lambda value: "|".join(value) if isinstance(value, dict) else None,
)
def test_python(tmp_path: Path, files: dict[str, str], expected: Reach) -> None:
    assert look(tmp_path, files) == expected


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"index.js": "const _ = require('lodash');\n"}, POTENTIAL),
        ({"index.js": 'const merge = require( "lodash/merge" )\n'}, POTENTIAL),
        ({"index.mjs": "import{merge}from'lodash'\n"}, POTENTIAL),
        ({"index.ts": 'import type {X} from "lodash";\n'}, POTENTIAL),
        ({"index.js": "import 'lodash'\n"}, POTENTIAL),
        ({"index.js": "export * from 'lodash'\n"}, POTENTIAL),
        ({"index.js": "await import(`lodash`)\n"}, POTENTIAL),
        # Quotes and comments before it do not hide it.
        ({"index.js": "// don't\nconst a = /['\"]/; const _ = require('lodash')\n"}, POTENTIAL),
        ({"index.js": "define(['lodash'], f)\n"}, UNKNOWN),
        ({"index.js": "require(name)\n"}, UNKNOWN),
        ({"index.js": "require(/* which */ 'x' + y)\n"}, UNKNOWN),
        ({"index.js": "import(`./${name}.js`)\n"}, UNKNOWN),
        ({"index.js": "require('lod\\x61sh')\n"}, UNKNOWN),
        ({"index.js": "1\n", "App.vue": "<script>import 'lodash'</script>"}, UNKNOWN),
        ({"index.js": "1\n", "package.json": '{"scripts": {"x": "lodash build"}}'}, UNKNOWN),
        ({"index.js": "require('lodash-es'); require('./lodash')\n"}, UNREACHABLE),
        ({"index.js": "1\n", "package.json": '{"dependencies": {"lodash": "4.17.0"}}'}, UNREACHABLE),
        ({"index.js": "1\n", "node_modules/a/index.js": "require('lodash')"}, UNREACHABLE),
    ],
    ids=lambda value: "|".join(value.values()) if isinstance(value, dict) else None,
)
def test_javascript(tmp_path: Path, files: dict[str, str], expected: Reachability) -> None:
    assert look(tmp_path, files, "lodash", "npm").value is expected


def test_a_scoped_package_is_told_from_its_scope(tmp_path: Path) -> None:
    files = {"index.js": "require('@babel/traverse/lib/x'); require('@babel/core')\n"}
    assert look(tmp_path, files, "@babel/traverse", "npm").value is POTENTIAL


def test_a_name_the_advisory_gives_used_where_the_package_is_imported_is_static(tmp_path: Path) -> None:
    files = {
        "a.py": "import requests\nrequests.get('x')\n",
        "b.py": "import requests\nrequests.Session().rebuild_auth()\n",
    }
    symbols = ("requests.sessions.Session.rebuild_auth",)
    assert look(tmp_path, files, symbols=symbols) == Reach(STATIC, "b.py")


def test_a_name_used_where_the_package_is_not_imported_says_nothing(tmp_path: Path) -> None:
    files = {"a.py": "import requests\n", "b.py": "rebuild_auth()\n"}
    assert look(tmp_path, files, symbols=("requests.sessions.Session.rebuild_auth",)) == Reach(POTENTIAL, "a.py")


def test_javascript_names_are_looked_for_too(tmp_path: Path) -> None:
    files = {"a.js": "const _ = require('lodash'); _.defaultsDeep({})\n"}
    assert look(tmp_path, files, "lodash", "npm", symbols=("defaultsDeep",)).value is STATIC


@pytest.mark.parametrize("direct", [False, None])
def test_what_others_bring_in_is_not_called_unreachable(tmp_path: Path, direct: bool | None) -> None:
    assert look(tmp_path, {"app.py": APP}, direct=direct) == Reach(UNKNOWN, "not imported here, other packages may")


@pytest.mark.parametrize(
    ("package", "source", "expected"),
    [
        ("pyyaml", "import yaml\n", POTENTIAL),
        ("pyyaml", "import pyyaml\n", UNREACHABLE),
        ("pillow", "from PIL import Image\n", POTENTIAL),
        ("some-thing", "import some_thing\n", POTENTIAL),
        # Nobody says by which name it is imported, so its absence cannot be seen.
        ("some-thing", "import os\n", UNKNOWN),
    ],
)
def test_the_name_it_is_imported_by(tmp_path: Path, package: str, source: str, expected: Reachability) -> None:
    assert look(tmp_path, {"app.py": source}, package).value is expected


def test_known_names_are_written_as_matching_writes_them() -> None:
    assert [name for name in KNOWN if normalize_name("PyPI", name) != name] == []
    assert python_modules("not-known") == (("not_known",), False)


def test_another_ecosystem_is_not_looked_at(tmp_path: Path) -> None:
    assert look(tmp_path, {"app.py": APP}, ecosystem="Go").value is UNKNOWN


@pytest.mark.parametrize(
    ("limit", "value"), [("MAX_FILE", 10), ("MAX_BYTES", 10), ("MAX_FILES", 1), ("MAX_SECONDS", -1)]
)
def test_what_is_beyond_a_bound_makes_it_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, value: int
) -> None:
    monkeypatch.setattr(tree, limit, value)
    assert look(tmp_path, {"app.py": APP, "b.py": APP}).value is UNKNOWN


def test_the_look_ends_when_its_time_is_over(tmp_path: Path) -> None:
    made = checkout(tmp_path / "work", {f"m{number}.py": APP for number in range(5)})
    mirror = git_mirror.mirror(made, tmp_path / "mirror.git")
    ticks = count(0, int(tree.MAX_SECONDS) // 2)
    sources = tree.sources_of(mirror, git.head_of(mirror, "main"), frozenset(), clock=lambda: float(next(ticks)))
    assert "not read in time" in sources.unread["python"]
    assert len(sources.uses["python"]) < 5


@pytest.mark.parametrize(
    "text",
    [
        "(" * 100_000,
        "x=" + "-" * 100_000 + "1",
        "\0",
        "a" * 400_000,
        "if x:\n" * 50_000,
        "\ud800".encode("utf-8", "replace").decode(),
    ],
    ids=["nested", "unary", "nul", "long", "indented", "odd"],
)
def test_hostile_python_is_unreadable_or_read_and_never_a_fault(text: str) -> None:
    python_uses(text)


@pytest.mark.parametrize(
    "text",
    [
        "'" * 200_000,
        "'a" * 100_000,
        "'" + "a/" * 100_000,
        "require(" * 50_000,
        "from" * 50_000,
        "@a/" * 100_000,
        "`${" * 50_000,
    ],
)
def test_hostile_javascript_is_scanned_to_its_end(text: str) -> None:
    assert "lodash" in javascript_uses(text + "\nrequire('lodash')").imports


@given(st.text(max_size=200), st.text(max_size=200))
def test_whatever_stands_around_it_an_import_of_javascript_is_seen(before: str, after: str) -> None:
    assert "lodash" in javascript_uses(f"{before}\nrequire('lodash')\n{after}").imports


def test_it_weighs_in_the_priority_and_is_shown_with_where_it_was_seen() -> None:
    def of(value: Reachability, source: str = "") -> tuple[str, int, str]:
        made = assess(Facts(severity=Severity.HIGH, direct=True, reachability=value, reachability_source=source))
        factor = next(factor for factor in made.factors if factor.name == "reachability")
        return factor.value, factor.weight, made.priority.value

    assert of(POTENTIAL, "app.py") == ("potential (app.py)", 4, "P2")
    assert of(UNREACHABLE, "3 files read") == ("unreachable (3 files read)", -15, "P3")
    assert of(UNKNOWN) == ("unknown", 3, "P2")
