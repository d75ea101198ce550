"""Setting up a machine: what is installed, from where, and what is said when it may not be."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from deploy import provision
from tests.environment import ROOT


@pytest.fixture
def stubs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH that holds nothing but what the test puts there."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def script(path: Path, body: str) -> None:
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


def test_pip_s_configuration_is_told_to_uv_in_its_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "pip.conf"
    config.write_text(
        "[global]\nindex-url = https://first.example/simple\nextra-index-url = https://a.example/s\n    https://b.example/s\n"
        "find-links = /one\n    /two\n"
    )
    for name in [name for name in os.environ if name.startswith(("PIP_", "UV_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", str(config))
    monkeypatch.setenv("PIP_INDEX_URL", "https://environment.example/simple")
    told = provision.uv_settings(Path(sys.executable))
    assert told["UV_DEFAULT_INDEX"] == "https://environment.example/simple", "the environment wins over files"
    assert told["UV_INDEX"].split() == ["https://a.example/s", "https://b.example/s"]
    assert told["UV_FIND_LINKS"] == "/one,/two"


def test_what_uv_was_told_directly_is_not_overruled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "https://pip.example/simple")
    monkeypatch.setenv("UV_DEFAULT_INDEX", "https://uv.example/simple")
    assert "UV_DEFAULT_INDEX" not in provision.uv_settings(Path(sys.executable))


def test_uv_itself_is_installed_with_its_version_and_hashes() -> None:
    first, *hashes = provision.pinned("uv").splitlines()
    assert first.startswith("uv==")
    assert hashes
    assert all(line.strip().startswith("--hash=sha256:") for line in hashes)


def test_nothing_is_installed_where_that_is_forbidden(stubs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script(stubs / "apt-get", f"touch {stubs}/called")
    monkeypatch.setenv("IMMUNE_INSTALL", "never")
    with pytest.raises(provision.ProvisionError, match="apt-get install bubblewrap"):
        provision.install_packages(["bubblewrap"], "the sandbox")
    assert not (stubs / "called").exists()


def test_sudo_that_would_ask_for_a_password_is_not_used(stubs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script(stubs / "apt-get", "exit 0")
    script(stubs / "sudo", "exit 1")
    monkeypatch.delenv("IMMUNE_INSTALL", raising=False)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert provision.privilege() is None
    script(stubs / "sudo", "exit 0")
    assert provision.privilege() == ["sudo", "-n"]


def test_set_up_goes_on_without_bubblewrap_and_names_the_command(
    stubs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("IMMUNE_INSTALL", "never")
    provision.bubblewrap()
    assert "apt-get install bubblewrap" in capsys.readouterr().err


def test_a_second_set_up_installs_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    venv = tmp_path / "venv"
    (venv / "bin").mkdir(parents=True)
    (venv / "bin" / "python").symlink_to(sys.executable)
    stamp = venv / ".made-from"
    stamp.write_text(provision.digest_of_inputs(provision.REQUIREMENTS))
    monkeypatch.setattr(provision, "VENV", venv)
    monkeypatch.setattr(provision, "STAMP", stamp)
    monkeypatch.setattr(provision, "install_requirements", lambda *_: pytest.fail("installed again"))
    provision.environment(provision.REQUIREMENTS)


def test_changed_pins_are_installed_again(tmp_path: Path) -> None:
    pins = tmp_path / "requirements.txt"
    pins.write_text("django==5.2.19\n")
    before = provision.digest_of_inputs([pins])
    pins.write_text("django==5.2.20\n")
    assert provision.digest_of_inputs([pins]) != before


def test_a_machine_without_a_usable_python_is_told_so_in_one_line() -> None:
    # PYTHON= is what the search ends with when nothing on PATH is new enough.
    command = ["make", "--no-print-directory", "setup", "PYTHON="]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert done.stderr.startswith("setup: no Python 3.11 or newer on PATH")
    assert "Traceback" not in done.stderr
