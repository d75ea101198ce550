"""``python -m noticeboard``: serve the board, look at a notice, write one in an editor."""

import secrets
import tempfile
from pathlib import Path

import click
import requests
import waitress

from noticeboard.links import answers, host_of, links_in
from noticeboard.notices import Notice, render
from noticeboard.web import create_app


@click.group()
def main() -> None:
    """A notice board for a small team."""


@main.command()
@click.option("--port", default=8080, show_default=True)
def serve(port: int) -> None:
    """Serve the board on this machine until interrupted."""
    with tempfile.TemporaryDirectory() as folder:
        waitress.serve(create_app(Path(folder), secrets.token_hex(32)), host="127.0.0.1", port=port)


@main.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def preview(file: Path) -> None:
    """Print the page that a notice in FILE would become."""
    click.echo(render(Notice(file.stem, file.read_text(encoding="utf-8"), "")))


@main.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--editor", help="The program to write with.")
def write(file: Path, editor: str | None) -> None:
    """Write the notice in FILE."""
    click.edit(filename=str(file), editor=editor)


@main.command("check-links")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def check_links(file: Path) -> None:
    """Say for every link in FILE whether its page answers."""
    with requests.Session() as web:
        for link in links_in(file.read_text(encoding="utf-8")):
            click.echo(f"{'ok' if answers(link, web) else 'no answer'}  {host_of(link)}  {link}")


if __name__ == "__main__":
    main()
