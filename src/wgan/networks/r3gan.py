"""Residual networks without norms, whose stability comes from their initialisation and from the penalty.

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
    AuxiliaryClassifier,
    Condition,
    CriticCondition,
    GeneratorCondition,
    GeneratorLabels,
    critic_labels,
    described,
    logits,
    scores,
)
from wgan.networks.initialisation import fan_in
from wgan.networks.layers import Network, check_positive
from wgan.networks.minibatch_layers import MinibatchStd, packed
from wgan.networks.resolutions import Size, scales, widths

SLOPE = 0.2
GAIN = sqrt(2 / (1 + SLOPE**2))
"""By which weights are larger where a leaky rectifier follows, so that variances stay."""


class R3GANGenerator(Network):
    """Latents (N, latent_dim), and labels, to images (N, C, H, W) in [-1, 1], by residual blocks.

    The latent weighs learnt patterns of the smallest size; sizes double by bilinear interpolation. Unlike in
    the paper the images go through tanh, as those of all generators here.

    Args:
        shape: (C, H, W); H and W multiples of 4, at least 8.
        latent_dim: Length of a latent, >= 1.
        width: Channels at the full size.
        widest: Channels double with each halving of the size, up to so many times.
        blocks: Residual blocks at each size, >= 1.
        group: Channels in a group of the 3x3 convolutions; it divides twice the width.
        condition: What labels are; None: it takes none.
        labels_by: Labels enter as an ``embedding`` beside the latent; there are no norms to enter by.

    Raises:
        InputError: The shape cannot be made, a size is not positive, or groups do not divide the channels.
    """

    def __init__(
        self,
        shape: Sequence[int],
        *,
        latent_dim: int = 64,
        width: int = 32,
        widest: int = 4,
        blocks: int = 1,
        group: int = 16,
        condition: Condition | None = None,
        labels_by: GeneratorCondition = "embedding",
    ) -> None:
        super().__init__()
        check_positive(latent_dim=latent_dim, width=width, widest=widest, blocks=blocks, group=group)
        self._labels = GeneratorLabels(condition, labels_by)
        self._labels.refuse_without_norm("none")
        self.arguments = {
            "shape": tuple(shape),
            "latent_dim": latent_dim,
            "width": width,
            "widest": widest,
            "blocks": blocks,
            "group": group,
            **described(condition, labels_by),
        }
        self.latent_dim = latent_dim
        sizes = scales(shape)
        channels = widths(width, len(sizes), widest)[::-1]
        entering = nn.Linear(latent_dim + self._labels.extra, channels[0], bias=False)
        self.layers = nn.Sequential(entering, Patterns(channels[0], sizes[-1]))
        self.layers.extend(stage(channels[0], blocks, group))
        for wide_in, wide_out in pairwise(channels):
            self.layers.extend([*changed(wide_in, wide_out), nn.Upsample(scale_factor=2, mode="bilinear")])
            self.layers.extend(stage(wide_out, blocks, group))
        self.layers.extend([nn.Conv2d(width, shape[0], 1), nn.Tanh()])
        initialise_fixup(self)

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Latents (N, latent_dim), and labels for a conditional one, to images (N, C, H, W) in [-1, 1]."""
        entering, _ = self._labels.enter(latents, labels)
        images: Tensor = self.layers(entering)
        return images


class R3GANCritic(Network):
    """Images (N, C, H, W), and labels, to scores (N,): the generator's blocks in the opposite order.

    Sizes are halved by averages of 2 x 2, which is bilinear interpolation there; in the end each channel is
    weighed over all positions.

    Args:
        shape: (C, H, W); H and W multiples of 4, at least 8.
        width: Channels at the full size.
        widest: Channels double with each halving of the size, up to so many times.
        blocks: Residual blocks at each size, >= 1.
        group: Channels in a group of the 3x3 convolutions; it divides twice the width.
        minibatch_std: Whether the last layers see how much the samples of a batch differ.
        packing: How many samples are judged at once, >= 1; see :class:`~wgan.networks.minibatch_layers.Pack`.
        condition: What labels are; None: it takes none.
        labels_by: Labels enter by ``projection`` or ``concatenation``, or an ``auxiliary`` classifier guesses
            them.

    Raises:
        InputError: The shape does not fit, a size is not positive, or groups do not divide the channels.
    """

    def __init__(
        self,
        shape: Sequence[int],
        *,
        width: int = 32,
        widest: int = 4,
        blocks: int = 1,
        group: int = 16,
        minibatch_std: bool = False,
        packing: int = 1,
        condition: Condition | None = None,
        labels_by: CriticCondition = "projection",
    ) -> None:
        super().__init__()
        check_positive(width=width, widest=widest, blocks=blocks, group=group, packing=packing)
        self.arguments = {
            "shape": tuple(shape),
            "width": width,
            "widest": widest,
            "blocks": blocks,
            "group": group,
            "minibatch_std": minibatch_std,
            "packing": packing,
            **described(condition, labels_by),
        }
        sizes = scales(shape)
        channels = widths(width, len(sizes), widest)
        features = channels[-1] + minibatch_std
        labels = critic_labels(condition, labels_by, shape=tuple(shape), features=features)
        entering = packing * (shape[0] + (labels.planes if labels else 0))
        self.layers = nn.Sequential(*packed(packing), nn.Conv2d(entering, width, 1))
        self.layers.extend(stage(width, blocks, group))
        for wide_in, wide_out in pairwise(channels):
            self.layers.extend([nn.AvgPool2d(2), *changed(wide_in, wide_out)])
            self.layers.extend(stage(wide_out, blocks, group))
        std = [MinibatchStd()] if minibatch_std else []
        weighing = nn.Conv2d(features, features, sizes[-1], groups=features, bias=False)
        self.layers.extend([*std, weighing, nn.Flatten(), nn.Linear(features, 1)])
        initialise_fixup(self)
        self.labels = labels
        self.classifies = isinstance(labels, AuxiliaryClassifier)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Images (N, C, H, W), and labels for a conditional one, to scores (N,)."""
        return scores(self.layers, self.labels, images, labels)

    def logits(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) to the logits (N, classes) of the auxiliary classifier, if there is one."""
        return logits(self.layers, self.labels, images)


@final
class InvertedBlock(nn.Module):
    """x + W3 a(W2 a(W1 x)): twice the channels within, where the 3x3 convolution W2 is in groups.

    Args:
        width: Channels.
        group: Channels in a group of W2.

    Raises:
        InputError: The groups do not divide the inner channels.
    """

    def __init__(self, width: int, group: int) -> None:
        super().__init__()
        inner = 2 * width
        if inner % group:
            raise InputError(f"Groups of {group} channels do not divide {inner}, twice the width.")
        self.branch = nn.Sequential(
            nn.Conv2d(width, inner, 1),
            nn.LeakyReLU(SLOPE, inplace=True),
            nn.Conv2d(inner, inner, 3, padding=1, groups=inner // group),
            nn.LeakyReLU(SLOPE, inplace=True),
            nn.Conv2d(inner, width, 1, bias=False),
        )

    def forward(self, features: Tensor) -> Tensor:
        """Features (N, width, H, W) to features of the same shape."""
        total: Tensor = features + self.branch(features)
        return total


@final
class Patterns(nn.Module):
    """A learnt pattern for each channel, weighed: (N, width) to (N, width, H, W).

    Args:
        width: Channels.
        size: (H, W).
    """

    def __init__(self, width: int, size: Size) -> None:
        super().__init__()
        self.patterns = nn.Parameter(torch.randn(width, *size))

    def forward(self, weights: Tensor) -> Tensor:
        """Weights (N, width) to features (N, width, H, W)."""
        return weights[:, :, None, None] * self.patterns


def stage(width: int, blocks: int, group: int) -> list[nn.Module]:
    """The blocks at one size."""
    return [InvertedBlock(width, group) for _ in range(blocks)]


def changed(wide_in: int, wide_out: int) -> list[nn.Module]:
    """A layer from some channels to others; none where they are as many."""
    return [] if wide_in == wide_out else [nn.Conv2d(wide_in, wide_out, 1, bias=False)]


@torch.no_grad()
def initialise_fixup(network: nn.Module) -> None:
    """Start from a network whose blocks do nothing, and can all begin to act at the same pace.

    Weights are N(0, 1 / inputs), within blocks N(0, g^2 / inputs) / L^(1/4) with L blocks, the last of each
    block zero, and so are biases (Zhang, Dauphin, Ma 2019, "Fixup Initialization", section 3, for the three
    layers of a block; Huang et al. 2024, appendix).
    """
    blocks = [module for module in network.modules() if isinstance(module, InvertedBlock)]
    for layer in _linear(network):
        nn.init.normal_(layer.weight, 0.0, 1 / sqrt(fan_in(layer)))
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
    for block in blocks:
        first, second, last = _linear(block)
        for layer in (first, second):
            layer.weight.mul_(GAIN / len(blocks) ** 0.25)
        nn.init.zeros_(last.weight)


def _linear(network: nn.Module) -> Iterator[nn.Linear | nn.Conv2d]:
    return (module for module in network.modules() if isinstance(module, nn.Linear | nn.Conv2d))


@dataclass(frozen=True)
class R3GAN:
    """A generator and a critic of residual blocks without norms."""

    latent_dim: int = 64
    """Length of a latent."""
    generator_width: int = 32
    """Channels of the generator at the full size."""
    critic_width: int = 32
    """Channels of the critic at the full size."""
    widest: int = 4
    """Channels double with each halving of the size, up to so many times."""
    blocks: int = 1
    """Residual blocks at each size."""
    group: int = 16
    """Channels in a group of the 3x3 convolutions; it divides twice the widths."""
    minibatch_std: bool = False
    """The critic sees how much the samples of a batch differ; no penalty allows it."""
    packing: int = 1
    """How many samples the critic judges at once; no penalty allows more than 1."""
    generator_labels: GeneratorCondition = "embedding"
    """How labels enter a conditional generator; it has no norms for them to enter by."""
    critic_labels: CriticCondition = "projection"
    """How labels enter a conditional critic."""

    def build(
        self, shape: Sequence[int], condition: Condition | None = None
    ) -> tuple[R3GANGenerator, R3GANCritic]:
        """A generator and a critic for images of this shape, with labels if there is a condition."""
        generator = R3GANGenerator(
            shape,
            latent_dim=self.latent_dim,
            width=self.generator_width,
            widest=self.widest,
            blocks=self.blocks,
            group=self.group,
            condition=condition,
            labels_by=self.generator_labels,
        )
        critic = R3GANCritic(
            shape,
            width=self.critic_width,
            widest=self.widest,
            blocks=self.blocks,
            group=self.group,
            minibatch_std=self.minibatch_std,
            packing=self.packing,
            condition=condition,
            labels_by=self.critic_labels,
        )
        return generator, critic
