"""R3GAN: residual networks without norms, kept stable by their initialisation and by the penalty.

Source: Huang, Gokaslan, Kuleshov, Tompkin 2024, "The GAN is dead; long live the GAN! A Modern Baseline GAN",
section 3 and appendix; the initialisation is Fixup's (Zhang, Dauphin, Ma 2019).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import sqrt
from typing import final

import torch
from torch import Tensor, nn

from wgan.errors import InputError
from wgan.networks.conditioning import (
    Condition,
    CriticConditioning,
    GeneratorConditioning,
    GeneratorLabels,
    critic_labels,
)
from wgan.networks.initialisation import fan_in
from wgan.networks.minibatch_layers import MinibatchStd, PackSamples
from wgan.networks.network import Critic, Family, Network, record_arguments
from wgan.networks.resolutions import Size, channels_per_size, halved_sizes

NEGATIVE_SLOPE = 0.2
GAIN = sqrt(2 / (1 + NEGATIVE_SLOPE**2))
"""Factor on weights before a leaky ReLU, which keeps variances."""


class R3GANGenerator(Network):
    """Generator of residual blocks: latents (N, latent_dim), and labels, to images (N, C, H, W) in [-1, 1].

    The latent weighs learned patterns of the smallest size; sizes double by bilinear interpolation. Unlike in
    the paper, images go through tanh, like those of all generators here. The settings are the fields of
    :class:`R3GAN`, without ``generator_``.
    """

    @record_arguments
    def __init__(
        self,
        shape: Sequence[int],
        *,
        latent_dim: int = 64,
        width: int = 32,
        max_multiplier: int = 4,
        blocks: int = 1,
        group_size: int = 16,
        condition: Condition | None = None,
        conditioning: GeneratorConditioning = "embedding",
    ) -> None:
        super().__init__()
        self._labels = GeneratorLabels(condition, conditioning, norm="none")
        self.latent_dim = latent_dim
        sizes = halved_sizes(shape)
        channels = channels_per_size(width, len(sizes), max_multiplier)[::-1]
        dense = nn.Linear(latent_dim + self._labels.embedding_size, channels[0], bias=False)
        self.layers = nn.Sequential(dense, GenerativeBasis(channels[0], sizes[-1]))
        self.layers.extend(residual_blocks(channels[0], blocks, group_size))
        for inputs, outputs in pairwise(channels):
            resampling = [*change_channels(inputs, outputs), nn.Upsample(scale_factor=2, mode="bilinear")]
            self.layers.extend([*resampling, *residual_blocks(outputs, blocks, group_size)])
        self.layers.extend([nn.Conv2d(width, shape[0], 1), nn.Tanh()])
        initialise_fixup(self)

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Map latents (N, latent_dim), and labels if conditional, to images (N, C, H, W) in [-1, 1]."""
        inputs, _ = self._labels.join(latents, labels)
        images: Tensor = self.layers(inputs)
        return images


class R3GANCritic(Critic):
    """Critic of residual blocks: images (N, C, H, W), and labels, to scores (N,).

    The blocks are the generator's in the opposite order. Averages of 2 x 2 halve sizes, which is bilinear
    interpolation there; at the end a depthwise convolution weighs each channel over all positions. The
    settings are the fields of :class:`R3GAN`, without ``critic_``.
    """

    @record_arguments
    def __init__(
        self,
        shape: Sequence[int],
        *,
        width: int = 32,
        max_multiplier: int = 4,
        blocks: int = 1,
        group_size: int = 16,
        minibatch_std: bool = False,
        packing: int = 1,
        condition: Condition | None = None,
        conditioning: CriticConditioning = "projection",
    ) -> None:
        super().__init__()
        sizes = halved_sizes(shape)
        channels = channels_per_size(width, len(sizes), max_multiplier)
        features = channels[-1] + minibatch_std
        labels = critic_labels(condition, conditioning, shape=tuple(shape), features=features)
        in_channels = packing * (shape[0] + (labels.extra_channels if labels else 0))
        self.layers = nn.Sequential(*([PackSamples(packing)] if packing > 1 else []))
        self.layers.append(nn.Conv2d(in_channels, width, 1))
        self.layers.extend(residual_blocks(width, blocks, group_size))
        for inputs, outputs in pairwise(channels):
            resampling = [nn.AvgPool2d(2), *change_channels(inputs, outputs)]
            self.layers.extend([*resampling, *residual_blocks(outputs, blocks, group_size)])
        std = [MinibatchStd()] if minibatch_std else []
        depthwise = nn.Conv2d(features, features, sizes[-1], groups=features, bias=False)
        self.layers.extend([*std, depthwise, nn.Flatten(), nn.Linear(features, 1)])
        initialise_fixup(self)
        self.labels = labels


@final
class InvertedBottleneck(nn.Module):
    """A residual block x + W3 a(W2 a(W1 x)): twice the channels within, where W2 is a grouped convolution.

    Args:
        width: Channels.
        group_size: Channels in a group of W2.

    Raises:
        InputError: The groups do not divide the inner channels.
    """

    def __init__(self, width: int, group_size: int) -> None:
        super().__init__()
        inner = 2 * width
        if inner % group_size:
            raise InputError(f"group_size must divide twice the width, {inner}; {group_size} does not.")
        self.branch = nn.Sequential(
            nn.Conv2d(width, inner, 1),
            nn.LeakyReLU(NEGATIVE_SLOPE, inplace=True),
            nn.Conv2d(inner, inner, 3, padding=1, groups=inner // group_size),
            nn.LeakyReLU(NEGATIVE_SLOPE, inplace=True),
            nn.Conv2d(inner, width, 1, bias=False),
        )

    def forward(self, features: Tensor) -> Tensor:
        """Map features (N, width, H, W) to features of the same shape."""
        total: Tensor = features + self.branch(features)
        return total


@final
class GenerativeBasis(nn.Module):
    """A learned pattern for each channel, times a weight: (N, width) to (N, width, H, W)."""

    def __init__(self, width: int, size: Size) -> None:
        super().__init__()
        self.patterns = nn.Parameter(torch.randn(width, *size))

    def forward(self, weights: Tensor) -> Tensor:
        """Map weights (N, width) to features (N, width, H, W)."""
        return weights[:, :, None, None] * self.patterns


def residual_blocks(width: int, blocks: int, group_size: int) -> list[nn.Module]:
    """Build the blocks at one size."""
    return [InvertedBottleneck(width, group_size) for _ in range(blocks)]


def change_channels(inputs: int, outputs: int) -> list[nn.Module]:
    """Build the layer between two numbers of channels; none if they are equal."""
    return [] if inputs == outputs else [nn.Conv2d(inputs, outputs, 1, bias=False)]


@torch.no_grad()
def initialise_fixup(network: nn.Module) -> None:
    """Initialise so that each block is the identity at first, and all blocks start to learn at one pace.

    Weights are N(0, 1 / fan_in), within blocks N(0, gain^2 / fan_in) / L^(1/4) with L blocks. The last layer
    of each block and all biases are zero (Zhang, Dauphin, Ma 2019, "Fixup Initialization", section 3, for the
    three layers of a block; Huang et al. 2024, appendix).
    """
    blocks = [module for module in network.modules() if isinstance(module, InvertedBottleneck)]
    for layer in _weight_layers(network):
        nn.init.normal_(layer.weight, 0.0, 1 / sqrt(fan_in(layer)))
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
    for block in blocks:
        first, second, last = _weight_layers(block)
        for layer in (first, second):
            layer.weight.mul_(GAIN / len(blocks) ** 0.25)
        nn.init.zeros_(last.weight)


def _weight_layers(network: nn.Module) -> Iterator[nn.Linear | nn.Conv2d]:
    return (module for module in network.modules() if isinstance(module, nn.Linear | nn.Conv2d))


@dataclass(frozen=True)
class R3GAN(Family[R3GANGenerator, R3GANCritic]):
    """A generator and a critic of residual blocks without norms."""

    networks = (R3GANGenerator, R3GANCritic)

    generator_width: int = 32
    """Channels of the generator at the full size."""
    critic_width: int = 32
    """Channels of the critic at the full size."""
    max_multiplier: int = 4
    """Channels double with each halving of the size, up to this multiple of the width."""
    blocks: int = 1
    """Number of residual blocks at each size."""
    group_size: int = 16
    """Channels in a group of the 3x3 convolutions; it must divide twice the widths."""
    minibatch_std: bool = False
    """Give the critic the standard deviation of its features over the batch; no penalty allows it."""
    packing: int = 1
    """Number of samples the critic scores together (PacGAN); no penalty allows more than 1."""
