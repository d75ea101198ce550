"""Archives as tests send them, made in memory."""

from __future__ import annotations

import io
import tarfile


def tarred(files: dict[str, bytes], *more: tarfile.TarInfo) -> bytes:
    """A tar of these files, with ``more`` entries that hold nothing (links, devices, folders) after them."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as out:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            out.addfile(entry, io.BytesIO(data))
        for entry in more:
            out.addfile(entry)
    return made.getvalue()
