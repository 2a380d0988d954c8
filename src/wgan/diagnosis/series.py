"""Statistics of series of numbers with missing values."""

import warnings

import numpy as np

from wgan.diagnosis.history import Mask, Series


def smooth(values: Series, width: int = 3) -> Series:
    """The running median of the last ``width`` values, ignoring missing ones."""
    count = len(values)
    padded = np.concatenate([np.full(width - 1, np.nan), values])
    return _median(np.stack([padded[i : i + count] for i in range(width)]))


def peak(values: Series) -> Series:
    """The largest value so far."""
    return np.fmax.accumulate(values) if len(values) else values


def typical(values: Series) -> Series:
    """The median of all values so far."""
    return np.array([_median(values[: i + 1]) for i in range(len(values))])


def recent(mask: Mask, width: int = 8) -> Mask:
    """Whether the mask is true at any of the last ``width`` log points."""
    return np.array([mask[max(0, i + 1 - width) : i + 1].any() for i in range(len(mask))], dtype=bool)


def since(mask: Mask, *, persists: int) -> int | None:
    """Index since which the mask is true; None unless it is true at the last ``persists`` points."""
    if len(mask) < persists or not mask[-persists:].all():
        return None
    healthy = np.flatnonzero(~mask)
    return int(healthy[-1]) + 1 if len(healthy) else 0


def _median(values: Series) -> Series:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # the median of missing values is missing
        median: Series = np.nanmedian(values, axis=0)
    return median
