"""The trainer: two networks, their settings, and the loop that trains them into a folder."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, nullcontext
from copy import copy, deepcopy
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from wgan.core.devices import find_device, keep_freed_memory
from wgan.core.randomness import INITIALISATION, TRAINING, derive, isolated_global_rng, seed_global_rng
from wgan.data import Dataset, DataSource, load
from wgan.errors import InputError
from wgan.latents import draw_latents
from wgan.monitors import Console, Monitor
from wgan.networks import describe, describe_custom, import_network
from wgan.runs import RunFolder, default_folder, saved_steps
from wgan.training import checks
from wgan.training.augment import Augmenter
from wgan.training.auxiliary_loss import AuxiliaryLoss
from wgan.training.batches import condition_of
from wgan.training.config import run_config
from wgan.training.distributed import World
from wgan.training.ema import EMA
from wgan.training.engine import VERIFIED_STEPS, equip
from wgan.training.objective import Objective
from wgan.training.observe import Observer, measure_dataset
from wgan.training.optimisers import DECAYS, set_rate
from wgan.training.recipes import recipe
from wgan.training.recorder import Recorder
from wgan.training.resume import (
    check_same_run,
    restore_last_checkpoint,
    start_from,
    write_run_config,
)
from wgan.training.settings import TrainingSettings, changed, find_loss
from wgan.training.signals import Signals
from wgan.training.snapshot import Snapshot
from wgan.training.state import State, use_channels_last
from wgan.training.training_step import WARM_UP_EVERY, WARM_UP_STEPS, TrainingStep

Stop = Callable[[RunFolder], bool]
"""Whether the run in the folder is to end at the log point that was just written."""
FIXED = 2048
"""Latents that stay the same all through a run, for what is drawn and observed."""


class Trainer:
    """Trains a generator against a critic.

    Either a recipe builds the networks, ``Trainer("digits")``, ``Trainer("digits", settings="dcgan-gp")``, or
    they are your own, ``Trainer("digits", generator=..., critic=...)``. The settings are those of the recipe
    but for the ones given by name: ``Trainer("digits", steps=2000, constraint=GradientPenalty(5.0))``.

    Args:
        data: A :class:`wgan.data.Dataset`, or anything that :func:`wgan.data.load` takes.
        settings: All settings, or the name of a recipe, which adapts to the shape of a sample.
        generator: A module, or the name ``package.module:Class`` of one that is called with the shape of a
            sample. It maps latents (N, latent_dim), and labels in a conditional run, to samples (N, *shape).
            None: the generator of ``settings.networks``.
        critic: Maps samples (N, *shape), and labels, to scores (N,) or (N, 1); the constraint wraps it in
        place.
        auxiliary_loss: A second term of the generator's loss.
        monitors: Who watches the run besides its folder.
        origin: Where the settings come from: noted in ``config.json``, no part of the run's identity.
        changes: Settings that differ, by the names of :class:`~wgan.training.TrainingSettings`.

    Attributes:
        settings: All settings.
        dataset: The data, on the device.
        generator: The generator.
        critic: The critic, wrapped by the constraint.
        latent_dim: Length of a latent.

    Raises:
        InputError: A setting is out of its range or does not fit the others.
    """

    def __init__(
        self,
        data: Dataset | DataSource,
        *,
        settings: TrainingSettings | str = "default",
        generator: nn.Module | str | None = None,
        critic: nn.Module | str | None = None,
        auxiliary_loss: AuxiliaryLoss | None = None,
        monitors: Sequence[Monitor] = (),
        origin: Mapping[str, Any] | None = None,
        **changes: Any,  # noqa: ANN401 - any setting
    ) -> None:
        dataset = data if isinstance(data, Dataset) else load(data)
        base = recipe(settings, dataset.shape) if isinstance(settings, str) else settings
        self.settings = settings = changed(base, **changes)
        self.monitors, self.origin = monitors, dict(origin or {})
        for monitor in monitors:
            if not isinstance(monitor, Monitor):
                raise InputError(f"monitors must be Monitor objects, as in wgan.monitors, not {monitor!r}.")
        self._condition = condition_of(dataset) if settings.conditional else None
        generator, critic = self._networks(generator, critic, dataset.shape)
        self.latent_dim = checks.check_networks(generator, critic, dataset, settings)
        self._device = find_device(settings.device)
        self._world = World(self._device)
        self._world.refuse(settings, generator, critic)
        with isolated_global_rng(self._device):
            # What the constraint adds is drawn from a stream of its own.
            seed_global_rng(derive(settings.seed, INITIALISATION, 1), self._device)
            self.critic = self._world.synchronise(settings.constraint.wrap(critic))
            self.generator = self._world.synchronise(generator)
        self.dataset = dataset.to(self._device)
        if auxiliary_loss is not None:
            auxiliary_loss.to(self._device)
        classifies = settings.conditional and getattr(self.critic, "classifies", False) is True
        self.objective = Objective(
            find_loss(settings.loss),
            settings.constraint,
            settings.classification if classifies else None,
            auxiliary_loss,
            settings.precision,
        )
        self._step = self._new_step()

    def __repr__(self) -> str:
        """The networks, the data and the number of steps."""
        generator, critic = (type(network).__name__ for network in (self.generator, self.critic))
        return f"Trainer({generator}, {critic}, {self.dataset.name}, steps={self.settings.steps:,})"

    def _networks(
        self, generator: nn.Module | str | None, critic: nn.Module | str | None, shape: tuple[int, ...]
    ) -> tuple[nn.Module, nn.Module]:
        """The networks that were passed, those that were named, or those of the settings."""
        if (generator is None) != (critic is None):
            raise InputError("generator and critic are given together, or neither of them.")
        names, own, latent_dim = (generator, critic), self.settings.networks, self.settings.latent_dim
        if generator is None and latent_dim not in (None, own.latent_dim):
            raise InputError(
                f"latent_dim={latent_dim} is for your own networks; those of wgan have networks.latent_dim "
                f"= {own.latent_dim}."
            )
        with torch.random.fork_rng():
            torch.manual_seed(derive(self.settings.seed, INITIALISATION))
            if generator is None or critic is None:
                generator, critic = own.build(shape, self._condition)
            built = [
                import_network(network, shape, self._condition) if isinstance(network, str) else network
                for network in (generator, critic)
            ]
        self._descriptions: dict[str, Any] = {
            role: describe_custom(name, shape, self._condition)
            if isinstance(name, str)
            else describe(network)
            for role, name, network in zip(("generator", "critic"), names, built, strict=True)
        }
        if names != (None, None):
            self._descriptions["networks"] = None
        return built[0], built[1]

    def fit(
        self,
        run_dir: str | PathLike[str],
        steps: int | None = None,
        *,
        start: str | PathLike[str] | None = None,
        before: int | None = None,
        stop: Stop | None = None,
        progress: bool = True,
    ) -> RunFolder:
        """Train until ``steps`` steps are done; in a folder with a run of the same settings, go on with it.

        SIGINT and SIGTERM end it after the step in hand, with a checkpoint. A run that is interrupted at any
        moment and gone on with is the same run as one that was not: on one CPU, bit for bit. On a CPU, freed
        memory stays with the process from then on: see :func:`wgan.core.devices.keep_freed_memory`.

        Args:
            run_dir: The run's folder; made if need be.
            steps: Generator steps in all, >= 1, those of earlier calls included; None: those of the settings.
            start: Another run's folder: a new run starts from its last weights and step.
            before: Start from the other run's last weights before this step.
            stop: Called after each log point; the run ends there, without a checkpoint, if it returns True.
            progress: Show the progress on standard error.

        Returns:
            The folder.

        Raises:
            InputError: The folder holds another run or something else; the message names the differences.
            StorageError: The file system refuses; the last checkpoint is whole.
            DivergenceError: A number is not finite any more; the last healthy checkpoint stays.
            KeyboardInterrupt: SIGINT was received.
            SystemExit: SIGTERM was received, or a signal to another of several processes; code 143.
        """
        if not isinstance(run_dir, str | PathLike):
            raise InputError(f"run_dir must be a path, not {run_dir!r}: fit(run_dir, steps).")
        steps = self.settings.steps if steps is None else steps
        folder, config = RunFolder(Path(run_dir)), self.config(steps)
        if start is not None:
            config["origin"]["start"] = str(start)
        self._world.main_process_first(lambda: check_same_run(folder, config))
        state = self.state()
        if start is not None and not saved_steps(folder.checkpoints):
            start_from(state, RunFolder(Path(start)), before)
        with ExitStack() as held:
            self._world.main_process_first(lambda: held.enter_context(folder.locked()))
            # Once more, as another process may have started a run meanwhile.
            self._world.main_process_first(lambda: check_same_run(folder, config))
            restore_last_checkpoint(state, folder, rewind=self._world.is_main)
            self._world.wrap(state)  # from here on all processes have read what they need
            self._equip(state)
            self._step.waited = 0.0
            self._world.main_process_first(lambda: self._claim(folder, config))
            recorder = self._recorder(folder, progress)
            recorder.start(config, state.step)
            if self._device.type == "cpu":
                keep_freed_memory()
            with recorder.reporting_outcome(), Signals() as signals, self._world.naming_lost_process():
                self._loop(state, steps, recorder, signals, stop)
                if state.step < steps and not recorder.stopped:
                    signals.raise_received()
        return folder

    def _loop(
        self, state: State, steps: int, recorder: Recorder, signals: Signals, stop: Stop | None
    ) -> None:
        logging = self.settings.logging
        fixed = torch.from_numpy(draw_latents(FIXED, self.latent_dim)).to(self._device)
        observer = self._observer(state, fixed)
        snapshot = Snapshot(self.dataset, fixed, self._condition)
        if not saved_steps(recorder.folder.checkpoints):
            recorder.images(state, snapshot)
            recorder.checkpoint(state)
        with isolated_global_rng(self._device):
            ending = self._world.any(signals.received is not None)
            while state.step < steps and not ending:
                due = (state.step + 1) % logging.metrics == 0
                with observer.following() if due else nullcontext():
                    self.advance(state, steps, observed=due)
                if due:
                    self._world.check_agreement(state.step, state.critic, state.generator)
                    vital, others, shapes = observer.look()
                    means = self._world.mean(state.means())
                    recorder.log(state.step, vital | means, others, shapes, fetching=self._step.waited)
                    if stop is not None and self._world.any(self._world.is_main and stop(recorder.folder)):
                        recorder.stopped = True
                        return
                if state.step % logging.images == 0 or state.step == steps:
                    recorder.images(state, snapshot)
                ending, saving = self._world.each(
                    signals.received is not None, recorder.checkpoint_due(state.step)
                )
                if saving or state.step == steps or ending:
                    recorder.checkpoint(state, self._world.mean(state.sums))

    def advance(self, state: State, steps: int, *, observed: bool = False) -> None:
        """Take one step of a run of ``steps``: critic steps, a generator step, an update of the average.

        All randomness is a function of (seed, step). Batches are drawn with replacement: independent draws
        from the empirical distribution, which need no memory of the epoch. A step that is observed is an
        eager one.
        """
        settings = self.settings
        rng = self._world.rng(derive(settings.seed, TRAINING, state.step))
        factor = DECAYS[settings.decay](state.step / steps)
        set_rate(state.critic_optimiser, factor * settings.critic_optimiser.rate(state.critic))
        set_rate(state.generator_optimiser, factor * settings.generator_optimiser.rate(state.generator))
        step = state.step_fn if state.step_fn and not observed else self._step
        for numbers in step(state, self._step.plan(state.step), rng):
            state.add(numbers)
        state.step += 1
        state.ema.update(updates=state.step)

    def state(self) -> State:
        """A state of no steps around the networks, on the device."""
        settings = self.settings
        for network in (self.generator, self.critic):
            use_channels_last(network.to(self._device).train())
        return State(
            self.generator,
            self.critic,
            settings.generator_optimiser.build(self.generator),
            settings.critic_optimiser.build(self.critic),
            EMA(self.generator, settings.ema),
            Augmenter(settings.augment).to(self._device) if settings.augment.active else None,
        )

    def config(self, steps: int | None = None) -> dict[str, Any]:
        """The run as plain data: what ``config.json`` holds."""
        settings = self.settings if steps is None else changed(self.settings, steps=steps)
        return run_config(
            changed(settings, latent_dim=self.latent_dim),
            self.dataset,
            self._condition,
            {**self._descriptions, "auxiliary_loss": self.objective.auxiliary_loss},
            self.origin,
        )

    def seconds_per_step(self, *, at_most: float = 3.0) -> float:
        """Measure a step's duration, for about ``at_most`` seconds, on a copy of the networks."""
        trial = deepcopy(self.state())
        self._world.wrap(trial)
        self._equip(trial)
        trial.step = WARM_UP_STEPS  # the steps that are like most others
        with isolated_global_rng(self._device):
            for _ in range(VERIFIED_STEPS):  # the first is always eager, a capture may come with the second
                self.advance(trial, WARM_UP_EVERY)
            start = time.perf_counter()
            while True:
                self.advance(trial, WARM_UP_EVERY)
                next(trial.average.parameters()).flatten()[0].item()  # waits for the device
                elapsed = time.perf_counter() - start
                if self._world.any(elapsed > at_most) or trial.step == WARM_UP_EVERY:
                    return self._world.of_main(elapsed / (trial.step - WARM_UP_STEPS - VERIFIED_STEPS))

    def copy_with(self, **changes: Any) -> Trainer:  # noqa: ANN401 - any setting
        """A copy with networks of its own and some settings changed.

        Args:
            changes: Settings of the optimisers and of the schedule; what the networks and the objective were
                built from stays.
        """
        copied = copy(self)
        copied.settings = changed(self.settings, **changes)
        copied.generator, copied.critic = deepcopy(self.generator), deepcopy(self.critic)
        copied._step = copied._new_step()
        return copied

    def _new_step(self) -> TrainingStep:
        return TrainingStep(
            self.settings, self.objective, self.dataset, self._world, self.latent_dim, self._device
        )

    def _observer(self, state: State, latents: Tensor) -> Observer:
        return Observer(
            state.generator,
            state.critic,
            self.dataset,
            constraint=self.settings.constraint,
            latents=latents,
            conditional=self.settings.conditional,
            optimisers=(state.generator_optimiser, state.critic_optimiser),
            # An augmentation that adapts to the held-out samples has let them influence the training.
            bracket=not self.settings.augment.target,
        )

    def _recorder(self, folder: RunFolder, progress: bool) -> Recorder:
        shown = progress and not any(isinstance(monitor, Console) for monitor in self.monitors)
        return Recorder(
            folder,
            self.settings.logging,
            [*([Console()] if shown else []), *self.monitors],
            self.settings.n_critic * self.settings.batch_size,
            writes=self._world.is_main,
        )

    def _claim(self, folder: RunFolder, config: dict[str, Any]) -> None:
        write_run_config(folder, config)
        if not folder.data_file.exists():
            folder.write_data(measure_dataset(self.dataset))

    def _equip(self, state: State) -> None:
        settings = self.settings
        with isolated_global_rng(self._device):
            equip(
                state,
                settings.engine,
                self._step,
                self._verify_against_eager,
                n_critic=settings.n_critic,
                resident=self.dataset.train.resident,
            )

    def _verify_against_eager(self, trial: State) -> None:
        for number in range(VERIFIED_STEPS):
            rng = self._world.rng(derive(self.settings.seed, TRAINING, number))
            step = trial.step_fn or self._step
            step(trial, self._step.longest_plan(), rng)


def train(
    data: Dataset | DataSource,
    run_dir: str | PathLike[str] | None = None,
    *,
    settings: TrainingSettings | str = "default",
    monitors: Sequence[Monitor] = (),
    **changes: Any,  # noqa: ANN401 - any setting
) -> RunFolder:
    """Train a generator on data into a run folder, as ``wgan train`` does: the same weights, bit for bit.

    Args:
        data: Anything that :func:`wgan.data.load` takes: the name of a dataset, a path, an array.
        run_dir: The run's folder; None: ``runs/DATA-RECIPE``.
        settings: All settings, or the name of a recipe.
        monitors: Who watches the run besides its folder.
        changes: Settings that differ, such as ``steps=2000``.

    Returns:
        The folder.

    Raises:
        InputError: A setting is out of its range or does not fit the others.
    """
    trainer = Trainer(data, settings=settings, monitors=monitors, **changes)
    name = settings if isinstance(settings, str) else "settings"
    return trainer.fit(run_dir or default_folder(trainer.dataset.name, name))
