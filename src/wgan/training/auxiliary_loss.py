"""A second aim of the generator, beside the critic's score."""

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor


class AuxiliaryLoss(ABC):
    """A term of the generator's loss that knows the latents, as that of a student does."""

    @abstractmethod
    def __call__(self, latents: Tensor, labels: Tensor | None, fake: Tensor) -> Tensor:
        r"""The term, a scalar, for fakes (N, \*shape) made of latents (N, latent_dim) and labels."""

    @abstractmethod
    def to(self, device: torch.device) -> None:
        """Move to where the generator trains."""

    @abstractmethod
    def plain(self) -> dict[str, Any]:
        """What it is, as JSON: part of the run's identity."""
