"""What is put onto a wargame's branch: the order, the scenario, both locks, the player and the workflow that starts it. Pure.

The workflow (docs.github.com/actions/writing-workflows, "Workflow syntax") starts by a push to a branch of ours and by nothing
else, uses actions by full commit, has no secrets and may only read. Every other workflow is taken off the branch, so that our push starts
nothing that has more. What the repository itself keeps where the player lies is taken off too, and Python is started so that it loads
nothing from there: a planted module would write the evidence.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

from wargaming.actions.play import FORMAT, INSTALL_S
from wargaming.concluding import steps_of
from wargaming.engine import CHEAP_CPU_S, CHEAP_S, OBSERVE_NODE, OBSERVE_PYTHON
from wargaming.environments.resolve import NPM_FLAGS, package_json
from wargaming.environments.spec import EnvironmentSpec, Lock
from wargaming.sandbox.base import Limits
from wargaming.scenarios import Scenario

DRIVER = "github-actions"
# A machine of GitHub's own, an unprivileged user in namespaces, no network. The machine's files show, system calls are not filtered, memory
# is looked at afterwards, and what was seen is written down on the machine where it happened.
STRENGTH = 0.5
BRANCHES = "immune/wargame/"
WORKFLOWS = ".github/workflows/"
WORKFLOW = f"{WORKFLOWS}immune-wargame.yml"
FOLDER = ".immune/wargame"
EVIDENCE = "immune-evidence"
OUTPUT_BYTES = 256 * 1024  # of each stream of each run
LONGEST_MINUTES = 330  # GitHub ends a job after 360

CHECKOUT = "actions/checkout@11bd71901bbe5b1630ceea73d27597364c9af683 # v4.2.2"
PYTHON = "actions/setup-python@a26af69be951a213d495a4c3e4e4022e16d87065 # v5.6.0"
NODE = "actions/setup-node@49933ea5288caeca8642d1e84afbd3f7d6820020 # v4.4.0"
UPLOAD = "actions/upload-artifact@ea165f8d65b6e75b540449e92b4886f43607fa02 # v4.6.2"

_WORKFLOW = """\
# Written by Immune for one wargame. This branch is removed once its evidence was read; merge it nowhere.
name: Immune wargame
run-name: TITLE
on:
  push:
    branches: ["BRANCH"]
permissions:
  contents: read
jobs:
  wargame:
    runs-on: ubuntu-24.04
    timeout-minutes: MINUTES
    steps:
      - uses: CHECKOUT
        with:
          persist-credentials: false
          sparse-checkout: FOLDER
          sparse-checkout-cone-mode: false
      - uses: SETUP_PYTHON
        with:
          python-version: "PYTHON_VERSION"
SETUP_NODE      - name: Play
        run: python -I FOLDER/play.py FOLDER EVIDENCE
      - uses: UPLOAD
        with:
          name: EVIDENCE
          path: EVIDENCE
          if-no-files-found: error
          retention-days: 1
"""
_NODE = """\
      - uses: SETUP_NODE
        with:
          node-version: "NODE_VERSION"
"""


@dataclass(frozen=True, slots=True)
class Order:
    """One wargame to be played at GitHub. ``text`` is the very order.json; the rest says where it goes and how it is known again."""

    correlation: str
    nonce: str
    text: str

    @property
    def branch(self) -> str:
        return BRANCHES + self.correlation

    @property
    def title(self) -> str:
        """The name of its run, by which it is found."""
        return title_of(self.correlation)

    @property
    def content(self) -> Mapping[str, Any]:
        found: dict[str, Any] = json.loads(self.text)
        return found


def title_of(correlation: str) -> str:
    return f"Immune wargame {correlation}"


def limits_of(scenario: Scenario) -> Limits:
    """The bounds of each run, as in a sandbox here but for its output, which has to travel."""
    return Limits(
        wall_s=scenario.time_limit_s,
        cpu_s=2 * scenario.time_limit_s,
        memory_mb=scenario.memory_mb,
        output_bytes=OUTPUT_BYTES,
    )


def make_order(
    scenario: Scenario,
    sides: tuple[EnvironmentSpec, EnvironmentSpec],
    locks: tuple[Lock, Lock],
    *,
    versions: Mapping[str, str],
) -> Order:
    """A new order with a nonce and a correlation id of its own. ``versions``: of the interpreters, ``python`` and for npm ``node``."""
    correlation, nonce = secrets.token_hex(12), secrets.token_hex(32)
    limits = limits_of(scenario)
    steps = [
        {"phase": phase, "step": step, "variant": variant, "script": script}
        for phase, step, variant, script in steps_of(scenario)
    ]
    files = _inputs(scenario, sides, {"before": locks[0].text, "after": locks[1].text})
    content = {
        "format": FORMAT,
        "correlation": correlation,
        "nonce": nonce,
        "scenario": scenario.digest,
        "ecosystem": scenario.ecosystem,
        "versions": dict(versions),
        "asked": {"before": sides[0].requirements, "after": sides[1].requirements},
        "files": {name: hashlib.sha256(data).hexdigest() for name, data in sorted(files.items())},
        "steps": steps,
        "repeats": scenario.repeats,
        "cheap": {"seconds": CHEAP_S, "cpu_s": CHEAP_CPU_S},
        "needs": sorted(scenario.needs),
        "nonces": _nonces(nonce, steps, scenario),
        "npm_flags": NPM_FLAGS,
        "limits": {
            "wall_s": limits.wall_s,
            "cpu_s": limits.cpu_s,
            "memory_mb": limits.memory_mb,
            "processes": limits.processes,
            "open_files": limits.open_files,
            "disk_mb": limits.disk_mb,
            "files": limits.files,
            "output_bytes": limits.output_bytes,
        },
        "minutes": _minutes(scenario, len(steps)),
    }
    return Order(correlation, nonce, json.dumps(content, sort_keys=True, indent=1))


def _nonces(nonce: str, steps: list[dict[str, str]], scenario: Scenario) -> dict[str, str]:
    """A nonce for each run of a scenario of protocol 2, drawn from the order's own."""
    if scenario.protocol < 2:
        return {}
    names = [
        f"{step['phase']}:{step['step']}:{step['variant']}:{number}"
        for step in steps
        for number in range(1, scenario.repeats + 1)
    ]
    return {name: hmac.new(nonce.encode(), name.encode(), hashlib.sha256).hexdigest()[:32] for name in names}


def _minutes(scenario: Scenario, steps: int) -> int:
    """Longer than everything ordered can take: two installations, every run to its limit, and what surrounds them."""
    seconds = 2 * INSTALL_S + (steps * scenario.repeats + 2) * (scenario.time_limit_s + 5) + 300
    return min(LONGEST_MINUTES, int(seconds // 60) + 1)


def _inputs(
    scenario: Scenario, sides: tuple[EnvironmentSpec, EnvironmentSpec], locks: Mapping[str, str]
) -> dict[str, bytes]:
    found = {f"scenario/{name}": data for name, data in scenario.files.items()}
    for phase, side in zip(("before", "after"), sides, strict=True):
        found[f"locks/{phase}"] = locks[phase].encode()
        if scenario.ecosystem == "npm":
            found[f"locks/{phase}.package"] = package_json(side.requirements).encode()
    if scenario.ecosystem == "npm":
        found["observe.js"] = OBSERVE_NODE.encode()
    else:
        found["observe.py"] = OBSERVE_PYTHON.encode()
    return found


def branch_files(
    order: Order,
    scenario: Scenario,
    sides: tuple[EnvironmentSpec, EnvironmentSpec],
    locks: Mapping[str, str],
    there: list[str],
) -> dict[str, bytes | None]:
    """Path → content of everything the branch's one commit writes. None for what it removes of what is ``there``: workflows, and whatever
    the repository keeps in the folder the player lies in, which it could load as a module or read as an input."""
    inputs = _inputs(scenario, sides, locks)
    content: dict[str, bytes | None] = {f"{FOLDER}/{name}": data for name, data in inputs.items()}
    content[f"{FOLDER}/order.json"] = order.text.encode()
    content[f"{FOLDER}/play.py"] = resources.files("wargaming.actions").joinpath("play.py").read_bytes()
    gone: dict[str, bytes | None] = {path: None for path in there if path.startswith((WORKFLOWS, f"{FOLDER}/"))}
    return {**gone, **content, WORKFLOW: workflow(order).encode()}


def workflow(order: Order) -> str:
    """The workflow file. Nothing in it but a hexadecimal id, versions and a number comes from outside this module."""
    content = order.content
    versions = content["versions"]
    node = _NODE if "node" in versions else ""
    filled = _WORKFLOW.replace("SETUP_NODE", node, 1)
    for word, value in (
        ("TITLE", order.title),
        ("BRANCH", order.branch),
        ("MINUTES", str(content["minutes"])),
        ("CHECKOUT", CHECKOUT),
        ("SETUP_PYTHON", PYTHON),
        ("PYTHON_VERSION", versions["python"]),
        ("SETUP_NODE", NODE),
        ("NODE_VERSION", versions.get("node", "")),
        ("UPLOAD", UPLOAD),
        ("FOLDER", FOLDER),
        ("EVIDENCE", EVIDENCE),
    ):
        filled = filled.replace(word, value)
    return filled
