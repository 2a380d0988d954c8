"""Distillation: a smaller generator that imitates a trained one, latent by latent."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil, inf
from pathlib import Path
from typing import Any, final

import torch
from torch import Tensor, nn

from wgan.core.randomness import INITIALISATION, derive
from wgan.critics import load_critic
from wgan.data import Dataset
from wgan.deploy.trained_generator import TrainedGenerator
from wgan.errors import InputError
from wgan.lipschitz import score
from wgan.monitors import Monitor
from wgan.networks import build, generate
from wgan.networks.layers import GROUP_SIZE
from wgan.runs import RunFolder
from wgan.training import Trainer, TrainingSettings
from wgan.training.auxiliary_loss import AuxiliaryLoss

SIZE = 0.25
"""Number of the student's weights, as a share of the teacher's."""
LEAST_BATCH = 64
"""Smallest batch size: smaller batches help adversarial training, but not imitation (docs/deploy.md)."""
PIXEL, FEATURE = 0.1, 0.1
"""Weights of the two distances to the teacher's sample, relative to the critic's score: with larger ones, a
student that is too small for its teacher's samples becomes blurred (docs/deploy.md)."""

_WIDTHS = {
    "DCGANGenerator": "width",
    "MLPGenerator": "hidden",
    "ResNetGenerator": "width",
    "R3GANGenerator": "width",
}


@final
@dataclass(frozen=True)
class Distillation:
    """Settings of a distillation.

    Attributes:
        size: Largest number of the student's weights as a share of the teacher's, in (0, 1). Where even the
            narrowest generator of the teacher's kind has more, that one is trained.
        steps: Generator steps; None for those that see as many samples as the run did.
        pixel: Weight of the distance between samples, >= 0.
        feature: Weight of the distance between features, >= 0.

    Raises:
        InputError: A setting is out of its range.
    """

    size: float = SIZE
    steps: int | None = None
    pixel: float = PIXEL
    feature: float = FEATURE

    def __post_init__(self) -> None:
        if not 0 < self.size < 1:
            raise InputError(
                f"size must be in (0, 1), as a share of the teacher's number of weights, not {self.size}."
            )
        if not (0 <= self.pixel < inf and 0 <= self.feature < inf):
            raise InputError(
                f"pixel and feature must be finite and >= 0, not {self.pixel} and {self.feature}."
            )


@final
@dataclass(frozen=True, eq=False)
class Imitation(AuxiliaryLoss):
    """The distance between a student's samples and its teacher's at the same latents.

    With s a student's sample, t its teacher's and f_1, f_2, ... the inputs of the trained critic's layers
    after the first::

        pixel mean |s - t|  +  feature mean |t| mean_l (|f_l(s) - f_l(t)| / |f_l(t)|)

    Lengths are Euclidean, so that both terms have the unit of a 1-Lipschitz critic's score, which changes by
    at most the distance that a sample moves.

    Source: Aguinaldo et al. 2019, "Compressing GANs using Knowledge Distillation", section 3; Zhang et al.
    2018, "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric", for the features.

    Attributes:
        teacher: In evaluation mode.
        critic: The trained critic of the teacher's run, with fixed weights.
        origin: Identity of that run.
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
            target_features = features(self.critic, target, labels)
        pairs = zip(features(self.critic, fake, labels), target_features, strict=True)
        distances = [(_lengths(a - b) / _lengths(b).clamp(min=1e-6)).mean() for a, b in pairs]
        relative = torch.stack(distances).mean() if distances else fake.new_zeros(())
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
    distillation: Distillation = Distillation(),
    *,
    against: Dataset | None = None,
    data_dir: Path | None = None,
    device: str = "auto",
    monitors: Sequence[Monitor] = (),
    origin: Mapping[str, Any] | None = None,
) -> RunFolder:
    """Train a narrower generator to imitate that of a run.

    It imitates the averaged generator and is trained against the trained critic, at the higher of the run's
    two learning rates, with a batch size of at least 64 and otherwise the settings of the run. The result is
    an ordinary run: the same call resumes it.

    Args:
        run_dir: The teacher's run, with networks of wgan's own.
        out: The student's folder.
        distillation: Size of the student, length of its training and weights of the distances.
        against: Other real samples than those of the run's dataset.
        data_dir: Folder of the files of mnist and fashion-mnist.
        device: Where to train; ``auto`` is a GPU if there is one.
        monitors: Monitors of the training.
        origin: Stored in ``config.json``.

    Raises:
        InputError: The run cannot be a teacher; or as `Trainer.fit`.
        StorageError, DivergenceError, KeyboardInterrupt, SystemExit: As `Trainer.fit`.
    """
    trained = TrainedGenerator.load(run_dir)
    config, dataset = trained.config, trained.dataset(against, data_dir)
    settings = TrainingSettings.from_config(config)
    critic = load_critic(run_dir, device="cpu")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(settings.seed, INITIALISATION))
        student = build(narrower(config["generator"], distillation.size))
    # With a trained critic and a teacher, the generator need not be slower than the critic.
    highest = max(settings.generator_optimiser.lr, settings.critic_optimiser.lr)
    batch_size = max(LEAST_BATCH, settings.batch_size)
    as_many_samples = ceil(settings.steps * settings.batch_size / batch_size)
    trainer = Trainer(
        dataset,
        settings=settings,
        generator=student,
        critic=build(config["critic"]),
        auxiliary_loss=Imitation(
            trained.sampler.generator,
            critic,
            {name: trained.identity()[name] for name in ("id", "step", "weights")},
            distillation.pixel,
            distillation.feature,
        ),
        monitors=monitors,
        origin=origin,
        generator_optimiser=replace(settings.generator_optimiser, lr=highest),
        batch_size=batch_size,
        steps=as_many_samples if distillation.steps is None else distillation.steps,
        device=device,
    )
    trainer.critic.load_state_dict(critic.state_dict())
    return trainer.fit(out)


def narrower(description: Mapping[str, Any], size: float) -> dict[str, Any]:
    """The description of a generator with at most a share ``size`` of the weights, all widths scaled alike.

    Where even the narrowest has more weights, since its inputs and outputs stay, that of the narrowest.

    Raises:
        InputError: The description is not of a generator of wgan's own.
    """
    name = _WIDTHS.get(str(description.get("network")))
    if name is None:
        raise InputError(
            f"Distillation needs one of {', '.join(_WIDTHS)}, and the generator of this run is "
            f"{description.get('network')}."
        )
    # Channels have to form whole groups.
    least = (
        GROUP_SIZE if description.get("norm") == "group" else max(1, description.get("group_size", 0) // 2)
    )
    widths = description[name]
    units = [width // least for width in ([widths] if isinstance(widths, int) else widths)]
    widest = max([1, *units])

    def with_width(to: int) -> dict[str, Any]:
        fewer = [max(1, unit * to // widest) * least for unit in units]
        return {**description, name: fewer[0] if isinstance(widths, int) else fewer}

    most = size * _count(description)
    fitting = bisect_right(range(1, widest), most, key=lambda to: _count(with_width(to)))
    return with_width(max(1, fitting))


def _count(description: Mapping[str, Any]) -> int:
    """Number of weights of a network with this description."""
    plain = {**description, "init": "default"} if "init" in description else description  # fast to initialise
    with torch.random.fork_rng(devices=[]):
        return sum(weight.numel() for weight in build(plain).parameters())


def features(critic: nn.Module, samples: Tensor, labels: Tensor | None) -> list[Tensor]:
    """The inputs (N, ...) of the critic's linear and convolution layers after the first, in order of use."""
    recorded: list[Tensor] = []

    def record(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        recorded.append(inputs[0])

    layers = [module for module in critic.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    hooks = [layer.register_forward_pre_hook(record) for layer in layers]
    try:
        score(critic, samples, labels)
    finally:
        for hook in hooks:
            hook.remove()
    return recorded[1:]


def _lengths(vectors: Tensor) -> Tensor:
    """The Euclidean length of each sample, (N,)."""
    full = torch.promote_types(vectors.dtype, torch.float32)  # bfloat16 under autocast
    lengths: Tensor = torch.linalg.vector_norm(vectors.flatten(1), dim=1, dtype=full)
    return lengths
