"""yarn.lock, whichever Yarn wrote it: both share the name, the text tells them apart. Pure."""

from __future__ import annotations

from immune.formats import yarn_berry, yarn_v1
from immune.inventory import Inventory, Reader


def parse(text: str, *, path: str, read: Reader) -> Inventory:
    """The inventory by the parser of the Yarn that wrote the file; see there for what is Unreadable."""
    berry = yarn_berry.HEADER in text[:4096] or "\n__metadata:" in f"\n{text[:65536]}"
    if berry and yarn_v1.HEADER not in text[:4096]:
        return yarn_berry.parse(text, path=path, read=read)
    return yarn_v1.parse(text, path=path, read=read)
