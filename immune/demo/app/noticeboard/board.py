"""The board itself: notices in order, with their rendered pages kept on disk between requests."""

import hashlib
from pathlib import Path

import diskcache

from noticeboard.notices import Notice, render


class Board:
    """Notices of one folder. Rendering is remembered under a digest of the text, so an edit is never stale."""

    def __init__(self, folder: Path) -> None:
        self._cache = diskcache.Cache(str(folder / "pages"))
        self._notices: list[Notice] = []

    def post(self, notice: Notice) -> int:
        """Adds a notice and returns its number, counted from 1."""
        self._notices.append(notice)
        return len(self._notices)

    def notice(self, number: int) -> Notice | None:
        """The notice of that number, or None."""
        return self._notices[number - 1] if 0 < number <= len(self._notices) else None

    def all(self) -> list[tuple[int, Notice]]:
        """Every notice with its number, newest first."""
        return list(reversed(list(enumerate(self._notices, start=1))))

    def page(self, notice: Notice) -> str:
        """The rendered text."""
        key = hashlib.sha256(notice.text.encode()).hexdigest()
        page = self._cache.get(key)
        if page is None:
            page = render(notice)
            self._cache.set(key, page)
        return page

    def close(self) -> None:
        """Lets go of the files."""
        self._cache.close()
