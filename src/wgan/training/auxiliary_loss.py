"""A second term of the generator's loss, beside the critic's score."""

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor


class AuxiliaryLoss(ABC):
    """A term of the generator's loss, such as a student's distance to its teacher."""

    @abstractmethod
    def __call__(self, latents: Tensor, labels: Tensor | None, fake: Tensor) -> Tensor:
        r"""The term, a scalar, for fakes (N, \*shape) generated from latents (N, latent_dim) and labels."""

    @abstractmethod
    def to(self, device: torch.device) -> None:
        """Move to the generator's device."""

    @abstractmethod
    def plain(self) -> dict[str, Any]:
        """A description as JSON values: part of the run's identity."""
