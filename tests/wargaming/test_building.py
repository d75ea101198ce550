"""A package without a wheel: could not tell, or built in the sandbox where that is allowed, from an index of our own."""

import hashlib
import io
import json
import socket
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest

from wargaming.building.builder import Builder, builds
from wargaming.building.shelf import Shelf
from wargaming.engine import run_wargame, specs_of
from wargaming.environments.workshop import Workshop
from wargaming.errors import EnvironmentFailed
from wargaming.evidence import evidence_bundle, read_bundle
from wargaming.renewal import gateway
from wargaming.sandbox.base import Trust
from wargaming.sandbox.limited import LimitedDriver
from wargaming.sandbox.runtimes import python_runtime
from wargaming.scenarios import scenario_from_files
from wargaming.verdict import Verdict

PROJECT = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
# A build that looks around, and leaves what it saw in the package.
BACKEND = """
import os, socket, zipfile
def tried(act):
    try:
        act()
    except OSError:
        return "refused"
    return "came through"
def build_wheel(folder, *words):
    saw = [socket.gethostname(), tried(lambda: socket.create_connection(("1.1.1.1", 443), 3)), tried(lambda: open(HOST_FILE))]
    saw += [name for name in os.environ if "SECRET" in name]
    name = "tiny-VERSION-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(folder, name), "w") as out:
        out.writestr("tiny.py", "saw = %r" % saw)
        out.writestr("tiny-VERSION.dist-info/METADATA", "Metadata-Version: 2.1\\nName: tiny\\nVersion: VERSION\\n")
        out.writestr("tiny-VERSION.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        out.writestr("tiny-VERSION.dist-info/RECORD", "")
    return name
"""
BROKEN = "def build_wheel(folder, *words):\n    raise SystemExit('the compiler is on holiday')\n"
CASE = b"""
id: tiny-case
ecosystem: PyPI
package: tiny
vulnerable_version: "1.0"
fixed_version: "1.1"
time_limit_s: 5
repeats: 1
"""
REPRODUCE = b"""
import importlib.metadata, sys, tiny
assert tiny.saw == ["sandbox", "refused", "refused"], tiny.saw
old = importlib.metadata.version("tiny") == "1.0"
print("REPRODUCED: old" if old else "NOT PRESENT: new")
sys.exit(1 if old else 0)
"""


def source_distribution(version, backend):
    out = io.BytesIO()
    files = {"pyproject.toml": PROJECT, "PKG-INFO": f"Metadata-Version: 2.1\nName: tiny\nVersion: {version}\n"}
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name, text in (files | {"backend.py": backend}).items():
            entry = tarfile.TarInfo(f"tiny-{version}/{name}")
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
    return out.getvalue()


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    """An index whose one project has source distributions only; 1.2 does not build."""
    secret = tmp_path_factory.mktemp("host") / "file"
    secret.write_text("the host's")
    backends = {
        version: BACKEND.replace("VERSION", version).replace("HOST_FILE", repr(str(secret)))
        for version in ("1.0", "1.1")
    }
    files = {f"tiny-{version}.tar.gz": source_distribution(version, text) for version, text in backends.items()}
    files["tiny-1.2.tar.gz"] = source_distribution("1.2", BROKEN)
    listed = [
        {"filename": name, "url": f"../../{name}", "hashes": {"sha256": hashlib.sha256(data).hexdigest()}}
        for name, data in files.items()
    ]
    page = json.dumps({"meta": {"api-version": "1.0"}, "name": "tiny", "files": listed}).encode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            body = page if self.path == "/simple/tiny/" else files.get(self.path.removeprefix("/"))
            self.send_response(404 if body is None else 200)
            self.send_header("Content-Type", "application/vnd.pypi.simple.v1+json" if body is page else "x/y")
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, *words):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/simple"
        server.shutdown()


@pytest.fixture
def from_index(index, monkeypatch):
    monkeypatch.setenv("UV_DEFAULT_INDEX", index)
    monkeypatch.setenv("A_SECRET", "not for builds")


def test_a_package_without_a_wheel_is_built_in_the_sandbox_and_proved(work_folder, bubblewrap, from_index):
    files = {"case.yaml": CASE, "reproduce.py": REPRODUCE, "control.py": b"print('CONTROL OK: fine')\n"}
    scenario = scenario_from_files(files, Trust.ATTACHED)
    workshop = Workshop(work_folder, builds=builds("sandbox"))
    result = run_wargame(scenario, *specs_of(scenario), bubblewrap, workshop)
    assert result.verdict is Verdict.PATCH_EFFECTIVE, result
    [wheel] = result.before.from_source
    assert hashlib.sha256(wheel.path.read_bytes()).hexdigest() == wheel.sha256
    assert f"tiny==1.0 \\\n    --hash=sha256:{wheel.sha256}" in result.before.lock
    [shown] = [factor for factor in result.factors if factor.name == "built_from_source"]
    assert (shown.weight, shown.value) == (0.0, 0.0)
    assert "tiny 1.0 built from source here" in shown.why
    manifest = read_bundle(evidence_bundle(result, scenario, tools={})).manifest
    assert manifest["environments"]["before"]["from_source"][0]["sha256"] == wheel.sha256
    assert str(work_folder) not in json.dumps(manifest)
    # Where builds are forbidden, neither what was built nor what was resolved with it is found again.
    never = Workshop(work_folder, builds=builds("never")).during(bubblewrap, None)
    assert never.build(*specs_of(scenario))[0].reason == "no_wheel"


def test_a_build_that_fails_says_the_builders_last_words(work_folder, bubblewrap, from_index):
    builder = Builder(bubblewrap, work_folder)
    with pytest.raises(EnvironmentFailed, match="the compiler is on holiday") as failure:
        builder.wheel("tiny", "1.2", python_runtime())
    assert failure.value.reason == "build_failed"
    with pytest.raises(EnvironmentFailed) as again:
        builder.wheel("tiny", "1.2", python_runtime())
    assert again.value is failure.value


def test_nothing_is_built_without_a_sandbox_or_when_cancelled(work_folder, from_index):
    for cancelled, reason in ((None, "build_failed"), (lambda: True, "cancelled")):
        with pytest.raises(EnvironmentFailed) as failure:
            Builder(LimitedDriver(work_folder), work_folder, cancelled).wheel("tiny", "1.2", python_runtime())
        assert failure.value.reason == reason


@pytest.mark.parametrize(
    "path",
    ["/", "/simple/", "/simple/../x/", "/simple/a/b/", "/simple/a/0/a-1-py3-none-any.whl", "/source/../x", "/source?x"],
)
def test_nothing_but_pages_listed_wheels_and_the_one_source_is_asked_of_the_index(path):
    assert Shelf(None, SimpleNamespace()).answer(path) is None  # there is no client: asking would fail


def handed(folder, path, body, length=None):
    with socket.socket(socket.AF_UNIX) as way:
        way.connect(str(folder / gateway.SOCKET))
        # In one piece: what is refused is answered before all of it was read.
        way.sendall(f"PUT {path} HTTP/1.1\r\nContent-Length: {length or len(body)}\r\n\r\n".encode() + body)
        return int(way.recv(64).split()[1])


def test_one_file_of_bounded_size_is_taken_from_a_build_and_nothing_from_a_resolver(tmp_path):
    taken = gateway.Taken(10)
    with gateway.opened({}.get, tmp_path, taken) as (_, folder):
        assert handed(folder, "/built/a.whl", b"x" * 11) == 413
        assert handed(folder, "/built/a.whl", b"", "-1") == 413
        assert handed(folder, "/built/a.whl", b"", "9" * 400) == 413
        assert handed(folder, "/other/a.whl", b"x") == 413
        assert handed(folder, "/built/a.whl", b"first") == 200
        assert handed(folder, "/built/b.whl", b"second") == 413
    assert (taken.name, taken.content) == ("a.whl", b"first")
    with gateway.opened({}.get, tmp_path) as (_, folder):
        assert handed(folder, "/built/a.whl", b"x") == 413
