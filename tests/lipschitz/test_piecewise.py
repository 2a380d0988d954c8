"""Gradients of piecewise linear critics are those of plain autograd, for fewer operations."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from wgan.lipschitz import GradientPenalty
from wgan.lipschitz.penalties import input_gradients
from wgan.lipschitz.piecewise import PiecewiseLinear
from wgan.networks import DCGANCritic, MLPCritic


def plain(critic: nn.Module, points: Tensor) -> Tensor:
    """What :func:`input_gradients` is, by torch alone."""
    points = points.detach().requires_grad_()
    (gradients,) = torch.autograd.grad(critic(points).sum(), points, create_graph=True)
    return gradients.flatten(1)


def assert_same_gradients(critic: nn.Module, points: Tensor) -> None:
    """Compare the input gradients, and what a function of them gives to the weights."""
    weights = [weight for weight in critic.parameters() if weight.requires_grad]
    found = []
    for gradients in (input_gradients(critic, points), plain(critic, points)):
        cost = GradientPenalty().cost(gradients)
        by_weights = torch.autograd.grad(cost, weights, allow_unused=True, materialize_grads=True)
        found.append([gradients, *by_weights])
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)


ACTIVATIONS = {
    "relu": nn.ReLU,
    "relu in place": lambda: nn.ReLU(inplace=True),
    "leaky": lambda: nn.LeakyReLU(0.2),
    "leaky in place": lambda: nn.LeakyReLU(0.3, inplace=True),
    "falling": lambda: nn.LeakyReLU(-0.5),
    "softplus": nn.Softplus,
    "tanh": nn.Tanh,
}


@pytest.mark.slow
@given(
    channels=st.integers(1, 5),
    kernel=st.integers(1, 4),
    stride=st.integers(1, 3),
    padding=st.integers(0, 2) | st.just("same"),
    dilation=st.integers(1, 2),
    grouped=st.booleans(),
    bias=st.booleans(),
    activations=st.lists(st.sampled_from(sorted(ACTIVATIONS)), min_size=2, max_size=2),
    norm=st.booleans(),
    seed=st.integers(0, 99),
)
def test_of_any_convolutional_critic(
    channels, kernel, stride, padding, dilation, grouped, bias, activations, norm, seed
):
    torch.manual_seed(seed)
    if padding == "same":  # torch has it without a stride only, and for even kernels with a warning
        stride, kernel = 1, kernel | 1
    one, other = (ACTIVATIONS[name]() for name in activations)
    critic = nn.Sequential(
        nn.Conv2d(channels, 6, kernel, stride, padding, dilation, bias=bias),
        one,
        nn.GroupNorm(2, 6) if norm else nn.Identity(),
        nn.Conv2d(6, 4, 2, padding=1, groups=2 if grouped else 1, bias=bias),
        other,
        nn.Flatten(),
        nn.LazyLinear(1),
    ).double()
    points = torch.randn(3, channels, 9, 8, dtype=torch.float64)
    critic(points)
    assert_same_gradients(critic, points)


class Branched(nn.Module):
    """Convolutions with kernels that the samples decide; rectifiers in place."""

    def __init__(self) -> None:
        super().__init__()
        self.kernel = nn.Parameter(torch.randn(2, 1, 3, 3, dtype=torch.float64))
        self.first = spectral_norm(nn.Conv2d(1, 2, 3, padding=(1, 1)).double())

    def forward(self, samples: Tensor) -> Tensor:
        features = F.conv2d(input=samples, weight=self.kernel * samples.mean(), padding=[1])
        other = self.first(samples)
        torch.relu_(other)
        F.leaky_relu(input=features, negative_slope=0.1, inplace=True)
        return (features * other).sum((1, 2, 3)) + other.relu().square().sum((1, 2, 3))


def test_of_a_critic_that_is_not_piecewise_linear_at_all():
    torch.manual_seed(0)
    critic = Branched().eval()  # a power iteration would change the weights between the two
    assert_same_gradients(critic, torch.randn(2, 1, 5, 5, dtype=torch.float64))


class Residual(nn.Module):
    """What a leaky rectifier returns is changed in place, which torch allows: it has kept what went in."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(2, 2, 3, padding=1).double()

    def forward(self, samples: Tensor) -> Tensor:
        features = F.leaky_relu(self.layer(samples), 0.2)
        features += samples
        return features.square().sum((1, 2, 3))


def test_of_a_critic_that_works_in_place():
    torch.manual_seed(0)
    assert_same_gradients(Residual(), torch.randn(2, 2, 5, 5, dtype=torch.float64))


@pytest.mark.parametrize("channels", [2, 4])
def test_all_three_derivatives_of_a_convolution_are_differentiable(channels: int):
    def convolve(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        with PiecewiseLinear():
            return F.conv2d(x, weight, bias, stride=2, padding=1, dilation=(1, 2))

    torch.manual_seed(0)
    shapes = (2, channels, 5, 6), (3, channels, 2, 3), (3,)
    given = tuple(torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes)
    assert torch.autograd.gradcheck(convolve, given)
    assert torch.autograd.gradgradcheck(convolve, given)


class Operations(TorchDispatchMode):
    """Counts floating-point operations of matrix products and convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if count := flop_registry.get(func._overloadpacket):
            self.count += count(*args, **(kwargs or {}), out_val=result)
        return result


@pytest.mark.parametrize(
    "critic",
    [DCGANCritic((8, 16, 16), width=8), MLPCritic((8, 16, 16), hidden=(32, 32), activation="relu")],
    ids=["convolutions", "dense layers"],
)
def test_a_penalty_costs_four_passes(critic):
    """Scores, their gradient, and its derivative by what went back and by the weights: nothing more."""
    points = torch.randn(4, 8, 16, 16)
    with Operations() as forward:
        critic(points)
    with Operations() as whole:
        GradientPenalty().cost(input_gradients(critic, points)).backward()
    assert whole.count == pytest.approx(4 * forward.count, rel=1e-3)
