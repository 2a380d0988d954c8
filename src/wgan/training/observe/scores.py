"""Scores of real, held-out and generated samples, and the bracket of W1 that follows from them."""

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
from wgan.training.observe.dead_units import RectifiedUnits
from wgan.training.observe.probe_batch import quantiles
from wgan.wasserstein.bracket import lower_bound, upper_bound

CONFIDENCE = 0.99
"""Confidence of the bracket that a run logs."""
EPSILON = 1e-6  # a critic that is constant has a range, too


@final
@dataclass(frozen=True, eq=False)
class Scored:
    """The scores of a log point, from a single pass through both networks.

    Attributes:
        fakes: (N, *shape), generated from fixed latents.
        fake: Their scores, (N,).
        real: Scores of training samples.
        held_out: Scores of held-out samples.
        generator_units: The generator's rectified units in that pass.
        critic_units: The critic's rectified units in the passes of training samples and fakes.
    """

    fakes: Tensor
    fake: Tensor
    real: Tensor
    held_out: Tensor
    generator_units: RectifiedUnits
    critic_units: RectifiedUnits


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
        critic: In training mode; call it inside :func:`~wgan.training.observe.observing`.
        generator: In training mode.
        latents: (N, latent_dim), the same at every log point.
        train: (M, *shape), training samples.
        held_out: (K, *shape), held-out samples.
        labels: Of the fakes, of ``train`` and of ``held_out``, in a conditional run.
    """
    of_fakes, of_train, of_held_out = labels
    with RectifiedUnits() as generator_units:
        fakes = generate(generator, latents, of_fakes)
    critic_units = RectifiedUnits()
    with critic_units:
        real = score(critic, train, of_train)
    with critic_units:
        fake = score(critic, fakes, of_fakes)
    return Scored(fakes, fake, real, score(critic, held_out, of_held_out), generator_units, critic_units)


def gaps(seen: Scored) -> Numbers:
    """The gap of training and of held-out samples to the same fakes, in units of the score.

    A training gap far above the held-out gap means that the critic overfits.

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
    """A bracket of W1 between the generator's distribution and the data's, by the critic under training.

    Training sees neither the held-out samples nor fakes of these latents, so that the bounds hold at each log
    point by itself with a confidence of 99 %. They are wider than an audit's, which has a critic of its own
    and more samples. Scores are clipped to the range of the scores of training samples.

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
