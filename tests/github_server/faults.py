"""What goes wrong on the way to a forge and back, on demand: the calls named in a plan fail in the way they say."""

import random
import re
import threading
from dataclasses import dataclass, field
from enum import StrEnum


class Kind(StrEnum):
    """How a call fails."""

    STATUS = "status"  # answered with `status`, nothing was done
    DROP_BEFORE = "drop_before"  # the connection ends, nothing was done
    DROP_AFTER = "drop_after"  # it was done, the connection ends
    SILENT_AFTER = "silent_after"  # it was done, no answer comes while the caller waits
    TWICE = "twice"  # it was done two times, as by a proxy that repeats; the second answer arrives
    GARBAGE = "garbage"  # it was done, the answer is a page of HTML
    LIMITED = "limited"  # a secondary rate limit with Retry-After


@dataclass(frozen=True)
class Fault:
    """The next ``times`` calls that fit fail. ``path`` is a regular expression on the request's path."""

    kind: Kind | str
    method: str = "[A-Z]+"
    path: str = ".*"
    times: int = 1
    status: int = 502
    retry_after: int = 30


@dataclass
class FaultPlan:
    """Faults in order; the first that fits is used up. With ``rate`` faults also come at random, writes only."""

    faults: list[Fault] = field(default_factory=list)
    rate: float = 0.0
    seed: int = 1
    happened: list[tuple[str, str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._random = random.Random(self.seed)

    def add(self, kind: str, **fields: object) -> None:
        """One more fault at the end of the plan."""
        with self._lock:
            self.faults.append(Fault(Kind(kind), **fields))

    def next(self, method: str, path: str) -> Fault | None:
        """The fault that meets this call, used up."""
        with self._lock:
            for index, fault in enumerate(self.faults):
                if re.fullmatch(fault.method, method) and re.search(fault.path, path):
                    self.faults.pop(index)
                    if fault.times > 1:
                        self.faults.insert(index, Fault(**{**fault.__dict__, "times": fault.times - 1}))
                    self.happened.append((str(fault.kind), method, path))
                    return fault
            if method != "GET" and self._random.random() < self.rate:
                kinds = [Kind.STATUS, Kind.DROP_BEFORE, Kind.DROP_AFTER, Kind.SILENT_AFTER, Kind.TWICE, Kind.GARBAGE]
                fault = Fault(self._random.choice(kinds))
                self.happened.append((str(fault.kind), method, path))
                return fault
        return None
