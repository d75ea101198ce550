"""A notice board for a small team: notices in Markdown, checked links, one page to read them all."""

from noticeboard.web import create_app

__all__ = ["create_app"]
