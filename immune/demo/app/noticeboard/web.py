"""The pages: the list, one notice, signing in, and writing."""

from pathlib import Path

from flask import Flask, abort, redirect, render_template_string, request, session, url_for
from markupsafe import Markup
from werkzeug.wrappers import Response

from noticeboard.board import Board
from noticeboard.notices import Notice

_LIST = """<!doctype html><title>Notices</title>
<p>{{ "Signed in" if "author" in session else "Reading as a guest" }}</p>
<ul>{% for number, notice in notices %}<li><a href="{{ url_for('show', number=number) }}">{{ notice.title }}</a>
by {{ notice.author }}</li>{% else %}<li>Nothing yet</li>{% endfor %}</ul>"""

_NOTICE = """<!doctype html><title>{{ notice.title }}</title><h1>{{ notice.title }}</h1>{{ page }}"""


def create_app(folder: Path, secret_key: str, retired_keys: list[str] | None = None) -> Flask:
    """The application; ``retired_keys`` are still read from cookies while people sign in anew."""
    app = Flask("noticeboard")
    app.secret_key = secret_key
    if retired_keys:
        app.config["SECRET_KEY_FALLBACKS"] = retired_keys
    board = Board(folder)
    app.extensions["board"] = board

    @app.get("/")
    def index() -> str:
        return render_template_string(_LIST, notices=board.all())

    @app.get("/notices/<int:number>")
    def show(number: int) -> str:
        notice = board.notice(number)
        if notice is None:
            abort(404)
        return render_template_string(_NOTICE, notice=notice, page=Markup(board.page(notice)))

    @app.post("/sign-in")
    def sign_in() -> Response:
        session["author"] = request.form["author"]
        return redirect(url_for("index"))

    @app.post("/notices")
    def write() -> Response:
        if "author" not in session:
            abort(403)
        number = board.post(Notice(request.form["title"], request.form["text"], session["author"]))
        return redirect(url_for("show", number=number))

    return app
