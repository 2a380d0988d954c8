"""Recipes: named, complete settings, from the papers and tutorials this project descends from.

A recipe adapts to the source's shape and nothing else; :data:`RECIPES` is the table of all of them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any, Literal

import torch

from wgan.core.randomness import INITIALISATION, derive
from wgan.data import Dataset
from wgan.errors import InputError, check_seed
from wgan.lipschitz import (
    DRAGAN,
    R1,
    R1R2,
    R2,
    GradientPenalty,
    LipschitzPenalty,
    MaxGradientPenalty,
    Orthogonal,
    SpectralNormalisation,
    WeightClipping,
)
from wgan.losses import ClassificationWeights
from wgan.monitors import Monitor
from wgan.networks import DCGAN, MLP, R3GAN, ResNet
from wgan.runs import to_plain
from wgan.training.augment import Augment
from wgan.training.batches import condition_of
from wgan.training.engine import Engine
from wgan.training.optimisers import Adam, Decay, Optimiser, RMSprop
from wgan.training.precision import Precision
from wgan.training.recorder import LoggingIntervals
from wgan.training.trainer import Trainer

Networks = DCGAN | MLP | ResNet | R3GAN
AnyConstraint = (
    GradientPenalty
    | LipschitzPenalty
    | MaxGradientPenalty
    | DRAGAN
    | R1
    | R2
    | R1R2
    | WeightClipping
    | SpectralNormalisation
    | Orthogonal
)
"""The constraints that the command line offers; in Python there are also Chain and your own."""

LossName = Literal["wasserstein", "non-saturating", "minimax", "hinge", "relativistic"]


@dataclass(frozen=True)
class TrainingSettings:
    """Everything about a training but the data and the seed."""

    networks: Networks
    """The generator and the critic."""
    constraint: AnyConstraint
    """What keeps the critic Lipschitz."""
    generator_optimiser: Optimiser
    """Optimiser of the generator."""
    critic_optimiser: Optimiser
    """Optimiser of the critic."""
    loss: LossName = "wasserstein"
    """Loss of both."""
    n_critic: int = 5
    """Critic steps a generator step."""
    batch_size: int = 64
    """Samples a step."""
    decay: Decay = "constant"
    """Of the learning rates over the run."""
    ema: float = 0.999
    """Decay of the generator's moving average."""
    warm_up: bool = False
    """100 critic steps in each of the first 25 steps and in every 500th."""
    penalty_every: int = 1
    """The penalty is taken in every k-th critic step, k times as strong."""
    precision: Precision = "float32"
    """What networks compute in while they learn; with bfloat16, the penalty still has float32."""
    conditional: bool = False
    """Give both networks the labels of the data: then samples can be asked for by label."""
    balanced: bool = False
    """Draw every class equally often, however rare it is."""
    classification: ClassificationWeights = ClassificationWeights()
    """Weights of a conditional critic's auxiliary classifier, if it has one."""
    augment: Augment = Augment()
    """Random transforms of all images before the critic, for small sets; off without strength or target."""
    steps: int = 10_000
    """Generator steps."""
    logging: LoggingIntervals = LoggingIntervals()
    """How often the run looks at itself, in steps."""

    def trainer(
        self,
        dataset: Dataset,
        *,
        seed: int = 0,
        device: str = "auto",
        engine: Engine = "auto",
        monitors: Sequence[Monitor] = (),
        origin: Mapping[str, Any] | None = None,
    ) -> Trainer:
        """A trainer of this recipe for a source, its networks initialised from the seed.

        Raises:
            InputError: The networks cannot make the source's shape, or a setting is out of its range.
        """
        check_seed(seed)
        condition = condition_of(dataset) if self.conditional else None
        with torch.random.fork_rng():
            torch.manual_seed(derive(seed, INITIALISATION))
            generator, critic = self.networks.build(dataset.shape, condition)
        return Trainer(
            generator=generator,
            critic=critic,
            data=dataset,
            loss=self.loss,
            constraint=self.constraint,
            n_critic=self.n_critic,
            batch_size=self.batch_size,
            generator_optimiser=self.generator_optimiser,
            critic_optimiser=self.critic_optimiser,
            decay=self.decay,
            ema=self.ema,
            warm_up=self.warm_up,
            penalty_every=self.penalty_every,
            precision=self.precision,
            conditional=self.conditional,
            balanced=self.balanced,
            classification=self.classification,
            augment=self.augment,
            seed=seed,
            device=device,
            engine=engine,
            logging=self.logging,
            monitors=monitors,
            origin={"recipe": to_plain(self), **(origin or {})},
        )


@dataclass(frozen=True)
class Published:
    """A row of the table: a recipe, as a function of the source's shape, and where it comes from."""

    make: Callable[[tuple[int, ...]], TrainingSettings]
    origin: str


SMALL = 16
"""Images up to this side gain nothing from convolutions."""


def _default(shape: tuple[int, ...]) -> TrainingSettings:
    if len(shape) != 3:
        return _default_vectors(*shape)
    return _default_small(shape) if max(shape[1:]) <= SMALL else _default_images()


def _default_small(shape: tuple[int, ...]) -> TrainingSettings:
    size = prod(shape) + 576  # a little more than its own networks have: 544, and 512 beside the image
    return TrainingSettings(
        networks=MLP(
            latent_dim=32,
            generator_hidden=(256, 256),
            critic_hidden=(256, 256),
            generator_norm="batch",
            init="shaped",
        ),
        constraint=GradientPenalty(1.0),
        # Networks of other depths and widths train, too: docs/recipes.md, "Deep networks".
        generator_optimiser=Adam(4e-4, (0.0, 0.9), size=size),
        critic_optimiser=Adam(2e-3, (0.0, 0.9), size=size),
        n_critic=1,
        decay="linear",
        ema=0.995,
        steps=8_000,
        logging=LoggingIntervals(metrics=100, images=400),
    )


def _default_images() -> TrainingSettings:
    return TrainingSettings(
        networks=DCGAN(latent_dim=64, generator_width=16, critic_width=16, critic_labels=None),
        constraint=GradientPenalty(10.0),
        generator_optimiser=Adam(4e-3, (0.0, 0.9)),
        critic_optimiser=Adam(4e-3, (0.0, 0.9)),
        n_critic=1,
        batch_size=16,  # three to four times the steps in the time: docs/recipes.md, "Time to quality"
        decay="linear",
        ema=0.995,
        penalty_every=4,
        steps=15_000,
        logging=LoggingIntervals(metrics=250, images=500),
    )


def _default_vectors(dim: int) -> TrainingSettings:
    return TrainingSettings(
        networks=MLP(
            latent_dim=min(max(2, dim), 128),
            generator_hidden=(128,) * 3,
            critic_hidden=(128,) * 3,
            activation="relu",
        ),
        constraint=GradientPenalty(0.1),
        generator_optimiser=Adam(1e-3, (0.0, 0.9)),
        critic_optimiser=Adam(1e-3, (0.0, 0.9)),
        n_critic=1,
        batch_size=128,
        decay="linear",
        ema=0.995,
        steps=8_000,
        logging=LoggingIntervals(metrics=100, images=1000),
    )


def _dcgan_clip(shape: tuple[int, ...]) -> TrainingSettings:
    return TrainingSettings(
        networks=DCGAN(
            latent_dim=50,
            generator_width=64,
            critic_width=64,
            stages=2,
            kernel=4,
            generator_norm="batch",
            critic_norm="batch",
            generator_activation="leaky-relu",
            init="normal",
        ),
        constraint=WeightClipping(0.01),
        generator_optimiser=RMSprop(5e-5),
        critic_optimiser=RMSprop(5e-5),
        n_critic=5,
        batch_size=64,
    )


def _mlp_clip(shape: tuple[int, ...]) -> TrainingSettings:
    return TrainingSettings(
        networks=MLP(
            latent_dim=100,
            generator_hidden=(128, 256, 512, 1024),
            critic_hidden=(512, 256),
            generator_norm="batch",
            activation="leaky-relu",
        ),
        constraint=WeightClipping(0.01),
        generator_optimiser=RMSprop(5e-5),
        critic_optimiser=RMSprop(5e-5),
        n_critic=5,
        batch_size=64,
        logging=LoggingIntervals(images=400),
    )


def _dcgan_adam(shape: tuple[int, ...]) -> TrainingSettings:
    return TrainingSettings(
        networks=DCGAN(
            latent_dim=128, generator_width=64, critic_width=64, stages=2, kernel=5, head="max-pool"
        ),
        constraint=GradientPenalty(10.0),
        generator_optimiser=Adam(2e-4, (0.5, 0.999)),
        critic_optimiser=Adam(2e-4, (0.5, 0.999)),
        n_critic=5,
        batch_size=64,
    )


def _dcgan_gp(shape: tuple[int, ...]) -> TrainingSettings:
    return TrainingSettings(
        networks=DCGAN(
            latent_dim=128,
            generator_width=64,
            critic_width=64,
            kernel=5,
            generator_norm="none",
            init="he",
        ),
        constraint=GradientPenalty(10.0),
        generator_optimiser=Adam(1e-4, (0.5, 0.9)),
        critic_optimiser=Adam(1e-4, (0.5, 0.9)),
        n_critic=5,
        batch_size=50,
    )


def _wgan_original(shape: tuple[int, ...]) -> TrainingSettings:
    if len(shape) == 3:
        networks: Networks = DCGAN(
            latent_dim=100,
            generator_width=64,
            critic_width=64,
            generator_norm="batch",
            critic_norm="batch",
            init="normal",
        )
    else:
        networks = MLP(
            latent_dim=100, generator_hidden=(512,) * 3, critic_hidden=(512,) * 3, activation="relu"
        )
    return TrainingSettings(
        networks=networks,
        constraint=WeightClipping(0.01),
        generator_optimiser=RMSprop(5e-5),
        critic_optimiser=RMSprop(5e-5),
        n_critic=5,
        batch_size=64,
        warm_up=True,
    )


def _toy_gp(shape: tuple[int, ...]) -> TrainingSettings:
    return TrainingSettings(
        networks=_toy_networks(),
        constraint=GradientPenalty(0.1),
        generator_optimiser=Adam(1e-4, (0.5, 0.9)),
        critic_optimiser=Adam(1e-4, (0.5, 0.9)),
        n_critic=5,
        batch_size=256,
        steps=6_000,
        logging=LoggingIntervals(images=1000),
    )


def _toy_clip(shape: tuple[int, ...]) -> TrainingSettings:
    return TrainingSettings(
        networks=_toy_networks(),
        constraint=WeightClipping(0.01),
        generator_optimiser=RMSprop(5e-5),
        critic_optimiser=RMSprop(5e-5),
        n_critic=5,
        batch_size=256,
        logging=LoggingIntervals(images=1000),
    )


def _toy_orthogonal(shape: tuple[int, ...]) -> TrainingSettings:
    return TrainingSettings(
        networks=MLP(latent_dim=2, generator_hidden=(128,) * 3, critic_hidden=(128,) * 3, activation="relu"),
        constraint=Orthogonal(),
        generator_optimiser=Adam(1e-3, (0.0, 0.9)),
        critic_optimiser=Adam(1e-3, (0.0, 0.9)),
        n_critic=5,
        batch_size=256,
        ema=0.99,
        steps=3_000,
        logging=LoggingIntervals(images=500),
    )


def _dcgan_orthogonal(shape: tuple[int, ...]) -> TrainingSettings:
    return TrainingSettings(
        networks=DCGAN(latent_dim=64, generator_width=32, critic_width=32),
        constraint=Orthogonal(iterations=1, sort="absolute"),
        generator_optimiser=Adam(2e-3, (0.0, 0.99)),
        critic_optimiser=Adam(2e-3, (0.0, 0.99)),
        n_critic=2,
        ema=0.995,
        steps=6_000,
        logging=LoggingIntervals(metrics=200),
    )


def _wgan_gp_resnet(shape: tuple[int, ...]) -> TrainingSettings:
    width, widest = _resnet_width(shape)
    return TrainingSettings(
        networks=ResNet(generator_width=width, critic_width=width, widest=widest, critic_labels="auxiliary"),
        constraint=GradientPenalty(10.0),
        generator_optimiser=Adam(2e-4, (0.0, 0.9)),
        critic_optimiser=Adam(2e-4, (0.0, 0.9)),
        n_critic=5,
        batch_size=64,
        decay="linear",
        steps=100_000,
    )


def _sngan(shape: tuple[int, ...]) -> TrainingSettings:
    width, widest = _resnet_width(shape)
    return TrainingSettings(
        networks=ResNet(
            generator_width=2 * width if widest == 1 else width,
            critic_width=width,
            widest=widest,
            pooling="sum",
        ),
        constraint=SpectralNormalisation(),
        generator_optimiser=Adam(2e-4, (0.0, 0.9)),
        critic_optimiser=Adam(2e-4, (0.0, 0.9)),
        loss="hinge",
        n_critic=5,
        batch_size=64,
        decay="linear",
        steps=50_000,
    )


def _sagan(shape: tuple[int, ...]) -> TrainingSettings:
    width, widest = _resnet_width(shape)
    return TrainingSettings(
        networks=ResNet(
            generator_width=width,
            critic_width=width,
            widest=widest,
            pooling="sum",
            attention=True,
            generator_spectral=True,
        ),
        constraint=SpectralNormalisation(),
        generator_optimiser=Adam(1e-4, (0.0, 0.9)),
        critic_optimiser=Adam(4e-4, (0.0, 0.9)),
        loss="hinge",
        n_critic=1,
        batch_size=256,
        steps=100_000,
    )


def _quality(shape: tuple[int, ...]) -> TrainingSettings:
    return TrainingSettings(
        networks=R3GAN(generator_width=16, critic_width=16, widest=8),
        constraint=R1R2(0.3),
        generator_optimiser=Adam(1e-3, (0.0, 0.99)),
        critic_optimiser=Adam(1e-3, (0.0, 0.99)),
        loss="relativistic",
        n_critic=1,
        batch_size=64,
        decay="linear",
        ema=0.998,
        penalty_every=4,
        steps=20_000,
        logging=LoggingIntervals(metrics=100),
    )


def _conditional_gp(shape: tuple[int, ...]) -> TrainingSettings:
    return replace(_wgan_gp_resnet(shape), conditional=True, classification=ClassificationWeights(1.0, 0.1))


def _conditional_projection(shape: tuple[int, ...]) -> TrainingSettings:
    return replace(_sngan(shape), conditional=True)


def _resnet_width(shape: tuple[int, ...]) -> tuple[int, int]:
    """Channels at the full size, and how many times wider the smallest size may be.

    Those of Gulrajani et al. for 32x32 and for 64x64, and of Zhang et al. for 128x128; smaller images than
    CIFAR's have narrower networks.
    """
    side = max(shape[1:], default=0)
    if side <= SMALL:
        return 32, 1
    if side <= 32:
        return 128, 1
    return 64, 8 if side <= 64 else 16


def _toy_networks() -> MLP:
    # With PyTorch's initialisation: with He's, which the paper's code has, the modes come later.
    return MLP(latent_dim=2, generator_hidden=(512,) * 3, critic_hidden=(512,) * 3, activation="relu")


RECIPES: dict[str, Published] = {
    "default": Published(_default, "The best this project knows; see docs/recipes.md"),
    "dcgan-clip": Published(
        _dcgan_clip, "DCGAN tutorial with clipping; real and fake batches normalised apart"
    ),
    "mlp-clip": Published(_mlp_clip, "MLP tutorial with clipping; the generator learns, z is fresh"),
    "dcgan-adam": Published(
        _dcgan_adam, "DCGAN tutorial with Adam; Wasserstein loss, a constraint and tanh instead of MSE"
    ),
    "dcgan-gp": Published(_dcgan_gp, "Gulrajani et al. 2017, MNIST network"),
    "wgan-original": Published(_wgan_original, "Arjovsky, Chintala, Bottou 2017, with its warm-up"),
    "toy-gp": Published(_toy_gp, "Gulrajani et al. 2017, toy data, section 4"),
    "toy-clip": Published(_toy_clip, "Gulrajani et al. 2017, toy data, clipping for comparison"),
    "toy-orthogonal": Published(
        _toy_orthogonal, "Anil, Lucas, Grosse 2019: a certified critic; W1's bracket is logged"
    ),
    "dcgan-orthogonal": Published(
        _dcgan_orthogonal, "Li et al. 2019: a certified critic of images; W1's bracket is logged"
    ),
    "wgan-gp-resnet": Published(_wgan_gp_resnet, "Gulrajani et al. 2017, CIFAR-10 network, appendix F"),
    "sngan": Published(_sngan, "Miyato et al. 2018, CIFAR-10 network, table 4, and its code"),
    "sagan": Published(_sagan, "Zhang et al. 2019, with two learning rates; --conditional is the paper's"),
    "quality": Published(_quality, "After R3GAN, Huang et al. 2024: norm-free, relativistic, R1 + R2"),
    "conditional-gp": Published(
        _conditional_gp, "Gulrajani et al. 2017, CIFAR-10 with an auxiliary classifier (Odena et al. 2017)"
    ),
    "conditional-projection": Published(
        _conditional_projection, "Miyato, Koyama 2018, projection critic, on the network of sngan"
    ),
}


def recipe(name: str, shape: tuple[int, ...]) -> TrainingSettings:
    """The recipe of that name for samples of this shape.

    Raises:
        InputError: There is none of that name.
    """
    if name not in RECIPES:
        raise InputError(f"There is no recipe {name!r}; known are {', '.join(RECIPES)}.")
    return RECIPES[name].make(shape)
