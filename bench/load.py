"""``make load``: the benchmarks at the size that takes minutes: many more events, five hundred sockets."""

from __future__ import annotations

import sys

from bench import events

if __name__ == "__main__":
    events.main(["--events", "20000", "--sockets", "500", *sys.argv[1:]])
