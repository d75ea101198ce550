"""What the pages say of the code must be so: links lead somewhere, names exist, tables of moves and rights are the code's."""

from __future__ import annotations

import ast
import functools
import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.management import get_commands

from immune.aftermath import AFTERMATH_MACHINE
from immune.people.selectors import RIGHTS
from immune.transitions import APV_MACHINE, REMEDY_MACHINE, Machine
from reviews.transitions import REVIEW_MACHINE
from tests.environment import ROOT

NOT_OURS = {"tests", "var", "node_modules", "staticfiles"}
LINK = re.compile(r"(?<!!)\[[^\]\n]+\]\(([^)\s]+)\)")
NAMED = re.compile(r"\b((?:config|immune|wargaming|reviews|deploy|bench|tests)/[\w/.-]*\w(?:\.py)?):([A-Za-z_][\w.]*)")
PATH = re.compile(r"(?<![\w/.])(?:config|immune|wargaming|reviews|deploy|bench|tests|docs|templates)/[\w./*-]*")
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")


def _pages() -> Iterator[Path]:
    for folder, inside, files in os.walk(ROOT):
        inside[:] = sorted(name for name in inside if not name.startswith(".") and name not in NOT_OURS)
        yield from (Path(folder, name) for name in sorted(files) if name.endswith(".md"))


PAGES = [page.relative_to(ROOT).as_posix() for page in _pages()]


def _prose(text: str) -> str:
    """Without blocks and spans of code, in which brackets mean something else."""
    return re.sub(r"`[^`\n]*`", "", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))


def _anchors(text: str) -> set[str]:
    titles = re.findall(r"^#+ +(.+?) *$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@functools.cache
def _names(path: str) -> frozenset[str]:
    """Everything a module defines or imports: functions, classes, their methods, and constants."""
    found: set[str] = set()

    def look(body: list[ast.stmt], before: str) -> None:
        for node in body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                found.add(before + node.name)
                if isinstance(node, ast.ClassDef):
                    look(node.body, f"{before}{node.name}.")
            elif isinstance(node, ast.Assign | ast.AnnAssign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                found.update(before + target.id for target in targets if isinstance(target, ast.Name))

    look(ast.parse((ROOT / path).read_text(encoding="utf-8")).body, "")
    return frozenset(found)


def test_pages_are_found() -> None:
    assert {"README.md", "CHANGELOG.md", "docs/architecture.md", "docs/decisions/README.md"} <= set(PAGES)


@pytest.mark.parametrize("page", PAGES)
def test_every_relative_link_leads_to_a_page_and_a_title_in_it(page: str) -> None:
    here = ROOT / page
    for target in LINK.findall(_prose(here.read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        there = (here.parent / path).resolve() if path else here
        assert there.is_relative_to(ROOT), f"{target} leads out of the repository"
        assert there.exists(), f"{target} leads nowhere"
        if anchor:
            assert anchor in _anchors(there.read_text(encoding="utf-8")), f"{target} names no title"


@pytest.mark.parametrize("page", PAGES)
def test_no_page_names_a_folder_of_somebodys_machine_or_the_host_of_a_package_registry(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8").lower()
    # Put together here, since this file must not name them either.
    hosts = [
        ".".join(parts)
        for parts in (
            ("pypi", "org"),
            ("files", "pythonhosted", "org"),
            ("registry", "npmjs", "org"),
            ("deb", "debian", "org"),
        )
    ]
    assert [host for host in hosts if host in text] == []
    machine = "|".join(("home", "root", "work", "users", "workspace", "builds"))
    assert re.findall(rf"(?<![\w./~-])/(?:{machine})/[\w.-]+", text) == []


def test_decisions_have_one_number_each_and_all_stand_in_the_index() -> None:
    folder = ROOT / "docs" / "decisions"
    records = sorted(path.name for path in folder.glob("*.md") if path.name != "README.md")
    assert [name for name in records if not re.fullmatch(r"\d{4}-[a-z0-9-]+\.md", name)] == []
    numbers = Counter(name[:4] for name in records)
    assert {number: count for number, count in numbers.items() if count > 1} == {}
    index = re.findall(
        r"^\| \[(\d{4})\]\(([^)]+)\) \| \S.* \| \S.* \|$", (folder / "README.md").read_text("utf-8"), re.M
    )
    assert index == [(name[:4], name) for name in records]
    for name in records:
        assert re.match(rf"# {name[:4]}:? \S", (folder / name).read_text("utf-8")), (
            f"{name}: its title has another number"
        )


@pytest.mark.parametrize("page", ["docs/architecture.md", "docs/glossary.md"])
def test_every_file_and_function_the_page_names_exists(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    named = NAMED.findall(text)
    assert [f"{path}:{name}" for path, name in named if name not in _names(path)] == []
    paths = {found.rstrip(".") for found in PATH.findall(text)}
    assert paths
    assert sorted(path for path in paths if not any(ROOT.glob(path.rstrip("/")))) == []


def _table(after: str) -> dict[str, set[str]]:
    """The table that follows a mark: first cell → words of the second."""
    block = ARCHITECTURE.split(f"<!-- {after} -->\n", 1)[1].split("\n\n", 1)[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in block.splitlines()[2:]]
    return {row[0]: {word.strip() for word in row[1].split(",") if word.strip()} for row in rows}


@pytest.mark.parametrize(
    ("name", "machine"),
    [
        ("APV_MACHINE", APV_MACHINE),
        ("REMEDY_MACHINE", REMEDY_MACHINE),
        ("REVIEW_MACHINE", REVIEW_MACHINE),
        ("AFTERMATH_MACHINE", AFTERMATH_MACHINE),
    ],
)
def test_the_tables_of_moves_are_those_of_the_code(name: str, machine: Machine) -> None:
    moves = {str(from_): {str(to) for to in targets} for from_, targets in machine.moves.items()}
    assert _table(f"moves of {name}") == moves


def test_the_table_of_rights_is_that_of_the_code() -> None:
    assert _table("RIGHTS") == {str(role): set(rights) for role, rights in RIGHTS.items()}


def test_every_chore_the_readme_names_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = set(re.findall(r"(?:^    |`)(?:[A-Z]+=\S+ )?make ([a-z]+)", README, re.MULTILINE))
    assert {"run", "test"} <= named
    assert named <= targets


@pytest.mark.parametrize("page", PAGES)
def test_every_command_a_page_names_exists(page: str) -> None:
    named = set(re.findall(r"manage\.py ([a-z_]+)", (ROOT / page).read_text(encoding="utf-8")))
    assert sorted(named - {*get_commands(), "help"}) == []
