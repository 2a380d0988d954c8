"""Estimate how far a run's critic is from its optimum, by training it on while the generator is frozen.

A run's history does not show that, see docs/diagnosis.md. Nothing here writes to the run.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from os import PathLike
from pathlib import Path
from typing import final

import torch
from torch import Tensor, nn

from wgan.core.randomness import isolated_global_rng
from wgan.data import reload_dataset
from wgan.errors import InputError, check_whole
from wgan.latents import draw_latents
from wgan.losses import gap
from wgan.networks import build
from wgan.runs import RunFolder, load_checkpoint
from wgan.training import Trainer, TrainingSettings
from wgan.training.observe import Scored, draw_probe_batch, observing, scored
from wgan.training.observe.slopes import Slopes
from wgan.training.resume import check_same_run

STEPS = 200
"""Default number of critic steps."""
SAMPLES = 2048
"""Largest number of held-out samples, and of fakes, that both critics are compared on."""
Z_99 = 2.576
"""Half-width of a 99 % confidence interval, in standard errors."""
LATENT_SEED = 7
"""Seed of latents that no run trains on or shows."""
ZERO_LR = 1e-45
"""A learning rate that changes no weight: the smallest positive number in float32."""


@final
@dataclass(frozen=True)
class Probe:
    """The effect of more steps on a critic.

    Attributes:
        step: Step of the checkpoint.
        steps: Critic steps taken with the checkpoint's generator.
        gap: The critic's gap on held-out samples at the checkpoint.
        reached: The same critic's gap after these steps.
        share: gap / reached, each divided by the excess of the critic's median slope over its constraint's
            target, so that a steeper critic does not count as better; None if the reached gap is within three
            standard errors of zero, and the share has no meaning.
        low: Lower end of the 99 % confidence interval of the share.
        high: Its upper end.
    """

    step: int
    steps: int
    gap: float
    reached: float
    share: float | None
    low: float | None
    high: float | None

    def plain(self) -> dict[str, float | None]:
        """Return the fields as evidence of a diagnosis: ``probe_share`` and so on."""
        return {f"probe_{name}": value for name, value in asdict(self).items()}


def probe_critic(trainer: Trainer, run_dir: str | PathLike[str], *, steps: int = STEPS) -> Probe:
    """Train the critic of a run's last checkpoint for more steps, with its generator frozen.

    The learning rate starts at the critic's initial rate, or the generator's if that is higher, and falls to
    zero: the rest of the run's own schedule, or a rate that is far too low, would change little. Both critics
    are compared on the same samples, on which neither was trained: the share's standard error is that of a
    ratio of paired means (Cochran 1977, "Sampling Techniques", chapter 6).

    Args:
        trainer: The run's trainer, with all its settings; :func:`trainer_of` builds it from the folder.
        run_dir: The run's folder; nothing is written there.
        steps: Critic steps, >= 1; rounded up to whole steps of the run.

    Raises:
        InputError: The folder holds no checkpoint, or a run with other settings than the trainer's.
    """
    check_whole(steps=(steps, 1))
    folder = RunFolder(Path(run_dir))
    check_same_run(folder, trainer.config(folder.read_config().get("steps", 1)))
    checkpoint = load_checkpoint(folder.checkpoints, None)
    trial = _with_frozen_generator(trainer)
    state = trial.state()
    state.restore(0, checkpoint.tensors)
    device = next(state.critic.parameters()).device
    before = deepcopy(state.critic)
    run_steps = -(-steps // trial.settings.n_critic)
    probe = _ProbeSamples(trial, state.generator, device)
    with isolated_global_rng(device):
        for _ in range(run_steps):
            trial.advance(state, run_steps)
        first, last = probe.measure(before), probe.measure(state.critic)
    return _compare(first, last, step=checkpoint.step, steps=run_steps * trial.settings.n_critic)


def trainer_of(run_dir: str | PathLike[str], *, device: str = "auto") -> Trainer:
    """Build the trainer that a run's folder describes.

    Raises:
        InputError: This is not a run folder; the run has networks, a constraint, an optimiser or a loss of
            the user's own, or settings of another version; or its data are missing.
    """
    folder = RunFolder(Path(run_dir))
    config = folder.read_config()
    if config.get("auxiliary_loss") is not None:
        raise InputError(
            f"{folder.path} was trained with an auxiliary loss, as distilled ones are, which its folder "
            "alone cannot restore: call wgan.probing.probe_critic with the run's trainer."
        )
    settings = replace(TrainingSettings.from_config(config), device=device)
    dataset = reload_dataset(config.get("dataset"), str(folder.path))
    return Trainer(
        dataset, settings=settings, generator=build(config["generator"]), critic=build(config["critic"])
    )


def _with_frozen_generator(trainer: Trainer) -> Trainer:
    """A copy of the trainer with networks of its own, whose steps change only the critic."""
    critic, generator = trainer.settings.critic_optimiser, trainer.settings.generator_optimiser
    return trainer.copy_with(
        critic_optimiser=replace(critic, lr=max(critic.lr, generator.lr)),
        generator_optimiser=replace(generator, lr=ZERO_LR),
        decay="linear",
        warm_up=False,
    )


@final
class _ProbeSamples:
    """Real and fake samples on which no critic was trained."""

    def __init__(self, trainer: Trainer, generator: nn.Module, device: torch.device) -> None:
        self._generator, self._target = generator, _target(trainer)
        points = torch.from_numpy(draw_latents(SAMPLES, trainer.latent_dim, LATENT_SEED)).to(device)
        self._latents, self._train, self._held_out, self._labels = draw_probe_batch(
            trainer.dataset, points, labelled=trainer.settings.conditional
        )
        self._slopes = Slopes(self._train, self._held_out, self._labels[1:])

    def measure(self, critic: nn.Module) -> _CriticScores:
        """Measure the critic's scores and slopes."""
        with observing(critic, self._generator):
            scores = scored(
                critic,
                self._generator,
                latents=self._latents,
                train=self._train,
                held_out=self._held_out,
                labels=self._labels,
            )
            slopes = self._slopes.look(critic, scores.fakes, scores.held_out)
        slope = slopes["slope/50"].item() if "slope/50" in slopes else 0.0
        return _CriticScores(scores, max(1.0, slope / self._target) if self._target else 1.0)


@final
@dataclass(frozen=True, eq=False)
class _CriticScores:
    scores: Scored
    excess: float
    """Median slope over the constraint's target, at least 1."""

    @property
    def gap(self) -> float:
        return gap(self.scores.held_out, self.scores.fake).item()


def _compare(first: _CriticScores, last: _CriticScores, *, step: int, steps: int) -> Probe:
    a, b = first.scores, last.scores
    scale = last.excess / first.excess
    share = scale * first.gap / last.gap if last.gap else 0.0
    if not last.gap > 3 * _error(b.held_out, b.fake):
        return Probe(step, steps, first.gap, last.gap, None, None, None)
    held_out = scale * a.held_out - share * b.held_out
    error = _error(held_out, scale * a.fake - share * b.fake) / last.gap
    return Probe(step, steps, first.gap, last.gap, share, share - Z_99 * error, share + Z_99 * error)


def _error(real: Tensor, fake: Tensor) -> float:
    """The standard error of the difference of two means."""
    return (real.double().var() / len(real) + fake.double().var() / len(fake)).sqrt().item()


def _target(trainer: Trainer) -> float:
    """The constraint's target slope; 0 without one."""
    return float(getattr(trainer.settings.constraint, "target", 0.0) or 0.0)
