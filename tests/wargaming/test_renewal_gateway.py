"""What a resolver can reach from the sandbox: documents of one registry through one socket, and nothing else."""

import http.client
import socket
from contextlib import nullcontext

import pytest

from immune.renewal import CannotRenew, RegistryUnreachable
from wargaming.renewal import fetch, gateway, index, npm, sandboxed, uv
from wargaming.sandbox.base import SCRATCH_DIR
from wargaming.sandbox.limited import LimitedDriver
from wargaming.sandbox.runtimes import python_runtime

TRIES = f"""
import base64, json, os, socket, sys, urllib.request, zlib
def tried(act):
    try:
        act()
    except OSError as error:
        return type(error).__name__
    return "came through"
found = {{
    "outside": tried(lambda: socket.create_connection(("1.1.1.1", 443), timeout=5)),
    "host": tried(lambda: socket.create_connection(("127.0.0.1", int(sys.stdin.read())), timeout=5)),
    "beside the socket": os.listdir("/repository"),
    "writing there": tried(lambda: open("/repository/x", "w")),
    "secrets": [name for name in os.environ if "TOKEN" in name or "_URL" in name],
    "home": os.listdir("{SCRATCH_DIR}/home"),
}}
sys.stdout.write(base64.b64encode(zlib.compress(json.dumps(found).encode())).decode())
"""


@pytest.fixture
def no_layer(work_folder):
    folder = work_folder / "none" / "layer"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def asked(folder, path):
    connection = http.client.HTTPConnection("gateway")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(str(folder / gateway.SOCKET))
    connection.request("GET", path)
    answer = connection.getresponse()
    return answer.status, answer.read()


def test_a_path_becomes_a_document_or_nothing(tmp_path):
    with gateway.opened({"/a": b"A"}.get, tmp_path) as (_, folder):
        assert asked(folder, "/a") == (200, b"A")
        assert asked(folder, "/b")[0] == 404
    assert list(tmp_path.iterdir()) == []


def test_a_registry_in_trouble_is_remembered(tmp_path):
    def answer(path):
        raise RegistryUnreachable("away")

    with gateway.opened(answer, tmp_path) as (way, folder):
        assert asked(folder, "/a")[0] == 503
    assert str(way.trouble) == "away"


def test_who_asks_without_end_gets_no_more(tmp_path, monkeypatch):
    monkeypatch.setattr(gateway, "MAX_REQUESTS", 2)
    with gateway.opened(lambda path: b"x", tmp_path) as (_, folder):
        assert [asked(folder, "/a")[0] for _ in range(3)] == [200, 200, 429]


@pytest.mark.parametrize(
    "path",
    [
        "/-/npm/v1/user",
        "/../etc/passwd",
        "/%2e%2e/x",
        "/a/b/c",
        "/@s%2f..%2fx",
        "http://127.0.0.1/x",
        "/a?x=http://b",
        "/",
        "//x/y",
    ],
)
def test_nothing_but_a_packages_name_is_asked_of_npms_registry(path):
    assert npm.answer(None, path) is None  # there is no client: asking would fail


@pytest.mark.parametrize(
    "path",
    ["/", "/simple/", "/simple/../x/", "/simple/a/b/", "/files/packages/not/listed.whl.metadata", "/pypi/a/json"],
)
def test_nothing_but_pages_and_listed_wheels_metadata_is_asked_of_the_index(path):
    assert index.Index(None).answer(path) is None


def test_inside_there_is_no_network_no_secret_and_nothing_to_write_to(bubblewrap, work_folder, no_layer, monkeypatch):
    monkeypatch.setenv("NPM_TOKEN", "secret")
    tool = sandboxed.Tool("python", python_runtime(), no_layer, TRIES.encode())
    with socket.create_server(("127.0.0.1", 0)) as listening:
        found = sandboxed.run(tool, listening.getsockname()[1], {}.get, driver=bubblewrap, work=work_folder)
    assert found.pop("beside the socket") == [gateway.SOCKET]
    assert found.pop("secrets") == []
    assert found.pop("home") == []
    assert "came through" not in found.values(), found


def test_without_a_sandbox_no_resolver_runs(tmp_path):
    renewer = uv.UvRenewer(lambda: nullcontext(LimitedDriver(tmp_path)), lambda: tmp_path)
    with fetch.client() as client, pytest.raises(CannotRenew, match="in a sandbox only"):
        renewer._run({"manifest": "", "lock": "", "upgrades": []}, client, LimitedDriver(tmp_path))


@pytest.mark.parametrize("script", ["raise SystemExit(3)", "print('not an answer')", "print('x' * 9_000_000)", ""])
def test_a_resolver_that_says_nonsense_is_refused(bubblewrap, work_folder, no_layer, script):
    tool = sandboxed.Tool("python", python_runtime(), no_layer, script.encode())
    with pytest.raises(CannotRenew):
        sandboxed.run(tool, {}, {}.get, driver=bubblewrap, work=work_folder)


def test_what_a_resolver_says_is_bounded_and_printable():
    said = sandboxed.reason("npm: \x1b[31m\x00bad\u202e\n" + "x" * 10_000 + " https://user:secret@host/")
    assert said.isprintable()
    assert len(said) <= sandboxed.MAX_REASON + 40
    assert "secret" not in sandboxed.reason("at https://user:secret@host/")
