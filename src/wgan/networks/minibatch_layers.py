"""Layers of a critic that look at several samples at once, to see that fakes are too much alike.

They mix the samples of a batch, and say so: real and fake are then scored apart, and penalties that are per
sample refuse the critic. Clipping, spectral normalisation and orthogonal layers allow it.
"""

from typing import final

import torch
from torch import Tensor, nn


@final
class Pack(nn.Module):
    """Joins each sample with the next ones of its batch, along the channels; the last ones with the first.

    A critic of packs scores draws from the distribution of ``count`` independent samples. There are as many
    packs as samples, so that each sample has a score: the packs overlap, which changes no expectation.

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
        r"""Samples (N, C, \*sides) to packs (N, count C, \*sides)."""
        return torch.cat([samples.roll(-turn, 0) for turn in range(self.count)], 1)

    def extra_repr(self) -> str:
        """The setting, for printing."""
        return f"{self.count}"


@final
class MinibatchStd(nn.Module):
    """Adds a channel with the standard deviation over the batch, averaged over features and positions.

    Source: Karras, Aila, Laine, Lehtinen 2018, "Progressive Growing of GANs", section 3; one group.
    """

    mixes_samples = True

    def forward(self, features: Tensor) -> Tensor:
        """Features (N, C, H, W) to (N, C + 1, H, W)."""
        # In bfloat16 a small spread, the one that matters, would be lost beside the mean.
        full = features.to(torch.promote_types(features.dtype, torch.float32))
        spread = (full - full.mean(0, keepdim=True)).square().mean(0)
        one = (spread + 1e-8).sqrt().mean().to(features.dtype)
        return torch.cat([features, one.expand(len(features), 1, *features.shape[2:])], 1)


def packed(count: int) -> list[nn.Module]:
    """A layer that packs ``count`` samples; none for packs of one."""
    return [Pack(count)] if count > 1 else []
