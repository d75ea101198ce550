"""The commands, run as a person would type them."""

import sys

import waitress
from click.testing import CliRunner

from noticeboard.__main__ import main


def test_preview_prints_the_page(tmp_path):
    (tmp_path / "lunch.md").write_text("At *noon*")
    result = CliRunner().invoke(main, ["preview", str(tmp_path / "lunch.md")])
    assert result.exit_code == 0
    assert result.output == "<p>At <em>noon</em></p>\n\n"


def test_a_missing_file_is_an_error(tmp_path):
    assert CliRunner().invoke(main, ["preview", str(tmp_path / "none.md")]).exit_code == 2


def test_write_opens_the_file_in_the_editor(tmp_path):
    script = tmp_path / "editor.py"
    script.write_text("import sys\nopen(sys.argv[-1], 'a').write('and more')\n")
    notice = tmp_path / "a notice.md"
    notice.write_text("some ")
    result = CliRunner().invoke(main, ["write", str(notice), "--editor", f"{sys.executable} {script}"])
    assert result.exit_code == 0, result.output
    assert notice.read_text() == "some and more"


def test_serve_hands_the_board_to_the_server(monkeypatch):
    served = []

    def serve(app, host, port):
        served.append((host, port, app.test_client().get("/").status_code))
        app.extensions["board"].close()

    monkeypatch.setattr(waitress, "serve", serve)
    result = CliRunner().invoke(main, ["serve", "--port", "8099"])
    assert result.exit_code == 0, result.output
    assert served == [("127.0.0.1", 8099, 200)]
