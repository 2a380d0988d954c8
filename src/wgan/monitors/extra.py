"""Packages that only one monitor needs."""

from collections.abc import Iterator
from contextlib import contextmanager

from wgan.errors import MissingExtraError


@contextmanager
def needing(extra: str, monitor: str) -> Iterator[None]:
    """Imports of what ``wgan[extra]`` installs.

    Raises:
        MissingExtraError: Instead of any ImportError inside the block.
    """
    try:
        yield
    except ImportError as error:
        raise MissingExtraError(
            f"The {monitor} monitor needs an optional package: pip install 'wgan[{extra}]'."
        ) from error
