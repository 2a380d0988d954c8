"""The one place between a run and those who watch it: no monitor stops the training, and none slows it."""

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
"""Seconds that the end of a run waits for a monitor that gets nothing done."""
LONGEST = 60.0
"""Seconds that the end of a run waits at all, for all monitors together, while they get things done."""
ROOM = 256 * 2**20
"""Bytes that may wait for a monitor; more is left out until it has caught up."""
SMALL = 10_000
"""What a call without an image counts for, in bytes, amply."""

SLICE = 0.2
"""Seconds after which a wait looks up: a signal that another thread received wakes nobody."""

Call = Callable[[Monitor], None]


@final
class Audience(Monitor):
    """All who watch a run. Each is told everything, and none can harm the run or another.

    A monitor that raises is off from then on; one that does not keep up misses what there is no room for; one
    that hangs at the end is left behind after :data:`PATIENCE` seconds. Each of them costs one warning, given
    on the thread that trains.
    """

    def __init__(self, monitors: Sequence[Monitor]) -> None:
        self._guards = [_Guard(monitor) for monitor in monitors]

    def start(self, config: Mapping[str, Any], step: int) -> None:
        """Pass on."""
        for guard in self._guards:
            own = deepcopy(dict(config))
            guard.tell(lambda monitor, own=own: monitor.start(own, step))  # type: ignore[misc]

    def log(self, step: int, values: Values) -> None:
        """Pass on."""
        for guard in self._guards:
            own = dict(values)
            guard.tell(lambda monitor, own=own: monitor.log(step, own))  # type: ignore[misc]

    def images(self, step: int, image: Image) -> None:
        """Pass on."""
        size = image.width * image.height * len(image.getbands())
        for guard in self._guards:
            guard.tell(lambda monitor: monitor.images(step, image), size=size)

    def histograms(self, step: int, histograms: Mapping[str, Histogram]) -> None:
        """Pass on."""
        for guard in self._guards:
            own = dict(histograms)
            guard.tell(lambda monitor, own=own: monitor.histograms(step, own))  # type: ignore[misc]

    def artifact(self, files: Mapping[str, Path]) -> None:
        """Pass on."""
        for guard in self._guards:
            guard.tell(lambda monitor: monitor.artifact(files), size=0)

    def finish(self, outcome: str) -> None:
        """Pass on, and wait until all have done what they were told, but no longer than is bearable."""
        for guard in self._guards:
            guard.tell(lambda monitor: monitor.finish(outcome), size=0)
        deadline = time.monotonic() + LONGEST
        for guard in self._guards:
            guard.close(deadline)


class _Guard:
    """Calls one monitor: at once if it is synchronous, otherwise in order on a thread of its own."""

    def __init__(self, monitor: Monitor) -> None:
        self._monitor = monitor
        self._trouble: str | None = None
        self._warned = self._off = self._closed = False
        self._waiting: deque[tuple[Call, int]] = deque()
        self._load = 0
        self._progress = 0.0
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def tell(self, call: Call, *, size: int = SMALL) -> None:
        """Have the call made; one of no size is made however many wait."""
        if not self._off:
            if self._monitor.synchronous:
                self._attempt(call, Exception)
            else:
                self._line_up(call, size)
        self._warn_once()

    def close(self, deadline: float) -> None:
        """Wait until all calls are made, or give up at the deadline."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._progress = time.monotonic()
        while self._thread is not None and self._thread.is_alive():
            left = min(deadline, self._progress + PATIENCE) - time.monotonic()
            if left <= 0:
                self._stop("is still busy with what came before the run's end, and is left behind")
                break
            self._thread.join(min(left, SLICE))
        self._warn_once()

    def _line_up(self, call: Call, size: int) -> None:
        with self._changed:
            if self._off:
                return
            if size and self._load + size > ROOM:
                self._trouble = "does not keep up with the run; some of it will be missing there"
                return
            self._waiting.append((call, size))
            self._load += size
            self._changed.notify()
        if self._thread is None:
            # A daemon: the program may end while a monitor hangs.
            self._thread = threading.Thread(target=self._work, name=f"monitor {self._name}", daemon=True)
            self._thread.start()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closed or self._off)
                if self._off or not self._waiting:
                    return
                call, size = self._waiting.popleft()
            self._attempt(call, BaseException)
            with self._changed:
                self._load -= size
                self._progress = time.monotonic()

    def _attempt(self, call: Call, caught: type[BaseException]) -> None:
        try:
            call(self._monitor)
        except caught as error:
            self._stop(f"failed and is off for the rest of the run: {_reason(error)}")

    def _stop(self, trouble: str) -> None:
        with self._changed:
            self._off, self._trouble = True, trouble
            self._waiting.clear()

    def _warn_once(self) -> None:
        if self._trouble is not None and not self._warned:
            self._warned = True
            warnings.warn(f"The monitor {self._name} {self._trouble}.", stacklevel=3)

    @property
    def _name(self) -> str:
        return type(self._monitor).__name__


def _reason(error: BaseException) -> str:
    """The error in one line, without the passwords that addresses carry."""
    line = (str(error).strip().splitlines() or [""])[0].rstrip(" .:")
    shown = shorten(re.sub(r"//[^/@\s]+@", "//***@", line), 200, placeholder=" ...")
    return f"{type(error).__name__}: {shown}" if shown else type(error).__name__
