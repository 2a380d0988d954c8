"""``wgan serve``."""

import ipaddress
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from wgan.artifact import Artifact
from wgan.cli.parse import parse
from wgan.errors import InputError
from wgan.serving import PREFIX, ServerSettings, serve

TOKEN = f"{PREFIX}TOKEN"


@dataclass(frozen=True)
class Serve:
    """Serve an artifact over HTTP, with a demo page, until the process is stopped.

    Every setting can also be an environment variable, such as WGAN_SERVE_PORT=8001. The token that clients
    need is read from the environment variable WGAN_SERVE_TOKEN only, because every user of a machine can read
    its command lines.
    """

    dir: tyro.conf.Positional[Path]
    """Artifact folder, as `wgan export` writes it."""
    settings: Annotated[ServerSettings, tyro.conf.arg(name="")]


def run(arguments: Sequence[str]) -> None:
    """Run the command."""
    defaults = Serve(tyro.MISSING, ServerSettings.read(os.environ))
    command = parse(Serve, arguments, default=defaults)
    artifact = Artifact.load(command.dir)
    token = os.environ.get(TOKEN)
    if token == "":  # a secret that failed to arrive must not give access
        raise InputError(f"{TOKEN} is set and empty; give it a value, or unset it.")
    host = command.settings.host

    def started(address: str) -> None:
        if token is None and not _is_loopback(host):
            _print(f"note: everyone who can reach {host} can use this server; {TOKEN} is not set.")
        _print(f"serving {address}")

    serve(artifact, command.settings, token=token, started=started)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _print(text: str) -> None:
    sys.stderr.write(f"wgan: {text}\n")
