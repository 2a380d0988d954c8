"""What a run sees of itself at a log point: a function of its state and the data, without randomness."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from wgan.bracket import lower_bound, upper_bound
from wgan.data import Split
from wgan.data import spread as positions
from wgan.lipschitz import certify, score
from wgan.losses import gap
from wgan.training.randomness import own_global
from wgan.training.step import Numbers, learning

CONFIDENCE = 0.99
"""Of the bracket that a run logs."""
EPSILON = 1e-6  # a critic that is constant has a range, too


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


def certified_bounds(
    critic: nn.Module, generator: nn.Module, *, latents: Tensor, train: Tensor, held_out: Tensor
) -> Numbers:
    """A bracket of W1 between the generator's law and the data's, by the critic that trains.

    No step of the training sees the held-out samples, nor fakes of these latents, so that the bounds hold for
    each log point by itself with a confidence of 99 %. They are wider than an audit's, which has a critic of
    its own and more samples.

    Args:
        critic: Certifiable, see :func:`~wgan.lipschitz.certify`; without a proof there is no bracket.
        generator: As it trains.
        latents: (N, latent_dim), N >= 2, never trained on.
        train: (M, *shape), which give the range that scores are clipped to.
        held_out: (K, *shape), K >= 2.

    Returns:
        Scalars ``w1_lower`` and ``w1_upper``, in units of the data; nothing without a certificate.
    """
    certificate = certify(critic, tuple(train.shape[1:])).bound
    if not certificate:
        return {}
    with observing(critic, generator), own_global(latents.device):
        fake = generator(latents)
        known, real_scores, fake_scores = (_plain(score(critic, part)) for part in (train, held_out, fake))
    reach = known.max() - known.min() + EPSILON
    lower = lower_bound(
        real_scores,
        fake_scores,
        certificate=certificate,
        limits=(known.min() - reach, known.max() + reach),  # fakes may lie where no real sample does
        error=(1 - CONFIDENCE) / 2,
    )
    upper = upper_bound(_plain(held_out.flatten(1)), _plain(fake.flatten(1)), error=(1 - CONFIDENCE) / 2)
    return {"w1_lower": torch.tensor(lower), "w1_upper": torch.tensor(upper)}


def _plain(tensor: Tensor) -> npt.NDArray[np.float64]:
    return tensor.cpu().double().numpy()


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
    return split.batch(positions(len(split), count).to(device))
