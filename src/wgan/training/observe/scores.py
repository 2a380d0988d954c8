"""What the critic says of real, held-out and generated samples, and what that proves."""

from dataclasses import dataclass
from typing import final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from wgan.certificates import certify
from wgan.lipschitz import score
from wgan.losses import gap
from wgan.networks import generate
from wgan.training.objective import Numbers
from wgan.training.observe.dead_units import Units
from wgan.training.observe.probe_batch import quantiles
from wgan.wasserstein.bracket import lower_bound, upper_bound

CONFIDENCE = 0.99
"""Of the bracket that a run logs."""
EPSILON = 1e-6  # a critic that is constant has a range, too


@final
@dataclass(frozen=True, eq=False)
class Scored:
    """The one pass through both networks that all of a log point's numbers of scores share.

    Attributes:
        fakes: (N, *shape), made of fixed latents.
        fake: Their scores, (N,).
        real: Scores of samples that training sees.
        held_out: Scores of samples that it never sees.
        generator_units: The generator's rectified units, as they made the fakes.
        critic_units: The critic's, as they scored samples of training and fakes.
    """

    fakes: Tensor
    fake: Tensor
    real: Tensor
    held_out: Tensor
    generator_units: Units
    critic_units: Units


def scored(
    critic: nn.Module,
    generator: nn.Module,
    *,
    latents: Tensor,
    train: Tensor,
    held_out: Tensor,
    labels: tuple[Tensor | None, Tensor | None, Tensor | None] = (None, None, None),
) -> Scored:
    """Generate and score, each of the three batches by itself, in the networks' own modes.

    Args:
        critic: As it trains; run it under :func:`~wgan.training.observe.observing`.
        generator: Likewise.
        latents: (N, latent_dim), the same at every log point.
        train: (M, *shape) samples that training sees.
        held_out: (K, *shape) samples that it never sees.
        labels: Asked of the fakes, of ``train`` and of ``held_out``, in a conditional run.
    """
    asked, of_train, of_held_out = labels
    with Units() as generator_units:
        fakes = generate(generator, latents, asked)
    critic_units = Units()
    with critic_units:
        real = score(critic, train, of_train)
    with critic_units:
        fake = score(critic, fakes, asked)
    return Scored(fakes, fake, real, score(critic, held_out, of_held_out), generator_units, critic_units)


def gaps(seen: Scored) -> Numbers:
    """The gap on training and on held-out samples, against the same fakes, in units of the score.

    Training far above held-out says that the critic knows its training data by heart.

    Returns:
        Scalars ``gap`` and ``gap_held_out``.
    """
    return {"gap": gap(seen.real, seen.fake), "gap_held_out": gap(seen.held_out, seen.fake)}


def spreads(seen: Scored) -> Numbers:
    """Quantiles ``score_real/05`` ... ``/95``, ``score_held_out/..`` and ``score_fake/..``."""
    return (
        quantiles("score_real", seen.real)
        | quantiles("score_held_out", seen.held_out)
        | quantiles("score_fake", seen.fake)
    )


def certified_bounds(critic: nn.Module, seen: Scored, held_out: Tensor) -> Numbers:
    """A bracket of W1 between the generator's distribution and the data's, by the critic that trains.

    No step of the training sees the held-out samples, nor fakes of these latents, so that the bounds hold for
    each log point by itself with a confidence of 99 %. They are wider than an audit's, which has a critic of
    its own and more samples. The scores of training samples give the range that scores are clipped to.

    Args:
        critic: Certifiable, see :func:`~wgan.lipschitz.certify`; without a proof there is no bracket.
        seen: Fakes and held-out samples, never trained on, and their scores; fewer than 2 give no bracket.
        held_out: The held-out samples (K, *shape).

    Returns:
        Scalars ``w1_lower`` and ``w1_upper``, in units of the data; nothing without a certificate.
    """
    certificate = certify(critic, tuple(held_out.shape[1:])).bound
    if not certificate or min(len(held_out), len(seen.fakes)) < 2:
        return {}
    known, real_scores, fake_scores = map(_plain, (seen.real, seen.held_out, seen.fake))
    reach = known.max() - known.min() + EPSILON
    lower = lower_bound(
        real_scores,
        fake_scores,
        certificate=certificate,
        limits=(known.min() - reach, known.max() + reach),  # fakes may lie where no real sample does
        error=(1 - CONFIDENCE) / 2,
    )
    upper = upper_bound(
        _plain(held_out.flatten(1)), _plain(seen.fakes.flatten(1)), error=(1 - CONFIDENCE) / 2
    )
    return {"w1_lower": torch.tensor(lower), "w1_upper": torch.tensor(upper)}


def _plain(tensor: Tensor) -> npt.NDArray[np.float64]:
    return tensor.cpu().double().numpy()
