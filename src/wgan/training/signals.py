"""Ending a run at SIGINT or SIGTERM, between two steps."""

import signal
import threading
from types import FrameType
from typing import NoReturn, Self


class Signals:
    """A context in which SIGINT and SIGTERM only set :attr:`received`; a second SIGINT interrupts at once.

    Outside of the main thread, where Python cannot catch signals, it does nothing.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None

    def __enter__(self) -> Self:
        self._old = {}
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._old[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._old.items():
            signal.signal(number, handler)

    def raise_received(self) -> NoReturn:
        """Raise what the received signal would have raised.

        Raises:
            KeyboardInterrupt: After SIGINT.
            SystemExit: With code 143, after SIGTERM, or where another process of the run received a signal.
        """
        if self.received == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(128 + signal.SIGTERM)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.received == signal.SIGINT and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.received = signal.Signals(number)
