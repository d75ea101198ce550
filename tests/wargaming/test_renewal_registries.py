"""Which registry is asked, and who gets to see its credentials: that registry, and nobody else."""

import base64
import http.server
import json
import subprocess
import sys
import threading
import zlib
from contextlib import contextmanager

import httpx
import pytest

from config import env
from immune.renewal import RegistryUnreachable
from wargaming.renewal import fetch, gateway, npm, pypi, registries, sandboxed
from wargaming.renewal.index import Index


@pytest.fixture
def configured():
    registries.configure("PyPI", "https://index.example/simple/", basic="me:secret")
    registries.configure("npm", "https://npm.example/group", token="secret")
    yield
    registries.configure("PyPI", "")
    registries.configure("npm", "")


@pytest.fixture
def seen():
    """A client of ours whose requests are kept; a path may redirect."""
    asked = {}

    def answer(request):
        asked[str(request.url)] = request.headers.get("Authorization")
        if "to" in request.url.params:
            return httpx.Response(302, headers={"Location": request.url.params["to"]})
        return httpx.Response(200)

    with fetch.client() as client:
        client._transport = httpx.MockTransport(answer)
        client._mounts = {}
        yield client, asked


def test_the_registry_that_is_set_is_asked(configured):
    assert (pypi.index_address(), npm.registry_address()) == (
        "https://index.example/simple",
        "https://npm.example/group/",
    )


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("https://index.example/simple/idna/", "Basic bWU6c2VjcmV0"),
        ("https://index.example/packages/x.whl", "Basic bWU6c2VjcmV0"),
        ("https://npm.example/group/lodash", "Bearer secret"),
        ("http://index.example/simple/idna/", None),
        ("https://index.example:8443/simple/idna/", None),
        ("https://index.example.evil.example/simple/", None),
        ("https://evil.example/index.example/", None),
    ],
)
def test_credentials_go_to_their_own_registry_alone(configured, seen, address, said):
    client, asked = seen
    fetch.get(client, address)
    assert asked == {address: said}


def test_credentials_do_not_follow_a_redirect_elsewhere(configured, seen):
    client, asked = seen
    fetch.get(client, "https://index.example/simple/idna/?to=https://evil.example/")
    assert asked["https://evil.example/"] is None


def test_credentials_in_an_address_stay_out_of_what_is_set():
    for value in ("https://me:secret@index.example/simple", "file:///etc", "index.example"):
        with pytest.raises(ValueError, match="without credentials"):
            env.registry(value)
    assert env.registry(" https://index.example/simple ") == "https://index.example/simple"


@pytest.mark.parametrize(
    ("address", "may"),
    [("https://index.example", True), ("http://127.0.0.1:4873", True), ("http://index.example", False), ("", False)],
)
def test_secrets_are_sent_encrypted_or_not_at_all(address, may):
    assert env.may_carry_secrets(address) is may


METADATA = b"Metadata-Version: 2.1\nName: a\nVersion: 1.0\nRequires-Dist: b<2\n"
LISTED = {
    "filename": "a-1.0-py3-none-any.whl",
    "url": "../../packages/00/a-1.0-py3-none-any.whl",
    "core-metadata": True,
}
PAGE = {"meta": {"api-version": "1.1"}, "name": "a", "files": [LISTED | {"hashes": {"sha256": "0" * 64}}]}
DOCUMENTS = {
    "/simple/a/": ("application/vnd.pypi.simple.v1+json", json.dumps(PAGE).encode()),
    "/packages/00/a-1.0-py3-none-any.whl.metadata": ("text/plain", METADATA),
}


class Guarded(http.server.BaseHTTPRequestHandler):
    """A registry that shows nothing to who does not sign in. ``asked`` of its server: (path, Authorization)."""

    def do_GET(self):
        said = self.headers.get("Authorization")
        self.server.asked.append((self.path, said))
        if self.server.wants is not None and said != self.server.wants:
            self.send_response(401)
            self.send_header("WWW-Authenticate", "Basic")
        elif self.path == "/simple/moved/":
            self.send_response(302)
            self.send_header("Location", self.server.elsewhere)
        elif self.path in DOCUMENTS:
            kind, body = DOCUMENTS[self.path]
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.end_headers()
            self.wfile.write(body)
            return
        else:
            self.send_response(404)
        self.end_headers()

    def log_message(self, format, *words):
        """Kept in ``asked``."""


@contextmanager
def listening(wants=None, elsewhere=""):
    """A registry on a port of this machine, and its address."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Guarded)
    server.asked, server.wants, server.elsewhere = [], wants, elsewhere
    serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    serving.start()
    try:
        yield server, f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        serving.join()


BASIC = f"Basic {base64.b64encode(b'me:s3cret!').decode()}"


@pytest.fixture
def private():
    """A private index that is configured with its credentials, and another host it may send one to."""
    with listening() as (other, other_address), listening(BASIC, f"{other_address}/simple/a/") as (server, address):
        registries.configure("PyPI", f"{address}/simple", basic="me:s3cret!")
        yield server, other
        registries.configure("PyPI", "")


def test_a_private_index_is_read_with_its_credentials(private):
    server, _ = private
    with fetch.client() as client:
        [file] = pypi.files(client, "a")
        assert file.name == LISTED["filename"]
        assert "Requires-Dist: b<2" in pypi.metadata(client, file)
    assert server.asked == [(path, BASIC) for path in DOCUMENTS]


@pytest.mark.parametrize("basic", ["", "me:wrong"])
def test_without_the_right_credentials_it_is_unreachable_and_no_empty_index(private, basic):
    registries.configure("PyPI", registries.address_of("PyPI"), basic=basic)
    with fetch.client() as client, pytest.raises(RegistryUnreachable, match=r"127\.0\.0\.1 answered 401") as refused:
        pypi.files(client, "a")
    assert "wrong" not in str(refused.value)


def test_where_it_sends_one_elsewhere_the_credentials_stay_behind(private):
    server, other = private
    with fetch.client() as client:
        fetch.get(client, f"{registries.address_of('PyPI')}/moved/")
    assert server.asked == [("/simple/moved/", BASIC)]
    assert other.asked == [("/simple/a/", None)]


INSIDE = """
import os, urllib.request
from index_inside import answer, ask, own

def renew(order):
    with urllib.request.urlopen(own + "/simple/a/") as page:
        found = {"type": page.headers["Content-Type"], "page": page.read().decode()}
    head = urllib.request.Request(own + "/simple/a/", method="HEAD")
    with urllib.request.urlopen(head) as page:
        found["head"] = [page.headers["Content-Length"], page.read().decode()]
    return found | {"own": own, "order": order, "missing": ask("/simple/none/")[0], "environment": str(os.environ)}

answer(renew)
"""


def test_what_runs_inside_gets_the_private_indexs_documents_and_neither_its_address_nor_its_credentials(
    private, tmp_path
):
    server, _ = private
    for name, content in {**sandboxed.beside_index(), "renew.py": INSIDE.encode()}.items():
        (tmp_path / name).write_bytes(content)
    with fetch.client() as client, gateway.opened(Index(client).answer, tmp_path / "gateways") as (way, folder):
        done = subprocess.run(
            [sys.executable, tmp_path / "renew.py", tmp_path, gateway.SOCKET],
            cwd=folder,  # the address of a socket holds no more than 107 characters
            input=b'{"a": 1}',
            capture_output=True,
            check=True,
            env={},
        )
    assert way.trouble is None
    found = json.loads(zlib.decompress(base64.b64decode(done.stdout)))
    [listed] = json.loads(found["page"])["files"]
    assert listed["url"].startswith(f"{found['own']}/files/")
    assert found["head"] == [str(len(found["page"])), ""]
    assert (found["type"], found["order"], found["missing"]) == (DOCUMENTS["/simple/a/"][0], {"a": 1}, 404)
    port = str(server.server_address[1])
    assert not any(secret in json.dumps(found) for secret in ("s3cret", BASIC, f":{port}/"))
    assert {said for _, said in server.asked} == {BASIC}
