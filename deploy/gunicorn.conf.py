"""Gunicorn for console and REST; every figure can be given by the environment.

Metrics of several processes meet in PROMETHEUS_MULTIPROC_DIR. Without it successive scrapes would each read one process.
"""

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

bind = f"{os.environ.get('WEB_HOST', '127.0.0.1')}:{os.environ.get('WEB_PORT', '8004')}"
worker_class = "gthread"
workers = int(os.environ.get("WEB_WORKERS", "2"))
threads = int(os.environ.get("WEB_THREADS", "4"))
timeout = 60
graceful_timeout = 20
keepalive = 5
# A worker that grew is replaced; the jitter keeps the workers from all doing so at once.
max_requests = 20_000
max_requests_jitter = 2_000
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 - the heartbeat must not wait for a disk
control_socket_disable = True

METRICS = os.environ.get("PROMETHEUS_MULTIPROC_DIR")


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def on_starting(_server: Any) -> None:
    """Removes the metrics of former processes. Those of running ones stay: live and workers may share the folder."""
    if not METRICS:
        return
    folder = Path(METRICS)
    folder.mkdir(parents=True, exist_ok=True)
    for file in folder.glob("*.db"):
        # counter_1234.db, gauge_liveall_1234.db
        pid = file.stem.rpartition("_")[2]
        if not pid.isdigit() or not alive(int(pid)):
            with suppress(FileNotFoundError):
                file.unlink()


def child_exit(_server: Any, worker: Any) -> None:
    """A dead worker's gauges leave the sum; its counters stay, so that totals never fall."""
    if METRICS:
        # Only here: without the variable this call fails and takes gunicorn's shutdown with it.
        from prometheus_client import multiprocess  # noqa: PLC0415

        multiprocess.mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]
