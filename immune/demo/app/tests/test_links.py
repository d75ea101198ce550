"""Links: found, named, asked for. The web is played by an adapter, nothing leaves the machine."""

import idna
import pytest
import requests
from requests.adapters import BaseAdapter

from noticeboard.links import answers, host_of, links_in


class Web(BaseAdapter):
    """Answers from a table; an address that is not in it cannot be reached."""

    def __init__(self, pages):
        super().__init__()
        self.pages = pages

    def send(self, request, **kwargs):
        if request.url not in self.pages:
            raise requests.ConnectionError(request=request)
        response = requests.Response()
        response.status_code = self.pages[request.url]
        response.url = request.url
        response.request = request
        response._content = b""
        return response

    def close(self):
        pass


@pytest.fixture
def web():
    with requests.Session() as session:
        session.trust_env = False
        session.mount("https://", Web({"https://site.example/": 200, "https://site.example/gone": 410}))
        yield session


def test_each_link_is_found_once_and_in_order():
    text = "See https://b.example/x and (http://a.example/), then https://b.example/x again."
    assert links_in(text) == ["https://b.example/x", "http://a.example/"]


@pytest.mark.parametrize(
    ("link", "host"),
    [
        ("https://Site.Example/x", "site.example"),
        ("https://bücher.example:8443/", "xn--bcher-kva.example"),
        ("https://bücher.example./", "xn--bcher-kva.example."),
        ("https:///nowhere", ""),
    ],
)
def test_the_host_is_named_as_it_is_asked_for(link, host):
    assert host_of(link) == host


def test_a_name_that_cannot_be_one_is_refused():
    with pytest.raises(idna.IDNAError):
        host_of("https://\u0627\u200db.example/")


@pytest.mark.parametrize(
    ("link", "good"),
    [("https://site.example/", True), ("https://site.example/gone", False), ("https://other.example/", False)],
)
def test_only_a_page_that_answers_well_is_good(web, link, good):
    assert answers(link, web) is good
