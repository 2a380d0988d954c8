"""Isolation of monitors from training: no monitor stops a run, and only a synchronous one slows it."""

import re
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from textwrap import shorten
from typing import Any, final

from PIL.Image import Image

from wgan.monitors.monitor import Histogram, Monitor, Values

PATIENCE = 20.0
"""Seconds without progress after which the end of a run stops waiting for a monitor."""
LONGEST = 60.0
"""Seconds that the end of a run waits at most, for all monitors together."""
ROOM = 256 * 2**20
"""Bytes that may be queued for a monitor; further calls are dropped until it catches up."""
SMALL = 10_000
"""Size in bytes, estimated generously, of a call without an image."""
SLICE = 0.2
"""Seconds between checks while waiting: a signal that another thread received does not wake this one."""

Call = Callable[[Monitor], None]


@final
class GuardedMonitors(Monitor):
    """Forwards every call to all monitors, so that none can harm the run or another monitor.

    A monitor that raises is switched off; one that is too slow misses calls beyond :data:`ROOM`; one that
    hangs at the end is abandoned after :data:`PATIENCE` seconds. Each of these costs one warning, issued on
    the training thread.
    """

    def __init__(self, monitors: Sequence[Monitor]) -> None:
        self._guards = [_GuardedMonitor(monitor) for monitor in monitors]

    def start(self, config: Mapping[str, Any], step: int) -> None:
        """Forward the call, to each monitor with a copy of its own."""
        for guard in self._guards:
            own = deepcopy(dict(config))
            guard.send(lambda monitor, own=own: monitor.start(own, step))  # type: ignore[misc]

    def log(self, step: int, values: Values) -> None:
        """Forward the call, to each monitor with a copy of its own."""
        for guard in self._guards:
            own = dict(values)
            guard.send(lambda monitor, own=own: monitor.log(step, own))  # type: ignore[misc]

    def images(self, step: int, image: Image) -> None:
        """Forward the call."""
        self._send(
            lambda monitor: monitor.images(step, image),
            size=image.width * image.height * len(image.getbands()),
        )

    def histograms(self, step: int, histograms: Mapping[str, Histogram]) -> None:
        """Forward the call, to each monitor with a copy of its own."""
        for guard in self._guards:
            own = dict(histograms)
            guard.send(lambda monitor, own=own: monitor.histograms(step, own))  # type: ignore[misc]

    def artifact(self, files: Mapping[str, Path]) -> None:
        """Forward the call."""
        self._send(lambda monitor: monitor.artifact(files), size=0)

    def finish(self, outcome: str) -> None:
        """Forward the call and wait, within the limits above, until all monitors are done."""
        self._send(lambda monitor: monitor.finish(outcome), size=0)
        deadline = time.monotonic() + LONGEST
        for guard in self._guards:
            guard.close(deadline)

    def _send(self, call: Call, *, size: int) -> None:
        for guard in self._guards:
            guard.send(call, size=size)


@final
class _GuardedMonitor:
    """Calls one monitor: immediately if it is synchronous, otherwise in order on a thread of its own."""

    def __init__(self, monitor: Monitor) -> None:
        self._monitor = monitor
        self._problem: str | None = None
        self._warned = self._off = self._closed = False
        self._queue: deque[tuple[Call, int]] = deque()
        self._queued_bytes = 0
        self._last_progress = 0.0
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def send(self, call: Call, *, size: int = SMALL) -> None:
        """Make the call or queue it; a call of size 0 is never dropped."""
        if not self._off:
            if self._monitor.synchronous:
                self._attempt(call, Exception)
            else:
                self._enqueue(call, size)
        self._warn_once()

    def close(self, deadline: float) -> None:
        """Wait until all calls are made, or give up at the deadline."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._last_progress = time.monotonic()
        while self._thread is not None and self._thread.is_alive():
            left = min(deadline, self._last_progress + PATIENCE) - time.monotonic()
            if left <= 0:
                self._switch_off("was still busy after the run ended and is left behind")
                break
            self._thread.join(min(left, SLICE))
        self._warn_once()

    def _enqueue(self, call: Call, size: int) -> None:
        with self._changed:
            if self._off:
                return
            if size and self._queued_bytes + size > ROOM:
                self._problem = "does not keep up with the run and will miss some of it"
                return
            self._queue.append((call, size))
            self._queued_bytes += size
            self._changed.notify()
        if self._thread is None:
            # A daemon: the program may end while a monitor hangs.
            self._thread = threading.Thread(target=self._work, name=f"monitor {self._name}", daemon=True)
            self._thread.start()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._queue or self._closed or self._off)
                if self._off or not self._queue:
                    return
                call, size = self._queue.popleft()
            self._attempt(call, BaseException)
            with self._changed:
                self._queued_bytes -= size
                self._last_progress = time.monotonic()

    def _attempt(self, call: Call, caught: type[BaseException]) -> None:
        try:
            call(self._monitor)
        except caught as error:
            self._switch_off(f"failed and is off for the rest of the run: {_reason(error)}")

    def _switch_off(self, problem: str) -> None:
        with self._changed:
            self._off, self._problem = True, problem
            self._queue.clear()

    def _warn_once(self) -> None:
        if self._problem is not None and not self._warned:
            self._warned = True
            warnings.warn(f"The monitor {self._name} {self._problem}.", stacklevel=3)

    @property
    def _name(self) -> str:
        return type(self._monitor).__name__


def _reason(error: BaseException) -> str:
    """The error in one line, without passwords in URLs."""
    line = (str(error).strip().splitlines() or [""])[0].rstrip(" .:")
    text = shorten(re.sub(r"//[^/@\s]+@", "//***@", line), 200, placeholder=" ...")
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
