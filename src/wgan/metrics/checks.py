"""Conversion of sample sets to matrices, with the checks that every metric needs."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from wgan.core.arrays import ArrayOrTensor
from wgan.errors import InputError

MIN_SAMPLES = 2
"""Least number of samples that have a spread."""


def feature_matrices(**sets: ArrayOrTensor) -> tuple[Tensor, ...]:
    """Convert named sets (N, *shape) to float64 matrices (N, d), each on its own device.

    Raises:
        InputError: A set is not numeric, holds NaN or infinity or fewer than 2 samples, or the sets have
            different widths.
    """
    matrices = {name: _matrix(name, values) for name, values in sets.items()}
    widths = {name: matrix.shape[1] for name, matrix in matrices.items()}
    if len(set(widths.values())) > 1:
        listed = ", ".join(f"{name} has {width}" for name, width in widths.items())
        raise InputError(f"The features have different widths ({listed}); use one extractor for all of them.")
    return tuple(matrices.values())


def row_chunks(rows: int, columns: int) -> Iterator[slice]:
    """Yield all rows of a float64 matrix in chunks of about 32 MiB.

    Smaller chunks use more memory: malloc maps allocations above 32 MiB and returns them, while it keeps
    smaller ones, which are fragmented by what is allocated between them.
    """
    step = max(1, -(-(2**22) // columns))
    return (slice(start, start + step) for start in range(0, rows, step))


def _matrix(name: str, values: ArrayOrTensor) -> Tensor:
    try:
        tensor = values.detach() if isinstance(values, Tensor) else torch.from_numpy(np.asarray(values))
    except (TypeError, ValueError) as error:
        raise InputError(f"The {name} features are not an array of numbers; pass (N, d) floats.") from error
    if tensor.ndim < 2 or tensor.is_complex():
        raise InputError(f"The {name} features of shape {tuple(tensor.shape)} are no set of vectors (N, d).")
    if len(tensor) < MIN_SAMPLES:
        raise InputError(f"{len(tensor)} {name} samples have no spread; give at least {MIN_SAMPLES}.")
    matrix = tensor.reshape(len(tensor), -1).to(torch.float64)
    if bad := int((~matrix.isfinite()).any(1).sum()):
        raise InputError(f"{bad} of {len(matrix)} {name} samples hold NaN or infinity; leave them out.")
    return matrix
