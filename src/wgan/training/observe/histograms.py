"""Histograms of scores and weights, which show what quantiles hide: two modes, or clipped weights."""

import torch
from torch import Tensor

from wgan.monitors import Histogram

BINS = 32
"""Bins of equal width in a histogram."""

Histograms = dict[str, Tensor]
"""Tensors (2 + BINS,) by name: lower edge of the first bin, upper edge of the last, count of each bin."""


def shared_bins(**values: Tensor) -> Histograms:
    """Histograms over the same bins, from the smallest to the largest of all values.

    Args:
        values: (N,) each, N >= 1, by name.
    """
    everything = torch.cat([some.detach().float() for some in values.values()])
    low, high = everything.aminmax()
    return {name: _counted(some, low, high) for name, some in values.items()}


def symmetric_bins(values: Tensor) -> Tensor:
    """A histogram of values (N,) from -m to m, m = max |value|: clipped weights fill its outer bins."""
    size = values.abs().amax().float()
    return _counted(values, -size, size)


def plain_histograms(histograms: Histograms) -> dict[str, Histogram]:
    """Histograms as numbers, without those of values that are not all finite. Waits for the device once."""
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
