"""Scoring samples with a critic: the only place that calls it."""

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from wgan.errors import InputError


def score(critic: nn.Module, samples: Tensor, labels: Tensor | None = None) -> Tensor:
    r"""Return the critic's scores as a vector.

    Args:
        critic: Maps (N, \*shape), and labels if there are any, to N scores: (N,), (N, 1) or (N, 1, 1, 1).
        samples: (N, \*shape).
        labels: int64 (N,), or None for an unconditional critic.

    Returns:
        Scores (N,), in float32 even under autocast (float64 stays).

    Raises:
        InputError: The critic does not return one value per sample.
    """
    scores: Tensor = critic(samples) if labels is None else critic(samples, labels)
    if scores.numel() != len(samples):
        raise InputError(
            f"The critic returns a tensor of shape {tuple(scores.shape)} for {len(samples)} samples; "
            "it must return one score a sample, as (N,) or (N, 1)."
        )
    # Under autocast the last layer returns half precision, too coarse for the mean of a gap.
    return scores.reshape(-1).to(torch.promote_types(scores.dtype, torch.float32))


def score_pair(
    critic: nn.Module, real: Tensor, fake: Tensor, labels: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    r"""Return the scores of real and fake samples, from one forward pass where that changes nothing.

    A critic that mixes the samples of a batch scores them separately: normalised together, the batch
    statistics would separate real from fake.

    Args:
        critic: See :func:`score`.
        real: (N, \*shape).
        fake: (N, \*shape).
        labels: int64 (N,), the same for both, or None.

    Returns:
        Real scores (N,) and fake scores (N,).

    Raises:
        InputError: Real and fake samples differ in shape, or see :func:`score`.
    """
    if real.shape[1:] != fake.shape[1:]:
        raise InputError(
            f"Real samples are of shape {tuple(real.shape[1:])} and fake ones of {tuple(fake.shape[1:])}; "
            "build the generator for the shape of the data."
        )
    if mixing_module(critic) is not None:
        return score(critic, real, labels), score(critic, fake, labels)
    both = score(critic, torch.cat([real, fake]), None if labels is None else torch.cat([labels, labels]))
    return both[: len(real)], both[len(real) :]


def mixes_samples(critic: nn.Module) -> bool:
    """Whether a sample's score depends on the other samples of its batch, as with batch normalisation.

    A module of your own that mixes samples declares it by an attribute ``mixes_samples = True``.
    """
    return mixing_module(critic) is not None


def mixing_module(critic: nn.Module) -> str | None:
    """The first module that mixes the samples of a batch, as ``BatchNorm2d at `features.3` ``, or None."""
    for path, module in critic.named_modules():
        normalises_batch = isinstance(module, _BatchNorm) and (
            module.training or not module.track_running_stats
        )
        if normalises_batch or getattr(module, "mixes_samples", False) is True:
            return f"{type(module).__name__} at `{path or 'the root'}`"
    return None
