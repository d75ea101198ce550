"""Compiles locale/*/LC_MESSAGES/*.po to .mo without gettext, which a newcomer's machine may not have.

    python deploy/compile_messages.py [FOLDER]

Reads what this project writes: msgid, msgid_plural, msgstr, msgstr[n], one or more quoted lines each. No contexts, no fuzzy.
The file layout is GNU gettext's: https://www.gnu.org/software/gettext/manual/html_node/MO-Files.html
"""

from __future__ import annotations

import ast
import re
import struct
import sys
from pathlib import Path

_MAGIC = 0x950412DE
_KEYWORD = re.compile(r'^(msgid_plural|msgid|msgstr(?:\[(\d+)\])?)\s+(".*")$')


def read(text: str) -> dict[str, str]:
    """The catalogue: key → translation, as the compiled file holds them (plural forms joined by NUL).

    Raises ValueError for a line that is neither comment, blank, keyword nor continuation.
    """
    found: dict[str, str] = {}
    entry: dict[str, str] = {}
    at = ""
    for number, line in enumerate([*text.splitlines(), 'msgid ""'], 1):
        keyword = _KEYWORD.match(line)
        if keyword:
            if keyword[1] == "msgid" and entry:
                _add(found, entry)
                entry = {}
            at = keyword[1]
            entry[at] = ast.literal_eval(keyword[3])
        elif line.startswith('"') and at:
            entry[at] += ast.literal_eval(line)
        elif line and not line.startswith("#"):
            raise ValueError(f"line {number}: {line}")
    return found


def _add(found: dict[str, str], entry: dict[str, str]) -> None:
    forms = [entry[name] for name in sorted(entry) if name.startswith("msgstr")]
    if not all(forms):
        return  # not translated: the original is shown
    key = entry["msgid"] + ("\0" + entry["msgid_plural"] if "msgid_plural" in entry else "")
    found[key] = "\0".join(forms)


def compiled(catalogue: dict[str, str]) -> bytes:
    """The .mo file: header, two tables of (length, offset) sorted by key, then the texts, each ended by NUL."""
    pairs = sorted((key.encode(), value.encode()) for key, value in catalogue.items())
    start = 28 + 16 * len(pairs)
    texts, tables = bytearray(), ([], [])  # type: tuple[bytearray, tuple[list[int], list[int]]]
    for column in (0, 1):
        for pair in pairs:
            tables[column].extend((len(pair[column]), start + len(texts)))
            texts += pair[column] + b"\0"
    header = struct.pack("<7I", _MAGIC, 0, len(pairs), 28, 28 + 8 * len(pairs), 0, start)
    return header + struct.pack(f"<{4 * len(pairs)}I", *tables[0], *tables[1]) + bytes(texts)


def main(folder: Path) -> int:
    for source in sorted(folder.glob("*/LC_MESSAGES/*.po")):
        source.with_suffix(".mo").write_bytes(compiled(read(source.read_text(encoding="utf-8"))))
        print(source.with_suffix(".mo"))
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent.parent / "locale"))
