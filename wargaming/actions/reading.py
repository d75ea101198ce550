"""Reading the artifact of a run as if a stranger had written it: bounded, whole, of this order and of no other. Pure.

What passes is raw: endings, exit codes, outputs. What they mean is drawn by the same code as for a run here (``wargaming.concluding``);
last lines are taken from the outputs themselves, limits from the order, never from what the evidence claims of them.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import signal
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from immune.advisories.sources import BROKEN
from immune.formats.limits import shown
from wargaming.actions.order import DRIVER, OUTPUT_BYTES, STRENGTH, Order, limits_of
from wargaming.actions.play import FORMAT
from wargaming.concluding import PHASES, Context, Run, Seen, Side, read_run
from wargaming.environments.spec import Lock
from wargaming.errors import WargameError
from wargaming.sandbox.base import Ending, Limits, RunResult, Usage
from wargaming.sandbox.capture import Capture
from wargaming.scenarios import Scenario

MAX_ENTRIES = 1000
MAX_STATEMENT = 4 << 20
MAX_TOTAL = 64 << 20
MAX_OBSERVED = 5000
MAX_MEASURE = 1e6  # seconds or megabytes: beyond what a job there can last or have, and within what a column holds
STATEMENT = "evidence.json"
_OUTPUT = re.compile(r"outputs/[0-9]{3}\.(?:out|err)")
_ENDINGS = {"exited", "signalled", "wall_time", "output", "not_started"}


class Refused(WargameError):
    """The evidence says nothing: ``evidence_refused`` (unreadable, incomplete, altered) or ``evidence_of_another`` (order, commit, run)."""


@dataclass(frozen=True, slots=True)
class Ran:
    """The run at GitHub as GitHub names it."""

    commit: str
    run_id: int


def read_evidence(
    archive: bytes, order: Order, ran: Ran, scenario: Scenario, locks: tuple[Lock, Lock], context: Context
) -> Seen:
    """What the run saw. Raises ``Refused`` for an archive that is not exactly what this order gives."""
    entries = _entries(archive)
    said = _statement(entries.pop(STATEMENT, b""))
    _whole(said, entries)
    _of_this(said, order, ran)
    content = order.content
    sides = tuple(_side(said, phase, content, lock) for phase, lock in zip(PHASES, locks, strict=True))
    refusal = None
    if said.get("not_isolated"):
        refusal = ("no_isolation", f"GitHub's machine could not keep the scripts apart: {_words(said['not_isolated'])}")
    runs = () if refusal else tuple(_runs(said, entries, order, limits_of(scenario)))
    return Seen(
        scenario=scenario,
        before=sides[0],
        after=sides[1],
        runs=runs,
        driver=DRIVER,
        driver_strength=STRENGTH,
        runtime=_words(said.get("runtime", ""), 200),
        context=context,
        refusal=refusal,
    )


def _refuse(why: str) -> Refused:
    return Refused("evidence_refused", why)


def _entries(archive: bytes) -> dict[str, bytes]:
    try:
        with zipfile.ZipFile(io.BytesIO(archive)) as opened:
            listed = opened.infolist()
            if len(listed) > MAX_ENTRIES or len({entry.filename for entry in listed}) != len(listed):
                raise _refuse("too many entries, or two of one name")
            found: dict[str, bytes] = {}
            total = 0
            for entry in listed:
                if entry.filename.endswith("/"):  # not is_dir(): some versions of it want a first character
                    continue
                # A fixed set of names, so that none leads anywhere; nothing is ever written to a disk under them.
                if entry.filename != STATEMENT and not _OUTPUT.fullmatch(entry.filename):
                    raise _refuse(f"an entry that was not ordered: {entry.filename[:100]!r}")
                # The two that GitHub and zipfile write. LZMA would choose for itself how much memory it takes.
                if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                    raise _refuse(f"{entry.filename} is packed in an unusual way")
                limit = MAX_STATEMENT if entry.filename == STATEMENT else OUTPUT_BYTES
                with opened.open(entry) as stream:
                    data = stream.read(limit + 1)  # what is read counts, not what the header claims
                total += len(data)
                if len(data) > limit or total > MAX_TOTAL:
                    raise _refuse(f"{entry.filename} is too large")
                found[entry.filename] = data
            return found
    except BROKEN as error:
        raise _refuse(f"not a whole archive: {shown(str(error), 200)}") from error


def _statement(data: bytes) -> Mapping[str, Any]:
    if not data:
        raise _refuse(f"there is no {STATEMENT}")
    try:
        said = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise _refuse(f"{STATEMENT} is not JSON") from error
    if not isinstance(said, dict) or said.get("format") != FORMAT:
        raise _refuse(f"{STATEMENT} is not of this format")
    return said


def _whole(said: Mapping[str, Any], entries: Mapping[str, bytes]) -> None:
    if said.get("files") != {name: hashlib.sha256(data).hexdigest() for name, data in entries.items()}:
        raise _refuse("an output is missing, added or altered")
    runs = said.get("runs")
    if not isinstance(runs, list):
        raise _refuse("there are no runs")
    named = {f"outputs/{number:03d}.{stream}" for number in range(len(runs)) for stream in ("out", "err")}
    if named != set(entries):
        raise _refuse("runs and outputs do not belong together")


def _of_this(said: Mapping[str, Any], order: Order, ran: Ran) -> None:
    wanted = {
        "correlation": order.correlation,
        "nonce": order.nonce,
        "order": hashlib.sha256(order.text.encode()).hexdigest(),
        "commit": ran.commit,
        "run_id": str(ran.run_id),
    }
    for name, value in wanted.items():
        if said.get(name) != value:
            raise Refused("evidence_of_another", f"its {name} is not the one of this wargame")


def _side(said: Mapping[str, Any], phase: str, content: Mapping[str, Any], lock: Lock) -> Side:
    def side(observed: tuple[tuple[str, str], ...] = (), reason: str = "", detail: str = "") -> Side:
        asked = tuple(content["asked"][phase])
        return Side(asked, lock.text, lock.pins, f"{DRIVER}-{lock.digest[:25]}", observed, reason, detail)

    sides = said.get("sides")
    if said.get("not_isolated"):
        return side()
    found = sides.get(phase) if isinstance(sides, dict) else None
    if not isinstance(found, dict) or not isinstance(found.get("wrong"), str):
        raise _refuse(f"the side {phase} is missing")
    if found["wrong"]:
        return side(reason="install_failed", detail=_words(found["wrong"]))
    observed = found.get("observed")
    if not isinstance(observed, list) or len(observed) > MAX_OBSERVED:
        raise _refuse(f"what was observed {phase} is not a list")
    pairs = []
    for pair in observed:
        if not (isinstance(pair, list) and len(pair) == 2 and all(isinstance(part, str) for part in pair)):
            raise _refuse(f"what was observed {phase} is not a list of names and versions")
        pairs.append((shown(pair[0], 200), shown(pair[1], 200)))
    return side(tuple(pairs))


def _runs(said: Mapping[str, Any], entries: Mapping[str, bytes], order: Order, limits: Limits) -> Sequence[Run]:
    content = order.content
    ordered = {(step["phase"], step["step"], step["variant"]) for step in content["steps"]}
    seen: set[tuple[str, str, str, int]] = set()
    found = []
    for number, raw in enumerate(said["runs"]):
        if not isinstance(raw, dict):
            raise _refuse(f"run {number} is not one")
        phase, step, variant = (_text(raw, name, number) for name in ("phase", "step", "variant"))
        round_ = _whole_number(raw, "round", number, 1, content["repeats"])
        key = (phase, step, variant, round_)
        if key[:3] not in ordered or key in seen:
            raise _refuse(f"run {number} was not ordered, or is there twice")
        # A later round of what was never in the first: the first was left out.
        if round_ > 1 and (phase, step, variant, round_ - 1) not in seen:
            raise _refuse(f"run {number} has no round before it")
        seen.add(key)
        stem = f"outputs/{number:03d}"
        result = _result(raw, number, entries[f"{stem}.out"], entries[f"{stem}.err"], limits)
        nonce = content["nonces"].get(f"{phase}:{step}:{variant}:{round_}", "")
        outcome, why = read_run(step, result, nonce)
        found.append(Run(step, phase, variant, round_, outcome, why, result))
    _nothing_left_out(said, content, found)
    return found


def _nothing_left_out(said: Mapping[str, Any], content: Mapping[str, Any], runs: Sequence[Run]) -> None:
    """Every step of a side that was built ran, and again where it was cheap: nobody chose which runs to tell of."""
    there = {(run.phase, run.step, run.variant, run.round): run.result for run in runs}
    for step in content["steps"]:
        key = (step["phase"], step["step"], step["variant"])
        if said["sides"][step["phase"]]["wrong"]:
            continue
        for number in range(1, content["repeats"] + 1):
            result = there.get((*key, number))
            if result is None:
                raise _refuse(f"{key[1]} {key[0]} ({key[2]}) is left out in round {number}")
            cheap = content["cheap"]
            if not (result.seconds < cheap["seconds"] and (result.usage.cpu_s or 0.0) < cheap["cpu_s"]):
                break


def _result(raw: Mapping[str, Any], number: int, out: bytes, err: bytes, limits: Limits) -> RunResult:
    ending = Ending(_among(raw, "ending", number, _ENDINGS))
    exit_code = _whole_number(raw, "exit_code", number, 0, 255) if ending is Ending.EXITED else None
    signalled = _whole_number(raw, "signal", number, 1, 64) if ending is Ending.SIGNALLED else None
    seconds, cpu_s, memory_mb = (_measure(raw, name, number) for name in ("seconds", "cpu_s", "memory_mb"))
    total = _whole_number(raw, "output_bytes", number, 0, 1 << 40)
    if ending is not Ending.OUTPUT and total != len(out) + len(err):
        raise _refuse(f"run {number} says another length of its output than it has")
    # There the limits only refuse; what came beyond one is taken here for what it would have been: cut.
    if signalled == signal.SIGXCPU or cpu_s > limits.cpu_s:
        ending, exit_code, signalled = Ending.CPU_TIME, None, None
    elif memory_mb > limits.memory_mb:
        ending, exit_code, signalled = Ending.MEMORY, None, None
    stdout, stderr = Capture(), Capture()
    stdout.feed(out)
    stderr.feed(err)
    hits = {ending.value} & {"wall_time", "cpu_time", "memory", "output"}
    return RunResult(
        ending=ending,
        exit_code=exit_code,
        signal=signalled,
        last_line=stdout.last_line(),
        stdout_head=stdout.head(),
        stdout_tail=stdout.tail(),
        stderr_tail=stderr.tail(),
        stdout_zlib=stdout.packed(),
        stderr_zlib=stderr.packed(),
        output_bytes=total,
        seconds=seconds,
        usage=Usage(memory_mb=memory_mb, cpu_s=cpu_s),
        limits=limits,
        limit_hits=tuple(sorted(hits)),
        driver=DRIVER,
    )


def _text(raw: Mapping[str, Any], name: str, number: int) -> str:
    value = raw.get(name)
    if not isinstance(value, str):
        raise _refuse(f"run {number} has no {name}")
    return value


def _among(raw: Mapping[str, Any], name: str, number: int, choices: set[str]) -> str:
    value = _text(raw, name, number)
    if value not in choices:
        raise _refuse(f"run {number}: {name} is none that is known")
    return value


def _whole_number(raw: Mapping[str, Any], name: str, number: int, low: int, high: int) -> int:
    value = raw.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise _refuse(f"run {number}: {name} is no number from {low} to {high}")
    return value


def _measure(raw: Mapping[str, Any], name: str, number: int) -> float:
    value = raw.get(name)
    # Compared as it stands: a NaN is between nothing, and an integer may be too long to become a float.
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MAX_MEASURE:
        raise _refuse(f"run {number}: {name} is no measure")
    return float(value)


def _words(value: object, most: int = 1000) -> str:
    """Text that can be kept and shown: no half characters and no NUL, which no database takes."""
    return shown(str(value), most)
