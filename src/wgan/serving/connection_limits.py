"""Connections that end if a client takes too long, or too much room, to say what it wants."""

import asyncio
from typing import Any, final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD = 2**16
"""Bytes that a request's head may have."""


@final
class Bounded(asyncio.Protocol):
    """uvicorn's protocol behind bounds that it has not: on the size of a request's head, and on silence.

    Args:
        inner: Speaks HTTP.
        seconds: In which a head must be whole; twice that without a byte from the client ends the connection.
    """

    def __init__(self, inner: HttpToolsProtocol, seconds: float) -> None:
        self._inner = inner
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._head = 0
        self._since = 0.0
        self._silence: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is there."""
        self._transport = transport  # type: ignore[assignment]
        self._listen()
        self._inner.connection_made(transport)  # type: ignore[arg-type]

    def data_received(self, data: bytes) -> None:
        """Pass on what the client says, unless it is too much or comes too late."""
        self._listen()
        cycle = self._inner.cycle
        if (cycle is None or cycle.response_complete) and not self._in_bounds(len(data)):
            self._end()
            return
        self._inner.data_received(data)
        if self._inner.cycle is not cycle:
            self._head = 0

    def _in_bounds(self, size: int) -> bool:
        now = self._loop.time()
        if self._head == 0:
            self._since = now
        self._head += size
        # A small body may come with its head.
        return self._head - size <= HEAD and now - self._since <= self._seconds

    def _listen(self) -> None:
        if self._silence is not None:
            self._silence.cancel()
        self._silence = self._loop.call_later(2 * self._seconds, self._end)

    def _end(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def eof_received(self) -> None:
        """The client has said all."""
        self._inner.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        if self._silence is not None:
            self._silence.cancel()
        self._inner.pipeline.clear()  # uvicorn would answer all that a client asked ahead, to nobody
        self._inner.connection_lost(exc)

    def pause_writing(self) -> None:
        """The client reads slowly."""
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        """The client has read."""
        self._inner.resume_writing()


def bounded(seconds: float) -> Any:  # noqa: ANN401 - what uvicorn calls a protocol class
    """What uvicorn makes a connection with."""

    def make(*unnamed: Any, **named: Any) -> Bounded:  # noqa: ANN401
        return Bounded(HttpToolsProtocol(*unnamed, **named), seconds)

    return make
