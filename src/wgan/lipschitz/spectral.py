"""Spectral normalisation."""

from dataclasses import dataclass
from typing import Any

from torch import nn
from torch.nn.utils import parametrizations

from wgan.errors import InputError
from wgan.lipschitz.constraint import Constraint

LINEAR_MAPS = (
    *(nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d),
    *(nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d),
)


@dataclass(frozen=True)
class SpectralNormalisation(Constraint):
    """Divide each weight by an estimate of its largest singular value: W / sigma(W).

    The estimate is by power iteration on the weight reshaped to a matrix. For a convolution it is the norm
    of the kernel and not of the operator: the critic's Lipschitz constant is *not* bounded by 1.

    Source: Miyato, Kataoka, Koyama, Yoshida 2018, "Spectral Normalization for GANs", eq. 8, algorithm 1.

    Attributes:
        iterations: Power iterations per forward pass (torch's ``n_power_iterations``), >= 1.
    """

    iterations: int = 1

    def __post_init__(self) -> None:
        check_iterations(self, self.iterations)

    def wrap(self, critic: nn.Module) -> nn.Module:
        """Parametrise every dense and convolutional layer, in place.

        Raises:
            InputError: There is no such layer, or all weights of one are zero.
        """
        layers = linear_layers(critic, self)
        for path, layer in layers.items():
            if not layer.weight.any():
                raise InputError(
                    "SpectralNormalisation divides by the largest singular value, and the weights of "
                    f"{type(layer).__name__} at `{path or 'the root'}` are all zero; initialise them anew."
                )
        for layer in layers.values():
            parametrizations.spectral_norm(layer, n_power_iterations=self.iterations)
        return critic


def check_iterations(constraint: Constraint, iterations: int) -> None:
    """Raise InputError unless the iterations are a whole number >= 1."""
    if not isinstance(iterations, int) or iterations < 1:
        raise InputError(
            f"{type(constraint).__name__} needs a whole number of iterations >= 1, not {iterations!r}."
        )


def linear_layers(critic: nn.Module, constraint: Constraint) -> dict[str, Any]:
    """The dense and convolutional layers by path.

    Raises:
        InputError: There is none.
    """
    layers = {path: module for path, module in critic.named_modules() if isinstance(module, LINEAR_MAPS)}
    if not layers:
        raise InputError(f"{type(constraint).__name__} found no dense or convolutional layer in the critic.")
    return layers
