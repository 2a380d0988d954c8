"""Recipes: complete settings by name, from the papers and tutorials that this project descends from.

A recipe is a row of :data:`RECIPES`. It adapts to the shape of a sample and to nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import inf, prod
from typing import Any

from wgan.errors import unknown
from wgan.lipschitz import R1R2, GradientPenalty, Orthogonal, SpectralNormalisation, WeightClipping
from wgan.losses import ClassificationWeights
from wgan.networks import DCGAN, MLP, R3GAN, ResNet
from wgan.training.optimisers import Adam, RMSprop
from wgan.training.settings import LoggingIntervals, TrainingSettings

Shape = tuple[int, ...]
SMALL = 16
"""The side of images up to which convolutions gain nothing over dense layers."""


@dataclass(frozen=True)
class Recipe:
    """A row of the table.

    Attributes:
        source: Where the settings come from.
        settings: The settings for images, and for all other samples if there are no others.
        small_images: The settings for images with sides up to :data:`SMALL`; None: those for images.
        vectors: The settings for vectors; None: those for images.
        adapt: What else depends on the shape.
    """

    source: str
    settings: TrainingSettings
    small_images: TrainingSettings | None = None
    vectors: TrainingSettings | None = None
    adapt: Callable[[TrainingSettings, Shape], TrainingSettings] = lambda settings, shape: settings

    def settings_for(self, shape: Shape) -> TrainingSettings:
        """The settings for samples of a shape."""
        small = len(shape) == 3 and max(shape[1:]) <= SMALL
        chosen = self.vectors if len(shape) != 3 else self.small_images if small else None
        return self.adapt(chosen or self.settings, shape)


def recipe(name: str, shape: Shape) -> TrainingSettings:
    """The settings of a recipe for samples of a shape.

    Raises:
        InputError: There is no recipe of that name.
    """
    if name not in RECIPES:
        raise unknown("recipe", name, RECIPES)
    return RECIPES[name].settings_for(shape)


def _both(optimiser: Adam | RMSprop) -> dict[str, Any]:
    return {"generator_optimiser": optimiser, "critic_optimiser": optimiser}


def _default(settings: TrainingSettings, shape: Shape) -> TrainingSettings:
    """Rates for the default's own networks, lower for larger ones; latents as long as a vector."""
    networks = settings.networks
    assert isinstance(networks, DCGAN | MLP)
    if len(shape) != 3:
        return replace(settings, networks=replace(networks, latent_dim=min(max(2, *shape), 128)))
    if isinstance(networks, DCGAN):
        return settings
    size = prod(shape) + 576  # slightly more than its own networks have: 544, and 512 beside the image
    optimisers = {name: replace(getattr(settings, name), size=size) for name in _both(Adam())}
    return replace(settings, **optimisers)


def _resnet(generator: int = 1) -> Callable[[TrainingSettings, Shape], TrainingSettings]:
    """Widths by size: those of Gulrajani et al. for 32x32 and 64x64, of Zhang et al. for 128x128.

    Args:
        generator: Factor on the generator's width where all its stages have the same.
    """

    def adapt(settings: TrainingSettings, shape: Shape) -> TrainingSettings:
        side = max(shape[1:], default=0)
        width, multiplier = next(sizes for most, sizes in RESNET_WIDTHS.items() if side <= most)
        wide = generator * width if multiplier == 1 else width
        assert isinstance(settings.networks, ResNet)
        networks = replace(
            settings.networks, generator_width=wide, critic_width=width, max_multiplier=multiplier
        )
        return replace(settings, networks=networks)

    return adapt


RESNET_WIDTHS = {SMALL: (32, 1), 32: (128, 1), 64: (64, 8), inf: (64, 16)}
"""By the largest side of an image: channels at full size, and the factor for the smallest size, at most."""

DEFAULT = TrainingSettings()
PUBLISHED = TrainingSettings(
    constraint=GradientPenalty(10.0),
    **_both(Adam(1e-4, (0.0, 0.9))),
    n_critic=5,
    batch_size=64,
    decay="constant",
    ema=0.999,
    penalty_every=1,
    steps=10_000,
    logging=LoggingIntervals(),
)
"""What papers and tutorials have in common; the rows below say what differs."""
CLIPPED = replace(PUBLISHED, constraint=WeightClipping(0.01), **_both(RMSprop(5e-5)))
RESNET = replace(
    PUBLISHED,
    networks=ResNet(critic_conditioning="auxiliary"),
    **_both(Adam(2e-4, (0.0, 0.9))),
    decay="linear",
    steps=100_000,
)
SPECTRAL = replace(
    RESNET,
    networks=ResNet(pooling="sum"),
    constraint=SpectralNormalisation(),
    loss="hinge",
    steps=50_000,
)
# With PyTorch's initialisation: with He's, which the paper's code has, the modes come later.
TOY_NETWORKS = MLP(latent_dim=2, generator_hidden=(512,) * 3, critic_hidden=(512,) * 3, activation="relu")

RECIPES: dict[str, Recipe] = {
    "default": Recipe(
        "The best this project knows; see docs/recipes.md",
        DEFAULT,
        # Batches of 16 make three to four times the steps of 64 in the time.
        small_images=replace(
            DEFAULT,
            networks=MLP(
                latent_dim=32,
                generator_hidden=(256, 256),
                critic_hidden=(256, 256),
                generator_norm="batch",
                init="shaped",
            ),
            constraint=GradientPenalty(1.0),
            generator_optimiser=Adam(4e-4, (0.0, 0.9)),
            critic_optimiser=Adam(2e-3, (0.0, 0.9)),
            batch_size=64,
            penalty_every=1,
            steps=8_000,
            logging=LoggingIntervals(metrics=100, images=400),
        ),
        vectors=replace(
            DEFAULT,
            networks=MLP(generator_hidden=(128,) * 3, critic_hidden=(128,) * 3, activation="relu"),
            constraint=GradientPenalty(0.1),
            **_both(Adam(1e-3, (0.0, 0.9))),
            batch_size=128,
            penalty_every=1,
            steps=8_000,
            logging=LoggingIntervals(metrics=100, images=1000),
        ),
        adapt=_default,
    ),
    "dcgan-clip": Recipe(
        "DCGAN tutorial with clipping; real and fake batches normalised apart",
        replace(
            CLIPPED,
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
        ),
    ),
    "mlp-clip": Recipe(
        "MLP tutorial with clipping; the generator learns, z is fresh",
        replace(
            CLIPPED,
            networks=MLP(
                latent_dim=100,
                generator_hidden=(128, 256, 512, 1024),
                critic_hidden=(512, 256),
                generator_norm="batch",
                activation="leaky-relu",
            ),
            logging=LoggingIntervals(images=400),
        ),
    ),
    "dcgan-adam": Recipe(
        "DCGAN tutorial with Adam; Wasserstein loss, a constraint and tanh instead of MSE",
        replace(
            PUBLISHED,
            networks=DCGAN(
                latent_dim=128, generator_width=64, critic_width=64, stages=2, kernel=5, head="max-pool"
            ),
            **_both(Adam(2e-4, (0.5, 0.999))),
        ),
    ),
    "dcgan-gp": Recipe(
        "Gulrajani et al. 2017, MNIST network",
        replace(
            PUBLISHED,
            networks=DCGAN(
                latent_dim=128,
                generator_width=64,
                critic_width=64,
                kernel=5,
                generator_norm="none",
                init="he",
            ),
            **_both(Adam(1e-4, (0.5, 0.9))),
            batch_size=50,
        ),
    ),
    "wgan-original": Recipe(
        "Arjovsky, Chintala, Bottou 2017, with its warm-up",
        replace(
            CLIPPED,
            networks=DCGAN(
                latent_dim=100,
                generator_width=64,
                critic_width=64,
                generator_norm="batch",
                critic_norm="batch",
                init="normal",
            ),
            warm_up=True,
        ),
        vectors=replace(
            CLIPPED,
            networks=MLP(
                latent_dim=100, generator_hidden=(512,) * 3, critic_hidden=(512,) * 3, activation="relu"
            ),
            warm_up=True,
        ),
    ),
    "toy-gp": Recipe(
        "Gulrajani et al. 2017, toy data, section 4",
        replace(
            PUBLISHED,
            networks=TOY_NETWORKS,
            constraint=GradientPenalty(0.1),
            **_both(Adam(1e-4, (0.5, 0.9))),
            batch_size=256,
            steps=6_000,
            logging=LoggingIntervals(images=1000),
        ),
    ),
    "toy-clip": Recipe(
        "Gulrajani et al. 2017, toy data, clipping for comparison",
        replace(CLIPPED, networks=TOY_NETWORKS, batch_size=256, logging=LoggingIntervals(images=1000)),
    ),
    "toy-orthogonal": Recipe(
        "Anil, Lucas, Grosse 2019: a certified critic; W1's bracket is logged",
        replace(
            PUBLISHED,
            networks=replace(TOY_NETWORKS, generator_hidden=(128,) * 3, critic_hidden=(128,) * 3),
            constraint=Orthogonal(),
            **_both(Adam(1e-3, (0.0, 0.9))),
            batch_size=256,
            ema=0.99,
            steps=3_000,
            logging=LoggingIntervals(images=500),
        ),
    ),
    "dcgan-orthogonal": Recipe(
        "Li et al. 2019: a certified critic of images; W1's bracket is logged",
        replace(
            PUBLISHED,
            networks=DCGAN(latent_dim=64, generator_width=32, critic_width=32),
            constraint=Orthogonal(iterations=1, sort="absolute"),
            **_both(Adam(2e-3, (0.0, 0.99))),
            n_critic=2,
            ema=0.995,
            steps=6_000,
            logging=LoggingIntervals(metrics=200),
        ),
    ),
    "wgan-gp-resnet": Recipe("Gulrajani et al. 2017, CIFAR-10 network, appendix F", RESNET, adapt=_resnet()),
    "sngan": Recipe(
        "Miyato et al. 2018, CIFAR-10 network, table 4, and its code", SPECTRAL, adapt=_resnet(generator=2)
    ),
    "sagan": Recipe(
        "Zhang et al. 2019, with two learning rates; the paper's is conditional",
        replace(
            SPECTRAL,
            networks=ResNet(pooling="sum", attention=True, generator_spectral=True),
            generator_optimiser=Adam(1e-4, (0.0, 0.9)),
            critic_optimiser=Adam(4e-4, (0.0, 0.9)),
            n_critic=1,
            batch_size=256,
            decay="constant",
            steps=100_000,
        ),
        adapt=_resnet(),
    ),
    "quality": Recipe(
        "After R3GAN, Huang et al. 2024: norm-free, relativistic, R1 + R2",
        replace(
            PUBLISHED,
            networks=R3GAN(generator_width=16, critic_width=16, max_multiplier=8),
            constraint=R1R2(0.3),
            **_both(Adam(1e-3, (0.0, 0.99))),
            loss="relativistic",
            n_critic=1,
            decay="linear",
            ema=0.998,
            penalty_every=4,
            steps=20_000,
            logging=LoggingIntervals(metrics=100),
        ),
    ),
    "conditional-gp": Recipe(
        "Gulrajani et al. 2017, CIFAR-10 with an auxiliary classifier (Odena et al. 2017)",
        replace(RESNET, conditional=True, classification=ClassificationWeights(1.0, 0.1)),
        adapt=_resnet(),
    ),
    "conditional-projection": Recipe(
        "Miyato, Koyama 2018, projection critic, on the network of sngan",
        replace(SPECTRAL, conditional=True),
        adapt=_resnet(generator=2),
    ),
}
