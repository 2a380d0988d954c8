"""Initialisation of weights."""

from dataclasses import dataclass
from math import prod, sqrt
from typing import get_args

import torch
from torch import Tensor, nn

from wgan.errors import InputError
from wgan.networks.layers import NORM_LAYERS, Init, WeightLayer

RMS_SLOPES: dict[type[object], float] = {
    nn.ReLU: 0.5**0.5,
    nn.LeakyReLU: (1.04 / 2) ** 0.5,
    nn.Softplus: 0.5416,
    nn.Tanh: 1.0,
}
"""Root mean square of an activation's slope for standard normal inputs; for tanh the slope at zero, because
its inputs become small after some layers, and a larger gain makes deep networks of it chaotic."""

INPUT_MEANS: dict[type[object], float] = {nn.ReLU: 1.0, nn.LeakyReLU: 1.0, nn.Softplus: 0.0, nn.Tanh: 0.0}
"""Mean input of a ``shaped`` activation: away from the kink of one that has a kink."""

NONLINEARITY = 2.0
"""C'(1)^L of a ``shaped`` network, see :func:`initialise_shaped`; two layers of ReLU have 2.15."""


def initialise(network: nn.Module, init: Init) -> None:
    """Draw the weights anew and set biases to zero; ``default`` leaves both as PyTorch drew them.

    ``normal`` is DCGAN's: weights N(0, 0.02^2), scales of norms N(1, 0.02^2) (Radford, Metz, Chintala 2016,
    "Unsupervised Representation Learning with Deep Convolutional GANs", section 4). ``he`` keeps the scale of
    features through layers with ReLU: N(0, 2 / fan_in) (He, Zhang, Ren, Sun 2015, "Delving Deep into
    Rectifiers", eq. 10); PyTorch's default is smaller by the factor sqrt 6 in every layer.

    ``orthogonal`` is for deep networks: random orthogonal maps times a gain that makes up for the activation
    before them, so that gradients neither grow nor fade with depth (Saxe, McClelland, Ganguli 2014, "Exact
    Solutions to the Nonlinear Dynamics of Learning in Deep Linear Neural Networks"; Pennington, Schoenholz,
    Ganguli 2017, "Resurrecting the Sigmoid in Deep Learning through Dynamical Isometry"). After softplus the
    maps are centred: the mean of its outputs, which is the same for every sample, would drown the samples'
    differences within a few layers.

    ``shaped`` is for chains of layers of any length: see :func:`initialise_shaped`.

    Raises:
        InputError: There is no such initialisation.
    """
    if init not in get_args(Init):
        raise InputError(f"init must be one of {', '.join(get_args(Init))}, not {init!r}.")
    if init == "shaped":
        initialise_shaped(network)
    elif init != "default":
        _draw(network, init)


def _draw(network: nn.Module, init: Init) -> None:
    activation: nn.Module | None = None
    for module in network.modules():
        if isinstance(module, WeightLayer):
            _draw_layer(module, init, activation)
        elif init == "normal" and isinstance(module, NORM_LAYERS):
            nn.init.normal_(module.weight, 1.0, 0.02)
        else:
            activation = module if type(module) in RMS_SLOPES else activation
            continue
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def _draw_layer(layer: WeightLayer, init: Init, before: nn.Module | None) -> None:
    if init == "normal":
        nn.init.normal_(layer.weight, 0.0, 0.02)
    elif init == "he":
        nn.init.normal_(layer.weight, 0.0, sqrt(2 / fan_in(layer)))
    else:
        _orthogonal(layer, 1 / RMS_SLOPES.get(type(before), 1.0), centred=isinstance(before, nn.Softplus))


@torch.no_grad()
def _orthogonal(layer: WeightLayer, gain: float, *, centred: bool) -> None:
    """Draw an orthogonal map, outputs ``gain`` times as large as inputs; centred, it ignores their mean."""
    nn.init.orthogonal_(layer.weight)
    inputs = 0 if isinstance(layer, nn.ConvTranspose2d) else 1
    if centred and layer.weight.shape[inputs] > 1:
        layer.weight.sub_(layer.weight.mean(inputs, keepdim=True))
    size = layer.weight.square().mean().sqrt() * sqrt(fan_in(layer))
    layer.weight.mul_(gain / size)


def fan_in(layer: WeightLayer) -> float:
    """Return the number of inputs of an output, on average for a strided transposed convolution.

    Computed from the layer's sizes, as reading the weight of a parametrised layer may change it.
    """
    if isinstance(layer, nn.Linear):
        return layer.in_features
    inputs = layer.in_channels // layer.groups * prod(layer.kernel_size)
    return inputs / prod(layer.stride) if isinstance(layer, nn.ConvTranspose2d) else inputs


# ------------------------------------------------------------------------------------------------- shaped


@dataclass
class LayerBlock:
    """A layer with weights, and the norm and the activation that follow it, if they do."""

    layer: WeightLayer
    norm: nn.Module | None = None
    activation: nn.Module | None = None


@dataclass(frozen=True)
class InputRange:
    """Where an activation works: its inputs are N(mean, std^2), its outputs have the deviation output_std."""

    mean: float
    std: float
    output_std: float


@torch.no_grad()
def initialise_shaped(network: nn.Module) -> None:
    """Initialise a chain of layers so that it is as non-linear as two layers of ReLU, however long it is.

    The difference between two inputs fades or explodes on its way through many layers. Both depend on how
    non-linear one layer is: if it maps inputs of correlation c to outputs of correlation C(c), then C(1) = 1
    and L layers multiply the distance to it by C'(1)^L. Here every activation works in a range that is so
    narrow, and so far from its kink, that C'(1)^L = 2 (:data:`NONLINEARITY`). The next layer ignores the mean
    of its outputs, so that C(0) = 0 and samples stay apart, and as an orthogonal map it restores a variance
    of one. The scale and shift of a norm before the activation set the range, or else the layer's weights and
    bias.

    Source: Martens et al. 2021, "Rapid Training of Deep Neural Networks without Skip Connections or
    Normalization Layers Using Deep Kernel Shaping": its conditions C(0) = 0 and C'(1)^L = zeta, met by
    weights and biases alone, where the paper changes the activation.

    Args:
        network: Its layers are a chain, in the order of its modules.
    """
    *hidden, head = layer_blocks(network)
    activations: dict[type[object], nn.Module] = {
        type(one): one for block in hidden if (one := block.activation) is not None
    }
    slope = NONLINEARITY ** (1 / max(1, len(hidden)))
    ranges: dict[type[object], InputRange] = {
        kind: input_range(one, slope) for kind, one in activations.items()
    }
    std, centred = 1.0, False
    for block in hidden:
        inputs = ranges[type(block.activation)]
        _orthogonal(block.layer, 1 / std, centred=centred)
        _fill(block.layer.bias, 0.0)
        _set_range(block, inputs)
        std, centred = inputs.output_std, True
    _orthogonal(head.layer, 1 / std, centred=centred)
    _fill(head.layer.bias, 0.0)


def _set_range(block: LayerBlock, inputs: InputRange) -> None:
    if block.norm is None:
        block.layer.weight.mul_(inputs.std)
        _fill(block.layer.bias, inputs.mean)
    else:
        # Before a norm, the larger weights are the slower they turn: they are as small as without a norm.
        block.layer.weight.mul_(min(1.0, inputs.std))
        _fill(block.norm.weight, inputs.std)
        _fill(block.norm.bias, inputs.mean)


def _fill(parameter: object, value: float) -> None:
    if isinstance(parameter, Tensor):
        nn.init.constant_(parameter, value)


def layer_blocks(network: nn.Module) -> list[LayerBlock]:
    """List the layers of a chain, each with the norm and the activation that follow it."""
    blocks: list[LayerBlock] = []
    for module in network.modules():
        if isinstance(module, WeightLayer):
            blocks.append(LayerBlock(module))
        elif isinstance(module, NORM_LAYERS):
            blocks[-1].norm = module
        elif type(module) in INPUT_MEANS:
            blocks[-1].activation = module
    return blocks


LARGEST_STD, SMALLEST_STD, BISECTIONS = 4.0, 0.01, 40


def input_range(activation: nn.Module, slope: float) -> InputRange:
    """Find the widest range, up to a std of 4, in which C'(1) of the activation is at most ``slope``."""
    mean = INPUT_MEANS[type(activation)]
    low, high = SMALLEST_STD, LARGEST_STD
    for _ in range(BISECTIONS):
        middle = sqrt(low * high)
        rms_slope, output_std = activation_moments(activation, mean, middle)
        correlation_slope = (middle * rms_slope / output_std) ** 2
        low, high = (middle, high) if correlation_slope < slope else (low, middle)
    return InputRange(mean, low, activation_moments(activation, mean, low)[1])


@torch.enable_grad()
def activation_moments(activation: nn.Module, mean: float, std: float) -> tuple[float, float]:
    """Return the root mean square slope and the output's standard deviation for inputs N(mean, std^2)."""
    normal = torch.linspace(-8, 8, 2001, dtype=torch.float64)
    density = torch.softmax(-normal.square() / 2, 0)
    inputs = (mean + std * normal).requires_grad_()
    outputs = activation(inputs.clone())  # a copy, as the activation may work in place
    (slopes,) = torch.autograd.grad(outputs.sum(), inputs)
    outputs = outputs.detach()
    centred = outputs - density @ outputs
    return sqrt(float(density @ slopes.square())), sqrt(float(density @ centred.square()))
