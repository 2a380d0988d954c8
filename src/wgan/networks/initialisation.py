"""How weights are drawn at first."""

from dataclasses import dataclass
from math import prod, sqrt

import torch
from torch import Tensor, nn

from wgan.networks.layers import NORM_LAYERS, Layer, check_names

SLOPES: dict[type[object], float] = {
    nn.ReLU: 0.5**0.5,
    nn.LeakyReLU: (1.04 / 2) ** 0.5,
    nn.Softplus: 0.5416,
    nn.Tanh: 1.0,
}
"""The root of the mean square of an activation's slope where what comes in is standard normal; of tanh where
it is small, as it becomes after some layers: a larger gain makes deep networks of it chaotic."""

POINTS: dict[type[object], float] = {nn.ReLU: 1.0, nn.LeakyReLU: 1.0, nn.Softplus: 0.0, nn.Tanh: 0.0}
"""Around where ``shaped`` activations work: beside the kink of one that has a kink, on which it is linear."""

BEND = 2.0
"""How non-linear a ``shaped`` network is, C'(1)^L of :func:`shape`: two layers of ReLU have 2.15."""


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

    ``shaped`` is for networks of any depth that are a chain of layers: see :func:`shape`.
    """
    check_names(init=init)
    if init == "shaped":
        shape(network)
    elif init != "default":
        _draw(network, init)


def _draw(network: nn.Module, init: str) -> None:
    before: nn.Module | None = None
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            _draw_layer(module, init, before)
        elif init == "normal" and isinstance(module, NORM_LAYERS):
            nn.init.normal_(module.weight, 1.0, 0.02)
        else:
            before = module if type(module) in SLOPES else before
            continue
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def _draw_layer(layer: Layer, init: str, before: nn.Module | None) -> None:
    if init == "normal":
        nn.init.normal_(layer.weight, 0.0, 0.02)
    elif init == "he":
        nn.init.normal_(layer.weight, 0.0, sqrt(2 / fan_in(layer)))
    else:
        _orthogonal(layer, 1 / SLOPES.get(type(before), 1.0), centred=isinstance(before, nn.Softplus))


@torch.no_grad()
def _orthogonal(layer: Layer, gain: float, *, centred: bool) -> None:
    """A random orthogonal map of outputs ``gain`` times as large as inputs; centred, blind to their mean."""
    nn.init.orthogonal_(layer.weight)
    inputs = 0 if isinstance(layer, nn.ConvTranspose2d) else 1
    if centred and layer.weight.shape[inputs] > 1:
        layer.weight.sub_(layer.weight.mean(inputs, keepdim=True))
    size = layer.weight.square().mean().sqrt() * sqrt(fan_in(layer))
    layer.weight.mul_(gain / size)


def fan_in(layer: Layer) -> float:
    """How many inputs an output adds up, on average over the outputs of a strided transposed convolution.

    From its sizes: to ask a parametrised layer for its weight may change it.
    """
    if isinstance(layer, nn.Linear):
        return layer.in_features
    inputs = layer.in_channels // layer.groups * prod(layer.kernel_size)
    return inputs / prod(layer.stride) if isinstance(layer, nn.ConvTranspose2d) else inputs


# ------------------------------------------------------------------------------------------------ shaped


@dataclass
class Stage:
    """A layer, and the norm and the activation that come next, where they do."""

    layer: Layer
    norm: nn.Module | None = None
    activation: nn.Module | None = None


@dataclass(frozen=True)
class Range:
    """Where an activation works: what comes in is N(point, reach^2), what goes out has this ``spread``."""

    point: float
    reach: float
    spread: float


@torch.no_grad()
def shape(network: nn.Module) -> None:
    """Draw the weights of a chain of layers so that, however long, it is as non-linear as two layers of ReLU.

    What tells two inputs apart either fades or explodes on its way through many layers. Both are a matter of
    how much one layer bends what goes through it: if it takes inputs of correlation c to outputs of
    correlation C(c), c = 1 stays where it is and L layers multiply the distance to it by C'(1)^L. Here every
    activation works in a range so narrow, around a point so far from its kink, that C'(1)^L = 2
    (:data:`BEND`); what it adds to every sample alike, the next layer does not see, so that C(0) = 0 and
    samples stay apart; and orthogonal maps bring the rest to variance one again. Where a norm stands before
    the activation its scale and shift set the range, else the layer's weights and bias do.

    Source: Martens et al. 2021, "Rapid Training of Deep Neural Networks without Skip Connections or
    Normalization Layers Using Deep Kernel Shaping": its conditions C(0) = 0 and C'(1)^L = zeta, met by
    weights and biases alone, where the paper changes the activation.

    Args:
        network: Its layers, in the order in which it names its modules, are a chain.
    """
    *hidden, head = stages(network)
    activations = {type(one): one for stage in hidden if (one := stage.activation) is not None}
    bend = BEND ** (1 / max(1, len(hidden)))
    ranges: dict[type[object], Range] = {kind: narrowed(one, bend) for kind, one in activations.items()}
    spread, centred = 1.0, False
    for stage in hidden:
        within = ranges[type(stage.activation)]
        _orthogonal(stage.layer, 1 / spread, centred=centred)
        _fill(stage.layer.bias, 0.0)
        _set_range(stage, within)
        spread, centred = within.spread, True
    _orthogonal(head.layer, 1 / spread, centred=centred)
    _fill(head.layer.bias, 0.0)


def _set_range(stage: Stage, within: Range) -> None:
    if stage.norm is None:
        stage.layer.weight.mul_(within.reach)
        _fill(stage.layer.bias, within.point)
    else:
        # Under a norm the size of weights is how slowly they turn: as small as they would be without one.
        stage.layer.weight.mul_(min(1.0, within.reach))
        _fill(stage.norm.weight, within.reach)
        _fill(stage.norm.bias, within.point)


def _fill(parameter: object, value: float) -> None:
    if isinstance(parameter, Tensor):
        nn.init.constant_(parameter, value)


def stages(network: nn.Module) -> list[Stage]:
    """The layers of a chain, each with what comes next."""
    found: list[Stage] = []
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            found.append(Stage(module))
        elif isinstance(module, NORM_LAYERS):
            found[-1].norm = module
        elif type(module) in POINTS:
            found[-1].activation = module
    return found


WIDEST, NARROWEST, HALVINGS = 4.0, 0.01, 40


def narrowed(activation: nn.Module, bend: float) -> Range:
    """The range around the activation's point, with a reach of at most 4, where C'(1) is at most ``bend``."""
    point = POINTS[type(activation)]
    low, high = NARROWEST, WIDEST
    for _ in range(HALVINGS):
        middle = sqrt(low * high)
        slope, spread = moments(activation, point, middle)
        bent = (middle * slope / spread) ** 2
        low, high = (middle, high) if bent < bend else (low, middle)
    return Range(point, low, moments(activation, point, low)[1])


@torch.enable_grad()
def moments(activation: nn.Module, point: float, reach: float) -> tuple[float, float]:
    """The root mean square of the activation's slope, and its standard deviation, under N(point, reach^2)."""
    normal = torch.linspace(-8, 8, 2001, dtype=torch.float64)
    density = torch.softmax(-normal.square() / 2, 0)
    entering = (point + reach * normal).requires_grad_()
    leaving = activation(entering.clone())  # which may work in place
    (slopes,) = torch.autograd.grad(leaving.sum(), entering)
    leaving = leaving.detach()
    centred = leaving - density @ leaving
    return sqrt(float(density @ slopes.square())), sqrt(float(density @ centred.square()))
