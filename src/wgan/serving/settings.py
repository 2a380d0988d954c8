"""How a server is set: typed, from the environment and the command line, taken as a whole or refused."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from math import isfinite
from typing import Any, Self, final, get_args, get_type_hints

from wgan.errors import InputError, check_whole

PREFIX = "WGAN_SERVE_"
"""What the environment's names begin with: WGAN_SERVE_PORT is ``port``."""


@final
@dataclass(frozen=True)
class Settings:
    """Where a server listens, and its bounds.

    Raises:
        InputError: A value is out of its range.
    """

    host: str = "127.0.0.1"
    """The address to listen at; the default is this machine alone. 0.0.0.0 is everybody."""
    port: int = 8000
    """In [0, 65535]; 0 takes a free one."""
    threads: int | None = None
    """Of the model; by default its runtime decides."""
    batch: int = 64
    """Samples that go through the model at once, at most."""
    queue: int = 8192
    """Samples that may wait for the model; a request that finds no room gets a 503."""
    count: int = 256
    """Samples that one request may ask for."""
    body: int = 4 * 2**20
    """Bytes that a request's body may have, after it was decompressed, too."""
    requests: int = 256
    """That may be under way at once; another one gets a 503."""
    seconds: float = 30.0
    """That a request may take, from its first byte to the last of its answer."""
    drain: float = 0.5
    """Seconds after SIGTERM in which new requests are still answered, while readiness is withdrawn."""

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
        """The settings that the environment gives; the others are the defaults.

        Raises:
            InputError: A value is of another type or out of its range.
        """
        types = get_type_hints(cls)
        names = {f"{PREFIX}{field.name.upper()}": field.name for field in fields(cls)}
        given = {name: environment[variable] for variable, name in names.items() if variable in environment}
        return cls(**{name: _read(name, text, types[name]) for name, text in given.items()})


def _read(name: str, text: str, wanted: type) -> Any:  # noqa: ANN401 - of the wanted type
    # Of ``int | None`` the first is what a text can be; None is its absence.
    plain: type[str] | type[int] | type[float] = (get_args(wanted) or (wanted,))[0]
    try:
        return plain(text)
    except ValueError:
        kind = "a whole number" if plain is int else "a number"
        raise InputError(f"{PREFIX}{name.upper()} must be {kind}, not {text!r}.") from None
