"""Reads EPSS and KEV files, plain or gzipped, within bounds; what they mean is ``signals``' to say."""

from __future__ import annotations

import io
import re
from collections.abc import Generator
from contextlib import closing
from datetime import date
from pathlib import Path

from immune.advisories.signals import EpssScores, KevCatalogue, read_epss, read_kev_csv, read_kev_json
from immune.advisories.sources import Limits, open_unpacked
from immune.inventory import Unreadable

LIMITS = Limits(total=512 * 1024**2, document=64 * 1024**2)
_NAME_DAY = re.compile(r"(?<!\d)(\d{4}-\d\d-\d\d)(?!\d)", re.ASCII)


def read_epss_file(path: Path, limits: Limits = LIMITS) -> EpssScores:
    """The scores in a file; its name's date counts where its layout has none. Raises Unreadable."""
    # Closed here, before its stream is, also where the reading stops early.
    with open_unpacked(path, limits) as stream, closing(_lines(stream, path.name)) as lines:
        return read_epss(lines, path.name, day=_day_in(path.name))


def read_kev_file(path: Path, limits: Limits = LIMITS) -> KevCatalogue:
    """The catalogue in a file, JSON or CSV by its content. Raises Unreadable."""
    with open_unpacked(path, limits) as stream:
        if stream.peek(64).removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{"):
            data = stream.read(limits.document + 1)
            if len(data) > limits.document:
                raise Unreadable(path.name, f"longer than {limits.document} bytes")
            return read_kev_json(data, path.name)
        with closing(_lines(stream, path.name)) as lines:
            return read_kev_csv(lines, path.name, day=_day_in(path.name))


def _lines(stream: io.BufferedReader, source: str) -> Generator[str, None, None]:
    text = io.TextIOWrapper(stream, "utf-8")
    try:
        while line := text.readline(LIMITS.record):
            yield line
    except UnicodeDecodeError as error:
        raise Unreadable(source, "not UTF-8 text") from error
    finally:
        text.detach()


def _day_in(name: str) -> date | None:
    match = _NAME_DAY.search(name)
    try:
        return date.fromisoformat(match[1]) if match else None
    except ValueError:
        return None
