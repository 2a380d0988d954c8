"""Reading third-party weights, verified by their SHA-256."""

import hashlib
import io
from pathlib import Path

from wgan.errors import InputError


def read_known(path: Path, sha256: str, what: str) -> io.BytesIO:
    """Read a file and verify its SHA-256.

    Raises:
        InputError: The file is missing, or is another one.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"Cannot read the weights {path}: {error.strerror}.") from error
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise InputError(
            f"{path} does not hold {what}: its SHA-256 begins with {found[:8]} and not with {sha256[:8]}; "
            "give the right file, or leave it out."
        )
    return io.BytesIO(content)
