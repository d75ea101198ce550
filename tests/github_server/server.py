"""The test GitHub on a socket: HTTP, identities, rate limits, ETags and faults around the routes."""

import hashlib
import json
import re
import sys
import threading
import time
from collections.abc import Callable
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

# The route modules register what they carry out.
from tests.github_server import action_routes, check_routes, description, git_routes, pull_routes, transport  # noqa: F401
from tests.github_server.announcements import announce
from tests.github_server.faults import Fault, FaultPlan, Kind
from tests.github_server.hooks import Hooks
from tests.github_server.routes import ROUTES, Call, Route
from tests.github_server.world import Account, Answer, World


@cache
def _patterns() -> list[tuple[Route, re.Pattern[str]]]:
    def pattern(path: str) -> re.Pattern[str]:
        wide = {"{ref}", "{path}"}
        parts = re.split(r"(\{\w+\})", path)
        text = "".join(
            f"(?P<{part[1:-1]}>{'.+' if part in wide else '[^/]+'})" if part.startswith("{") else re.escape(part)
            for part in parts
        )
        return re.compile(text)

    return [(route, pattern(route.path)) for route in ROUTES]


class GitHubServer:
    """Runs in a thread of the test's process. ``with GitHubServer(folder) as server: ... server.url``"""

    def __init__(self, folder: Path, *, port: int = 0, faults: FaultPlan | None = None, tls: bool = False) -> None:
        self.world = World(folder)
        self.faults = faults or FaultPlan()
        self.violations: list[str] = []
        self.requests: list[tuple[str, str, int]] = []
        self.moved: dict[str, str] = {}
        self.hooks = Hooks()
        self.limit, self.window_s = 5000, 3600
        self.remaining: dict[str, int] = {}
        self.now: Callable[[], float] = time.time
        self.reset_at = int(self.now()) + self.window_s
        self.stopping = threading.Event()
        server = self

        class Handler(_Handler):
            github = server

        self._http = _Listener(("127.0.0.1", port), Handler)
        self.port = self._http.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.ca_file = ""
        if tls:
            file = transport.certificate(folder / "tls")
            self.ca_file = str(file)
            self.url = f"https://localhost:{self.port}"
            secured = transport.context(file)
            # The handshake belongs into the request's own thread: a caller that only connects must not stop the others.
            self._http.socket = secured.wrap_socket(self._http.socket, server_side=True, do_handshake_on_connect=False)
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    def __enter__(self) -> "GitHubServer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join(timeout=10)

    def count(self, method: str, path: str) -> int:
        """How many such requests came, whatever became of them."""
        return sum(one == method and re.search(path, where) is not None for one, where, _ in self.requests)

    # --- one request

    def carry_out(
        self, method: str, target: str, headers: dict[str, str], raw: bytes
    ) -> tuple[int, Any, dict[str, str]]:
        """Status, body and extra headers. Nothing here knows of faults."""
        parts = urlsplit(target)
        try:
            body = json.loads(raw) if raw else None
        except ValueError:
            return 400, {"message": "Problems parsing JSON"}, {}
        for route, pattern in _patterns():
            found = pattern.fullmatch(unquote(parts.path))
            if found is not None and route.method == method:
                break
        else:
            self.violations.append(f"{method} {parts.path} is not spoken here")
            return 404, {"message": "Not Found", "documentation_url": "https://docs.github.test"}, {}
        query = dict(parse_qsl(parts.query))
        if route.described:
            self.violations += description.wrong_request(method, route.path, query, body)
        try:
            caller = self._caller(route, headers)
            limits = self._limits(caller)
            with self.world.lock:
                call = Call(self.world, caller, found.groupdict(), query, body, self.url, headers, self.hooks)
                status, answer = route.handler(call)
                if route.described and method != "GET":
                    announce(call, route, answer)
        except Answer as refused:
            status, answer, limits = refused.status, refused.body, refused.__dict__.get("headers", {})
        if route.described:
            answer = description.complete(method, route.path, status, answer)
            self.violations += description.wrong_answer(method, route.path, status, answer)
        return status, answer, limits

    def _caller(self, route: Route, headers: dict[str, str]) -> Account:
        if route.path.startswith("/app") or route.path.endswith("/installation"):
            return Account(0, "app")
        given = re.fullmatch(r"(?i)(?:token|bearer) (.+)", headers.get("authorization", ""))
        caller = self.world.tokens.get(given[1]) if given else None
        if caller is None:
            raise Answer(401, "Bad credentials" if given else "Requires authentication")
        return caller

    def _limits(self, caller: Account) -> dict[str, str]:
        if self.now() >= self.reset_at:
            self.remaining.clear()
            self.reset_at = int(self.now()) + self.window_s
        left = self.remaining.get(caller.login, self.limit)
        headers = {
            "X-RateLimit-Limit": str(self.limit),
            "X-RateLimit-Remaining": str(max(left - 1, 0)),
            "X-RateLimit-Reset": str(self.reset_at),
            "X-RateLimit-Resource": "core",
        }
        if left <= 0:
            refused = Answer(403, f"API rate limit exceeded for user ID {caller.id}.")
            refused.headers = headers
            raise refused
        self.remaining[caller.login] = left - 1
        return headers

    def not_charged(self, login: str) -> None:
        """An answer 304 costs nothing."""
        if login in self.remaining:
            self.remaining[login] += 1


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Callers that hang up or refuse the certificate are part of the tests; anything else is shown."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    github: GitHubServer

    def _answer(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        path = urlsplit(self.path).path
        if transport.GIT_PATH.fullmatch(path):
            self._git(headers, raw)
            return
        if path in self.github.world.downloads:
            self._stored(path, headers)
            return
        if path in self.github.moved:
            said = json.dumps({"message": "Moved Permanently", "url": self.github.moved[path]}).encode()
            self._send(301, said, "application/json", {"Location": self.github.moved[path]})
            return
        fault = self.github.faults.next(self.command, path)
        if fault is not None and self._fails_before(fault):
            return
        status, body, extra = self.github.carry_out(self.command, self.path, headers, raw)
        if fault is not None and fault.kind == Kind.TWICE:
            status, body, extra = self.github.carry_out(self.command, self.path, headers, raw)
        self.github.requests.append((self.command, path, status))
        if fault is not None and self._fails_after(fault):
            return
        text = b"" if body is None else json.dumps(body).encode()
        if self.command == "GET" and status == 200:
            etag = f'"{hashlib.sha256(text).hexdigest()}"'
            extra = {**extra, "ETag": etag}
            if headers.get("if-none-match") == etag:
                self._uncharge(headers)
                status, text = 304, b""
        self._send(status, text, "application/json; charset=utf-8", extra)

    def _stored(self, path: str, headers: dict[str, str]) -> None:
        """What GitHub keeps elsewhere; credentials sent there have leaked."""
        if "authorization" in headers:
            self.github.violations.append(f"credentials were sent to {path}")
        self._send(200, self.github.world.downloads[path], "application/zip", {})

    def _git(self, headers: dict[str, str], raw: bytes) -> None:
        moved = self.github.moved.get(urlsplit(self.path).path)
        if moved is not None:
            self._send(302, b"", "text/plain", {"Location": moved})
            return
        try:
            status, kind, body = transport.fetch(self.github.world, self.command, self.path, headers, raw)
            self._send(status, body, kind, {})
        except Answer as refused:
            extra = {"WWW-Authenticate": 'Basic realm="GitHub"'} if refused.status == 401 else {}
            self._send(refused.status, json.dumps(refused.body).encode(), "application/json", extra)
        self.github.requests.append((self.command, urlsplit(self.path).path, 0))

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _answer  # noqa: N815  # http.server wants these names

    def _fails_before(self, fault: Fault) -> bool:
        if fault.kind == Kind.STATUS:
            self.github.requests.append((self.command, urlsplit(self.path).path, fault.status))
            self._send(fault.status, b"<html>Unicorn!</html>", "text/html", {})
        elif fault.kind == Kind.LIMITED:
            said = "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."
            text = json.dumps({"message": said, "documentation_url": "https://docs.github.test"}).encode()
            waits = {"Retry-After": str(fault.retry_after)} if fault.retry_after else {}
            self._send(403, text, "application/json", waits)
        elif fault.kind == Kind.DROP_BEFORE:
            self.close_connection = True
        else:
            return False
        return True

    def _fails_after(self, fault: Fault) -> bool:
        if fault.kind == Kind.DROP_AFTER:
            self.close_connection = True
        elif fault.kind == Kind.SILENT_AFTER:
            # Until the caller hangs up: its time-out is the test's subject, so the server has none of its own.
            self.connection.settimeout(0.1)
            while not self.github.stopping.is_set():
                try:
                    if not self.connection.recv(1):
                        break
                except TimeoutError:
                    continue
                except OSError:
                    break
            self.close_connection = True
        elif fault.kind == Kind.GARBAGE:
            self._send(200, b"<html>Welcome to our captive portal</html>", "text/html", {})
        else:
            return False
        return True

    def _uncharge(self, headers: dict[str, str]) -> None:
        token = headers.get("authorization", "").split(" ")[-1]
        account = self.github.world.tokens.get(token)
        if account is not None:
            self.github.not_charged(account.login)

    def _send(self, status: int, text: bytes, kind: str, extra: dict[str, str]) -> None:
        self.send_response(status)
        if status not in (204, 304):
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(text)))
        for name, value in extra.items():
            self.send_header(name, value)
        self.end_headers()
        if status not in (204, 304):
            self.wfile.write(text)
        self.wfile.flush()

    def log_message(self, format: str, *args: object) -> None:
        """Tests do not want a line per request."""
