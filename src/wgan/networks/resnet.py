"""Residual networks for images of 8 to 128 pixels a side.

Sources: Gulrajani, Ahmed, Arjovsky, Dumoulin, Courville 2017, "Improved Training of Wasserstein GANs",
appendix F and its code for CIFAR-10; Miyato, Kataoka, Koyama, Yoshida 2018, "Spectral Normalization for
GANs", table 4; Zhang, Goodfellow, Metaxas, Odena 2019, "Self-Attention Generative Adversarial Networks".
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod, sqrt
from typing import Literal, final

import torch
from torch import Tensor, nn

from wgan.errors import InputError
from wgan.lipschitz import SpectralNormalisation
from wgan.networks.attention import SelfAttention
from wgan.networks.conditioning import (
    AuxiliaryClassifier,
    Condition,
    CriticCondition,
    GeneratorCondition,
    GeneratorLabels,
    Labelled,
    conditioned,
    critic_labels,
    described,
    logits,
    run,
    scores,
)
from wgan.networks.initialisation import initialise
from wgan.networks.layers import (
    IMAGE_NORMS,
    Init,
    Network,
    Norm,
    check_names,
    check_positive,
    norm_layers,
)
from wgan.networks.minibatch_layers import MinibatchStd, packed
from wgan.networks.resolutions import attended, scales, widths

Pooling = Literal["mean", "sum"]

COARSEST = 8
"""A critic halves its images down to this side, and has two more blocks there."""
LAST_BLOCKS = 2


class ResNetGenerator(Network):
    """Latents (N, latent_dim), and labels, to images (N, C, H, W) in [-1, 1], by residual blocks.

    A dense layer makes the smallest size, each block doubles it by repeating pixels.

    Args:
        shape: (C, H, W); H and W multiples of 4, at least 8.
        latent_dim: Length of a latent, >= 1.
        width: Channels at the full size.
        widest: Channels double with each halving, up to so many times; 1: they are the same everywhere.
        norm: Before each rectifier.
        attention: Whether there is self-attention, at the largest size with sides of at most 32.
        spectral: Whether all weights are spectrally normalised.
        init: Initialisation, see :func:`wgan.networks.initialisation.initialise`.
        condition: What labels are; None: it takes none.
        labels_by: Labels enter as an ``embedding`` beside the latent, or in every ``norm``.

    Raises:
        InputError: The shape cannot be made, a size is not positive, or a name is unknown.
    """

    def __init__(
        self,
        shape: Sequence[int],
        *,
        latent_dim: int = 128,
        width: int = 128,
        widest: int = 1,
        norm: Norm = "batch",
        attention: bool = False,
        spectral: bool = False,
        init: Init = "he",
        condition: Condition | None = None,
        labels_by: GeneratorCondition = "norm",
    ) -> None:
        super().__init__()
        check_names(norm=norm, init=init)
        check_positive(latent_dim=latent_dim, width=width, widest=widest)
        self._labels = GeneratorLabels(condition, labels_by)
        self._labels.refuse_without_norm(norm)
        self.arguments = {
            "shape": tuple(shape),
            "latent_dim": latent_dim,
            "width": width,
            "widest": widest,
            "norm": norm,
            "attention": attention,
            "spectral": spectral,
            "init": init,
            **described(condition, labels_by),
        }
        self.latent_dim = latent_dim
        sizes = scales(shape)
        channels = widths(width, len(sizes), widest)[::-1]
        self.base_shape = (channels[0], *sizes[-1])
        self.base = nn.Linear(latent_dim + self._labels.extra, prod(self.base_shape))
        self.blocks = nn.Sequential()
        for size, (wide_in, wide_out) in zip(sizes[-2::-1], pairwise(channels), strict=True):
            self.blocks.append(growing(wide_in, wide_out, norm, self._labels.in_norms))
            if attention and size == attended(sizes[:-1]):  # no block makes the smallest
                self.blocks.append(SelfAttention(wide_out))
        norms = conditioned(norm_layers(norm, width, IMAGE_NORMS), width, self._labels.in_norms)
        self.head = nn.Sequential(*norms, nn.ReLU(), nn.Conv2d(width, shape[0], 3, padding=1), nn.Tanh())
        initialise_residual(self, init)
        if spectral:
            SpectralNormalisation().wrap(self)

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Latents (N, latent_dim), and labels for a conditional one, to images (N, C, H, W) in [-1, 1]."""
        entering, encoded = self._labels.enter(latents, labels)
        features = torch.unflatten(self.base(entering), 1, self.base_shape)
        return run(self.head, run(self.blocks, features, encoded), encoded)


class ResNetCritic(Network):
    """Images (N, C, H, W), and labels, to scores (N,), by residual blocks.

    Blocks halve the size by averages down to a smaller side of at most 8, at least once; two more follow.

    Args:
        shape: (C, H, W); H and W multiples of 4, at least 8.
        width: Channels after the first block.
        widest: Channels double with each halving, up to so many times; 1: they are the same everywhere.
        norm: Before each rectifier but the first.
        pooling: Of the last features over all positions.
        attention: Whether there is self-attention, at the largest size with sides of at most 32.
        minibatch_std: Whether the last layer sees how much the samples of a batch differ.
        packing: How many samples are judged at once, >= 1; see :class:`~wgan.networks.minibatch_layers.Pack`.
        init: Initialisation, see :func:`wgan.networks.initialisation.initialise`.
        condition: What labels are; None: it takes none.
        labels_by: Labels enter by ``projection`` or ``concatenation``, or an ``auxiliary`` classifier guesses
            them.

    Raises:
        InputError: The shape does not fit, a size is not positive, or a name is unknown.
    """

    def __init__(
        self,
        shape: Sequence[int],
        *,
        width: int = 128,
        widest: int = 1,
        norm: Norm = "none",
        pooling: Pooling = "mean",
        attention: bool = False,
        minibatch_std: bool = False,
        packing: int = 1,
        init: Init = "he",
        condition: Condition | None = None,
        labels_by: CriticCondition = "projection",
    ) -> None:
        super().__init__()
        check_names(norm=norm, init=init)
        check_positive(width=width, widest=widest, packing=packing)
        self.arguments = {
            "shape": tuple(shape),
            "width": width,
            "widest": widest,
            "norm": norm,
            "pooling": pooling,
            "attention": attention,
            "minibatch_std": minibatch_std,
            "packing": packing,
            "init": init,
            **described(condition, labels_by),
        }
        sizes = scales(shape)
        halved = sizes[1:][: max(1, sum(min(size) > COARSEST for size in sizes))]
        channels = widths(width, len(halved), widest)
        features = channels[-1] + minibatch_std
        labels = critic_labels(condition, labels_by, shape=tuple(shape), features=features)
        entering = packing * (shape[0] + (labels.planes if labels else 0))
        self.layers = nn.Sequential(*packed(packing))
        for size, (wide_in, wide_out) in zip(halved, pairwise([entering, *channels]), strict=True):
            self.layers.append(shrinking(wide_in, wide_out, norm, first=size == halved[0]))
            if attention and size == attended([sizes[0], *halved]):
                self.layers.append(SelfAttention(wide_out))
        self.layers.extend([staying(channels[-1], norm) for _ in range(LAST_BLOCKS)])
        std = [MinibatchStd()] if minibatch_std else []
        self.layers.extend([nn.ReLU(), *std, Pool(pooling), nn.Linear(features, 1)])
        initialise_residual(self, init)
        self.labels = labels
        self.classifies = isinstance(labels, AuxiliaryClassifier)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Images (N, C, H, W), and labels for a conditional one, to scores (N,)."""
        return scores(self.layers, self.labels, images, labels)

    def logits(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) to the logits (N, classes) of the auxiliary classifier, if there is one."""
        return logits(self.layers, self.labels, images)


@final
class ResidualBlock(Labelled):
    """The sum of a branch and of a shortcut around it.

    Args:
        branch: Layers, of which conditional norms take encoded labels.
        shortcut: Layers; none: the identity.
    """

    def __init__(self, branch: Sequence[nn.Module], shortcut: Sequence[nn.Module] = ()) -> None:
        super().__init__()
        self.branch = nn.Sequential(*branch)
        self.shortcut = nn.Sequential(*shortcut) if shortcut else nn.Identity()

    def forward(self, features: Tensor, encoded: Tensor | None = None) -> Tensor:
        """Features (N, C, H, W), and encoded labels (N, size), to features of another shape."""
        total: Tensor = run(self.branch, features, encoded) + self.shortcut(features)
        return total


@final
class Pool(nn.Module):
    """The mean or sum over all positions: (N, C, H, W) to (N, C).

    Args:
        by: Which.

    Raises:
        InputError: It is neither.
    """

    def __init__(self, by: Pooling) -> None:
        super().__init__()
        if by not in ("mean", "sum"):
            raise InputError(f"There is no pooling {by!r}; known are mean, sum.")
        self.by = by

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C)."""
        return features.mean((2, 3)) if self.by == "mean" else features.sum((2, 3))

    def extra_repr(self) -> str:
        """The setting, for printing."""
        return self.by


def growing(wide_in: int, wide_out: int, norm: Norm, condition: Condition | None) -> ResidualBlock:
    """A generator's block, which doubles the size."""
    first, second = (
        conditioned(norm_layers(norm, wide, IMAGE_NORMS), wide, condition) for wide in (wide_in, wide_out)
    )
    branch = [
        *(*first, nn.ReLU(), nn.Upsample(scale_factor=2), _convolution(wide_in, wide_out)),
        *(*second, nn.ReLU(), _convolution(wide_out, wide_out)),
    ]
    # A 1x1 convolution commutes with the repetition of pixels, and costs a quarter before it.
    return ResidualBlock(branch, [nn.Conv2d(wide_in, wide_out, 1), nn.Upsample(scale_factor=2)])


def shrinking(wide_in: int, wide_out: int, norm: Norm, *, first: bool) -> ResidualBlock:
    """A critic's block, which halves the size; the first one takes images, which need no rectifier."""
    entering = [] if first else [*norm_layers(norm, wide_in, IMAGE_NORMS), nn.ReLU()]
    branch = [
        *(*entering, _convolution(wide_in, wide_out), *norm_layers(norm, wide_out, IMAGE_NORMS)),
        *(nn.ReLU(), _convolution(wide_out, wide_out), nn.AvgPool2d(2)),
    ]
    return ResidualBlock(branch, [nn.AvgPool2d(2), nn.Conv2d(wide_in, wide_out, 1)])


def staying(width: int, norm: Norm) -> ResidualBlock:
    """A critic's block that keeps the size."""
    first, second = (norm_layers(norm, width, IMAGE_NORMS) for _ in range(2))
    branch = [
        *(*first, nn.ReLU(), _convolution(width, width)),
        *(*second, nn.ReLU(), _convolution(width, width)),
    ]
    return ResidualBlock(branch)


@torch.no_grad()
def initialise_residual(network: nn.Module, init: Init) -> None:
    """Initialise, and by ``he`` give layers whose input no rectifier halved half of its variance."""
    if init == "shaped":
        raise InputError(
            "init='shaped' is for chains of layers, and shortcuts keep a residual network from needing it; "
            "use init='he' or init='orthogonal'."
        )
    initialise(network, init)
    shortcuts = (block.shortcut for block in network.modules() if isinstance(block, ResidualBlock))
    for layer in (layer for shortcut in shortcuts for layer in shortcut.modules()):
        if init == "he" and isinstance(layer, nn.Conv2d):
            layer.weight.mul_(sqrt(1 / 2))


def _convolution(wide_in: int, wide_out: int) -> nn.Conv2d:
    return nn.Conv2d(wide_in, wide_out, 3, padding=1)


@dataclass(frozen=True)
class ResNet:
    """A generator and a critic of residual blocks."""

    latent_dim: int = 128
    """Length of a latent."""
    generator_width: int = 128
    """Channels of the generator at the full size."""
    critic_width: int = 128
    """Channels of the critic after its first block."""
    widest: int = 1
    """In both, channels double with each halving of the size, up to so many times."""
    generator_norm: Norm = "batch"
    """Norm in the generator."""
    critic_norm: Norm = "none"
    """Norm in the critic."""
    pooling: Pooling = "mean"
    """Of the critic's last features over all positions."""
    attention: bool = False
    """Self-attention in both, at the largest size with sides of at most 32."""
    generator_spectral: bool = False
    """Spectral normalisation of the generator; that of the critic is a constraint."""
    minibatch_std: bool = False
    """The critic sees how much the samples of a batch differ; no penalty allows it."""
    packing: int = 1
    """How many samples the critic judges at once; no penalty allows more than 1."""
    init: Init = "he"
    """Initialisation of both: PyTorch's default, DCGAN's N(0, 0.02), He's or orthogonal maps."""
    generator_labels: GeneratorCondition = "norm"
    """How labels enter a conditional generator."""
    critic_labels: CriticCondition = "projection"
    """How labels enter a conditional critic."""

    def build(
        self, shape: Sequence[int], condition: Condition | None = None
    ) -> tuple[ResNetGenerator, ResNetCritic]:
        """A generator and a critic for images of this shape, with labels if there is a condition."""
        generator = ResNetGenerator(
            shape,
            latent_dim=self.latent_dim,
            width=self.generator_width,
            widest=self.widest,
            norm=self.generator_norm,
            attention=self.attention,
            spectral=self.generator_spectral,
            init=self.init,
            condition=condition,
            labels_by=self.generator_labels,
        )
        critic = ResNetCritic(
            shape,
            width=self.critic_width,
            widest=self.widest,
            norm=self.critic_norm,
            pooling=self.pooling,
            attention=self.attention,
            minibatch_std=self.minibatch_std,
            packing=self.packing,
            init=self.init,
            condition=condition,
            labels_by=self.critic_labels,
        )
        return generator, critic
