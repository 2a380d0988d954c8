"""How a contender is driven: it trains for as many steps as a line of its input says, and tells the time.

Nothing here, or in what is imported, belongs to the project, so that peers can use it in their environment.
"""

import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

Train = Callable[[int], None]
"""Trains that many steps and returns when they are done."""


def serve(prepare: Callable[[], Train]) -> None:
    """Answer each line, a number of steps, by a line of JSON: ``seconds``, and ``growth`` of memory in MiB.

    The growth is from before the networks are made to the highest peak since.
    """
    before = _resident()
    train = prepare()
    for line in sys.stdin:
        start = time.perf_counter()
        train(int(line))
        seconds = time.perf_counter() - start
        print(json.dumps({"seconds": seconds, "growth": _peak() - before}), flush=True)


def _resident() -> float:
    _forget_peak()
    return _status("VmRSS") or _peak()


def _peak() -> float:
    return _status("VmHWM") or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _forget_peak() -> None:
    if Path("/proc/self/clear_refs").exists():
        Path("/proc/self/clear_refs").write_text("5")


def _status(name: str) -> float:
    path = Path("/proc/self/status")
    lines = path.read_text().splitlines() if path.exists() else []
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{name}:")), 0.0)
