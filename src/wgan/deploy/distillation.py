"""A smaller generator that makes of each latent what a trained one makes of it."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil, inf
from pathlib import Path
from typing import Any, final

import torch
from torch import Tensor, nn

from wgan.core.randomness import INITIALISATION, derive
from wgan.data import Dataset
from wgan.deploy.trained_generator import TrainedGenerator
from wgan.errors import InputError
from wgan.lipschitz import score
from wgan.monitors import Monitor
from wgan.networks import build, generate
from wgan.networks.layers import GROUP_SIZE
from wgan.runs import RunFolder, load_latest
from wgan.training import Trainer, TrainingSettings
from wgan.training.auxiliary_loss import AuxiliaryLoss

SIZE = 0.25
"""The student's weights, as a share of its teacher's."""
LEAST_BATCH = 64
"""Samples at a time: fewer make a better game, but a student has someone to imitate (docs/edge.md)."""
PIXEL, FEATURE = 0.1, 0.1
"""Weights of the two distances to the teacher's sample, beside a critic's score of weight 1: with more, a
student that is too small for its teacher's samples is blurred by what it cannot imitate (docs/edge.md)."""

_WIDTHS = {
    "DCGANGenerator": "width",
    "MLPGenerator": "hidden",
    "ResNetGenerator": "width",
    "R3GANGenerator": "width",
}


@final
@dataclass(frozen=True, eq=False)
class Imitation(AuxiliaryLoss):
    """The distance of a student's samples to its teacher's at the same latents.

    With s a student's sample, t its teacher's and f_1, f_2, ... what enters the layers of the trained critic
    after the first::

        pixel mean |s - t|  +  feature mean |t| mean_l (|f_l(s) - f_l(t)| / |f_l(t)|)

    Lengths are Euclidean, so that both have the unit of a 1-Lipschitz critic's score: what that gains by
    moving a sample is at most how far it moves.

    Source: Aguinaldo et al. 2019, "Compressing GANs using Knowledge Distillation", section 3; Zhang et al.
    2018, "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric", for the features.

    Attributes:
        teacher: In evaluation mode.
        critic: As it was when the teacher's training ended; takes no further part in training.
        origin: Which run they are of.
        pixel: Weight of the first term.
        feature: Weight of the second.
    """

    teacher: nn.Module
    critic: nn.Module
    origin: Mapping[str, Any]
    pixel: float = PIXEL
    feature: float = FEATURE

    def __call__(self, latents: Tensor, labels: Tensor | None, fake: Tensor) -> Tensor:
        r"""The distance, a scalar, for a student's samples (N, \*shape)."""
        with torch.no_grad():
            target = generate(self.teacher, latents, labels)
            wanted = features(self.critic, target, labels)
        found = features(self.critic, fake, labels)
        apart = (_lengths(a - b) / _lengths(b).clamp(min=1e-6) for a, b in zip(found, wanted, strict=True))
        relative = (
            torch.stack([distance.mean() for distance in apart]).mean() if found else fake.new_zeros(())
        )
        return self.pixel * _lengths(fake - target).mean() + self.feature * _lengths(target).mean() * relative

    def to(self, device: torch.device) -> None:
        """Move both networks."""
        self.teacher.to(device)
        self.critic.to(device)

    def plain(self) -> dict[str, Any]:
        """The teacher's run and weights, and the weights of the two terms."""
        return {"is": "Imitation", "teacher": self.origin, "pixel": self.pixel, "feature": self.feature}


def distil(
    run_dir: str | Path,
    out: str | Path,
    *,
    size: float = SIZE,
    steps: int | None = None,
    pixel: float = PIXEL,
    feature: float = FEATURE,
    against: Dataset | None = None,
    data_dir: Path | None = None,
    device: str = "auto",
    monitors: Sequence[Monitor] = (),
    origin: Mapping[str, Any] | None = None,
) -> RunFolder:
    """Train a narrower generator to make of each latent what a run's generator makes of it.

    It imitates the averaged generator and goes on against the trained critic, at the quicker one's rate, of
    64 samples at a time or more, and with all other settings of the run. What comes out is a run like any
    other: the same call again goes on with it.

    Args:
        run_dir: The teacher's run, of wgan's own networks.
        out: The student's folder.
        size: The student's weights as a share of the teacher's, in (0, 1): at most, where a generator of the
            teacher's kind can be so narrow.
        steps: Generator steps; None: those that see as many samples as the run's.
        pixel: Weight of the distance of samples, >= 0.
        feature: Weight of the distance of features, >= 0.
        against: Other real samples than those that the run learned from.
        data_dir: Where the files of mnist and fashion-mnist lie.
        device: Where to train; ``auto`` is a GPU if there is one.
        monitors: Who watches.
        origin: Noted in ``config.json``.

    Raises:
        InputError: The run cannot be a teacher, or a setting is out of its range; or as `Trainer.fit`.
        StorageError, DivergenceError, KeyboardInterrupt, SystemExit: As `Trainer.fit`.
    """
    _check(size, pixel, feature)
    trained = TrainedGenerator.load(run_dir)
    config, dataset = trained.config, trained.dataset(against, data_dir)
    settings = TrainingSettings.from_config(config)
    weights = _critic_weights(trained)
    judge = settings.constraint.wrap(build(config["critic"]))
    judge.load_state_dict(weights)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(settings.seed, INITIALISATION))
        student = build(narrower(config["generator"], size))
    # Whom a trained critic and a teacher lead need not be slower than the critic.
    quickest = max(settings.generator_optimiser.lr, settings.critic_optimiser.lr)
    batch_size = max(LEAST_BATCH, settings.batch_size)
    trainer = Trainer(
        dataset,
        settings=settings,
        generator=student,
        critic=build(config["critic"]),
        auxiliary_loss=Imitation(
            trained.sampler.generator,
            judge.eval().requires_grad_(False),
            {name: trained.identity()[name] for name in ("id", "step", "weights")},
            pixel,
            feature,
        ),
        monitors=monitors,
        origin=origin,
        generator_optimiser=replace(settings.generator_optimiser, lr=quickest),
        batch_size=batch_size,
        steps=steps or ceil(settings.steps * settings.batch_size / batch_size),
        device=device,
    )
    trainer.critic.load_state_dict(weights)
    return trainer.fit(out)


def narrower(description: Mapping[str, Any], size: float) -> dict[str, Any]:
    """The description of a generator with at most that share of the weights, all widths shrunk alike.

    Where not even the narrowest has so few, of the narrowest: first and last layers have an end that stays.

    Raises:
        InputError: It is not of a generator of wgan's own.
    """
    name = _WIDTHS.get(str(description.get("network")))
    if name is None:
        raise InputError(
            f"A student is a narrower generator of wgan's own, and {description.get('network')} is none of "
            f"{', '.join(_WIDTHS)}."
        )
    # Groups of channels have to come out even.
    least = (
        GROUP_SIZE if description.get("norm") == "group" else max(1, description.get("group_size", 0) // 2)
    )
    widths = description[name]
    units = [width // least for width in ([widths] if isinstance(widths, int) else widths)]
    widest = max([1, *units])

    def narrowed(to: int) -> dict[str, Any]:
        fewer = [max(1, unit * to // widest) * least for unit in units]
        return {**description, name: fewer[0] if isinstance(widths, int) else fewer}

    most = size * _count(description)
    fitting = bisect_right(range(1, widest), most, key=lambda to: _count(narrowed(to)))
    return narrowed(max(1, fitting))


def _count(description: Mapping[str, Any]) -> int:
    """How many weights a network of this description has."""
    plain = {**description, "init": "default"} if "init" in description else description  # quick to draw
    with torch.random.fork_rng(devices=[]):
        return sum(weight.numel() for weight in build(plain).parameters())


def features(critic: nn.Module, samples: Tensor, labels: Tensor | None) -> list[Tensor]:
    """What enters the critic's layers with weights after the first, each (N, ...), in the order of use."""
    found: list[Tensor] = []

    def note(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        found.append(inputs[0])

    layers = [module for module in critic.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    hooks = [layer.register_forward_pre_hook(note) for layer in layers]
    try:
        score(critic, samples, labels)
    finally:
        for hook in hooks:
            hook.remove()
    return found[1:]


def _lengths(vectors: Tensor) -> Tensor:
    """The Euclidean length of each sample, (N,)."""
    full = torch.promote_types(vectors.dtype, torch.float32)  # under autocast they are bfloat16
    lengths: Tensor = torch.linalg.vector_norm(vectors.flatten(1), dim=1, dtype=full)
    return lengths


def _critic_weights(trained: TrainedGenerator) -> dict[str, Tensor]:
    checkpoint = load_latest(trained.folder.checkpoints, groups=("critic",))
    assert checkpoint is not None  # the sampler was loaded from one
    return checkpoint.tensors["critic"]


def _check(size: float, pixel: float, feature: float) -> None:
    if not 0 < size < 1:
        raise InputError(
            f"A student's size must be in (0, 1), as a share of its teacher's weights, not {size}."
        )
    if not (0 <= pixel < inf and 0 <= feature < inf):
        raise InputError(f"pixel and feature must be finite and >= 0, not {pixel} and {feature}.")
