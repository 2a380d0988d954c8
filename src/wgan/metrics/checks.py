"""What every metric asks of the sets it is given, and how large sets are taken piece by piece."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from wgan.errors import InputError

Samples = npt.ArrayLike | Tensor
"""An array or a tensor (N, d); (N, *shape) is flattened."""

FEWEST = 2
"""Samples under which nothing has a spread."""


def matrices(**sets: Samples) -> tuple[Tensor, ...]:
    """The sets by name, each as a float64 matrix (N, d) on its own device.

    Raises:
        InputError: A set is not numeric, holds NaN or infinity or fewer than 2 samples, or the sets have
            different widths.
    """
    found = {name: _matrix(name, values) for name, values in sets.items()}
    widths = {name: matrix.shape[1] for name, matrix in found.items()}
    if len(set(widths.values())) > 1:
        listed = ", ".join(f"{name} has {width}" for name, width in widths.items())
        raise InputError(f"The features have different widths ({listed}); use one extractor for all of them.")
    return tuple(found.values())


def row_blocks(rows: int, columns: int) -> Iterator[slice]:
    """All rows of a float64 matrix in turn, in blocks of about 32 MiB.

    Smaller blocks use more memory: malloc maps those above 32 MiB and gives them back, while it keeps
    smaller ones, and what is allocated between them keeps them from being used again.
    """
    step = max(1, -(-(2**22) // columns))
    return (slice(start, start + step) for start in range(0, rows, step))


def _matrix(name: str, values: Samples) -> Tensor:
    try:
        given = values.detach() if isinstance(values, Tensor) else torch.from_numpy(np.asarray(values))
    except (TypeError, ValueError) as error:
        raise InputError(f"The {name} features are not an array of numbers; pass (N, d) floats.") from error
    if given.ndim < 2 or given.is_complex():
        raise InputError(f"The {name} features of shape {tuple(given.shape)} are no set of vectors (N, d).")
    if len(given) < FEWEST:
        raise InputError(f"{len(given)} {name} samples have no spread; give at least {FEWEST}.")
    matrix = given.reshape(len(given), -1).to(torch.float64)
    if bad := int((~matrix.isfinite()).any(1).sum()):
        raise InputError(f"{bad} of {len(matrix)} {name} samples hold NaN or infinity; leave them out.")
    return matrix
