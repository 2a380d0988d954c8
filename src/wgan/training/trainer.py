"""The trainer: the settings of a game between two networks, and the loop that plays it into a folder."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, nullcontext
from copy import deepcopy
from dataclasses import dataclass, field
from importlib.metadata import version
from os import PathLike
from pathlib import Path
from typing import Any

import numpy.typing as npt
import torch
from PIL.Image import Image
from torch import Tensor, nn

from wgan.core.devices import find_device, keep_freed_memory
from wgan.core.randomness import (
    INITIALISATION,
    TRAINING,
    derive,
    isolated_global_rng,
    local_rows,
    seed_global_rng,
)
from wgan.data import Dataset, Split, load
from wgan.errors import check_seed, check_whole
from wgan.images import show
from wgan.latents import latents
from wgan.lipschitz import Constraint, GradientPenalty
from wgan.losses import ClassificationWeights, Loss
from wgan.monitors import Monitor
from wgan.networks import describe, generate
from wgan.runs import RunFolder, saved_steps, to_plain
from wgan.training import checks
from wgan.training.augment import ADAPTED_EVERY, Augment, Augmenter
from wgan.training.auxiliary_loss import AuxiliaryLoss
from wgan.training.batches import Batch, BatchSampler, condition_of, refuse_unbalanced
from wgan.training.distributed import World
from wgan.training.engine import VERIFIED_STEPS, Engine, Plan, check_engine, equip
from wgan.training.observe import Observer, measure_dataset, spread, spread_labels
from wgan.training.optimisers import DECAYS, Adam, Decay, Optimiser, set_rate
from wgan.training.precision import Precision, check_precision
from wgan.training.recorder import LoggingIntervals, Recorder
from wgan.training.resume import branch, check, claim, resume
from wgan.training.signals import Signals
from wgan.training.state import State, averaged, laid_out
from wgan.training.step import Numbers, adapt_step, average_step, critic_step, generator_step

Stop = Callable[[RunFolder], bool]
"""Whether the run in the folder is to end at the log point that was just written."""
FIXED = 2048
"""Latents that stay the same all through a run, for what is drawn and observed."""
SHOWN = {True: 64, False: 2048}
"""Fixed latents behind what is drawn: of images, of vectors."""
COLUMNS, MOST_ROWS = 8, 16
"""Of a conditional run's images: one row a class, one latent a column."""
WARM_UP_STEPS, WARM_UP_EVERY, WARM_UP_CRITIC = 25, 500, 100
"""The original code's warm-up: 100 critic steps in the first 25 steps and in every 500th."""


@dataclass(kw_only=True)
class Trainer:
    """Trains a generator against a critic.

    Attributes:
        generator: Maps latents (N, latent_dim) to samples (N, *shape).
        critic: Maps samples (N, *shape) to scores, (N,) or (N, 1); the constraint wraps it in place.
        data: A :class:`wgan.data.Dataset`, or anything :func:`wgan.data.load` takes.
        loss: A :class:`wgan.losses.Loss` or its name in :data:`wgan.losses.LOSSES`.
        constraint: What keeps the critic Lipschitz; None: nothing does.
        n_critic: Critic steps a generator step, >= 1.
        batch_size: Samples a step, >= 2.
        generator_optimiser: Its settings.
        critic_optimiser: Its settings.
        decay: Of both learning rates over the run's steps.
        ema: Decay of the generator's moving average, in [0, 1).
        warm_up: Whether the critic takes 100 steps in each of the first 25 steps and in every 500th, as in
            the code of Arjovsky et al. 2017.
        penalty_every: k: the penalty is taken in every k-th critic step, k times as strong (Karras et al.
            2020, "Analyzing and Improving the Image Quality of StyleGAN", appendix B).
        precision: What both networks compute in while they learn, ``float32`` or ``bfloat16``; the penalty,
            weights and moments are float32 in either.
        conditional: Whether both networks are given the labels of the data, as a second argument.
        balanced: Whether every class is drawn equally often, however rare it is.
        classification: Weights of the classifier in a critic that has one: it says ``classifies = True`` and
        has a
            method ``logits(samples) -> (N, classes)``.
        augment: Transforms of all images before the critic, for small sets; off by default.
        auxiliary_loss: What else the generator aims at, as a student of another generator does.
        latent_dim: Of the generator; None: its own attribute of that name.
        seed: In [0, 2^63).
        device: Where to train; ``auto`` is a GPU if there is one.
        engine: ``eager``, ``compile``, ``graph`` on a GPU, or what is best, ``auto``: see docs/speed.md.
        logging: How often the run logs, draws and saves.
        monitors: Who else watches.
        origin: Where the settings come from: noted in ``config.json``, no part of the run's identity.

    Raises:
        InputError: A setting is out of its range or does not fit the others.
    """

    generator: nn.Module
    critic: nn.Module
    data: Dataset | npt.NDArray[Any] | Tensor | str | Path
    loss: Loss | str = "wasserstein"
    constraint: Constraint | None = GradientPenalty()
    n_critic: int = 5
    batch_size: int = 64
    generator_optimiser: Optimiser = Adam()
    critic_optimiser: Optimiser = Adam()
    decay: Decay = "constant"
    ema: float = 0.999
    warm_up: bool = False
    penalty_every: int = 1
    precision: Precision = "float32"
    conditional: bool = False
    balanced: bool = False
    classification: ClassificationWeights = ClassificationWeights()
    augment: Augment = Augment()
    auxiliary_loss: AuxiliaryLoss | None = None
    latent_dim: int | None = None
    seed: int = 0
    device: str = "auto"
    engine: Engine = "auto"
    logging: LoggingIntervals = LoggingIntervals()
    monitors: Sequence[Monitor] = ()
    origin: Mapping[str, Any] = field(default_factory=dict)
    _fetching: float = field(default=0.0, init=False, repr=False)

    def __post_init__(self) -> None:
        check_whole(
            n_critic=(self.n_critic, 1),
            batch_size=(self.batch_size, 2),
            penalty_every=(self.penalty_every, 1),
        )
        checks.check_share("ema", self.ema)
        check_seed(self.seed)
        checks.check_decay(self.decay)
        check_precision(self.precision)
        check_engine(self.engine)
        checks.check_kinds(
            augment=(self.augment, Augment), classification=(self.classification, ClassificationWeights)
        )
        checks.check_optimisers(
            generator_optimiser=self.generator_optimiser, critic_optimiser=self.critic_optimiser
        )
        checks.check_trainable(generator=self.generator, critic=self.critic)
        self.latent_dim = checks.find_latent_dim(self.generator, self.latent_dim)
        self._loss = checks.find_loss(self.loss)
        self._constraint = checks.find_constraint(self.constraint)
        self._device = find_device(self.device)
        self._world = World(self._device)
        self._world.refuse(
            self.batch_size, self._constraint, self.generator, self.critic, augmented=self.augment.active
        )
        dataset = self.data if isinstance(self.data, Dataset) else load(self.data)
        checks.check_augmentable(self.augment, dataset)
        self._condition = condition_of(dataset) if self.conditional else None
        if self.balanced:
            refuse_unbalanced(dataset)
        checks.check_fit(self.generator, self.critic, dataset, self.latent_dim, labelled=self.conditional)
        self._described = {"generator": describe(self.generator), "critic": describe(self.critic)}
        with isolated_global_rng(self._device):
            seed_global_rng(
                derive(self.seed, INITIALISATION, 1), self._device
            )  # for what the constraint adds
            self.critic = self._world.synchronise(self._constraint.wrap(self.critic))
            self.generator = self._world.synchronise(self.generator)
        self.dataset = dataset.to(self._device)
        if self.auxiliary_loss is not None:
            self.auxiliary_loss.to(self._device)
        classifies = self.conditional and getattr(self.critic, "classifies", False) is True
        self._classification = self.classification if classifies else None
        self._batches = self._batches_of(self.dataset.train)
        self._unseen = self._batches_of(self.dataset.held_out) if self.augment.target else None

    def fit(
        self,
        steps: int,
        run_dir: str | PathLike[str],
        *,
        start: str | PathLike[str] | None = None,
        before: int | None = None,
        stop: Stop | None = None,
    ) -> RunFolder:
        """Train until ``steps`` steps are done; in a folder with a run of the same settings, go on with it.

        SIGINT and SIGTERM end it after the step in hand, with a checkpoint. A run interrupted in any way, at
        any moment, and gone on with is the run that was not: on one CPU, bit for bit. On a CPU, freed memory
        stays with the process from then on: see :func:`wgan.core.devices.keep_freed_memory`.

        Args:
            steps: Generator steps in all, >= 1, those of earlier calls included.
            run_dir: The run's folder; made if need be.
            start: Another run's folder: a new run starts from its last weights and step.
            before: Rather from its last weights before this step.
            stop: Asked after each log point; its yes ends the run there, without a checkpoint.

        Returns:
            The folder.

        Raises:
            InputError: The folder holds another run or something else; the message names the differences.
            StorageError: The file system refuses; the last checkpoint is whole.
            DivergenceError: A number is not finite any more; the last healthy checkpoint stays.
            KeyboardInterrupt: SIGINT came.
            SystemExit: SIGTERM came, or a signal to another of several processes; code 143.
        """
        check_whole(steps=(steps, 1))
        folder = RunFolder(Path(run_dir))
        config = self.config(steps)
        if start is not None:
            config["origin"]["start"] = str(start)
        self._world.main_process_first(lambda: check(folder, config))
        state = self.state()
        if start is not None and not saved_steps(folder.checkpoints):
            branch(state, RunFolder(Path(start)), before)
        with ExitStack() as held:
            self._world.main_process_first(lambda: held.enter_context(folder.locked()))
            self._world.main_process_first(lambda: check(folder, config))  # another run may have been faster
            resume(state, folder, rewind=self._world.is_main)
            self._world.wrap(state)  # from here on all processes have read what they need
            self._equip(state)
            self._fetching = 0.0
            self._world.main_process_first(lambda: self._claim(folder, config))
            recorder = Recorder(
                folder,
                self.logging,
                self.monitors,
                self.n_critic * self.batch_size,
                writes=self._world.is_main,
            )
            recorder.start(config, state.step)
            if self._device.type == "cpu":
                keep_freed_memory()
            with recorder.telling_outcome(), Signals() as signals, self._world.telling_of_lost():
                self._play(state, steps, recorder, signals, stop)
                if state.step < steps and not recorder.stopped:
                    signals.raise_received()
        return folder

    def _claim(self, folder: RunFolder, config: dict[str, Any]) -> None:
        claim(folder, config)
        if not folder.data_file.exists():
            folder.write_data(measure_dataset(self.dataset))

    def config(self, steps: int) -> dict[str, Any]:
        """The run as plain data: what ``config.json`` holds."""
        plain: dict[str, Any] = json.loads(
            json.dumps(
                {
                    "dataset": {
                        "name": self.dataset.name,
                        "shape": self.dataset.shape,
                        "fingerprint": self.dataset.fingerprint,
                    },
                    "conditional": self.conditional,
                    "labels": self._labels(),
                    "balanced": self.balanced,
                    "classification": to_plain(self.classification),
                    "augment": to_plain(self.augment),
                    "auxiliary_loss": self.auxiliary_loss.plain() if self.auxiliary_loss else None,
                    **self._described,
                    "latent_dim": self.latent_dim,
                    "loss": self._loss.name,
                    "constraint": to_plain(self._constraint),
                    "n_critic": self.n_critic,
                    "batch_size": self.batch_size,
                    "generator_optimiser": to_plain(self.generator_optimiser),
                    "critic_optimiser": to_plain(self.critic_optimiser),
                    "decay": self.decay,
                    "ema": self.ema,
                    "warm_up": self.warm_up,
                    "penalty_every": self.penalty_every,
                    "precision": self.precision,
                    "seed": self.seed,
                    "steps": steps,
                    "logging": to_plain(self.logging),
                    "origin": dict(self.origin),
                    "versions": {name: version(name) for name in ("wgan", "torch", "numpy")},
                }
            )
        )
        return plain

    def state(self) -> State:
        """A state of no steps around the networks, on the device."""
        for network in (self.generator, self.critic):
            laid_out(network.to(self._device).train())
        return State(
            self.generator,
            self.critic,
            averaged(self.generator),
            self.generator_optimiser.build(self.generator),
            self.critic_optimiser.build(self.critic),
            augmenter=Augmenter(self.augment).to(self._device) if self.augment.active else None,
        )

    def advance(self, state: State, steps: int, *, observed: bool = False) -> None:
        """One step of a run of ``steps``: n_critic critic steps, a generator step, the average.

        All randomness is a function of (seed, step). Batches are drawn with replacement: independent draws
        from the empirical distribution, which need no memory of the epoch. A step that is observed is an
        eager one.
        """
        rng = self._world.rng(derive(self.seed, TRAINING, state.step))
        factor = DECAYS[self.decay](state.step / steps)
        set_rate(state.critic_optimiser, factor * self.critic_optimiser.rate(state.critic))
        set_rate(state.generator_optimiser, factor * self.generator_optimiser.rate(state.generator))
        step = state.step_fn if state.step_fn and not observed else self._step
        for numbers in step(state, self._plan(state), rng):
            state.add(numbers)
        state.step += 1
        # A full decay from the first step on would remember the initial weights for 1 / (1 - ema) steps.
        average_step(*state.averaging, decay=min(self.ema, state.step / (state.step + 10)))
        state.settle()

    def _plan(self, state: State) -> Plan:
        first = state.step * self.n_critic
        turns = range(first, first + critic_steps(state.step, n_critic=self.n_critic, warm_up=self.warm_up))
        every = self.penalty_every
        return Plan(
            penalties=tuple(0 if turn % every else every for turn in turns),
            adapts=bool(state.augmenter and self.augment.target and state.step % ADAPTED_EVERY == 0),
        )

    def _step(self, state: State, plan: Plan, rng: torch.Generator) -> list[Numbers]:
        found = []
        for penalty_scale in plan.penalties:
            real = self._real(rng)
            numbers = critic_step(
                state.critic,
                state.generator,
                state.critic_optimiser,
                self._loss,
                self._constraint,
                real=real.samples,
                latents=self._noise(rng),
                rng=rng,
                labels=real.labels,
                classification=self._classification,
                augmenter=state.augmenter,
                penalty_scale=penalty_scale,
                precision=self.precision,
                through=state.through[0],
            )
            found.append(numbers)
        if plan.adapts:
            self._adapt(state, real, rng)
        noise = self._noise(rng)
        other = self._real(rng) if self._loss.paired or self.conditional else None
        numbers = generator_step(
            state.critic,
            state.generator,
            state.generator_optimiser,
            self._loss,
            latents=noise,
            real=other.samples if other is not None and self._loss.paired else None,
            labels=other.labels if other is not None else None,
            classification=self._classification,
            augmenter=state.augmenter,
            auxiliary_loss=self.auxiliary_loss,
            rng=rng,
            precision=self.precision,
            through=state.through[1],
        )
        return [*found, numbers]

    def _equip(self, state: State) -> None:
        with isolated_global_rng(self._device):
            equip(
                state,
                self.engine,
                self._step,
                self._verify_against_eager,
                n_critic=self.n_critic,
                resident=self.dataset.train.resident,
            )

    def _verify_against_eager(self, trial: State) -> None:
        every, adapts = self.penalty_every, bool(trial.augmenter and self.augment.target)
        for number in range(VERIFIED_STEPS):
            rng = self._world.rng(derive(self.seed, TRAINING, number))
            step = trial.step_fn or self._step
            step(trial, Plan((every,) * self.n_critic, adapts), rng)

    def seconds_per_step(self, *, at_most: float = 3.0) -> float:
        """How long a step takes here and now, measured for about ``at_most`` seconds on a copy."""
        trial = deepcopy(self.state())
        self._world.wrap(trial)
        self._equip(trial)
        trial.step = WARM_UP_STEPS  # the steps that are like most others
        with isolated_global_rng(self._device):
            for _ in range(
                VERIFIED_STEPS
            ):  # the first is always eager, and a capture may come with the second
                self.advance(trial, WARM_UP_EVERY)
            start = time.perf_counter()
            while True:
                self.advance(trial, WARM_UP_EVERY)
                next(trial.average.parameters()).flatten()[0].item()  # waits for the device
                elapsed = time.perf_counter() - start
                if self._world.any(elapsed > at_most) or trial.step == WARM_UP_EVERY:
                    return self._world.of_main(elapsed / (trial.step - WARM_UP_STEPS - VERIFIED_STEPS))

    def _play(
        self, state: State, steps: int, recorder: Recorder, signals: Signals, stop: Stop | None
    ) -> None:
        assert self.latent_dim is not None
        fixed = torch.from_numpy(latents(FIXED, self.latent_dim)).to(self._device)
        observer = Observer(state, self.dataset, self._constraint, fixed, labelled=self.conditional)
        if not saved_steps(recorder.folder.checkpoints):
            self._show(recorder, state, fixed)
            recorder.checkpoint(state)
        with isolated_global_rng(self._device):
            ending = self._world.any(signals.received is not None)
            while state.step < steps and not ending:
                due = (state.step + 1) % self.logging.metrics == 0
                with observer.following() if due else nullcontext():
                    self.advance(state, steps, observed=due)
                if due:
                    self._world.check_agreement(state.step, state.critic, state.generator)
                    vital, others, shapes = observer.look()
                    means = self._world.mean(state.means())
                    recorder.log(state.step, vital | means, others, shapes, fetching=self._fetching)
                    if stop is not None and self._world.any(self._world.is_main and stop(recorder.folder)):
                        recorder.stopped = True
                        return
                if state.step % self.logging.images == 0 or state.step == steps:
                    self._show(recorder, state, fixed)
                ending, saving = self._world.each(
                    signals.received is not None, recorder.checkpoint_due(state.step)
                )
                if saving or state.step == steps or ending:
                    recorder.checkpoint(state, self._world.mean(state.sums))

    def _adapt(self, state: State, real: Batch, rng: torch.Generator) -> None:
        assert self._unseen is not None
        assert state.augmenter is not None
        unseen = self._unseen.draw(self.batch_size, rng)
        adapt_step(
            state.critic,
            state.generator,
            state.augmenter,
            seen=real.samples,
            unseen=unseen.samples,
            latents=self._noise(rng),
            images=ADAPTED_EVERY * self.n_critic * self.batch_size,
            rng=rng,
            labels=(real.labels, unseen.labels),
        )

    def _batches_of(self, split: Split) -> BatchSampler:
        return BatchSampler(split, labelled=self.conditional, balanced=self.balanced, device=self._device)

    def _real(self, rng: torch.Generator) -> Batch:
        start = time.perf_counter()
        batch = self._batches.draw(self._world.share(self.batch_size), rng)
        self._fetching += time.perf_counter() - start
        return batch

    def _noise(self, rng: torch.Generator) -> Tensor:
        assert self.latent_dim is not None
        length = self.latent_dim
        return local_rows(
            lambda count: torch.randn(count, length, generator=rng, device=self._device),
            self._world.share(self.batch_size),
            rng,
        )

    def _show(self, recorder: Recorder, state: State, fixed: Tensor) -> None:
        if recorder.writes:  # of several processes, one need draw
            recorder.images(state.step, self._image(state, fixed))

    @torch.no_grad()
    def _image(self, state: State, fixed: Tensor) -> Image:
        points, labels, columns = self._shown(fixed)
        samples = generate(state.average, points, labels).cpu().numpy()
        if self.dataset.image:
            return show(samples, columns=columns)
        return show(samples, spread(self.dataset.held_out, len(samples), torch.device("cpu")).numpy())

    def _shown(self, fixed: Tensor) -> tuple[Tensor, Tensor | None, int | None]:
        """Latents, labels and columns of what is drawn: a row a class where there are classes to ask for."""
        points = fixed[: SHOWN[self.dataset.image]]
        if self._condition is None:
            return points, None, None
        if not self.dataset.image or not self._condition.classes:
            return points, spread_labels(self.dataset.train, len(points), self._device), None
        rows = min(self._condition.classes, MOST_ROWS)
        labels = torch.arange(rows, device=self._device).repeat_interleave(COLUMNS)
        return points[:COLUMNS].repeat(rows, 1), labels, COLUMNS

    def _labels(self) -> dict[str, Any] | None:
        """What can be asked of the generator, as plain data."""
        if self._condition is None:
            return None
        if self._condition.classes:
            return {"classes": self.dataset.classes}
        return {"attributes": self._condition.attributes}


def critic_steps(step: int, *, n_critic: int, warm_up: bool) -> int:
    """Critic steps in step number ``step``, counted from 0."""
    warm = warm_up and (step < WARM_UP_STEPS or step % WARM_UP_EVERY == 0)
    return max(n_critic, WARM_UP_CRITIC) if warm else n_critic
