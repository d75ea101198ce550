"""The pages as a reader and as a writer see them."""

import pytest

from noticeboard import create_app
from noticeboard.notices import Notice


@pytest.fixture
def app(tmp_path):
    app = create_app(tmp_path, "first-key")
    yield app
    app.extensions["board"].close()


@pytest.fixture
def reader(app):
    return app.test_client()


@pytest.fixture
def writer(app):
    client = app.test_client()
    client.post("/sign-in", data={"author": "Ana"})
    return client


def test_an_empty_board_says_so(reader):
    assert "Nothing yet" in reader.get("/").text


def test_a_notice_is_written_and_read(writer, reader):
    answer = writer.post("/notices", data={"title": "Lunch <today>", "text": "At **noon**"}, follow_redirects=True)
    assert answer.status_code == 200
    page = reader.get("/notices/1").text
    assert "<h1>Lunch &lt;today&gt;</h1>" in page
    assert "<strong>noon</strong>" in page
    assert "by Ana" in reader.get("/").text


def test_a_guest_cannot_write(reader):
    assert reader.post("/notices", data={"title": "x", "text": "y"}).status_code == 403
    assert "Nothing yet" in reader.get("/").text


def test_an_unknown_notice_is_not_found(reader):
    assert reader.get("/notices/7").status_code == 404


def test_the_list_knows_who_is_signed_in(reader, writer):
    assert "Reading as a guest" in reader.get("/").text
    assert "Signed in" in writer.get("/").text


def test_a_session_survives_a_new_key(tmp_path, writer):
    rotated = create_app(tmp_path / "rotated", "second-key", ["first-key"])
    client = rotated.test_client()
    client.set_cookie("session", writer.get_cookie("session").value)
    assert "Signed in" in client.get("/").text
    rotated.extensions["board"].close()


def test_an_edited_text_is_rendered_anew(app):
    board = app.extensions["board"]
    assert "one" in board.page(Notice("t", "one", "a"))
    assert "two" in board.page(Notice("t", "two", "a"))
    assert "one" in board.page(Notice("t", "one", "a"))
