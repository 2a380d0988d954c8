"""What every request passes: the token, the bounds on size and time, and the meters."""

import asyncio
import hmac
import logging
from collections.abc import Callable, Set
from time import perf_counter
from typing import final

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from wgan.serving.http_errors import HTTPError, refuse


@final
class RequestLimits:
    """An ASGI application in front of another.

    Args:
        inner: Gets what passes.
        body: Bytes that a request's body may have.
        seconds: That a request may take.
        requests: That may be under way at once: each may hold a body.
        token: What must be said as ``Authorization: Bearer TOKEN``; None asks for nothing.
        free: Paths that need no token.
        tell: Called for each answer with its route, status and seconds.
        draining: Whether the server is about to end, so that clients go elsewhere.
    """

    def __init__(
        self,
        inner: ASGIApp,
        *,
        body: int,
        seconds: float,
        requests: int,
        token: str | None,
        free: Set[str],
        tell: Callable[[str, int, float], object],
        draining: Callable[[], bool],
    ) -> None:
        self._inner = inner
        self._body = body
        self._seconds = seconds
        self._most, self._running = requests, 0
        self._secret = None if token is None else f"Bearer {token}".encode()
        self._free = free
        self._tell = tell
        self._draining = draining

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
            return
        started = perf_counter()
        request = _Request(receive, send, self._body, self._draining)
        self._running += 1
        try:
            async with asyncio.timeout(self._seconds):
                await self._pass(scope, request)
        except TimeoutError:
            await request.give_up(scope, self._seconds)
        except ClientDisconnect:
            pass  # nobody is there to be answered
        except Exception:
            logging.getLogger("wgan.serving").exception("A defect in the server.")
            if request.status is None:
                await refuse(500, "The server failed; see its log.", close=True)(scope, receive, send)
        finally:
            self._running -= 1
        route = getattr(scope.get("route"), "path", "other")
        self._tell(route, request.status or 499, perf_counter() - started)

    async def _pass(self, scope: Scope, request: "_Request") -> None:
        headers = dict(scope["headers"])
        length = headers.get(b"content-length", b"0")
        if not self._knows(scope["path"], headers.get(b"authorization", b"")):
            answer: ASGIApp = refuse(
                401, "This server needs the header Authorization: Bearer TOKEN.", close=True
            )
        elif self._running > self._most and scope["path"] not in self._free:
            answer = refuse(503, "Too many ask at once; ask again in a second.", close=True)
        elif length.isdigit() and int(length[:20]) > self._body:
            answer = refuse(413, _too_large(self._body), close=True)
        else:
            answer = self._inner
        await answer(scope, request.receive, request.send)

    def _knows(self, path: str, said: bytes) -> bool:
        if self._secret is None or path in self._free:
            return True
        return hmac.compare_digest(said, self._secret)


@final
class _Request:
    """The two ends of one request, watched."""

    def __init__(self, receive: Receive, send: Send, most: int, draining: Callable[[], bool]) -> None:
        self._receive = receive
        self._send = send
        self._room = most
        self._most = most
        self._draining = draining
        self._whole = False
        self.status: int | None = None

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self._room -= len(message.get("body", b""))
            self._whole = not message.get("more_body", False)
            if self._room < 0:
                raise HTTPError(413, _too_large(self._most))
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            if self._draining():
                message["headers"] = [*message["headers"], (b"connection", b"close")]
        try:
            await self._send(message)
        except RuntimeError as error:
            if "the handler is closed" in str(error):  # so uvloop says that the client is gone
                raise ClientDisconnect from error
            raise

    async def give_up(self, scope: Scope, seconds: float) -> None:
        """Answer a request whose time is over, if its answer has not begun."""
        if self.status is not None:
            return  # whoever reads so slowly gets a broken answer; the connection ends
        if self._whole:
            answer = refuse(
                503, f"There was no result within {seconds:g} seconds; ask again later.", close=True
            )
        else:
            answer = refuse(408, f"The request was not whole after {seconds:g} seconds.", close=True)
        await answer(scope, self._receive, self.send)


def _too_large(most: int) -> str:
    return f"A request's body may have {most} bytes; ask for less at once."
