"""What a run sees of itself at a log point: a function of its state and the data, without randomness."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from wgan.data import Split
from wgan.lipschitz import score
from wgan.losses import gap
from wgan.training.randomness import own_global
from wgan.training.step import Numbers, learning


def gaps(
    critic: nn.Module, generator: nn.Module, *, latents: Tensor, train: Tensor, held_out: Tensor
) -> Numbers:
    """The gap on training and on held-out samples, against the same fakes.

    Training far above held-out says that the critic knows its training data by heart.

    Args:
        critic: As it trains; its running statistics stay as they are.
        generator: Likewise.
        latents: (N, latent_dim), the same at every log point.
        train: (M, *shape) samples that training sees.
        held_out: (K, *shape) samples that it never sees.

    Returns:
        Scalars ``gap`` and ``gap_held_out``, in units of the score.
    """
    with observing(critic, generator), own_global(latents.device):
        fake = score(critic, generator(latents))
        return {
            "gap": gap(score(critic, train), fake),
            "gap_held_out": gap(score(critic, held_out), fake),
        }


def gradient_norm(optimiser: Optimizer) -> Tensor:
    """The Euclidean norm of all gradients that the optimiser's last step took, a scalar; 0 without any."""
    gradients = [parameter.grad for parameter in learning(optimiser) if parameter.grad is not None]
    norms = torch._foreach_norm(gradients) if gradients else (torch.zeros(1),)
    total: Tensor = torch.linalg.vector_norm(torch.stack(norms))
    return total


@contextmanager
def observing(*networks: nn.Module) -> Iterator[None]:
    """Run networks in training mode without a trace: no gradients, buffers put back afterwards."""
    buffers = [buffer for network in networks for buffer in network.buffers()]
    before = [buffer.clone() for buffer in buffers]
    with torch.no_grad():
        try:
            yield
        finally:
            for buffer, value in zip(buffers, before, strict=True):
                buffer.copy_(value)


def spread(split: Split, count: int, device: torch.device) -> Tensor:
    """At most ``count`` samples evenly spread over a split, so that sorted data show all their classes."""
    count = min(count, len(split))
    index = torch.arange(count, device=device) * len(split) // count
    return split.batch(index)
