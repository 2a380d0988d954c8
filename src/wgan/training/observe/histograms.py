"""Whole distributions, where quantiles would hide two heaps: of scores, and of weights that pile up."""

import torch
from torch import Tensor

from wgan.monitors import Histogram

BINS = 32
"""Of equal width, in every histogram."""

Histograms = dict[str, Tensor]
"""By name, (2 + BINS,): the lower edge of the first bin, the upper edge of the last, the count in each."""


def together(**values: Tensor) -> Histograms:
    """Histograms over the same bins, from the least to the greatest of all values.

    Args:
        values: (N,) each, N >= 1, by name.
    """
    everything = torch.cat([some.detach().float() for some in values.values()])
    low, high = everything.aminmax()
    return {name: _counted(some, low, high) for name, some in values.items()}


def around_zero(values: Tensor) -> Tensor:
    """A histogram of (N,) values from -m to m, with m the largest size: clipped weights fill its end bins."""
    size = values.abs().amax().float()
    return _counted(values, -size, size)


def plain(histograms: Histograms) -> dict[str, Histogram]:
    """Histograms as numbers, but those of values that are not all finite; the device is waited for once."""
    if not histograms:
        return {}
    rows = dict(zip(histograms, torch.stack(list(histograms.values())).tolist(), strict=True))
    ends = torch.tensor([row[:2] for row in rows.values()])
    finite = torch.isfinite(ends).all(1).tolist()
    return {
        name: Histogram(low, high, tuple(map(int, counts)))
        for (name, (low, high, *counts)), known in zip(rows.items(), finite, strict=True)
        if known
    }


def _counted(values: Tensor, low: Tensor, high: Tensor) -> Tensor:
    share = (values.detach().float() - low) / (high - low)
    place = (share.nan_to_num(0, BINS, 0) * BINS).long().clamp(0, BINS - 1)  # 0 / 0 where all are equal
    counts = torch.zeros(BINS, dtype=torch.float64, device=values.device)
    counts.index_add_(0, place, torch.ones_like(place, dtype=torch.float64))
    return torch.cat([torch.stack([low, high]).double(), counts])
