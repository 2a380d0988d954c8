"""A server in the foreground, until it is told to end."""

import asyncio
import logging
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress

import uvicorn

from wgan.artifact import Artifact
from wgan.errors import InputError
from wgan.serving.app import build
from wgan.serving.connection_limits import bounded
from wgan.serving.service import Service
from wgan.serving.settings import Settings

SWITCH = 0.0005
"""Seconds: by default, a thread that has a result waits up to ten times as long for the one that sends it."""


def serve(
    artifact: Artifact,
    settings: Settings,
    *,
    token: str | None = None,
    started: Callable[[str], object] = lambda address: None,
) -> None:
    """Serve an artifact until SIGTERM or SIGINT, then answer all that came in and return.

    Args:
        artifact: What to serve.
        settings: Where, and the bounds.
        token: That clients have to say as ``Authorization: Bearer TOKEN``.
        started: Called with the server's address once it listens.

    Raises:
        InputError: The address cannot be listened at, or the artifact cannot be run.
        MissingExtraError: The artifact's runtime is not installed.
    """
    service = Service(artifact, settings)
    listener = _listen(settings.host, settings.port)
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # what clients break off is no news
    sys.setswitchinterval(SWITCH)
    config = uvicorn.Config(
        build(service, settings, token),
        http=bounded(settings.seconds),
        ws="none",
        lifespan="on",
        access_log=False,
        log_config=None,
        server_header=False,
        backlog=2048,
        timeout_graceful_shutdown=round(2 * settings.seconds + 1),
    )
    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(_run(uvicorn.Server(config), service, listener, settings.drain, started))


async def _run(
    server: uvicorn.Server,
    service: Service,
    listener: socket.socket,
    drain: float,
    started: Callable[[str], object],
) -> None:
    loop = asyncio.get_running_loop()

    def end() -> None:
        """First let those who are about to ask go elsewhere; a second signal does not wait for them."""
        loop.call_later(0 if service.draining else drain, setattr, server, "should_exit", True)
        service.draining = True

    serving = loop.create_task(server.serve(sockets=[listener]))
    while not server.started and not serving.done():
        await asyncio.sleep(0.01)
    for name in (signal.SIGTERM, signal.SIGINT):
        with suppress(NotImplementedError):  # Windows, where uvicorn's own stay: they close the door at once
            loop.add_signal_handler(name, end)
    host, port = listener.getsockname()[:2]
    started(f"http://{f'[{host}]' if ':' in host else host}:{port}")
    await serving


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except (OSError, UnicodeError) as error:  # the latter for a name that can be none
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"Cannot listen at {host}, port {port}: {reason}; choose another one.") from error
    return listener
