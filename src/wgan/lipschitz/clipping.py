"""Weight clipping."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from wgan.lipschitz.constraint import Constraint, check_settings


@dataclass(frozen=True)
class WeightClipping(Constraint):
    """Clamp every weight of the critic to [-c, c] after each step: w <- clip(w, -c, c).

    Source: Arjovsky, Chintala, Bottou 2017, "Wasserstein GAN", algorithm 1, line 7.

    Attributes:
        c: The paper's c, often called ``clip_value``, > 0; 0.01 in the paper.
    """

    c: float = 0.01

    def __post_init__(self) -> None:
        check_settings(self, positive=["c"])

    @torch.no_grad()
    def project(self, critic: nn.Module) -> None:
        """Clamp the parameters in place."""
        parameters: list[Tensor] = list(critic.parameters())
        torch._foreach_clamp_min_(parameters, -self.c)
        torch._foreach_clamp_max_(parameters, self.c)

    @torch.no_grad()
    def clipped(self, critic: nn.Module) -> Tensor:
        """Fraction of the weights at -c or c."""
        weights = torch.cat([weight.flatten() for weight in critic.parameters()])
        return (weights.abs() >= self.c).float().mean()
