"""The pieces that every family shares: activations, norms, initialisation, checks."""

from collections.abc import Callable, Sequence
from math import prod, sqrt
from typing import Any, Literal, get_args

import torch
from torch import nn

from wgan.errors import InputError

Norm = Literal["none", "batch", "layer", "group"]
Activation = Literal["relu", "leaky-relu", "softplus", "tanh"]
Init = Literal["default", "normal", "he", "orthogonal"]

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

SLOPES: dict[type[object], float] = {
    nn.ReLU: 0.5**0.5,
    nn.LeakyReLU: (1.04 / 2) ** 0.5,
    nn.Softplus: 0.5416,
    nn.Tanh: 1.0,
}
"""The root of the mean square of an activation's slope where what comes in is standard normal; of tanh where
it is small, as it becomes after some layers: a larger gain makes deep networks of it chaotic."""

Layer = nn.Linear | nn.Conv2d | nn.ConvTranspose2d

GROUP_SIZE = 8
LARGEST = 2**31

VECTOR_NORMS: dict[str, Callable[[int], nn.Module]] = {
    "batch": nn.BatchNorm1d,
    "layer": nn.LayerNorm,
    "group": lambda width: nn.GroupNorm(max(1, width // GROUP_SIZE), width),
}

PICTURE_NORMS: dict[str, Callable[[int], nn.Module]] = {
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


def initialise(network: nn.Module, init: str) -> None:
    """Draw the weights anew, with biases zero; ``default`` leaves them as PyTorch drew them.

    ``normal`` is DCGAN's: weights N(0, 0.02^2), norms' scales N(1, 0.02^2) (Radford, Metz, Chintala 2016,
    "Unsupervised Representation Learning with Deep Convolutional GANs", section 4). ``he`` keeps the scale of
    what goes through layers with ReLU: N(0, 2 / inputs of an output) (He, Zhang, Ren, Sun 2015, "Delving Deep
    into Rectifiers", eq. 10); PyTorch's default is smaller by the factor sqrt 6 in every layer.

    ``orthogonal`` is for deep networks: random orthogonal maps, which turn and stretch nothing, times what
    makes up for the activation before them, so that gradients neither grow nor fade with depth (Saxe,
    McClelland, Ganguli 2014, "Exact Solutions to the Nonlinear Dynamics of Learning in Deep Linear Neural
    Networks"; Pennington, Schoenholz, Ganguli 2017, "Resurrecting the Sigmoid in Deep Learning through
    Dynamical Isometry"). After softplus they are centred: its mean, the same for every sample, would drown
    the samples' differences within a few layers.
    """
    check_names(init=init)
    if init == "default":
        return
    before: nn.Module | None = None
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            DRAWN[init](module, before)
        elif init == "normal" and isinstance(module, NORM_LAYERS):
            nn.init.normal_(module.weight, 1.0, 0.02)
        else:
            before = module if type(module) in SLOPES else before
            continue
        if module.bias is not None:
            nn.init.zeros_(module.bias)


@torch.no_grad()
def _orthogonal(layer: Layer, before: nn.Module | None) -> None:
    nn.init.orthogonal_(layer.weight)
    inputs = 0 if isinstance(layer, nn.ConvTranspose2d) else 1
    if isinstance(before, nn.Softplus) and layer.weight.shape[inputs] > 1:
        layer.weight.sub_(layer.weight.mean(inputs, keepdim=True))
    gain = layer.weight.square().mean().sqrt() * sqrt(fan_in(layer))
    layer.weight.div_(gain * SLOPES.get(type(before), 1.0))


DRAWN: dict[str, Callable[[Layer, nn.Module | None], object]] = {
    "normal": lambda layer, _: nn.init.normal_(layer.weight, 0.0, 0.02),
    "he": lambda layer, _: nn.init.normal_(layer.weight, 0.0, sqrt(2 / fan_in(layer))),
    "orthogonal": _orthogonal,
}
"""How a layer's weights are drawn, given the activation before it."""


def fan_in(layer: Layer) -> float:
    """How many inputs an output adds up, on average over the outputs of a strided transposed convolution."""
    if isinstance(layer, nn.ConvTranspose2d):
        return layer.weight[:, 0].numel() / prod(layer.stride)
    return layer.weight[0].numel()


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
        InputError: It is not that of a vector (d,) or a picture (C, H, W).
    """
    whole = all(isinstance(side, int) and side >= 1 for side in shape)
    if len(shape) not in (1, 3) or not whole:
        raise InputError(
            "A sample's shape is (d,) for vectors or (C, H, W) for pictures, whole numbers of at least 1; "
            f"{tuple(shape)} is neither."
        )
    return tuple(shape)
