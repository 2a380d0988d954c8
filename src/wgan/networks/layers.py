"""The pieces that every family shares: activations, norms, names, checks."""

from collections.abc import Callable, Sequence
from typing import Any, Literal, get_args

from torch import nn

from wgan.errors import InputError

Norm = Literal["none", "batch", "layer", "group"]
Activation = Literal["relu", "leaky-relu", "softplus", "tanh"]
Init = Literal["default", "normal", "he", "orthogonal", "shaped"]

NAMES: dict[str, tuple[str, ...]] = {
    "norm": get_args(Norm),
    "activation": get_args(Activation),
    "init": get_args(Init),
}

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": lambda: nn.ReLU(inplace=True),
    "leaky-relu": lambda: nn.LeakyReLU(0.2, inplace=True),
    "softplus": nn.Softplus,
    "tanh": nn.Tanh,
}

Layer = nn.Linear | nn.Conv2d | nn.ConvTranspose2d

GROUP_SIZE = 8
LARGEST = 2**31

VECTOR_NORMS: dict[str, Callable[[int], nn.Module]] = {
    "batch": nn.BatchNorm1d,
    "layer": nn.LayerNorm,
    "group": lambda width: nn.GroupNorm(max(1, width // GROUP_SIZE), width),
}

IMAGE_NORMS: dict[str, Callable[[int], nn.Module]] = {
    "batch": nn.BatchNorm2d,
    "layer": lambda channels: nn.GroupNorm(1, channels),
    "group": lambda channels: nn.GroupNorm(max(1, channels // GROUP_SIZE), channels),
}


NORM_LAYERS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.GroupNorm, nn.LayerNorm)


class Network(nn.Module):
    """What a network of this package is beyond a module: it remembers the arguments that made it.

    Attributes:
        arguments: By name, of plain values; ``type(network)(**network.arguments)`` is the same architecture.
    """

    arguments: dict[str, Any]


def norm_layers(norm: str, width: int, table: dict[str, Callable[[int], nn.Module]]) -> list[nn.Module]:
    """The norm called ``norm`` over ``width`` channels, as a list of no or one module."""
    if norm == "none":
        return []
    if norm == "group" and width % max(1, width // GROUP_SIZE):
        raise InputError(f"norm='group' needs a width that is a multiple of {GROUP_SIZE}, not {width}.")
    return [table[norm](width)]


def activation_layer(name: str) -> nn.Module:
    """The activation called ``name``."""
    return ACTIVATIONS[name]()


def check_names(**names: str) -> None:
    """Raise InputError for a norm, activation or init that does not exist, be it used or not."""
    for argument, name in names.items():
        if name not in NAMES[argument]:
            raise InputError(f"There is no {argument} {name!r}; known are {', '.join(NAMES[argument])}.")


def check_positive(**sizes: int) -> None:
    """Raise InputError for a size that is not a positive whole number a tensor can have."""
    for name, size in sizes.items():
        if not isinstance(size, int) or not 1 <= size < LARGEST:
            raise InputError(f"{name} must be a whole number of at least 1 and below 2^31, not {size!r}.")


def check_shape(shape: Sequence[int]) -> tuple[int, ...]:
    """The shape as a tuple.

    Raises:
        InputError: It is not that of a vector (d,) or an image (C, H, W).
    """
    whole = all(isinstance(side, int) and side >= 1 for side in shape)
    if len(shape) not in (1, 3) or not whole:
        raise InputError(
            "A sample's shape is (d,) for vectors or (C, H, W) for images, whole numbers of at least 1; "
            f"{tuple(shape)} is neither."
        )
    return tuple(shape)
