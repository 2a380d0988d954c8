"""Multi-layer perceptrons, for vectors and for images of any size."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod

import torch
from torch import Tensor, nn

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
    check_positive,
    check_shape,
    norm_layers,
)
from wgan.networks.network import Critic, Family, Network, record_arguments


class MLPGenerator(Network):
    r"""Generator of dense layers: latents (N, latent_dim), and labels, to samples (N, \*shape).

    Images go through tanh into [-1, 1]; vectors are not bounded. The settings are the fields of :class:`MLP`,
    without ``generator_``.
    """

    @record_arguments
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
        conditioning: GeneratorConditioning = "embedding",
    ) -> None:
        super().__init__()
        self._labels = GeneratorLabels(condition, conditioning, norm)
        self.shape = check_shape(shape)
        self.latent_dim = latent_dim
        widths = [latent_dim + self._labels.embedding_size, *hidden]
        body = hidden_layers(widths, norm, activation, self._labels.norm_condition)
        head = nn.Linear(widths[-1], prod(shape))
        self.layers = nn.Sequential(*body, head, *([nn.Tanh()] if len(self.shape) == 3 else []))
        initialise(self, init)

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        r"""Map latents (N, latent_dim), and labels if conditional, to samples (N, \*shape)."""
        inputs, encoded = self._labels.join(latents, labels)
        return torch.unflatten(apply_layers(self.layers, inputs, encoded), 1, self.shape)


class MLPCritic(Critic):
    r"""Critic of dense layers: samples (N, \*shape), and labels, to scores (N,).

    The settings are the fields of :class:`MLP`, without ``critic_``.
    """

    @record_arguments
    def __init__(
        self,
        shape: Sequence[int],
        *,
        hidden: Sequence[int] = (512, 256),
        norm: Norm = "none",
        activation: Activation = "leaky-relu",
        init: Init = "default",
        condition: Condition | None = None,
        conditioning: CriticConditioning = "projection",
    ) -> None:
        super().__init__()
        size = prod(check_shape(shape))
        labels = critic_labels(condition, conditioning, shape=(size,), features=[size, *hidden][-1])
        widths = [size + (labels.extra_channels if labels else 0), *hidden]
        self.layers = nn.Sequential(*hidden_layers(widths, norm, activation), nn.Linear(widths[-1], 1))
        initialise(self, init)
        self.labels = labels

    def _inputs(self, samples: Tensor) -> Tensor:
        return samples.flatten(1)


def hidden_layers(
    widths: Sequence[int], norm: Norm, activation: Activation, condition: Condition | None = None
) -> list[nn.Module]:
    """Build dense layers between successive widths, each with its norm (but for the first) and activation."""
    modules: list[nn.Module] = []
    for depth, (inputs, outputs) in enumerate(pairwise(widths)):
        check_positive(hidden=outputs)
        norms = norm_layers(norm, outputs, condition, images=False) if depth > 0 else []
        modules += [nn.Linear(inputs, outputs), *norms, ACTIVATIONS[activation]()]
    return modules


@dataclass(frozen=True)
class MLP(Family[MLPGenerator, MLPCritic]):
    """A generator and a critic of dense layers."""

    networks = (MLPGenerator, MLPCritic)

    generator_hidden: tuple[int, ...] = (256, 512)
    """Widths of the generator's hidden layers."""
    critic_hidden: tuple[int, ...] = (512, 256)
    """Widths of the critic's hidden layers."""
    generator_norm: Norm = "none"
    """Norm after each hidden layer of the generator but the first."""
    critic_norm: Norm = "none"
    """Norm after each hidden layer of the critic but the first."""
    activation: Activation = "leaky-relu"
    """Activation of both networks."""
    init: Init = "default"
    """Initialisation of both: PyTorch's default, DCGAN's N(0, 0.02), He's, orthogonal, or shaped by depth."""
