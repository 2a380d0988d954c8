"""Layers that let a critic compare the samples of a batch, so that it sees a lack of diversity.

They mix samples and declare it (``mixes_samples``): real and fake batches are then scored separately, and
gradient penalties, which are per sample, refuse the critic. Weight clipping, spectral normalisation and
orthogonal layers allow it.
"""

from typing import final

import torch
from torch import Tensor, nn


@final
class PackSamples(nn.Module):
    """Joins each sample with the next ones of its batch, along the channels; the last ones with the first.

    The critic then scores draws from the distribution of ``count`` independent samples. There is one pack for
    each sample, so that each has a score: packs overlap, which changes no expectation.

    Source: Lin, Khetan, Fanti, Oh 2018, "PacGAN: The power of two samples in generative adversarial
    networks", section 3.

    Args:
        count: Samples in a pack, >= 1.
    """

    mixes_samples = True

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count

    def forward(self, samples: Tensor) -> Tensor:
        r"""Map samples (N, C, \*sides) to packs (N, count C, \*sides)."""
        return torch.cat([samples.roll(-offset, 0) for offset in range(self.count)], 1)

    def extra_repr(self) -> str:
        """Return the setting, for printing."""
        return f"{self.count}"


@final
class MinibatchStd(nn.Module):
    """Adds a channel with the standard deviation over the batch, averaged over features and positions.

    Source: Karras, Aila, Laine, Lehtinen 2018, "Progressive Growing of GANs", section 3; one group.
    """

    mixes_samples = True

    def forward(self, features: Tensor) -> Tensor:
        """Map features (N, C, H, W) to (N, C + 1, H, W)."""
        # bfloat16 would round a small deviation, the one that matters, to nothing.
        full = features.to(torch.promote_types(features.dtype, torch.float32))
        variance = (full - full.mean(0, keepdim=True)).square().mean(0)
        std = (variance + 1e-8).sqrt().mean().to(features.dtype)
        return torch.cat([features, std.expand(len(features), 1, *features.shape[2:])], 1)
