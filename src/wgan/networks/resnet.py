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
    Condition,
    ConditionalLayer,
    CriticConditioning,
    GeneratorConditioning,
    GeneratorLabels,
    apply_layers,
    critic_labels,
)
from wgan.networks.initialisation import initialise
from wgan.networks.layers import Init, Norm, norm_layers
from wgan.networks.minibatch_layers import MinibatchStd, PackSamples
from wgan.networks.network import Critic, Family, Network, record_arguments
from wgan.networks.resolutions import attention_size, channels_per_size, halved_sizes

Pooling = Literal["mean", "sum"]

CRITIC_SIDE = 8
"""A critic halves its images until their smaller side is at most this one."""
LAST_BLOCKS = 2
"""Number of a critic's blocks at its smallest size."""


class ResNetGenerator(Network):
    """Generator of residual blocks: latents (N, latent_dim), and labels, to images (N, C, H, W) in [-1, 1].

    A dense layer makes the smallest size, and each block doubles it by repeating pixels. The settings are the
    fields of :class:`ResNet`, without ``generator_``.
    """

    @record_arguments
    def __init__(
        self,
        shape: Sequence[int],
        *,
        latent_dim: int = 128,
        width: int = 128,
        max_multiplier: int = 1,
        norm: Norm = "batch",
        attention: bool = False,
        spectral: bool = False,
        init: Init = "he",
        condition: Condition | None = None,
        conditioning: GeneratorConditioning = "norm",
    ) -> None:
        super().__init__()
        self._labels = GeneratorLabels(condition, conditioning, norm)
        self.latent_dim = latent_dim
        in_norms = self._labels.norm_condition
        sizes = halved_sizes(shape)
        channels = channels_per_size(width, len(sizes), max_multiplier)[::-1]
        self.base_shape = (channels[0], *sizes[-1])
        self.base = nn.Linear(latent_dim + self._labels.embedding_size, prod(self.base_shape))
        self.blocks = nn.Sequential()
        for size, (inputs, outputs) in zip(sizes[-2::-1], pairwise(channels), strict=True):
            self.blocks.append(upsampling_block(inputs, outputs, norm, in_norms))
            if attention and size == attention_size(sizes[:-1]):  # no block has the smallest size
                self.blocks.append(SelfAttention(outputs))
        norms = norm_layers(norm, width, in_norms)
        self.head = nn.Sequential(*norms, nn.ReLU(), _convolution(width, shape[0]), nn.Tanh())
        initialise_residual(self, init)
        if spectral:
            SpectralNormalisation().wrap(self)

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Map latents (N, latent_dim), and labels if conditional, to images (N, C, H, W) in [-1, 1]."""
        inputs, encoded = self._labels.join(latents, labels)
        features = torch.unflatten(self.base(inputs), 1, self.base_shape)
        return apply_layers(self.head, apply_layers(self.blocks, features, encoded), encoded)


class ResNetCritic(Critic):
    """Critic of residual blocks: images (N, C, H, W), and labels, to scores (N,).

    Blocks halve the size by averages until the smaller side is at most 8, at least once; two more follow. The
    settings are the fields of :class:`ResNet`, without ``critic_``.
    """

    @record_arguments
    def __init__(
        self,
        shape: Sequence[int],
        *,
        width: int = 128,
        max_multiplier: int = 1,
        norm: Norm = "none",
        pooling: Pooling = "mean",
        attention: bool = False,
        minibatch_std: bool = False,
        packing: int = 1,
        init: Init = "he",
        condition: Condition | None = None,
        conditioning: CriticConditioning = "projection",
    ) -> None:
        super().__init__()
        sizes = halved_sizes(shape)
        halved = sizes[1:][: max(1, sum(min(size) > CRITIC_SIDE for size in sizes))]
        channels = channels_per_size(width, len(halved), max_multiplier)
        features = channels[-1] + minibatch_std
        labels = critic_labels(condition, conditioning, shape=tuple(shape), features=features)
        in_channels = packing * (shape[0] + (labels.extra_channels if labels else 0))
        self.layers = nn.Sequential(*([PackSamples(packing)] if packing > 1 else []))
        for size, (inputs, outputs) in zip(halved, pairwise([in_channels, *channels]), strict=True):
            self.layers.append(downsampling_block(inputs, outputs, norm, first=size == halved[0]))
            if attention and size == attention_size([sizes[0], *halved]):
                self.layers.append(SelfAttention(outputs))
        self.layers.extend([same_size_block(channels[-1], norm) for _ in range(LAST_BLOCKS)])
        std = [MinibatchStd()] if minibatch_std else []
        self.layers.extend([nn.ReLU(), *std, GlobalPool(pooling), nn.Linear(features, 1)])
        initialise_residual(self, init)
        self.labels = labels


@final
class ResidualBlock(ConditionalLayer):
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
        """Map features (N, C, H, W), and encoded labels (N, size), to features of another shape."""
        total: Tensor = apply_layers(self.branch, features, encoded) + self.shortcut(features)
        return total


@final
class GlobalPool(nn.Module):
    """The mean or sum over all positions."""

    def __init__(self, by: Pooling) -> None:
        super().__init__()
        self.by = by

    def forward(self, features: Tensor) -> Tensor:
        """Map features (N, C, H, W) to (N, C)."""
        return features.mean((2, 3)) if self.by == "mean" else features.sum((2, 3))

    def extra_repr(self) -> str:
        """Return the setting, for printing."""
        return self.by


def upsampling_block(inputs: int, outputs: int, norm: Norm, condition: Condition | None) -> ResidualBlock:
    """Build a generator's block, which doubles the size."""
    first, second = (norm_layers(norm, width, condition) for width in (inputs, outputs))
    branch = [
        *(*first, nn.ReLU(), nn.Upsample(scale_factor=2), _convolution(inputs, outputs)),
        *(*second, nn.ReLU(), _convolution(outputs, outputs)),
    ]
    # A 1x1 convolution commutes with the repetition of pixels, and costs a quarter before it.
    return ResidualBlock(branch, [nn.Conv2d(inputs, outputs, 1), nn.Upsample(scale_factor=2)])


def downsampling_block(inputs: int, outputs: int, norm: Norm, *, first: bool) -> ResidualBlock:
    """Build a critic's block, which halves the size; the first one takes images, which need no ReLU."""
    branch = [
        *([] if first else [*norm_layers(norm, inputs), nn.ReLU()]),
        *(_convolution(inputs, outputs), *norm_layers(norm, outputs), nn.ReLU()),
        *(_convolution(outputs, outputs), nn.AvgPool2d(2)),
    ]
    return ResidualBlock(branch, [nn.AvgPool2d(2), nn.Conv2d(inputs, outputs, 1)])


def same_size_block(width: int, norm: Norm) -> ResidualBlock:
    """Build a critic's block that keeps the size."""
    return ResidualBlock(
        [
            layer
            for _ in range(2)
            for layer in (*norm_layers(norm, width), nn.ReLU(), _convolution(width, width))
        ]
    )


@torch.no_grad()
def initialise_residual(network: nn.Module, init: Init) -> None:
    """Initialise; with ``he``, halve the variance of shortcuts, whose inputs no ReLU halves."""
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


def _convolution(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1)


@dataclass(frozen=True)
class ResNet(Family[ResNetGenerator, ResNetCritic]):
    """A generator and a critic of residual blocks."""

    networks = (ResNetGenerator, ResNetCritic)

    latent_dim: int = 128
    """Length of a latent."""
    generator_width: int = 128
    """Channels of the generator at the full size."""
    critic_width: int = 128
    """Channels of the critic after its first block."""
    max_multiplier: int = 1
    """Channels double with each halving of the size, up to this multiple of the width."""
    generator_norm: Norm = "batch"
    """Norm before each ReLU of the generator."""
    critic_norm: Norm = "none"
    """Norm before each ReLU of the critic but the first."""
    pooling: Pooling = "mean"
    """Pooling of the critic's last features over all positions."""
    attention: bool = False
    """Self-attention in both networks, at the largest size with sides of at most 32."""
    generator_spectral: bool = False
    """Spectral normalisation of the generator; that of the critic is a constraint."""
    minibatch_std: bool = False
    """Give the critic the standard deviation of its features over the batch; no penalty allows it."""
    packing: int = 1
    """Number of samples the critic scores together (PacGAN); no penalty allows more than 1."""
    init: Init = "he"
    """Initialisation of both: PyTorch's default, DCGAN's N(0, 0.02), He's or orthogonal."""
    generator_conditioning: GeneratorConditioning = "norm"
    """How labels enter a conditional generator: in all norms, or as an embedding beside the latent."""
