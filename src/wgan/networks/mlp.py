"""Multi-layer perceptrons, for vectors and for images of any size."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod

import torch
from torch import Tensor, nn

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


class MLPGenerator(Network):
    r"""Latents (N, latent_dim), and labels, to samples (N, \*shape): images through tanh, vectors as is.

    Args:
        shape: Of one sample: (C, H, W) or (d,).
        latent_dim: Length of a latent, >= 1.
        hidden: Widths of the hidden layers.
        norm: After each hidden layer but the first, as the field does it.
        activation: Between layers.
        init: Initialisation, see :func:`wgan.networks.initialisation.initialise`.
        condition: What labels are; None: it takes none.
        labels_by: Labels enter as an ``embedding`` beside the latent, or in every ``norm``.

    Raises:
        InputError: The shape is none, a width is not a positive whole number, or a name is unknown.
    """

    def __init__(
        self,
        shape: Sequence[int],
        *,
        latent_dim: int = 64,
        hidden: Sequence[int] = (256, 512),
        norm: Norm = "none",
        activation: Activation = "leaky-relu",
        init: Init = "default",
        condition: Condition | None = None,
        labels_by: GeneratorCondition = "embedding",
    ) -> None:
        super().__init__()
        check_names(norm=norm, activation=activation, init=init)
        self._labels = GeneratorLabels(condition, labels_by)
        self._labels.refuse_without_norm(norm)
        self.shape = check_shape(shape)
        check_positive(latent_dim=latent_dim)
        self.arguments = {
            "shape": self.shape,
            "latent_dim": latent_dim,
            "hidden": tuple(hidden),
            "norm": norm,
            "activation": activation,
            "init": init,
            **described(condition, labels_by),
        }
        self.latent_dim = latent_dim
        widths = [latent_dim + self._labels.extra, *hidden]
        body = hidden_layers(widths, norm, activation, self._labels.in_norms)
        head = nn.Linear(widths[-1], prod(shape))
        self.layers = nn.Sequential(*body, head, *([nn.Tanh()] if len(self.shape) == 3 else []))
        initialise(self, init)

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        r"""Latents (N, latent_dim), and labels for a conditional one, to samples (N, \*shape)."""
        return torch.unflatten(run(self.layers, *self._labels.enter(latents, labels)), 1, self.shape)


class MLPCritic(Network):
    r"""Samples (N, \*shape) to scores (N,).

    Args:
        shape: Of one sample: (C, H, W) or (d,).
        hidden: Widths of the hidden layers.
        norm: After each hidden layer but the first.
        activation: Between layers.
        init: Initialisation, see :func:`wgan.networks.initialisation.initialise`.
        condition: What labels are; None: it takes none.
        labels_by: Labels enter by ``projection`` or ``concatenation``, or an ``auxiliary`` classifier guesses
            them.

    Raises:
        InputError: The shape is none, a width is not a positive whole number, or a name is unknown.
    """

    def __init__(
        self,
        shape: Sequence[int],
        *,
        hidden: Sequence[int] = (512, 256),
        norm: Norm = "none",
        activation: Activation = "leaky-relu",
        init: Init = "default",
        condition: Condition | None = None,
        labels_by: CriticCondition = "projection",
    ) -> None:
        super().__init__()
        check_names(norm=norm, activation=activation, init=init)
        self.arguments = {
            "shape": check_shape(shape),
            "hidden": tuple(hidden),
            "norm": norm,
            "activation": activation,
            "init": init,
            **described(condition, labels_by),
        }
        size = prod(shape)
        labels = critic_labels(condition, labels_by, shape=(size,), features=[size, *hidden][-1])
        widths = [size + (labels.planes if labels else 0), *hidden]
        self.layers = nn.Sequential(*hidden_layers(widths, norm, activation), nn.Linear(widths[-1], 1))
        initialise(self, init)
        self.labels = labels
        self.classifies = isinstance(labels, AuxiliaryClassifier)

    def forward(self, samples: Tensor, labels: Tensor | None = None) -> Tensor:
        r"""Samples (N, \*shape), and labels for a conditional one, to scores (N,)."""
        return scores(self.layers, self.labels, samples.flatten(1), labels)

    def logits(self, samples: Tensor) -> Tensor:
        r"""Samples (N, \*shape) to the logits (N, classes) of the auxiliary classifier, if there is one."""
        return logits(self.layers, self.labels, samples.flatten(1))


def hidden_layers(
    widths: Sequence[int], norm: Norm, activation: Activation, condition: Condition | None = None
) -> list[nn.Module]:
    """Dense layers between successive widths, each with its norm (but for the first) and activation."""
    modules: list[nn.Module] = []
    for depth, (wide_in, wide_out) in enumerate(pairwise(widths)):
        check_positive(width=wide_in, hidden=wide_out)
        norms = norm_layers(norm, wide_out, VECTOR_NORMS) if depth > 0 else []
        norms = conditioned(norms, wide_out, condition)
        modules += [nn.Linear(wide_in, wide_out), *norms, activation_layer(activation)]
    return modules


@dataclass(frozen=True)
class MLP:
    """A generator and a critic of dense layers."""

    latent_dim: int = 64
    """Length of a latent."""
    generator_hidden: tuple[int, ...] = (256, 512)
    """Widths of the generator's hidden layers."""
    critic_hidden: tuple[int, ...] = (512, 256)
    """Widths of the critic's hidden layers."""
    generator_norm: Norm = "none"
    """Norm in the generator."""
    critic_norm: Norm = "none"
    """Norm in the critic."""
    activation: Activation = "leaky-relu"
    """Activation of both."""
    init: Init = "default"
    """Initialisation of both: PyTorch's default, DCGAN's N(0, 0.02), He's, orthogonal, or shaped by depth."""
    generator_labels: GeneratorCondition = "embedding"
    """How labels enter a conditional generator."""
    critic_labels: CriticCondition = "projection"
    """How labels enter a conditional critic."""

    def build(
        self, shape: Sequence[int], condition: Condition | None = None
    ) -> tuple[MLPGenerator, MLPCritic]:
        """A generator and a critic for samples of this shape, with labels if there is a condition."""
        generator = MLPGenerator(
            shape,
            latent_dim=self.latent_dim,
            hidden=self.generator_hidden,
            norm=self.generator_norm,
            activation=self.activation,
            init=self.init,
            condition=condition,
            labels_by=self.generator_labels,
        )
        critic = MLPCritic(
            shape,
            hidden=self.critic_hidden,
            norm=self.critic_norm,
            activation=self.activation,
            init=self.init,
            condition=condition,
            labels_by=self.critic_labels,
        )
        return generator, critic
