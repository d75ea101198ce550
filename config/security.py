"""What a browser may load and run on our pages: a Content-Security-Policy on every answer that does not bring its own.

No page has inline script, so none is allowed. The console's look needs two concessions, and only under /admin/: Alpine builds
functions from attribute text (``unsafe-eval``), and Unfold writes its palette into a style element (inline style).
"""

from __future__ import annotations

from django.http import HttpRequest, HttpResponseBase
from django.utils.deprecation import MiddlewareMixin

HEADER = "Content-Security-Policy"
_COMMON = (
    "default-src 'none'; img-src 'self' data:; font-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
SITE = f"{_COMMON}; script-src 'self'; style-src 'self'"
CONSOLE = f"{_COMMON}; script-src 'self' 'unsafe-eval'; style-src 'self' 'unsafe-inline'"


class ContentPolicyMiddleware(MiddlewareMixin):
    """Adds the policy; an answer that already has one keeps it."""

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        response.setdefault(HEADER, CONSOLE if request.path.startswith("/admin/") else SITE)
        return response
