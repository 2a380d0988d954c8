"""Runs the server in the foreground until a signal ends it."""

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
from wgan.serving.app import build_app
from wgan.serving.connection_limits import limited_protocol
from wgan.serving.service import Service
from wgan.serving.settings import ServerSettings

SWITCH = 0.0005
"""Thread switch interval in seconds; with the default, ten times as long, results wait to be sent."""


def serve(
    artifact: Artifact,
    settings: ServerSettings,
    *,
    token: str | None = None,
    started: Callable[[str], object] = lambda address: None,
) -> None:
    """Serve an artifact; see :func:`wgan.serving.serve`."""
    service = Service(artifact, settings)
    listener = _listen(settings.host, settings.port)
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # aborted connections are not errors
    sys.setswitchinterval(SWITCH)
    config = uvicorn.Config(
        build_app(service, settings, token),
        http=limited_protocol(settings.seconds),
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
        """Keep serving until load balancers see that readiness is withdrawn; a second signal skips this."""
        loop.call_later(0 if service.draining else drain, setattr, server, "should_exit", True)
        service.draining = True

    serving = loop.create_task(server.serve(sockets=[listener]))
    while not server.started and not serving.done():
        await asyncio.sleep(0.01)
    for name in (signal.SIGTERM, signal.SIGINT):
        with suppress(NotImplementedError):  # Windows, where uvicorn's handlers stop at once
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
    except (OSError, UnicodeError) as error:  # UnicodeError for an invalid host name
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"Cannot listen at {host}, port {port}: {reason}; choose another one.") from error
    return listener
