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
    AuxiliaryClassifier,
    Condition,
    CriticCondition,
    GeneratorCondition,
    GeneratorLabels,
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
    VECTOR_NORMS,
    Activation,
    Init,
    Network,
    Norm,
    activation_layer,
    check_names,
    check_positive,
    check_shape,
    norm_layers,
)

Kernel = Literal[4, 5]
Head = Literal["dense", "max-pool"]

SMALLEST_SIDE = 4
FEWEST_STAGES = 2  # a single convolution makes a poor critic, and every multiple of 4 allows two
WIDEST = 8


class DCGANGenerator(Network):
    """Latents (N, latent_dim), and labels, to images (N, C, H, W) in [-1, 1], by transposed convolutions.

    Args:
        shape: (C, H, W); H and W multiples of 4.
        latent_dim: Length of a latent, >= 1.
        width: Channels before the last layer; they double with each halving of the size, up to 8 times.
        stages: How often the size doubles; by default from a smaller side of at most 4, at least twice.
        kernel: Side of the kernels.
        norm: After each layer but the last.
        activation: Between layers.
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
        latent_dim: int = 64,
        width: int = 32,
        stages: int | None = None,
        kernel: Kernel = 4,
        norm: Norm = "batch",
        activation: Activation = "relu",
        init: Init = "default",
        condition: Condition | None = None,
        labels_by: GeneratorCondition = "embedding",
    ) -> None:
        super().__init__()
        check_names(norm=norm, activation=activation, init=init)
        self._labels = GeneratorLabels(condition, labels_by)
        self._labels.refuse_without_norm(norm)
        self.arguments = {
            "shape": tuple(shape),
            "latent_dim": latent_dim,
            "width": width,
            "stages": stages,
            "kernel": kernel,
            "norm": norm,
            "activation": activation,
            "init": init,
            **described(condition, labels_by),
        }
        self.latent_dim = latent_dim
        check_positive(latent_dim=latent_dim, width=width)
        sizes = halvings(shape, kernel, stages)[::-1]
        widths = channels(width, len(sizes) - 1)[::-1]
        height, breadth = sizes[0]
        cells = widths[0] * height * breadth
        dense = norm_layers(norm, cells, VECTOR_NORMS) if norm == "batch" else []
        dense = conditioned(dense, cells, self._labels.in_norms)
        first = nn.Linear(latent_dim + self._labels.extra, cells)
        self.base = nn.Sequential(first, *dense, activation_layer(activation))
        self.base_shape = (widths[0], height, breadth)
        self.layers = nn.Sequential()
        for (small, large), (wide_in, wide_out) in zip(
            pairwise(sizes), pairwise([*widths, shape[0]]), strict=True
        ):
            self.layers.append(upsample(wide_in, wide_out, kernel, small, large))
            if large == sizes[-1]:
                self.layers.append(nn.Tanh())
            else:
                norms = norm_layers(norm, wide_out, IMAGE_NORMS)
                norms = conditioned(norms, wide_out, self._labels.in_norms)
                self.layers.extend([*norms, activation_layer(activation)])
        initialise(self, init)

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Latents (N, latent_dim), and labels for a conditional one, to images (N, C, H, W) in [-1, 1]."""
        entering, encoded = self._labels.enter(latents, labels)
        base = run(self.base, entering, encoded)
        return run(self.layers, torch.unflatten(base, 1, self.base_shape), encoded)


class DCGANCritic(Network):
    """Images (N, C, H, W), and labels, to scores (N,), by strided convolutions.

    Args:
        shape: (C, H, W); H and W multiples of 4.
        width: Channels after the first layer; they double with each further one, up to 8 times.
        stages: How often the size is halved; by default down to a smaller side of at most 4, at least twice.
        kernel: Side of the kernels.
        norm: After each layer but the first.
        head: From the last features to the score: one dense layer over all of them, or global maxima first.
        activation: Between layers.
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
        width: int = 32,
        stages: int | None = None,
        kernel: Kernel = 4,
        norm: Norm = "none",
        head: Head = "dense",
        activation: Activation = "leaky-relu",
        init: Init = "default",
        condition: Condition | None = None,
        labels_by: CriticCondition = "projection",
    ) -> None:
        super().__init__()
        check_names(norm=norm, activation=activation, init=init)
        self.arguments = {
            "shape": tuple(shape),
            "width": width,
            "stages": stages,
            "kernel": kernel,
            "norm": norm,
            "head": head,
            "activation": activation,
            "init": init,
            **described(condition, labels_by),
        }
        check_positive(width=width)
        sizes = halvings(shape, kernel, stages)
        widths = channels(width, len(sizes) - 1)
        features = widths[-1] if head == "max-pool" else widths[-1] * prod(sizes[-1])
        labels = critic_labels(condition, labels_by, shape=tuple(shape), features=features)
        entering = shape[0] + (labels.planes if labels else 0)
        self.layers = nn.Sequential()
        for depth, (wide_in, wide_out) in enumerate(pairwise([entering, *widths])):
            norms = norm_layers(norm, wide_out, IMAGE_NORMS) if depth > 0 else []
            convolution = nn.Conv2d(wide_in, wide_out, kernel, stride=2, padding=(kernel - 1) // 2)
            self.layers.extend([convolution, *norms, activation_layer(activation)])
        if head not in ("dense", "max-pool"):
            raise InputError(f"There is no head {head!r}; known are dense, max-pool.")
        pooling = [nn.AdaptiveMaxPool2d(1)] if head == "max-pool" else []
        self.layers.extend([*pooling, nn.Flatten(), nn.Linear(features, 1)])
        initialise(self, init)
        self.labels = labels
        self.classifies = isinstance(labels, AuxiliaryClassifier)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Images (N, C, H, W), and labels for a conditional one, to scores (N,)."""
        return scores(self.layers, self.labels, images, labels)

    def logits(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) to the logits (N, classes) of the auxiliary classifier, if there is one."""
        return logits(self.layers, self.labels, images)


def halvings(shape: Sequence[int], kernel: int, stages: int | None) -> list[tuple[int, int]]:
    """The sizes (H, W) that strided convolutions go through, largest first.

    Args:
        shape: (C, H, W).
        kernel: 4 halves rounding down, 5 rounding up.
        stages: How many halvings, or None: until the smaller side is at most 4, at least two.

    Raises:
        InputError: The shape is not an image's with sides that are multiples of 4, or too small.
    """
    if kernel not in (4, 5) or not isinstance(kernel, int):
        raise InputError(f"kernel must be 4 or 5, not {kernel!r}.")
    if len(shape) != 3:
        raise InputError(
            f"A DCGAN works on images (C, H, W), not on samples of shape {tuple(shape)}; use an MLP."
        )
    _, height, breadth = check_shape(shape)
    if height % 4 or breadth % 4:
        raise InputError(
            f"A DCGAN needs a height and width that are multiples of 4, not {height}x{breadth}; "
            f"resize with resolution={max(4, round(height / 4) * 4)}, or use an MLP."
        )
    if stages is not None:
        check_positive(stages=stages)
    sizes = [(height, breadth)]
    while len(sizes) <= (stages or FEWEST_STAGES) or (stages is None and min(sizes[-1]) > SMALLEST_SIDE):
        if min(sizes[-1]) == 1:
            raise InputError(
                f"{stages} halvings of {height}x{breadth} leave nothing; use at most {len(sizes) - 1} stages."
            )
        sizes.append((_halve(sizes[-1][0], kernel), _halve(sizes[-1][1], kernel)))
    return sizes


def channels(width: int, stages: int) -> list[int]:
    """Channels after each halving: width, doubling, at most 8 times width."""
    return [width * min(2**depth, WIDEST) for depth in range(stages)]


def upsample(
    wide_in: int, wide_out: int, kernel: int, small: tuple[int, int], large: tuple[int, int]
) -> nn.ConvTranspose2d:
    """The transposed convolution from exactly ``small`` to exactly ``large``: no crop, no resize."""
    smallest = [2 * side + kernel - 2 - 2 * ((kernel - 1) // 2) for side in small]
    extra = (large[0] - smallest[0], large[1] - smallest[1])
    return nn.ConvTranspose2d(
        wide_in, wide_out, kernel, stride=2, padding=(kernel - 1) // 2, output_padding=extra
    )


def _halve(side: int, kernel: int) -> int:
    return (side + 2 * ((kernel - 1) // 2) - kernel) // 2 + 1


@dataclass(frozen=True)
class DCGAN:
    """A generator and a critic of strided convolutions."""

    latent_dim: int = 64
    """Length of a latent."""
    generator_width: int = 32
    """Channels of the generator's last hidden layer; they double with each halving of the size."""
    critic_width: int = 32
    """Channels of the critic's first layer; they double with each halving of the size."""
    stages: int | None = None
    """Halvings of the size; None: down to a side of at most 4, at least two."""
    kernel: Kernel = 4
    """Side of the kernels."""
    generator_norm: Norm = "batch"
    """Norm in the generator."""
    critic_norm: Norm = "none"
    """Norm in the critic."""
    head: Head = "dense"
    """From the critic's last features to its score."""
    generator_activation: Activation = "relu"
    """Activation of the generator."""
    init: Init = "default"
    """Initialisation of both: PyTorch's default, DCGAN's N(0, 0.02), He's, orthogonal, or shaped by depth."""
    generator_labels: GeneratorCondition = "embedding"
    """How labels enter a conditional generator."""
    critic_labels: CriticCondition | None = "projection"
    """How labels enter a conditional critic; None: it guesses classes, and attributes enter by projection."""

    def build(
        self, shape: Sequence[int], condition: Condition | None = None
    ) -> tuple[DCGANGenerator, DCGANCritic]:
        """A generator and a critic for images of this shape, with labels if there is a condition."""
        generator = DCGANGenerator(
            shape,
            latent_dim=self.latent_dim,
            width=self.generator_width,
            stages=self.stages,
            kernel=self.kernel,
            norm=self.generator_norm,
            activation=self.generator_activation,
            init=self.init,
            condition=condition,
            labels_by=self.generator_labels,
        )
        usual: CriticCondition = "auxiliary" if condition and condition.classes else "projection"
        critic = DCGANCritic(
            shape,
            width=self.critic_width,
            stages=self.stages,
            kernel=self.kernel,
            norm=self.critic_norm,
            head=self.head,
            init=self.init,
            condition=condition,
            labels_by=self.critic_labels or usual,
        )
        return generator, critic
