"""Limits on the head of a request and on idle time, per connection."""

import asyncio
from typing import Any, final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD = 2**16
"""Largest head of a request in bytes."""


@final
class LimitedConnection(asyncio.Protocol):
    """uvicorn's protocol with limits that it lacks: on the size of a request's head and on idle time.

    Args:
        inner: The HTTP protocol.
        seconds: Time for a complete head; after twice that without data the connection is closed.
    """

    def __init__(self, inner: HttpToolsProtocol, seconds: float) -> None:
        self._inner = inner
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._head = 0
        self._since = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the idle timer and forward."""
        self._transport = transport  # type: ignore[assignment]
        self._restart_timer()
        self._inner.connection_made(transport)  # type: ignore[arg-type]

    def data_received(self, data: bytes) -> None:
        """Forward data within the limits; close the connection otherwise."""
        self._restart_timer()
        cycle = self._inner.cycle
        if (cycle is None or cycle.response_complete) and not self._within_limits(len(data)):
            self._abort()
            return
        self._inner.data_received(data)
        if self._inner.cycle is not cycle:
            self._head = 0

    def _within_limits(self, size: int) -> bool:
        now = self._loop.time()
        if self._head == 0:
            self._since = now
        self._head += size
        # A small body may arrive together with its head.
        return self._head - size <= HEAD and now - self._since <= self._seconds

    def _restart_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(2 * self._seconds, self._abort)

    def _abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def eof_received(self) -> None:
        """Forward."""
        self._inner.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timer and forward."""
        if self._timer is not None:
            self._timer.cancel()
        self._inner.pipeline.clear()  # else uvicorn would answer pipelined requests to nobody
        self._inner.connection_lost(exc)

    def pause_writing(self) -> None:
        """Forward."""
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        """Forward."""
        self._inner.resume_writing()


def limited_protocol(seconds: float) -> Any:  # noqa: ANN401 - a protocol class for uvicorn
    """A factory of connections for uvicorn."""

    def make(*unnamed: Any, **named: Any) -> LimitedConnection:  # noqa: ANN401
        return LimitedConnection(HttpToolsProtocol(*unnamed, **named), seconds)

    return make
