"""Limits that apply to every request: token, size, time, concurrency; and their metrics."""

import asyncio
import hmac
import logging
from collections.abc import Callable, Set
from time import perf_counter
from typing import final

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from wgan.serving.http_errors import HTTPError, error_response
from wgan.serving.settings import ServerSettings


@final
class RequestLimits:
    """ASGI middleware that enforces the limits.

    Args:
        inner: The application.
        settings: The limits.
        token: Token in ``Authorization: Bearer TOKEN``; None for no authorisation.
        free: Paths that need no token and have no limit on concurrency.
        on_response: Called for each response with its route, status and seconds.
        draining: Whether the server is about to end, so that connections are closed.
    """

    def __init__(
        self,
        inner: ASGIApp,
        *,
        settings: ServerSettings,
        token: str | None,
        free: Set[str],
        on_response: Callable[[str, int, float], object],
        draining: Callable[[], bool],
    ) -> None:
        self._inner = inner
        self._settings = settings
        self._running = 0
        self._secret = None if token is None else f"Bearer {token}".encode()
        self._free = free
        self._on_response = on_response
        self._draining = draining

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond to one request."""
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
            return
        started = perf_counter()
        request = _Request(receive, send, self._settings.body, self._draining)
        self._running += 1
        try:
            async with asyncio.timeout(self._settings.seconds):
                await self._forward(scope, request)
        except TimeoutError:
            await request.give_up(scope, self._settings.seconds)
        except ClientDisconnect:
            pass  # the client is gone
        except Exception:
            logging.getLogger("wgan.serving").exception("A defect in the server.")
            if request.status is None:
                await error_response(500, "The server failed; see its log.", close=True)(scope, receive, send)
        finally:
            self._running -= 1
        route = getattr(scope.get("route"), "path", "other")
        self._on_response(route, request.status or 499, perf_counter() - started)

    async def _forward(self, scope: Scope, request: "_Request") -> None:
        headers = dict(scope["headers"])
        length = headers.get(b"content-length", b"0")
        if not self._authorised(scope["path"], headers.get(b"authorization", b"")):
            answer: ASGIApp = error_response(
                401, "This server needs the header Authorization: Bearer TOKEN.", close=True
            )
        elif self._running > self._settings.requests and scope["path"] not in self._free:
            answer = error_response(503, "Too many ask at once; ask again in a second.", close=True)
        elif length.isdigit() and int(length[:20]) > self._settings.body:
            answer = error_response(413, _too_large(self._settings.body), close=True)
        else:
            answer = self._inner
        await answer(scope, request.receive, request.send)

    def _authorised(self, path: str, header: bytes) -> bool:
        if self._secret is None or path in self._free:
            return True
        return hmac.compare_digest(header, self._secret)


@final
class _Request:
    """The receive and send channels of one request, with its limits."""

    def __init__(self, receive: Receive, send: Send, max_body: int, draining: Callable[[], bool]) -> None:
        self._receive = receive
        self._send = send
        self._left = max_body
        self._max_body = max_body
        self._draining = draining
        self._complete = False
        self.status: int | None = None

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self._left -= len(message.get("body", b""))
            self._complete = not message.get("more_body", False)
            if self._left < 0:
                raise HTTPError(413, _too_large(self._max_body))
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            if self._draining():
                message["headers"] = [*message["headers"], (b"connection", b"close")]
        try:
            await self._send(message)
        except RuntimeError as error:
            if "the handler is closed" in str(error):  # uvloop's error when the client is gone
                raise ClientDisconnect from error
            raise

    async def give_up(self, scope: Scope, seconds: float) -> None:
        """Respond to a request that exceeded its time, unless its response has begun."""
        if self.status is not None:
            return  # the client reads too slowly; its connection is closed
        if self._complete:
            answer = error_response(
                503, f"There was no result within {seconds:g} seconds; ask again later.", close=True
            )
        else:
            answer = error_response(408, f"The request was not whole after {seconds:g} seconds.", close=True)
        await answer(scope, self._receive, self.send)


def _too_large(max_body: int) -> str:
    return f"A request's body may have {max_body} bytes; ask for less at once."
