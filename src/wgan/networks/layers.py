"""Layers and checks that every family uses: activations, norms, sizes."""

from collections.abc import Callable, Sequence
from typing import Literal

from torch import nn

from wgan.errors import InputError
from wgan.networks.conditioning import Condition, ConditionalNorm

Norm = Literal["none", "batch", "layer", "group"]
Activation = Literal["relu", "leaky-relu", "softplus", "tanh"]
Init = Literal["default", "normal", "he", "orthogonal", "shaped"]

WeightLayer = nn.Linear | nn.Conv2d | nn.ConvTranspose2d

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": lambda: nn.ReLU(inplace=True),
    "leaky-relu": lambda: nn.LeakyReLU(0.2, inplace=True),
    "softplus": nn.Softplus,
    "tanh": nn.Tanh,
}

GROUP_SIZE = 8
"""Channels in a group of group normalisation."""

NORM_LAYERS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.GroupNorm, nn.LayerNorm)

SIZE_LIMIT = 2**31


def norm_layers(
    norm: Norm, width: int, condition: Condition | None = None, *, images: bool = True
) -> list[nn.Module]:
    """Return the norm over ``width`` channels, conditional if there is a condition; none for ``none``."""
    layer: nn.Module
    if norm == "none":
        return []
    if norm == "batch":
        layer = nn.BatchNorm2d(width) if images else nn.BatchNorm1d(width)
    elif norm == "layer":
        layer = nn.GroupNorm(1, width) if images else nn.LayerNorm(width)
    else:
        groups = max(1, width // GROUP_SIZE)
        if width % groups:
            raise InputError(f"norm='group' needs a width that is a multiple of {GROUP_SIZE}, not {width}.")
        layer = nn.GroupNorm(groups, width)
    return [layer if condition is None else ConditionalNorm(layer, width, condition)]


def check_positive(**sizes: int) -> None:
    """Raise InputError for a size that is not a positive whole number a tensor can have."""
    for name, size in sizes.items():
        if not isinstance(size, int) or not 1 <= size < SIZE_LIMIT:
            raise InputError(f"{name} must be a whole number of at least 1 and below 2^31, not {size!r}.")


def check_shape(shape: Sequence[int]) -> tuple[int, ...]:
    """Return the shape as a tuple.

    Raises:
        InputError: It is not that of a vector (d,) or an image (C, H, W).
    """
    whole = all(isinstance(side, int) and side >= 1 for side in shape)
    if len(shape) not in (1, 3) or not whole:
        raise InputError(
            "A sample's shape is (d,) for vectors or (C, H, W) for images, in whole numbers of at least 1, "
            f"not {tuple(shape)}."
        )
    return tuple(shape)
