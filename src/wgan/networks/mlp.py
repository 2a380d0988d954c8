"""Multi-layer perceptrons, for vectors and for pictures of any size."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod

import torch
from torch import Tensor, nn

from wgan.networks.parts import (
    VECTOR_NORMS,
    Activation,
    Init,
    Network,
    Norm,
    activation_layer,
    check_names,
    check_positive,
    check_shape,
    initialise,
    norm_layers,
)


class MLPGenerator(Network):
    r"""Latents (N, latent_dim) to samples (N, \*shape): pictures through tanh, vectors as they are.

    Args:
        shape: Of one sample: (C, H, W) or (d,).
        latent_dim: Length of a latent, >= 1.
        hidden: Widths of the hidden layers.
        norm: After each hidden layer but the first, as the field does it.
        activation: Between layers.
        init: Initialisation, see :func:`wgan.networks.parts.initialise`.

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
    ) -> None:
        super().__init__()
        check_names(norm=norm, activation=activation, init=init)
        self.shape = check_shape(shape)
        check_positive(latent_dim=latent_dim)
        self.arguments = {
            "shape": self.shape,
            "latent_dim": latent_dim,
            "hidden": tuple(hidden),
            "norm": norm,
            "activation": activation,
            "init": init,
        }
        self.latent_dim = latent_dim
        body = hidden_layers([latent_dim, *hidden], norm, activation)
        head = nn.Linear([latent_dim, *hidden][-1], prod(shape))
        self.layers = nn.Sequential(*body, head, *([nn.Tanh()] if len(self.shape) == 3 else []))
        initialise(self, init)

    def forward(self, latents: Tensor) -> Tensor:
        r"""Latents (N, latent_dim) to samples (N, \*shape)."""
        samples: Tensor = self.layers(latents)
        return torch.unflatten(samples, 1, self.shape)


class MLPCritic(Network):
    r"""Samples (N, \*shape) to scores (N,).

    Args:
        shape: Of one sample: (C, H, W) or (d,).
        hidden: Widths of the hidden layers.
        norm: After each hidden layer but the first.
        activation: Between layers.
        init: Initialisation, see :func:`wgan.networks.parts.initialise`.

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
    ) -> None:
        super().__init__()
        check_names(norm=norm, activation=activation, init=init)
        self.arguments = {
            "shape": check_shape(shape),
            "hidden": tuple(hidden),
            "norm": norm,
            "activation": activation,
            "init": init,
        }
        widths = [prod(shape), *hidden]
        self.layers = nn.Sequential(*hidden_layers(widths, norm, activation), nn.Linear(widths[-1], 1))
        initialise(self, init)

    def forward(self, samples: Tensor) -> Tensor:
        r"""Samples (N, \*shape) to scores (N,)."""
        scores: Tensor = self.layers(samples.flatten(1))
        return scores.squeeze(1)


def hidden_layers(widths: Sequence[int], norm: Norm, activation: Activation) -> list[nn.Module]:
    """Dense layers between successive widths, each with its norm (but for the first) and activation."""
    modules: list[nn.Module] = []
    for depth, (wide_in, wide_out) in enumerate(pairwise(widths)):
        check_positive(width=wide_in, hidden=wide_out)
        norms = norm_layers(norm, wide_out, VECTOR_NORMS) if depth > 0 else []
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
    """Initialisation of both: PyTorch's default, DCGAN's N(0, 0.02) or He's."""

    def build(self, shape: Sequence[int]) -> tuple[MLPGenerator, MLPCritic]:
        """A generator and a critic for samples of this shape."""
        generator = MLPGenerator(
            shape,
            latent_dim=self.latent_dim,
            hidden=self.generator_hidden,
            norm=self.generator_norm,
            activation=self.activation,
            init=self.init,
        )
        critic = MLPCritic(
            shape,
            hidden=self.critic_hidden,
            norm=self.critic_norm,
            activation=self.activation,
            init=self.init,
        )
        return generator, critic
