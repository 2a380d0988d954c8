"""Certificates against brute force: no slope that is found is above one, and the sharp cases are sharp."""

import copy
import math
import random
import re
import threading
from collections.abc import Callable
from dataclasses import FrozenInstanceError, replace

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from wgan.certificates import certify
from wgan.certificates import operator_norms as operators_module
from wgan.certificates.layer_bounds import RULES
from wgan.certificates.operator_norms import (
    Convolution,
    convolution_norm,
    correlation_norm,
    matrix_norm,
    operator_matrix,
    symbol_norm,
)
from wgan.lipschitz import GroupSort, Orthogonal, SpectralNormalisation
from wgan.networks import DCGANCritic, MLPCritic

Shape = tuple[int, ...]

seeds = st.integers(0, 2**32 - 1)
SLACK = 1 + 1e-9  # of the slopes that are measured, not of the certificate


def bound_of(network: nn.Module, shape: Shape | None = None) -> float:
    certificate = certify(network, shape)
    assert certificate.reason is None, certificate.reason
    assert certificate.bound is not None
    return certificate.bound


def reason_of(network: nn.Module, shape: Shape | None = None) -> str:
    certificate = certify(network, shape)
    assert certificate.bound is None
    assert certificate.method == "none"
    assert certificate.reason is not None
    return certificate.reason


def steepest(network: nn.Module, shape: Shape, seed: int = 0, points: int = 24, steps: int = 8) -> float:
    """The largest slope found from random pairs, then by gradient ascent on the point and the direction."""
    rng = torch.Generator().manual_seed(seed)
    spread = torch.logspace(-2, 1, points, dtype=torch.float64).reshape(-1, *(1,) * len(shape))
    x = spread * torch.randn(points, *shape, generator=rng, dtype=torch.float64)
    u = torch.randn(points, *shape, generator=rng, dtype=torch.float64)
    largest = 0.0
    for step in range(steps):
        x, u = x.detach().requires_grad_(), u.detach().requires_grad_()
        length = 1.0 if step == 0 else 1e-4
        unit = u / u.flatten(1).norm(dim=1).reshape(spread.shape).clamp_min(1e-12)
        change = (network(x + length * unit) - network(x)).reshape(points, -1).norm(dim=1) / length
        largest = max(largest, change.max().item())
        if step == steps - 1 or not change.requires_grad:
            break
        dx, du = torch.autograd.grad(change.sum(), (x, u), allow_unused=True)
        x = x + 0.1 * spread * torch.sign(dx)
        u = unit + 10 * du  # a long step: for a linear map this is power iteration
    return largest


def jacobian(network: nn.Module, x: Tensor) -> Tensor:
    """The derivative at one sample as a matrix."""
    derivative = torch.autograd.functional.jacobian(
        lambda sample: network(sample[None])[0], x, vectorize=True
    )
    return derivative.reshape(-1, x.numel())


# ------------------------------------------------------------------------------- random networks


class Residual(nn.Module):
    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x: Tensor) -> Tensor:
        for branch in self.branches:
            x = x + branch(x)
        return x


class Joined(nn.Module):
    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self.branches], dim=1)


class Arithmetic(nn.Module):
    """Functions instead of layers."""

    def __init__(self, width: int, dims: int, factor: float) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.randn(width, *(1,) * dims))
        self.centre = nn.Parameter(torch.randn(width, *(1,) * dims))
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        moved = (x - self.centre) * self.scale / self.factor
        return torch.maximum(moved.abs(), torch.tanh(x)) - F.leaky_relu(x, 0.3).clamp(max=2)


ACTIVATIONS: list[Callable[[], nn.Module]] = [
    *(nn.ReLU, nn.ReLU6, nn.Tanh, nn.Sigmoid, nn.Softplus, nn.SiLU, nn.GELU, nn.Mish, nn.SELU, nn.CELU),
    *(nn.Hardswish, nn.Hardsigmoid, nn.Softsign, nn.Tanhshrink, nn.LogSigmoid, nn.Softshrink, GroupSort),
    lambda: nn.GELU(approximate="tanh"),
    lambda: nn.LeakyReLU(random.choice((0.2, -0.5, 1.5))),
    lambda: nn.ELU(2.5),
    lambda: nn.PReLU(init=random.choice((0.25, 1.25))),
    lambda: nn.RReLU(0.5, 1.9),
    lambda: nn.Threshold(0.3, 0.3),
    lambda: GroupSort(2),
    lambda: GroupSort(3),
    lambda: nn.Softmax(dim=1),
    lambda: nn.Dropout(0.5),
]


def norm_layer(draw: random.Random, width: int, dims: int) -> nn.Module:
    kind = draw.choice(("batch", "group", "none"))
    if kind == "group":
        return nn.GroupNorm(1, width, eps=draw.choice((1e-5, 0.1)))
    if kind == "none":
        return nn.Identity()
    layer = (nn.BatchNorm1d, nn.BatchNorm2d)[dims > 0](width)
    nn.init.uniform_(layer.running_var, 0.1, 3)
    nn.init.normal_(layer.weight)
    return layer


def vector_network(draw: random.Random, width: int, depth: int) -> tuple[nn.Module, int]:
    layers: list[nn.Module] = []
    for _ in range(depth):
        kind = draw.choice(
            ("dense", "dense", "activation", "activation", "norm", "residual", "join", "function")
        )
        if kind == "dense":
            layers.append(nn.Linear(width, out := draw.randint(1, 6), bias=draw.random() < 0.5))
            width = out
        elif kind == "activation":
            layers.append(draw.choice(ACTIVATIONS)())
        elif kind == "norm":
            layers.append(norm_layer(draw, width, 0))
        elif kind == "function":
            layers.append(Arithmetic(width, 0, draw.choice((-2.0, 0.5))))
        elif kind == "residual":
            inner, out = vector_network(draw, width, 2)
            layers.append(Residual(nn.Sequential(inner, nn.Linear(out, width))))
        else:
            (left, a), (right, b) = (vector_network(draw, width, 1) for _ in range(2))
            layers.append(Joined(left, right))
            width = a + b
    return nn.Sequential(*layers), width


def convolution_layer(draw: random.Random, wide: int, dims: int, side: int) -> tuple[nn.Module, int]:
    """A convolution that fits any side of at least 4, transposed or not."""
    groups = draw.choice((1, 1, wide))
    out = groups * draw.randint(1, 3)
    options = {
        "kernel_size": draw.randint(1, 3),
        "stride": draw.randint(1, 3),
        "padding": draw.randint(0, 2),
        "groups": groups,
        "bias": draw.random() < 0.5,
    }
    if draw.random() < 0.3:
        options["padding"] = min(options["padding"], (options["kernel_size"] - 1) // 2)
        options["output_padding"] = options["stride"] - 1
        return (nn.ConvTranspose1d, nn.ConvTranspose2d)[dims - 1](wide, out, **options), out
    options["dilation"] = draw.choice((1, 1, 2)) if side + 2 * options["padding"] > 4 else 1
    options["padding_mode"] = draw.choice(("zeros", "zeros", "circular", "reflect", "replicate"))
    if draw.random() < 0.2:
        options["padding"], options["stride"] = "same", 1
    return (nn.Conv1d, nn.Conv2d)[dims - 1](wide, out, **options), out


def pool_layer(draw: random.Random, dims: int, side: int) -> nn.Module:
    kernel = draw.randint(1, min(3, side))
    options = {"stride": draw.randint(1, 3), "padding": kernel // 2, "ceil_mode": draw.random() < 0.3}
    kind = draw.choice(("max", "average", "adaptive max", "adaptive average"))
    if kind.startswith("adaptive"):
        table = {"max": (nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d)}
        table["average"] = (nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d)
        return table[kind.removeprefix("adaptive ")][dims - 1](draw.randint(1, side + 1))
    if kind == "average":
        options["count_include_pad"] = draw.random() < 0.5
        return (nn.AvgPool1d, nn.AvgPool2d)[dims - 1](kernel, **options)
    return (nn.MaxPool1d, nn.MaxPool2d)[dims - 1](kernel, **options)


def image_network(draw: random.Random, shape: Shape, depth: int) -> nn.Module:
    layers: list[nn.Module] = []
    for _ in range(depth):
        wide, *sides = shape
        kind = draw.choice(
            ("convolution", "convolution", "activation", "pool", "norm", "residual", "function")
        )
        if min(sides) < 3 or kind == "activation":
            layer = draw.choice(ACTIVATIONS)()
        elif kind == "convolution":
            layer, _ = convolution_layer(draw, wide, len(sides), min(sides))
        elif kind == "pool":
            layer = pool_layer(draw, len(sides), min(sides))
        elif kind == "norm":
            layer = norm_layer(draw, wide, len(sides) - 1)
        elif kind == "function":
            layer = Arithmetic(wide, len(sides), 1.5)
        else:
            convolution = (nn.Conv1d, nn.Conv2d)[len(sides) - 1]
            layer = Residual(convolution(wide, wide, 3, padding=1), nn.ReLU())
        try:
            with torch.no_grad():
                after = layer.eval().double()(torch.zeros(2, *shape, dtype=torch.float64)).shape[1:]
        except RuntimeError:  # reflected further than there are pixels, or nothing left
            continue
        if math.prod(after) <= 400:
            layers.append(layer)
            shape = tuple(after)
    if draw.random() < 0.5:
        layers += [nn.Flatten(), nn.Linear(math.prod(shape), 1)]
    return nn.Sequential(*layers)


@pytest.mark.slow
@settings(max_examples=500)
@given(seed=seeds)
def test_no_slope_of_a_network_of_vectors_is_above_its_certificate(seed: int):
    draw = random.Random(seed)
    random.seed(seed)
    torch.manual_seed(seed)
    shape = (draw.randint(1, 5),)
    network, _ = vector_network(draw, shape[0], draw.randint(1, 5))
    network = network.double().eval()
    assert steepest(network, shape, seed) <= bound_of(network, shape) * SLACK


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Using padding='same'")
@settings(max_examples=400)
@given(seed=seeds)
def test_no_slope_of_a_network_of_images_is_above_its_certificate(seed: int):
    draw = random.Random(seed)
    random.seed(seed)
    torch.manual_seed(seed)
    shape = (draw.randint(1, 3), *(draw.randint(4, 7) for _ in range(draw.randint(1, 2))))
    network = image_network(draw, shape, draw.randint(1, 4)).double().eval()
    assert steepest(network, shape, seed, points=12) <= bound_of(network, shape) * SLACK


@pytest.mark.slow
@settings(max_examples=50)
@given(seed=seeds)
def test_no_slope_of_an_orthogonal_critic_of_images_is_above_its_certificate(seed: int):
    draw, _ = random.Random(seed), torch.manual_seed(seed)
    kernel, head = draw.choice((4, 5)), draw.choice(("dense", "max-pool"))
    shape = (draw.choice((1, 3)), 8, 8)
    critic = DCGANCritic(shape, width=draw.choice((2, 3, 6)), kernel=kernel, head=head)
    Orthogonal(sort=draw.choice(("full", "pairs", "absolute"))).wrap(critic)
    with torch.no_grad():
        for parameter in critic.parameters():
            parameter.add_(draw.choice((0.0, 0.1, 1.0)) * torch.randn(parameter.shape))
    bound = bound_of(critic)
    assert 0 < steepest(critic.double(), shape, seed) <= bound * SLACK <= 1 + 1e-6


@pytest.mark.parametrize("side", [64, 65])
def test_orthogonal_convolutions_are_sharp_on_large_images(side: int):
    torch.manual_seed(0)
    layer = Orthogonal().wrap(nn.Sequential(nn.Conv2d(16, 24, 4, stride=2, padding=1)))
    assert 1 - 5e-6 <= bound_of(layer, (16, side, side)) <= 1 + 1e-6


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Using padding='same'")
@settings(max_examples=100)
@given(seed=seeds)
def test_a_certificate_without_a_shape_holds_for_every_shape(seed: int):
    draw = random.Random(seed)
    torch.manual_seed(seed)
    convolution, wide = convolution_layer(draw, 2, 1, 6)
    network = nn.Sequential(convolution, nn.ReLU(), nn.Conv1d(wide, 1, 1)).double()
    free = certify(network)
    if free.bound is None:
        assert "shape" in free.reason
        return
    for side in (6, 7, 13):
        assert bound_of(network, (2, side)) <= free.bound * SLACK
        assert steepest(network, (2, side), seed, points=6) <= free.bound * SLACK


# ------------------------------------------------------------------------------------- operators


@st.composite
def convolutions(draw: st.DrawFn, modes: tuple[str, ...] = ("zeros",)) -> tuple[Convolution, Shape]:
    """A convolution in one to three dimensions, and an input's sides that it can take."""
    dims = draw(st.sampled_from((1, 1, 2, 2, 2, 3)))
    each = st.tuples(*[st.integers(1, 3)] * dims)
    kernel, stride, dilation = draw(each), draw(each), draw(st.tuples(*[st.integers(1, 2)] * dims))
    mode = draw(st.sampled_from(modes))
    sides = st.integers(5, 6) if dims == 3 else st.integers(5, 9)
    spatial = tuple(draw(sides) for _ in range(dims))
    padding = tuple(draw(st.tuples(st.integers(0, 3), st.integers(0, 3))) for _ in range(dims))
    groups, outputs, inputs = (draw(st.integers(1, 2)) for _ in range(3))
    rng = torch.Generator().manual_seed(draw(seeds))
    weight = torch.randn(groups * outputs, inputs, *kernel, generator=rng, dtype=torch.float64)
    return Convolution(weight, stride, padding, dilation, groups, mode), spatial


def true_norm(convolution: Convolution, spatial: Shape) -> float:
    return torch.linalg.matrix_norm(operator_matrix(convolution, spatial), 2).item()


@pytest.mark.slow
@settings(max_examples=400)
@given(case=convolutions(("zeros", "circular", "reflect", "replicate")))
def test_every_bound_of_a_convolution_is_above_its_norm(case: tuple[Convolution, Shape]):
    convolution, spatial = case
    truth = true_norm(convolution, spatial)
    assert convolution_norm(convolution, spatial)[0] == pytest.approx(truth, rel=1e-9)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(operators_module, "LARGEST_MATRIX", 0)
        for known in (spatial, None):
            bound, method = convolution_norm(convolution, known)
            assert method in ("torus", "symbol", "correlations")
            assert bound >= truth * (1 - 1e-12)


@pytest.mark.slow
@settings(max_examples=200)
@given(case=convolutions())
def test_the_shape_free_bounds_are_above_every_torus(case: tuple[Convolution, Shape]):
    convolution, spatial = case
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(operators_module, "FINENESS", 10**4)  # never the cheaper, coarser grid
        on_a_torus = symbol_norm(convolution, spatial)
    assert symbol_norm(convolution, None) >= on_a_torus * (1 - 1e-12)
    assert correlation_norm(convolution) >= on_a_torus * (1 - 1e-12)


@pytest.mark.slow
@settings(max_examples=200)
@given(case=convolutions())
def test_circular_convolutions_are_exact_by_fft(case: tuple[Convolution, Shape]):
    convolution, _ = case
    spatial = tuple(s * (e // s + 1) for e, s in zip(convolution.extents, convolution.stride, strict=True))
    padding = tuple((extent, 0) for extent in convolution.extents)
    circular = replace(convolution, padding=padding, mode="circular")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(operators_module, "LARGEST_MATRIX", 0)
        patch.setattr(operators_module, "FINENESS", 10**4)
        bound, _ = convolution_norm(circular, spatial)
    assert bound == pytest.approx(true_norm(circular, spatial), rel=1e-9)


def approached(layer: nn.Module, shape: Shape) -> float:
    """The norm of a linear layer from below, by power iteration: good for a comparison, not for a proof."""
    x = torch.randn(1, *shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for _ in range(300):
        x = (x / x.norm()).requires_grad_()
        image = layer(x) - layer(torch.zeros_like(x))
        (x,) = torch.autograd.grad(image.square().sum() / 2, x)
    return image.norm().item()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("layer", "side"),
    [
        (nn.Conv2d(4, 6, 3, padding=1), 32),
        (nn.Conv2d(2, 5, 4, stride=2, padding=1), 32),
        (nn.Conv2d(4, 4, 5, stride=2, padding=2, groups=2), 32),
        (nn.Conv2d(3, 4, 3, padding=2, dilation=2), 32),
        (nn.ConvTranspose2d(4, 2, 4, stride=2, padding=1), 16),
        (nn.ConvTranspose2d(3, 2, 5, stride=2, padding=2, output_padding=1), 16),
    ],
    ids=str,
)
def test_zero_padding_costs_a_few_percent(layer: nn.Module, side: int):
    torch.manual_seed(0)
    layer.reset_parameters()
    shape = (layer.in_channels, side, side)
    truth = approached(layer.double(), shape)
    assert truth <= bound_of(layer, shape) <= 1.03 * truth
    assert truth <= bound_of(layer) <= 1.05 * truth


@pytest.mark.parametrize("layer", [nn.Conv2d(4, 6, 3, padding=1), nn.ConvTranspose2d(3, 2, 4, 2, 1)], ids=str)
def test_small_operators_are_exact(layer: nn.Module):
    shape = (layer.in_channels, 7, 6)
    derivative = jacobian(layer.double(), torch.zeros(shape, dtype=torch.float64))
    truth = torch.linalg.matrix_norm(derivative, 2).item()
    assert bound_of(layer, shape) == pytest.approx(truth, rel=1e-9)


def test_the_norm_of_the_reshaped_kernel_is_no_bound():
    layer = nn.Conv2d(1, 1, 3, padding=1, bias=False)
    nn.init.constant_(layer.weight, 1 / 3)
    reshaped = torch.linalg.matrix_norm(layer.weight.reshape(1, -1), 2).item()
    assert reshaped == pytest.approx(1)
    constant = torch.ones(1, 1, 32, 32)
    assert layer(constant).norm() / constant.norm() > 2.89  # all nine taps of a constant image add up
    assert 2.89 < bound_of(layer, (1, 32, 32)) < 3.0001
    assert bound_of(layer) == pytest.approx(3, rel=1e-6)


@pytest.mark.slow
def test_spectral_normalisation_of_convolutions_is_not_one_lipschitz():
    torch.manual_seed(0)
    critic = SpectralNormalisation(iterations=20).wrap(DCGANCritic((1, 28, 28), width=8))
    for _ in range(20):
        critic(torch.randn(2, 1, 28, 28))
    certificate = certify(critic.eval())
    slopes = {layer.path: layer.bound for layer in certificate.per_layer}
    assert slopes["layers.0"] > 1.2
    assert slopes["layers.7"] == pytest.approx(1, abs=1e-3)  # dense: there it is true


@pytest.mark.parametrize("scale", [0.0, 1e-300, 1e-150, 1e150])
@pytest.mark.parametrize("spatial", [None, (5, 5), (64, 64)])
def test_weights_of_any_size(scale: float, spatial: Shape | None):
    weight = torch.randn(2, 3, 3, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    padding = ((1, 1), (1, 1))
    unit, _ = convolution_norm(Convolution(weight, (1, 1), padding, (1, 1)), spatial)
    bound, _ = convolution_norm(Convolution(scale * weight, (1, 1), padding, (1, 1)), spatial)
    assert bound == pytest.approx(scale * unit, rel=1e-9)
    assert matrix_norm(scale * weight[0, 0]) == pytest.approx(scale * matrix_norm(weight[0, 0]), rel=1e-9)


@pytest.mark.slow
@settings(max_examples=100)
@given(m=st.integers(1, 40), n=st.integers(1, 40), seed=seeds)
def test_orthogonal_layers_are_certified_within_1e_6(m: int, n: int, seed: int):
    torch.manual_seed(seed)
    dense = parametrizations.orthogonal(nn.Linear(m, n).double())
    nn.init.zeros_(dense.bias)  # its rounding would exceed that of the norm at points near zero
    sharp = bound_of(nn.Sequential(dense, GroupSort(), parametrizations.orthogonal(nn.Linear(n, m).double())))
    assert 1 - 1e-12 <= sharp <= 1 + 1e-6
    points = torch.randn(50, m).double()
    assert (
        matrix_norm(dense.weight)
        >= (dense(points) - dense(0 * points)).norm(dim=1).div(points.norm(dim=1)).max()
    )


# ------------------------------------------------------------------------------------ activations

SCALAR: dict[str, nn.Module] = {
    str(layer): layer
    for layer in (
        *(nn.ReLU(), nn.ReLU6(), nn.Hardtanh(), nn.Tanh(), nn.Tanhshrink(), nn.Softplus(), nn.Softplus(3)),
        *(nn.Softsign(), nn.Softshrink(), nn.LogSigmoid(), nn.CELU(), nn.CELU(2.0), nn.Sigmoid(), nn.Mish()),
        *(nn.Hardsigmoid(), nn.Hardswish(), nn.SiLU(), nn.SELU(), nn.GELU(), nn.GELU(approximate="tanh")),
        *(nn.ELU(), nn.ELU(3.0), nn.LeakyReLU(), nn.LeakyReLU(-2.0), nn.PReLU(init=1.5), nn.RReLU(1, 2)),
        *(nn.Threshold(1.0, 1.0), nn.Identity()),
    )
}


@pytest.mark.parametrize("name", SCALAR)
def test_the_slope_of_an_activation_is_its_largest(name: str):
    layer = copy.deepcopy(SCALAR[name]).double().eval()
    x = torch.linspace(-15, 15, 600_001, dtype=torch.float64, requires_grad=True)
    (slopes,) = torch.autograd.grad(layer(x[None]).sum(), x)
    largest = slopes.abs().max().item()
    assert largest <= bound_of(layer) * (1 + 1e-7)  # torch's own 1/6 is one of float32
    assert bound_of(layer) <= largest * (1 + 1e-4)


def test_softmax_is_half_lipschitz_and_attains_it():
    for width in (2, 5):
        worst = torch.full((width,), -40.0, dtype=torch.float64)
        worst[:2] = 0
        assert torch.linalg.matrix_norm(jacobian(nn.Softmax(1), worst), 2).item() == pytest.approx(0.5)
        assert bound_of(nn.Softmax(dim=1)) == pytest.approx(0.5)


@pytest.mark.parametrize("name", ["layer", "group", "instance", "rms"])
def test_normalisation_by_the_sample_itself_is_bounded_at_a_constant(name: str):
    layer = {
        "layer": nn.LayerNorm(6, eps=1e-3),
        "group": nn.GroupNorm(1, 6, eps=1e-3),
        "instance": nn.InstanceNorm1d(2, eps=1e-3),
        "rms": nn.RMSNorm(6, eps=1e-3),
    }[name].double()
    shape = (2, 3) if name == "instance" else (6,)
    attained = torch.linalg.matrix_norm(jacobian(layer, torch.zeros(shape, dtype=torch.float64)), 2).item()
    assert bound_of(layer, shape) == pytest.approx(attained)
    assert attained == pytest.approx(1 / math.sqrt(1e-3))


def test_batch_norm_is_its_scale():
    layer = nn.BatchNorm2d(3).double()
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([1.0, -6.0, 2.0]))
        layer.running_var.copy_(torch.tensor([1.0, 4.0, 0.25]))
    assert "call critic.eval()" in reason_of(layer)
    assert bound_of(layer.eval()) == pytest.approx(4, rel=1e-4)


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (nn.MaxPool2d(2), 1),
        (nn.MaxPool2d(3, stride=2), 2),
        (nn.MaxPool1d(3, stride=1), math.sqrt(3)),
        (nn.MaxPool2d(2, stride=2, dilation=2), 2),
        (nn.AvgPool2d(2), 1 / 2),
        (nn.AvgPool1d(3, stride=1), 1),
        (nn.AdaptiveMaxPool2d(1), 1),
        (nn.AdaptiveAvgPool2d(1), 1 / 8),
        (nn.AdaptiveAvgPool2d(4), 1 / 2),
        (nn.AdaptiveMaxPool1d(5), math.sqrt(2)),
        (nn.ZeroPad2d(3), 1),
        (nn.ReflectionPad1d(2), math.sqrt(3)),
        (nn.ReplicationPad1d(2), math.sqrt(5)),
        (nn.PixelUnshuffle(2), 1),
        (nn.Flatten(), 1),
    ],
    ids=str,
)
def test_pools_and_pads(layer: nn.Module, expected: float):
    shape = (2, 8) if type(layer).__name__.endswith("1d") else (2, 8, 8)
    bound = bound_of(layer, shape)
    assert bound == pytest.approx(expected, rel=0.06)
    assert steepest(layer, shape) <= bound * SLACK


def test_every_rule_is_of_a_module():
    assert all(issubclass(kind, nn.Module) and callable(rule) for kind, rule in RULES.items())


# --------------------------------------------------------------------------------- any forward pass


def module(function: Callable[..., object], **parts: nn.Module | nn.Parameter | Tensor) -> nn.Module:
    """A module whose forward pass is the function of itself and the samples."""

    class Anonymous(nn.Module):
        def forward(self, x: Tensor) -> object:
            return function(self, x)

    made = Anonymous()
    for name, part in parts.items():
        if isinstance(part, Tensor) and not isinstance(part, nn.Parameter):
            made.register_buffer(name, part)
        else:
            setattr(made, name, part)
    return made


W = torch.tensor([[3.0, 0, 0, 0], [0, 1, 0, 0]])

COMPOSED: dict[str, tuple[Callable[[nn.Module, Tensor], Tensor], float]] = {
    "sum": (lambda m, x: x + 2 * x, 3),
    "residual in place": (lambda m, x: m.eye(x).add(1) - m.eye(x), 2),
    "concatenation": (lambda m, x: torch.cat([3 * x, 4 * x], 1), 5),
    "stack": (lambda m, x: torch.stack([x, x, x, x]), 2),
    "negated and shifted": (lambda m, x: 1 - x, 1),
    "shape by number": (lambda m, x: x.view(x.size(0), 2, 2).flatten(1), 1),
    "shape by attribute": (lambda m, x: x.reshape(x.shape[0], -1).mT, 1),
    "index": (lambda m, x: x[:, 1:3], 1),
    "pieces": (lambda m, x: x.chunk(2, dim=1)[1], 1),
    "sort": (lambda m, x: x.sort(dim=1)[0], 1),
    "sorted values": (lambda m, x: x.sort(dim=1).values, 1),
    "largest": (lambda m, x: x.max(dim=1)[0], 1),
    "largest of two": (lambda m, x: torch.max(3 * x, 4 * x), 5),
    "sum of squares": (lambda m, x: x.norm(dim=1), 1),
    "mean": (lambda m, x: x.mean(1), 1 / 2),
    "total": (lambda m, x: x.sum(1), 2),
    "constant matrix": (lambda m, x: x @ m.w.T, 3),
    "linear function": (lambda m, x: F.linear(x, m.w, m.b), 3),
    "constant arithmetic": (lambda m, x: F.linear(x, 2 * m.w / 3), 2),
    "distances": (lambda m, x: (x[:, None] - m.w).norm(dim=2).amin(1), math.sqrt(2)),
    "buffer": (lambda m, x: x * m.c, 7),
    "division": (lambda m, x: x / m.c[1:2], 1 / 7),
    "constant only": (lambda m, x: m.b, 0),
    "convolution": (lambda m, x: F.conv1d(x[:, None], m.k, padding=1), (3 + math.sqrt(5)) / 2),
    "pool": (lambda m, x: F.max_pool1d(x[:, None], 2), 1),
    "dropout at inference": (lambda m, x: F.dropout(x, 0.5, training=False), 1),
    "gelu": (lambda m, x: F.gelu(x), 1.1289041451851551),
    "identity dtype": (lambda m, x: x.to(torch.float64).float(), 1),
}


@pytest.mark.parametrize("name", COMPOSED)
def test_functions_of_the_samples(name: str):
    function, expected = COMPOSED[name]
    parts = {"w": nn.Parameter(W), "b": nn.Parameter(torch.ones(2)), "k": nn.Parameter(torch.ones(1, 1, 3))}
    network = module(function, c=torch.tensor([2.0, 7.0, 0.5, 1.0]), eye=nn.Identity(), **parts)
    assert bound_of(network, (4,)) == pytest.approx(expected, rel=1e-9)


REASONS: dict[str, tuple[Callable[[nn.Module, Tensor], object], str]] = {
    "product": (lambda m, x: x * x, "multiplies two functions of the samples"),
    "attention": (lambda m, x: torch.softmax(x @ x.mT, -1) @ x, "dot-product attention has none"),
    "fused attention": (lambda m, x: F.scaled_dot_product_attention(x, x, x), "is dot-product attention"),
    "exponential": (lambda m, x: x.exp(), "exp in the forward pass has no known bound"),
    "quotient": (lambda m, x: 1 / x, "which may vanish"),
    "by zero": (lambda m, x: x / 0, "divides by zero"),
    "branch": (lambda m, x: x if x.sum() > 0 else -x, "cannot be traced"),
    "random": (lambda m, x: x * torch.rand(4), "draws random numbers"),
    "random by sample": (lambda m, x: x + torch.rand_like(x), "rand_like in the forward pass has no known"),
    "assignment": (lambda m, x: (setattr(x, "data", 3 * x.data), x)[1], "the attribute data of a value is"),
    "side effect": (lambda m, x: (m.calls.append(0), len(m.calls) * x)[1], "does not give the critic's own"),
    "dropout": (lambda m, x: F.dropout(x, 0.5), "draws at random"),
    "indices": (lambda m, x: x.sort(dim=1)[1], "indices"),
    "several": (lambda m, x: (x, x), "returns several"),
    "chunks": (lambda m, x: x.chunk(2, 1), "returns several"),
    "batch mean": (lambda m, x: (x[:, None] - x[None]).norm(dim=2), "joins the samples of a batch"),
    "batch sum": (lambda m, x: x.sum(), "sums over as many"),
    "repeats": (lambda m, x: x[:, [0, 0, 0]], "may repeat"),
    "in place": (lambda m, x: x.mul_(3), "mul_ in the forward pass has no known bound"),
    "in place operator": (lambda m, x: _imul(x), "in place"),
    "whole numbers": (lambda m, x: x.to(torch.int64), "rounds to whole numbers"),
    "bits": (lambda m, x: x.view(torch.int32), "same bits"),
    "other norm": (lambda m, x: x.norm(p=1, dim=1), "norm of another order"),
    "wrong shape": (lambda m, x: x @ m.w, "does not run on samples of shape \\(4,\\)"),
    "nan": (lambda m, x: x * m.nan, "NaN or infinite"),
}


def _imul(x: Tensor) -> Tensor:
    view = x[:, :2]
    view *= 3
    return x


@pytest.mark.parametrize("name", REASONS)
def test_what_has_no_proof_says_why(name: str):
    function, reason = REASONS[name]
    network = module(function, w=nn.Parameter(torch.ones(3, 2)), nan=torch.tensor([1.0, math.nan, 0, 0]))
    network.calls = []
    said = reason_of(network, (4,))
    assert re.search(reason, said), said


LAYERS_WITHOUT: dict[str, tuple[nn.Module, str]] = {
    "attention": (
        nn.MultiheadAttention(4, 2),
        "no global Lipschitz constant \\(Kim, Papamakarios, Mnih 2021",
    ),
    "transformer": (nn.TransformerEncoderLayer(4, 2), "is dot-product attention"),
    "batch norm": (nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4)), "BatchNorm1d at `1` normalises by the"),
    "no statistics": (nn.BatchNorm1d(4, track_running_stats=False).eval(), "statistics of the batch"),
    "dropout": (nn.Dropout(0.5), "draws at random in training mode"),
    "random slope": (nn.RReLU(), "draws at random in training mode"),
    "recurrent": (nn.LSTM(4, 4), "LSTM at `the root` has no known bound"),
    "jump": (nn.Hardshrink(), "jumps"),
    "threshold": (nn.Threshold(0.0, 1.0), "jumps"),
    "gated": (nn.GLU(), "multiplies two functions"),
    "indices": (nn.MaxPool1d(2, return_indices=True), "indices"),
    "no eps": (nn.LayerNorm(4, eps=0.0), "may vanish"),
    "bilinear": (nn.Bilinear(4, 4, 4), "cannot be traced|no known bound|several inputs"),
    "lazy": (nn.LazyLinear(4), "no weights before its first batch"),
    "adaptive": (nn.AdaptiveAvgPool2d(3), "give certify the shape"),
    "complex": (nn.Linear(4, 4, dtype=torch.complex64), "complex"),
}


@pytest.mark.parametrize("name", LAYERS_WITHOUT)
def test_layers_without_a_bound_say_why(name: str):
    layer, reason = LAYERS_WITHOUT[name]
    said = reason_of(layer)
    assert re.search(reason, said), said


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_weights_that_are_not_finite(value: float):
    critic = MLPCritic((4,), hidden=(3,))
    with torch.no_grad():
        critic.layers[2].weight[0, 0] = value
    assert reason_of(critic) == "Linear at `layers.2` has weights that are NaN or infinite."
    assert [layer.path for layer in certify(critic).per_layer] == ["layers.0", "layers.1"]


def test_hooks_and_replaced_forward_passes_are_not_trusted():
    critic = MLPCritic((4,))
    handle = critic.layers[0].register_forward_hook(lambda module, inputs, output: 100 * output)
    assert "carries a hook" in reason_of(critic)
    handle.remove()
    assert bound_of(critic) > 0
    critic.layers[0].forward = lambda x: x
    assert "was replaced" in reason_of(critic)


def test_growth_in_place_behind_the_back_of_another_value():
    def grows(m: nn.Module, x: Tensor) -> Tensor:
        hidden = m.dense(x)
        return m.steep(hidden) + hidden  # hidden was changed: 2 steep(hidden)

    steep = module(grows, dense=nn.Linear(4, 4), steep=nn.ELU(5.0, inplace=True))
    assert "in place" in reason_of(steep, (4,))
    flat = module(grows, dense=nn.Linear(4, 4), steep=nn.ReLU(inplace=True))
    assert steepest(flat.double(), (4,)) <= bound_of(flat, (4,)) * SLACK

    def safe(m: nn.Module, x: Tensor) -> Tensor:
        out = m.dense(m.steep(m.dense(x)))
        out += x
        return m.steep(m.dense(out))

    assert bound_of(module(safe, dense=nn.Linear(4, 4), steep=nn.ELU(5.0, inplace=True)), (4,)) > 0


def test_a_subclass_with_its_own_forward_pass_is_not_its_parent():
    class Doubled(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return F.linear(x, 2 * self.weight, self.bias)

    class Squared(nn.ReLU):
        def forward(self, x: Tensor) -> Tensor:
            return F.relu(x).square()

    layer = Doubled(4, 4)
    assert bound_of(layer) == pytest.approx(2 * matrix_norm(layer.weight))
    assert "square" in reason_of(Squared())


def test_re_parametrised_weights_are_those_that_run():
    layer = parametrizations.spectral_norm(nn.Linear(6, 5))
    assert "call critic.eval()" in reason_of(layer)
    layer(torch.randn(2, 6))
    before = copy.deepcopy(layer.state_dict())
    assert bound_of(layer.eval()) == pytest.approx(matrix_norm(layer.weight))
    assert all(torch.equal(value, before[key]) for key, value in layer.state_dict().items())
    normed = parametrizations.weight_norm(nn.Linear(6, 5))
    assert bound_of(normed) == pytest.approx(matrix_norm(normed.weight.detach()))


def test_a_module_that_cannot_be_copied_gets_a_reason():
    critic = nn.Sequential(nn.Linear(4, 1))
    critic.lock = threading.Lock()
    assert "broke off: cannot pickle" in reason_of(critic)


class Counting(nn.Module):
    """Counts its calls, as running statistics do."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return x


@pytest.mark.parametrize("training", [True, False])
def test_the_critic_and_the_random_state_are_left_as_they_were(training: bool):
    critic = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Dropout(0.5), Counting(), nn.Flatten())
    critic.train(training)[1].eval()
    modes = [part.training for part in critic.modules()]
    before, state = copy.deepcopy(critic.state_dict()), torch.get_rng_state()
    certify(critic, (1, 6, 6))
    assert [part.training for part in critic.modules()] == modes
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[key]) for key, value in critic.state_dict().items())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in critic.parameters())


def test_the_projects_critics_know_their_shape():
    critic = DCGANCritic((1, 12, 12), width=4)
    certificate = certify(critic)
    assert certificate == certify(critic, (1, 12, 12))
    assert {layer.method for layer in certificate.per_layer} >= {"matrix", "svd", "constant"}
    assert certificate.bound == pytest.approx(math.prod(layer.bound for layer in certificate.per_layer))
    assert steepest(critic.double(), (1, 12, 12)) <= certificate.bound * SLACK
    assert certify(torch.compile(critic, backend="eager")).bound == pytest.approx(certificate.bound)
    assert certificate.method.startswith("layer by layer")
    with pytest.raises(FrozenInstanceError):
        certificate.bound = 0.0


def test_more_arguments_take_their_defaults_or_end_the_proof():
    class Conditional(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.dense, self.embedding = nn.Linear(4, 1), nn.Embedding(3, 4)

        def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
            scores = self.dense(x)
            return scores if labels is None else scores + (self.embedding(labels) * x).sum(1)

    class Needs(Conditional):
        def forward(self, x: Tensor, labels: Tensor) -> Tensor:
            return super().forward(x, labels)

    assert bound_of(Conditional(), (4,)) > 0
    assert "labels" in reason_of(Needs())
