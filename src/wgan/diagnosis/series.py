"""Small questions to a series of numbers with gaps."""

import warnings

import numpy as np

from wgan.diagnosis.history import Array, Mask


def smooth(values: Array, width: int = 3) -> Array:
    """The running median of the last few values, of those that are there."""
    count = len(values)
    padded = np.concatenate([np.full(width - 1, np.nan), values])
    return _median(np.stack([padded[i : i + count] for i in range(width)]))


def peak(values: Array) -> Array:
    """The largest value so far."""
    return np.fmax.accumulate(values) if len(values) else values


def typical(values: Array) -> Array:
    """The median of all values so far."""
    return np.array([_median(values[: i + 1]) for i in range(len(values))])


def recent(mask: Mask, width: int = 8) -> Mask:
    """Whether it was so at one of the last few log points."""
    return np.array([mask[max(0, i + 1 - width) : i + 1].any() for i in range(len(mask))], dtype=bool)


def since(mask: Mask, *, persists: int) -> int | None:
    """Where the symptom began that the last log points show without a break; None if it does not persist."""
    if len(mask) < persists or not mask[-persists:].all():
        return None
    healthy = np.flatnonzero(~mask)
    return int(healthy[-1]) + 1 if len(healthy) else 0


def _median(values: Array) -> Array:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # where all are missing, so is their median
        median: Array = np.nanmedian(values, axis=0)
    return median
