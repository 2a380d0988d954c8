"""Convolutional networks after DCGAN, for images of any size that is a multiple of 4.

Source: Radford, Metz, Chintala 2016, "Unsupervised Representation Learning with Deep Convolutional GANs",
section 3.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from typing import Literal

import torch
from torch import Tensor, nn

from wgan.errors import InputError
from wgan.networks.conditioning import (
    Condition,
    CriticConditioning,
    GeneratorConditioning,
    GeneratorLabels,
    apply_layers,
    critic_labels,
)
from wgan.networks.initialisation import initialise
from wgan.networks.layers import (
    ACTIVATIONS,
    Activation,
    Init,
    Norm,
    norm_layers,
)
from wgan.networks.network import Critic, Family, Network, record_arguments
from wgan.networks.resolutions import SMALLEST_SIDE, Size, channels_per_size, image_size

Kernel = Literal[4, 5]
Head = Literal["dense", "max-pool"]

FEWEST_STAGES = 2  # a single convolution makes a poor critic, and every multiple of 4 allows two
MAX_MULTIPLIER = 8


class DCGANGenerator(Network):
    """Generator of transposed convolutions: latents (N, latent_dim), and labels, to images in [-1, 1].

    The settings are the fields of :class:`DCGAN`, without ``generator_``.
    """

    @record_arguments
    def __init__(
        self,
        shape: Sequence[int],
        *,
        latent_dim: int = 64,
        width: int = 32,
        stages: int | None = None,
        kernel: Kernel = 4,
        norm: Norm = "batch",
        activation: Activation = "relu",
        init: Init = "default",
        condition: Condition | None = None,
        conditioning: GeneratorConditioning = "embedding",
    ) -> None:
        super().__init__()
        self._labels = GeneratorLabels(condition, conditioning, norm)
        self.latent_dim = latent_dim
        in_norms = self._labels.norm_condition
        sizes = convolution_sizes(shape, kernel, stages)[::-1]
        channels = channels_per_size(width, len(sizes) - 1, MAX_MULTIPLIER)[::-1]
        self.base_shape = (channels[0], *sizes[0])
        features = prod(self.base_shape)
        dense = nn.Linear(latent_dim + self._labels.embedding_size, features)
        norms = norm_layers(norm, features, in_norms, images=False) if norm == "batch" else []
        self.base = nn.Sequential(dense, *norms, ACTIVATIONS[activation]())
        self.layers = nn.Sequential()
        for (small, large), (inputs, outputs) in zip(
            pairwise(sizes), pairwise([*channels, shape[0]]), strict=True
        ):
            self.layers.append(transposed_convolution(inputs, outputs, kernel, small, large))
            if large == sizes[-1]:
                self.layers.append(nn.Tanh())
            else:
                norms = norm_layers(norm, outputs, in_norms)
                self.layers.extend([*norms, ACTIVATIONS[activation]()])
        initialise(self, init)

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Map latents (N, latent_dim), and labels if conditional, to images (N, C, H, W) in [-1, 1]."""
        inputs, encoded = self._labels.join(latents, labels)
        base = apply_layers(self.base, inputs, encoded)
        return apply_layers(self.layers, torch.unflatten(base, 1, self.base_shape), encoded)


class DCGANCritic(Critic):
    """Critic of strided convolutions: images (N, C, H, W), and labels, to scores (N,).

    The settings are the fields of :class:`DCGAN`, without ``critic_``.
    """

    @record_arguments
    def __init__(
        self,
        shape: Sequence[int],
        *,
        width: int = 32,
        stages: int | None = None,
        kernel: Kernel = 4,
        norm: Norm = "none",
        head: Head = "dense",
        activation: Activation = "leaky-relu",
        init: Init = "default",
        condition: Condition | None = None,
        conditioning: CriticConditioning = "projection",
    ) -> None:
        super().__init__()
        sizes = convolution_sizes(shape, kernel, stages)
        channels = channels_per_size(width, len(sizes) - 1, MAX_MULTIPLIER)
        features = channels[-1] if head == "max-pool" else channels[-1] * prod(sizes[-1])
        labels = critic_labels(condition, conditioning, shape=tuple(shape), features=features)
        in_channels = shape[0] + (labels.extra_channels if labels else 0)
        self.layers = nn.Sequential()
        for depth, (inputs, outputs) in enumerate(pairwise([in_channels, *channels])):
            convolution = nn.Conv2d(inputs, outputs, kernel, stride=2, padding=(kernel - 1) // 2)
            norms = norm_layers(norm, outputs) if depth > 0 else []
            self.layers.extend([convolution, *norms, ACTIVATIONS[activation]()])
        pooling = [nn.AdaptiveMaxPool2d(1)] if head == "max-pool" else []
        self.layers.extend([*pooling, nn.Flatten(), nn.Linear(features, 1)])
        initialise(self, init)
        self.labels = labels


def convolution_sizes(shape: Sequence[int], kernel: Kernel, stages: int | None) -> list[Size]:
    """Return the sizes (H, W) that strided convolutions go through, largest first.

    A kernel of 4 halves rounding down, one of 5 rounding up.

    Raises:
        InputError: The shape is not an image's with sides that are multiples of 4, or too small.
    """
    sizes = [image_size(shape, "DCGAN", smallest=SMALLEST_SIDE)]
    while len(sizes) <= (stages or FEWEST_STAGES) or (stages is None and min(sizes[-1]) > SMALLEST_SIDE):
        if min(sizes[-1]) == 1:
            raise InputError(
                f"An image of {sizes[0][0]}x{sizes[0][1]} cannot be halved {stages} times; use at most "
                f"{len(sizes) - 1} stages."
            )
        sizes.append((_halve(sizes[-1][0], kernel), _halve(sizes[-1][1], kernel)))
    return sizes


def _halve(side: int, kernel: int) -> int:
    return (side + 2 * ((kernel - 1) // 2) - kernel) // 2 + 1


def transposed_convolution(
    inputs: int, outputs: int, kernel: int, small: Size, large: Size
) -> nn.ConvTranspose2d:
    """Build the transposed convolution from exactly ``small`` to exactly ``large``: no crop, no resize."""
    padding = (kernel - 1) // 2
    missing = [to - (2 * side + kernel - 2 - 2 * padding) for side, to in zip(small, large, strict=True)]
    output_padding = (missing[0], missing[1])
    return nn.ConvTranspose2d(
        inputs, outputs, kernel, stride=2, padding=padding, output_padding=output_padding
    )


@dataclass(frozen=True)
class DCGAN(Family[DCGANGenerator, DCGANCritic]):
    """A generator and a critic of strided convolutions."""

    networks = (DCGANGenerator, DCGANCritic)

    generator_width: int = 32
    """Channels of the generator's last hidden layer; they double with each halving, up to 8 times."""
    critic_width: int = 32
    """Channels of the critic's first layer; they double with each halving of the size, up to 8 times."""
    stages: int | None = None
    """Number of halvings of the size; None: down to a smaller side of at most 4, at least two."""
    kernel: Kernel = 4
    """Side of the kernels."""
    generator_norm: Norm = "batch"
    """Norm after each layer of the generator but the last."""
    critic_norm: Norm = "none"
    """Norm after each layer of the critic but the first."""
    head: Head = "dense"
    """The critic's last layer: dense over all features, or over the global maximum of each channel."""
    generator_activation: Activation = "relu"
    """Activation of the generator."""
    init: Init = "default"
    """Initialisation of both: PyTorch's default, DCGAN's N(0, 0.02), He's, orthogonal, or shaped by depth."""
