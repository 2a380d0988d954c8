"""Settings of the server, from the environment and the command line."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from math import isfinite
from typing import Any, Self, final, get_args, get_type_hints

from wgan.errors import InputError, check_whole

PREFIX = "WGAN_SERVE_"
"""Prefix of the environment variables: WGAN_SERVE_PORT is ``port``."""


@final
@dataclass(frozen=True)
class ServerSettings:
    """Address and limits of the server; InputError for a value out of its range."""

    host: str = "127.0.0.1"
    """Address to listen at. The default accepts connections from this machine only, 0.0.0.0 from all."""
    port: int = 8000
    """Port, in [0, 65535]; 0 for any free one."""
    threads: int | None = None
    """Number of threads of the model; by default its runtime decides."""
    batch: int = 64
    """Largest batch size of the model."""
    queue: int = 8192
    """Largest number of queued samples; requests beyond it get a 503."""
    count: int = 256
    """Largest number of samples per request."""
    body: int = 4 * 2**20
    """Largest body of a request in bytes, before and after decompression."""
    requests: int = 256
    """Largest number of concurrent requests; further ones get a 503."""
    seconds: float = 30.0
    """Largest duration of a request, from its first byte to the last of its response."""
    drain: float = 0.5
    """Seconds after SIGTERM in which new requests are still answered, with readiness withdrawn."""

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise InputError(f"port must be in [0, 65535], not {self.port}.")
        if self.threads is not None:
            check_whole(threads=(self.threads, 1))
        check_whole(batch=(self.batch, 1), count=(self.count, 1), body=(self.body, 1))
        check_whole(queue=(self.queue, self.count), requests=(self.requests, 1))
        if not (isfinite(self.seconds) and self.seconds > 0):
            raise InputError(f"seconds must be a finite number > 0, not {self.seconds}.")
        if not (isfinite(self.drain) and self.drain >= 0):
            raise InputError(f"drain must be a finite number >= 0, not {self.drain}.")

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> Self:
        """Settings from environment variables and defaults; InputError for invalid values."""
        types = get_type_hints(cls)
        names = {f"{PREFIX}{field.name.upper()}": field.name for field in fields(cls)}
        texts = {name: environment[variable] for variable, name in names.items() if variable in environment}
        return cls(**{name: _read(name, text, types[name]) for name, text in texts.items()})


def _read(name: str, text: str, annotation: type) -> Any:  # noqa: ANN401
    # Of ``int | None``, a text is the first.
    plain: type[str] | type[int] | type[float] = (get_args(annotation) or (annotation,))[0]
    try:
        return plain(text)
    except ValueError:
        kind = "a whole number" if plain is int else "a number"
        raise InputError(f"{PREFIX}{name.upper()} must be {kind}, not {text!r}.") from None
