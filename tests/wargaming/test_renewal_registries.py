"""Which registry is asked, and who gets to see its credentials: that registry, and nobody else."""

import httpx
import pytest

from config import env
from wargaming.renewal import fetch, npm, pypi, registries


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
