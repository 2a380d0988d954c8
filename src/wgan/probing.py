"""How far a run's critic is from its optimum: taken to it as far as some steps go, on a frozen generator.

No history can tell that, see docs/diagnosis.md. Nothing here writes to the run.
"""

from __future__ import annotations

from copy import copy, deepcopy
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
from wgan.runs import RunFolder, load_latest
from wgan.training import Trainer, TrainingSettings
from wgan.training.observe import Scored, draw_probe_batch, observing, scored
from wgan.training.observe.slopes import Slopes
from wgan.training.resume import check_same_run

STEPS = 200
"""Critic steps, at least."""
JUDGED = 2048
"""Held-out samples that both critics are judged by, at most, and fakes."""
SURE = 2.576
"""Standard errors to both sides that hold a normal number in 99 of 100 cases."""
LATENTS = 7
"""The seed of latents that no run trains on or shows."""
FROZEN = 1e-45
"""A learning rate that moves no weight: the least number there is."""


@final
@dataclass(frozen=True)
class Probe:
    """What more steps would do for a critic.

    Attributes:
        step: Of the checkpoint.
        steps: Critic steps that were taken on its generator.
        gap: Its gap on held-out samples now.
        reached: The same critic's after these steps.
        share: Which part of the one the other is, each divided by what its median slope is above the one that
            its constraint asks for, so that a steeper critic is not a better one; None where the gap reached
            is within three standard errors of zero, so that there is nothing to be seen any more.
        low: A lower bound of the share: with 99 % confidence it is between both.
        high: An upper bound.
    """

    step: int
    steps: int
    gap: float
    reached: float
    share: float | None
    low: float | None
    high: float | None

    def plain(self) -> dict[str, float | None]:
        """As evidence: ``probe_share`` and so on."""
        return {f"probe_{name}": value for name, value in asdict(self).items()}


def probe(trainer: Trainer, run_dir: str | PathLike[str], *, steps: int = STEPS) -> Probe:
    """Take the critic of a run's last checkpoint some steps further while its generator stays.

    The rate is the run's full one, or the generator's if that is higher, and falls to zero: what a run's own
    schedule has left of it, or a rate that is far too low, would go nowhere. Both critics are judged by the
    same samples, of which neither has learned: the share's standard error is that of a ratio of paired means
    (Cochran 1977, "Sampling Techniques", chapter 6).

    Args:
        trainer: Of the run, with all its settings; :func:`trainer_of` builds it from the folder.
        run_dir: The run's folder; nothing is written there.
        steps: Critic steps, >= 1; rounded up to whole steps of the run.

    Raises:
        InputError: The folder holds no checkpoint, or another run than the trainer's.
    """
    check_whole(steps=(steps, 1))
    folder = RunFolder(Path(run_dir))
    check_same_run(folder, trainer.config(folder.read_config().get("steps", 1)))
    checkpoint = load_latest(folder.checkpoints)
    if checkpoint is None:
        raise InputError(f"{folder.path} has no checkpoint yet; train it first.")
    trial = _trial(trainer)
    state = trial.state()
    state.restore(0, checkpoint.tensors)
    device = next(state.critic.parameters()).device
    before = deepcopy(state.critic)
    turns = -(-steps // trial.settings.n_critic)
    judge = _CriticComparison(trial, state.generator, device)
    with isolated_global_rng(device):
        for _ in range(turns):
            trial.advance(state, turns)
        now, then = judge.look(before), judge.look(state.critic)
    return _compared(now, then, step=checkpoint.step, steps=turns * trial.settings.n_critic)


def trainer_of(run_dir: str | PathLike[str], *, device: str = "auto") -> Trainer:
    """The trainer that a run's folder describes.

    Raises:
        InputError: This is no run folder; the run was started from Python, without a recipe, or by a version
            with other settings; or its data are not there any more.
    """
    folder = RunFolder(Path(run_dir))
    config = folder.read_config()
    settings = replace(TrainingSettings.from_config(config), device=device)
    dataset = reload_dataset(config.get("dataset"), str(folder.path))
    return Trainer(
        dataset, settings=settings, generator=build(config["generator"]), critic=build(config["critic"])
    )


def _trial(trainer: Trainer) -> Trainer:
    """The same game with networks of its own, in which only the critic moves."""
    trial = copy(trainer)
    trial.generator, trial.critic = deepcopy(trainer.generator), deepcopy(trainer.critic)
    settings = trainer.settings
    critic, generator = settings.critic_optimiser, settings.generator_optimiser
    trial.settings = replace(
        settings,
        critic_optimiser=replace(critic, lr=max(critic.lr, generator.lr)),
        generator_optimiser=replace(generator, lr=FROZEN),
        decay="linear",
        warm_up=False,
    )
    return trial


@final
class _CriticComparison:
    """Scores and slopes of a critic, of samples that none has learned from."""

    def __init__(self, trainer: Trainer, generator: nn.Module, device: torch.device) -> None:
        self._generator, self._target = generator, _target(trainer)
        points = torch.from_numpy(draw_latents(JUDGED, trainer.latent_dim, LATENTS)).to(device)
        self._latents, self._train, self._held_out, self._labels = draw_probe_batch(
            trainer.dataset, points, labelled=trainer.settings.conditional
        )
        self._slopes = Slopes(self._train, self._held_out, self._labels[1:])

    def look(self, critic: nn.Module) -> _Judged:
        """Score the held-out samples and the fakes."""
        with observing(critic, self._generator):
            seen = scored(
                critic,
                self._generator,
                latents=self._latents,
                train=self._train,
                held_out=self._held_out,
                labels=self._labels,
            )
            slopes = self._slopes.look(critic, seen.fakes, seen.held_out)
        slope = slopes["slope/50"].item() if "slope/50" in slopes else 0.0
        return _Judged(seen, max(1.0, slope / self._target) if self._target else 1.0)


@final
@dataclass(frozen=True, eq=False)
class _Judged:
    seen: Scored
    excess: float
    """How much steeper than its constraint asks for the critic is, >= 1."""

    @property
    def gap(self) -> float:
        return gap(self.seen.held_out, self.seen.fake).item()


def _compared(now: _Judged, then: _Judged, *, step: int, steps: int) -> Probe:
    scale = then.excess / now.excess
    share = scale * now.gap / then.gap if then.gap else 0.0
    apart = _error(then.seen.held_out, then.seen.fake)
    if not then.gap > 3 * apart:
        return Probe(step, steps, now.gap, then.gap, None, None, None)
    held_out = scale * now.seen.held_out - share * then.seen.held_out
    error = _error(held_out, scale * now.seen.fake - share * then.seen.fake) / then.gap
    return Probe(step, steps, now.gap, then.gap, share, share - SURE * error, share + SURE * error)


def _error(real: Tensor, fake: Tensor) -> float:
    """The standard error of the difference of two means."""
    return (real.double().var() / len(real) + fake.double().var() / len(fake)).sqrt().item()


def _target(trainer: Trainer) -> float:
    """The slope that the constraint asks for; 0 where it asks for none."""
    return float(getattr(trainer.settings.constraint, "target", 0.0) or 0.0)
