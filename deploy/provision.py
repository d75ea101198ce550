"""What `make run` and `make test` both need: the virtual environment with its dependencies, and bubblewrap.

Standard library only, since it runs before anything of ours is installed. A second run that has nothing to do
takes a blink: the environment remembers a digest of the files it was made from.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
STAMP = VENV / ".made-from"
REQUIREMENTS = (ROOT / "requirements.txt", ROOT / "requirements-dev.txt")

# Packages that bring a service would start it at once; a policy file of exit 101 is Debian's way to say no.
APT_INSTALL = """
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\\nexit 101\\n' > "$policy" && chmod 755 "$policy" && trap 'rm -f "$policy"' EXIT
fi
install() {
    # somebody else's apt may be at work: wait for its lock instead of failing
    DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=600 install -y -qq --no-install-recommends "$@" >&2
}
install "$@" || { apt-get update -qq >&2 && install "$@"; }
"""


class ProvisionError(RuntimeError):
    """Something needed is missing and may not, or could not, be installed. The message says what to type."""


def say(message: str) -> None:
    print(f"setup: {message}", file=sys.stderr, flush=True)


# --- the distribution's packages ------------------------------------------------------------------------------


def privilege() -> list[str] | None:
    """The words before a command that installs packages: none for root, sudo where it asks nothing, else None."""
    if os.environ.get("IMMUNE_INSTALL", "").lower() == "never" or not shutil.which("apt-get"):
        return None
    if os.geteuid() == 0:
        return []
    if (
        shutil.which("sudo")
        and subprocess.run(["sudo", "-n", "true"], capture_output=True, check=False).returncode == 0
    ):
        return ["sudo", "-n"]
    return None


def install_packages(packages: Sequence[str], why: str) -> None:
    """Installs packages of the distribution, saying so. ProvisionError names the command where that is not allowed."""
    by_hand = "apt-get install " + shlex.join(packages)
    prefix = privilege()
    if prefix is None:
        raise ProvisionError(f"{why} is missing and nothing may be installed from here; as root: {by_hand}")
    say(f"{why} is missing: installing {' '.join(packages)} from the distribution's packages")
    done = subprocess.run(
        [*prefix, "sh", "-c", APT_INSTALL, "install", *packages], check=False, stdin=subprocess.DEVNULL
    )
    if done.returncode != 0:
        raise ProvisionError(f"{why} is missing and could not be installed; as root: {by_hand}")


# --- the virtual environment ----------------------------------------------------------------------------------


def digest_of_inputs(requirements: Sequence[Path]) -> str:
    """One line that changes when the environment has to be made again: interpreter, pins, and this file."""
    inputs = hashlib.sha256(b"\0".join(path.read_bytes() for path in (*requirements, Path(__file__))))
    return f"{sys.version.split()[0]} {inputs.hexdigest()}"


def runs(python: Path) -> bool:
    """Whether an environment is there and its interpreter still is: it vanishes when the system's is upgraded."""
    try:
        return subprocess.run([python, "-I", "-S", "-c", ""], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def make_venv() -> Path:
    python = VENV / "bin" / "python"
    if runs(python) and python.with_name("pip").exists():
        return python
    say(f"making .venv with {sys.executable} ({sys.version.split()[0]})")
    command = [sys.executable, "-m", "venv", "--clear", str(VENV)]
    if subprocess.run(command, capture_output=True, check=False).returncode != 0:
        # Debian keeps the venv module's other half in a package of its own.
        install_packages([f"python{sys.version_info.major}.{sys.version_info.minor}-venv"], "Python's venv module")
        subprocess.run(command, check=True)
    return python


def pinned(package: str) -> str:
    """The lines of requirements.txt that pin one package, its hashes with it."""
    found = re.search(rf"^{package}==(?:.*\\\n)*.*\n", REQUIREMENTS[0].read_text(encoding="utf-8"), re.MULTILINE)
    if found is None:
        raise ProvisionError(f"requirements.txt pins no {package}; run `make lock` where an environment still works")
    return found.group()


def uv_settings(python: Path) -> dict[str, str]:
    """pip's own configuration (files and environment) in uv's words; uv does not read it."""
    listed = subprocess.run([python, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False).stdout
    pip: dict[str, str] = {}
    for line in listed.splitlines():
        key, _, value = line.partition("=")
        name = key.rsplit(".", 1)[-1]
        if not name or (name in pip and not key.startswith(":env:")):
            continue  # the environment wins over files, as it does for pip
        pip[name] = value.strip().strip("'\"").replace("\\n", " ")
    words = {
        "UV_DEFAULT_INDEX": pip.get("index-url"),
        "UV_INDEX": pip.get("extra-index-url"),
        "UV_FIND_LINKS": ",".join(pip.get("find-links", "").split()) or None,
        "SSL_CERT_FILE": pip.get("cert"),
        # pip looks at every index for the best version; safe here because every file is checked by its hash.
        "UV_INDEX_STRATEGY": "unsafe-best-match" if "extra-index-url" in pip else None,
    }
    return {name: value for name, value in words.items() if value and name not in os.environ}


def uv_cache() -> dict[str, str]:
    """Nothing where uv can keep its cache; where there is no home to keep it in, the word to do without."""
    home = os.environ.get("UV_CACHE_DIR") or os.environ.get("XDG_CACHE_HOME") or os.environ.get("HOME", "")
    while home and not os.path.lexists(home):
        home = os.path.dirname(home)  # what is missing can be made in the first folder that exists
    return {} if home and os.access(home, os.W_OK) else {"UV_NO_CACHE": "1"}


def install_requirements(python: Path, requirements: Sequence[Path]) -> None:
    """All that is pinned, by uv (seconds) and, should uv fail, by pip; every file checked by its hash."""
    pip = [str(python), "-m", "pip", "install", "-qq", "--disable-pip-version-check", "--require-hashes"]
    with tempfile.TemporaryDirectory() as folder:
        only_uv = Path(folder) / "uv.txt"
        only_uv.write_text(pinned("uv"), encoding="utf-8")
        have_uv = run([*pip, "--no-deps", "-r", str(only_uv)]) == 0
    files = [str(path) for path in requirements]
    uv = [str(python.with_name("uv")), "pip", "sync", "--quiet", "--python", str(python), "--require-hashes", *files]
    if have_uv and run(uv, {**uv_settings(python), **uv_cache()}) == 0:
        return
    say("uv could not install the dependencies; trying pip")
    if run([*pip, "--no-deps", *(word for path in files for word in ("-r", path))]) != 0:
        raise ProvisionError("the dependencies could not be installed; the lines above say why")


def run(command: Sequence[str], extra: Mapping[str, str] | None = None) -> int:
    return subprocess.run(
        command, env={**os.environ, **(extra or {})}, stdin=subprocess.DEVNULL, check=False
    ).returncode


def environment(requirements: Sequence[Path]) -> None:
    wanted = digest_of_inputs(requirements)
    python = VENV / "bin" / "python"
    # Two `make` at once on one checkout: the second waits, then finds the work done.
    with REQUIREMENTS[0].open(encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if STAMP.is_file() and STAMP.read_text(encoding="utf-8") == wanted and runs(python):
            return
        python = make_venv()
        say("installing the pinned dependencies")
        install_requirements(python, requirements)
        STAMP.write_text(wanted, encoding="utf-8")


def bubblewrap() -> None:
    """The sandbox of the wargames. Going on without it is allowed: the limited driver then says what it cannot prove."""
    if shutil.which("bwrap"):
        return
    try:
        install_packages(["bubblewrap"], "bubblewrap, the wargames' sandbox,")
    except ProvisionError as missing:
        say(f"{missing} (going on without it: only shipped scenarios on the demo repository can be run)")


def main(words: Sequence[str]) -> int:
    """`--runtime` leaves out what only tests and checks need, and bubblewrap: for an image, which installs its own."""
    runtime_only = "--runtime" in words
    try:
        environment(REQUIREMENTS[:1] if runtime_only else REQUIREMENTS)
    except (ProvisionError, subprocess.CalledProcessError, OSError) as error:
        say(str(error))
        return 1
    if not runtime_only:
        bubblewrap()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
