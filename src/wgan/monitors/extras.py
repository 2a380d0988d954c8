"""Imports of packages that only one monitor needs."""

from collections.abc import Iterator
from contextlib import contextmanager

from wgan.errors import MissingExtraError


@contextmanager
def optional_package(extra: str, monitor: str) -> Iterator[None]:
    """Turn any ImportError inside the block into MissingExtraError, which names ``wgan[extra]``."""
    try:
        yield
    except ImportError as error:
        raise MissingExtraError(
            f"The {monitor} monitor needs an optional package: pip install 'wgan[{extra}]'."
        ) from error
