"""What every shared sample comes to, and the tables of it in docs/formats.md.

``python -m tests.immune.formats.outcomes`` writes the tables anew; a test compares them with the file.
"""

from __future__ import annotations

from pathlib import Path

from immune.advisories.signal_files import read_epss_file, read_kev_file
from immune.formats import (
    cargo_lock,
    gemfile_lock,
    go_mod,
    limits,
    package_lock,
    pipfile_lock,
    pnpm_lock,
    poetry_lock,
    pom_xml,
    pylock_toml,
    pyproject_toml,
    requirements_txt,
    uv_lock,
    yarn_lock,
)
from immune.formats.reports import parse_report
from immune.inventory import Unreadable

from .corpus import DATA, ROOT, read, samples

PARSERS = {
    "requirements": requirements_txt.parse,
    "pyproject": pyproject_toml.parse,
    "poetry-lock": poetry_lock.parse,
    "uv-lock": uv_lock.parse,
    "pylock": pylock_toml.parse,
    "pipfile-lock": pipfile_lock.parse,
    "package-lock-v1": package_lock.parse,
    "package-lock-v2": package_lock.parse,
    "package-lock-v3": package_lock.parse,
    "yarn-v1": yarn_lock.parse,
    "yarn-berry": yarn_lock.parse,
    "pnpm-lock": pnpm_lock.parse,
    "go-mod": go_mod.parse,
    "cargo-lock": cargo_lock.parse,
    "gemfile-lock": gemfile_lock.parse,
    "pom-xml": pom_xml.parse,
}
DOC = ROOT / "docs" / "formats.md"
BEGIN = "<!-- {}: made by python -m tests.immune.formats.outcomes -->"
END = "<!-- end of {} -->"


def all_samples() -> list[tuple[str, str]]:
    """(kind, path) of every manifest sample, real ones first."""
    return [(kind, path) for kind in PARSERS for path in samples(kind) + samples(kind, "edge")]


def manifests() -> str:
    lines = ["| sample | outcome |", "|---|---|"]
    lines += [f"| {path.removeprefix('manifests/')} | {_outcome(kind, path)} |" for kind, path in all_samples()]
    return "\n".join(lines)


def all_reports() -> list[str]:
    """Every report sample, also what is no report by itself."""
    return sorted(str(p.relative_to(DATA)) for p in (DATA / "reports").glob("*/*"))


def reports() -> str:
    lines = ["| sample | outcome |", "|---|---|"]
    lines += [f"| {path.removeprefix('reports/')} | {_report_outcome(path)} |" for path in all_reports()]
    return "\n".join(lines)


def signals() -> str:
    """Every file of exploitation signals: days and numbers."""
    found = sorted(p for p in (DATA / "exploitation").rglob("*") if p.is_file())
    lines = ["| sample | outcome |", "|---|---|"]
    lines += [f"| {path.relative_to(DATA / 'exploitation')} | {_signal_outcome(path)} |" for path in found]
    return "\n".join(lines)


def _signal_outcome(path: Path) -> str:
    try:
        if "epss" in path.parts:
            scores = read_epss_file(path)
            words = [f"EPSS of {scores.score_date}", *([scores.model] if scores.model else [])]
            counts, refused = f"{len(scores.scores)} scores", scores.refused
        else:
            catalogue = read_kev_file(path)
            words, counts, refused = (
                [f"KEV of {catalogue.released}"],
                f"{len(catalogue.entries)} entries",
                catalogue.refused,
            )
    except Unreadable as error:
        return f"refused: {_cell(error.reason)}"
    return "; ".join([", ".join(words), counts, *(f"refused: {_cell(one.reason)}" for one in refused[:2])])


def _report_outcome(path: str) -> str:
    try:
        found = parse_report((DATA / path).read_bytes(), source=path)
    except Unreadable as error:
        return f"refused: {_cell(error.reason)}"
    counts = (
        (len(found.findings), "findings"),
        (len(found.statements), "statements"),
        (len(found.components), "components"),
    )
    parts = [" ".join([found.format, found.version]).strip()]
    parts += [f"{count} {what}" for count, what in counts if count] or ["nothing found"]
    parts += [f"refused: {_cell(one.reason)}" for one in found.refused[:2]]
    return "; ".join(parts)


TABLES = {"table of manifests": manifests, "table of reports": reports, "table of signals": signals}


def _outcome(kind: str, path: str) -> str:
    try:
        found = PARSERS[kind](read(path), path=path, read=read)
    except Unreadable as error:
        return f"refused: {_cell(error.reason)}"
    direct = sum(1 for one in found.dependencies if one.direct)
    elsewhere = sum(1 for one in found.dependencies if one.origin != "registry")
    open_ = sum(1 for one in found.unresolved if one.origin == "registry")
    parts = [f"{len(found.dependencies)} read"]
    counts = ((direct, "direct"), (open_, "unresolved"), (elsewhere, "not from the registry"))
    parts += [f"{count} {what}" for count, what in counts if count]
    # a refusal of included files names them; the table names only what is peculiar to the sample
    parts += [f"refused: {_cell(one.reason)}" for one in found.refused[:2]]
    if len(found.refused) > 2:
        parts.append(f"and {len(found.refused) - 2} more refusals")
    return "; ".join(parts)


def _cell(text: str) -> str:
    for old, new in (("|", "\\|"), ("<", "&lt;"), ("manifests/", "")):
        text = text.replace(old, new)
    return limits.shown(text, 160)


def in_document(name: str) -> str:
    """The table as it stands in the document."""
    text = DOC.read_text(encoding="utf-8")
    return text.split(BEGIN.format(name), 1)[1].split(END.format(name), 1)[0].strip()


if __name__ == "__main__":
    for name, made in TABLES.items():
        begin, end = BEGIN.format(name), END.format(name)
        before, rest = DOC.read_text(encoding="utf-8").split(begin, 1)
        DOC.write_text(f"{before}{begin}\n\n{made()}\n\n{end}{rest.split(end, 1)[1]}", encoding="utf-8")
