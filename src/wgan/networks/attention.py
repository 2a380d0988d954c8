"""Self-attention between the positions of an image."""

from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@final
class SelfAttention(nn.Module):
    """Features plus attention over all positions: x + gain W_o (softmax(q' k) v), where gain is 0 at first.

    Keys and values are max-pooled over 2 x 2 positions, as in the authors' code. The soft-max is written out,
    because fused attention kernels cannot be differentiated twice, which a gradient penalty needs.

    Source: Zhang, Goodfellow, Metaxas, Odena 2019, "Self-Attention Generative Adversarial Networks",
    eqs. 1-3.

    Args:
        width: Channels; queries and keys have an eighth of them, values half.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query = nn.Conv2d(width, max(1, width // 8), 1, bias=False)
        self.key = nn.Conv2d(width, max(1, width // 8), 1, bias=False)
        self.value = nn.Conv2d(width, max(1, width // 2), 1, bias=False)
        self.out = nn.Conv2d(max(1, width // 2), width, 1, bias=False)
        self.gain = LearnedScale()

    def forward(self, features: Tensor) -> Tensor:
        """Map features (N, width, H, W), H and W at least 2, to features of the same shape."""
        queries = self.query(features).flatten(2)
        keys = F.max_pool2d(self.key(features), 2).flatten(2)
        values = F.max_pool2d(self.value(features), 2).flatten(2)
        weights = torch.softmax(queries.transpose(1, 2) @ keys, 2)
        attended = torch.unflatten(values @ weights.transpose(1, 2), 2, features.shape[2:])
        total: Tensor = features + self.gain(self.out(attended))
        return total


@final
class LearnedScale(nn.Module):
    """A learned factor that starts at zero."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.zeros(()))

    def forward(self, features: Tensor) -> Tensor:
        """Multiply features of any shape by the factor."""
        return self.factor * features
