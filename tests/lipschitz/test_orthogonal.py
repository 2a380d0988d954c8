"""1-Lipschitz networks: proven at every step of any training, and steep enough to measure W1."""

import copy
import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.func import functional_call, grad, stack_module_state, vmap
from torch.nn.utils import parametrize

from wgan.certificates import certify
from wgan.certificates.operator_norms import Convolution, convolution_norm
from wgan.errors import InputError
from wgan.lipschitz import GroupSort, Orthogonal, SpectralNormalisation, orthonormalise, score_pair
from wgan.lipschitz.kernel_blocks import KernelBlocks
from wgan.networks import DCGANCritic, MLPCritic
from wgan.wasserstein.exact import wasserstein1

seeds = st.integers(0, 2**32 - 1)
SORTS = ("full", "pairs", "absolute", "none")


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def bound_of(critic: nn.Module, shape: tuple[int, ...] | None = None) -> float:
    certificate = certify(critic, shape)
    assert certificate.bound is not None, certificate.reason
    return certificate.bound


def singular_values(matrix: Tensor) -> Tensor:
    return torch.linalg.svdvals(matrix.detach().double())


# --------------------------------------------------------------------------------------- sorting


@settings(max_examples=200)
@given(seed=seeds, group=st.sampled_from([None, 2, 3, 4]), width=st.integers(1, 9), image=st.booleans())
def test_sorting_is_a_permutation_within_its_groups(seed: int, group: int | None, width: int, image: bool):
    shape = (3, width, 2, 2) if image else (3, width)
    x = torch.randn(*shape, generator=seeded(seed))
    y = GroupSort(group)(x)
    size = group or width
    assert y.shape == x.shape
    for start in range(0, width, size):
        mine, given_ = y[:, start : start + size], x[:, start : start + size]
        whole = mine.shape[1] == size
        assert torch.equal(mine, given_.sort(dim=1).values if whole else given_)


@settings(max_examples=50)
@given(seed=seeds, group=st.sampled_from([None, 2, 3]), dim=st.sampled_from([1, -1]))
def test_the_derivative_of_sorting_is_a_permutation(seed: int, group: int | None, dim: int):
    x = torch.randn(1, 7, generator=seeded(seed), dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(GroupSort(group, dim), x).reshape(7, 7)
    assert torch.equal(jacobian @ jacobian.T, torch.eye(7, dtype=torch.float64))
    assert torch.autograd.gradgradcheck(GroupSort(group, dim), x.requires_grad_())


@settings(max_examples=200)
@given(
    seed=seeds,
    shape=st.sampled_from([(2, 300), (3, 17), (2, 8, 3, 5), (1, 3, 1, 1)]),
    group=st.sampled_from([None, 3, 8]),
    size=st.sampled_from([1e-30, 1.0, 1e30]),
)
def test_the_derivative_of_sorting_float32_puts_each_number_back(seed: int, shape, group, size: float):
    """Numbers apart from one another: gradients that are the sorted numbers become those that came in."""
    rng = seeded(seed)
    count = shape[1]
    spread = torch.rand(shape, generator=rng).argsort(1) - count // 2 + 0.25
    x = (spread * size).requires_grad_()
    y = GroupSort(group)(x)
    (back,) = torch.autograd.grad((y * y.detach()).sum(), x, create_graph=True)
    assert torch.equal(back, x)
    # Sorting is linear about where it is: to its derivative belongs that of the gradient.
    weights = torch.randn(shape, generator=rng)
    (once,) = torch.autograd.grad((GroupSort(group)(x) * y).sum(), x, create_graph=True)
    (twice,) = torch.autograd.grad((once * weights).sum(), x)
    assert torch.equal(twice, 2 * weights)


def test_the_derivative_of_sorting_float32_is_a_permutation_also_among_equals():
    x = torch.tensor([[0.0, -0.0, 1.0, 1.0 + 1e-7, 1.0, -1e-40, 5.0]]).requires_grad_()
    jacobian = torch.autograd.functional.jacobian(GroupSort(), x).reshape(7, 7)
    assert torch.equal(jacobian @ jacobian.T, torch.eye(7))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("group", [None, 2, 3])
def test_sorting_in_every_precision_and_under_vmap(dtype: torch.dtype, group: int | None):
    x = torch.randn(4, 6, generator=seeded()).to(dtype)
    alone = torch.cat([GroupSort(group)(row[None]) for row in x])
    assert alone.dtype == dtype
    assert torch.equal(GroupSort(group)(x), alone)
    assert torch.equal(vmap(lambda row: GroupSort(group)(row[None])[0])(x), alone)


def test_sorting_prints_and_refuses():
    assert repr(GroupSort(2)) == "GroupSort(group=2, dim=1)"
    for group in (1, 0, -3, 2.0):
        with pytest.raises(InputError, match="groups of at least 2"):
            GroupSort(group)


# ------------------------------------------------------------------------------------ dense layers


@settings(max_examples=200)
@given(
    seed=seeds,
    rows=st.integers(1, 12),
    columns=st.integers(1, 12),
    iterations=st.integers(1, 30),
    exponent=st.integers(-6, 30),
    rank=st.integers(1, 12),
)
def test_no_singular_value_ever_exceeds_one(
    seed: int, rows: int, columns: int, iterations: int, exponent: int, rank: int
):
    """Converged or not, near or far, of any rank and any size: the iteration never leaves its domain."""
    rng = seeded(seed)
    weight = torch.randn(rows, rank, generator=rng) @ torch.randn(rank, columns, generator=rng)
    weight = (10.0**exponent * weight).requires_grad_()
    result = orthonormalise(weight, iterations)
    assert singular_values(result).max() <= 1 + 1e-6
    (gradient,) = torch.autograd.grad(result.sum(), weight)
    assert torch.isfinite(gradient).all()


@settings(max_examples=100)
@given(seed=seeds, rows=st.integers(1, 12), columns=st.integers(1, 12), scale=st.floats(1e-6, 1e6))
def test_it_converges_to_the_nearest_orthonormal_matrix(seed: int, rows: int, columns: int, scale: float):
    weight = scale * torch.randn(rows, columns, generator=seeded(seed), dtype=torch.float64)
    left, values, right = torch.linalg.svd(weight, full_matrices=False)
    enough = math.ceil(math.log(2 * values[0] / values[-1]) / math.log(1.4)) + 12
    assert torch.allclose(orthonormalise(weight, enough), left @ right, atol=1e-9)


def test_every_singular_value_below_the_root_of_three_goes_to_one():
    for value in (0.5, 0.9, 1.0, 1.3):
        result = orthonormalise(value * torch.eye(4, dtype=torch.float64), 8)
        assert torch.allclose(result, torch.eye(4, dtype=torch.float64), atol=1e-9)


@pytest.mark.parametrize("iterations", [1, 2, 6])
def test_derivatives_are_those_of_finite_differences(iterations: int):
    for scale in (0.01, 1.0, 100.0):
        weight = scale * torch.randn(4, 3, generator=seeded(), dtype=torch.float64)
        assert torch.autograd.gradcheck(lambda w: orthonormalise(w, iterations), weight.requires_grad_())


def test_from_orthonormal_one_iteration_is_exact_derivatives_included():
    start = torch.linalg.qr(torch.randn(5, 5, generator=seeded(), dtype=torch.float64))[0].requires_grad_()
    direction = torch.randn(5, 5, generator=seeded(1), dtype=torch.float64)

    def derivative(iterations: int) -> Tensor:
        return torch.autograd.grad((orthonormalise(start, iterations) * direction).sum(), start)[0]

    assert torch.allclose(orthonormalise(start, 1), start, atol=1e-14)
    assert torch.allclose(derivative(1), derivative(20), atol=1e-12)


def test_zero_stays_zero_with_a_finite_gradient():
    weight = torch.zeros(3, 4, requires_grad=True)
    result = orthonormalise(weight, 20)
    (gradient,) = torch.autograd.grad(result.sum(), weight)
    assert not result.any()
    assert torch.isfinite(gradient).all()


def test_a_batch_of_matrices_is_each_of_them():
    weights = torch.randn(3, 5, 4, generator=seeded()) * torch.tensor([1e-3, 1.0, 1e3])[:, None, None]
    together = orthonormalise(weights, 4)
    assert torch.allclose(together, torch.stack([orthonormalise(w, 4) for w in weights]), atol=1e-6)


# ------------------------------------------------------------------------------------ convolutions


@st.composite
def convolution_layers(draw: st.DrawFn) -> nn.Module:
    dims = draw(st.sampled_from([1, 2, 2, 3]))
    kernel, stride, dilation = (
        draw(st.tuples(*[st.integers(1, most)] * dims)) for most in (5 if dims < 3 else 2, 3, 3)
    )
    groups, outputs, inputs = (draw(st.integers(1, most)) for most in (2, 5, 3))
    kind = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[dims - 1]
    torch.manual_seed(draw(seeds))
    return kind(groups * inputs, groups * outputs, kernel, stride, 1, dilation, groups)


def described(layer: nn.Module) -> Convolution:
    weight = layer.weight.detach().double()
    padding = tuple((side, side) for side in layer.padding)
    return Convolution(weight, layer.stride, padding, layer.dilation, layer.groups)


def symbols(convolution: Convolution, points: int = 5) -> Tensor:
    """Singular values of the convolution on a torus, one block of channels after the other: by definition.

    The torus is as large as the dilated kernel and a multiple of the stride, so that no tap wraps.
    """
    sides = tuple(
        s * max(points, -(-(e + 1) // s))
        for s, e in zip(convolution.stride, convolution.extents, strict=True)
    )
    inputs = convolution.weight.shape[1] * convolution.groups
    origin = torch.zeros(inputs * math.prod(convolution.stride), inputs, *sides, dtype=torch.float64)
    row = 0
    for channel in range(inputs):
        for place in torch.cartesian_prod(*map(torch.arange, convolution.stride)).reshape(-1, len(sides)):
            origin[(row, channel, *place.tolist())] = 1
            row += 1
    pads = [pad for extent in reversed(convolution.extents) for pad in (extent, 0)]
    convolve = (nn.functional.conv1d, nn.functional.conv2d, nn.functional.conv3d)[len(sides) - 1]
    images = convolve(
        nn.functional.pad(origin, pads, mode="circular"),
        convolution.weight,
        stride=convolution.stride,
        dilation=convolution.dilation,
        groups=convolution.groups,
    )
    waves = torch.fft.fftn(images, dim=tuple(range(2, images.dim())))
    return torch.linalg.svdvals(waves.flatten(2).permute(2, 0, 1))


@settings(max_examples=60)
@given(layer=convolution_layers())
def test_a_wrapped_convolution_keeps_every_length_it_can(layer: nn.Module):
    """All singular values are one: of the outputs, or of the inputs that the kernel reads."""
    blocks = KernelBlocks.of(layer)
    Orthogonal().wrap(nn.Sequential(layer))
    values = symbols(described(layer))
    rank = layer.groups * blocks.rank
    assert torch.allclose(values[:, :rank], torch.ones(()).double(), atol=1e-5)
    assert not values[:, rank:].gt(1e-5).any()


@settings(max_examples=60)
@given(layer=convolution_layers(), scale=st.sampled_from([0.0, 1e-6, 0.3, 1.0, 1e6]), seed=seeds)
def test_a_wrapped_convolution_is_never_above_one(layer: nn.Module, scale: float, seed: int):
    """At any weights, near to orthonormal or not."""
    Orthogonal().wrap(nn.Sequential(layer))
    with torch.no_grad():
        for original in layer.parametrizations["weight"].parameters():
            original.add_(scale * torch.randn(original.shape, generator=seeded(seed)))
    gradients = torch.autograd.grad(layer.weight.sum(), [*layer.parametrizations["weight"].parameters()])
    assert all(gradient.isfinite().all() for gradient in gradients)
    assert symbols(described(layer)).max() <= 1 + 1e-6
    convolution = described(layer)
    assert convolution_norm(convolution, tuple(e + 2 for e in convolution.extents))[0] <= 1 + 1e-6


@settings(max_examples=50)
@given(layer=convolution_layers())
def test_kernels_without_overlap_start_from_the_nearest_ones(layer: nn.Module):
    blocks = KernelBlocks.of(layer)
    own = blocks.split(layer.weight.detach())
    assert len(own) == math.prod(blocks.count)
    wrapped = Orthogonal(iterations=20).wrap(nn.Sequential(copy.deepcopy(layer)))[0]
    if len(own) == 1:
        left, _, right = torch.linalg.svd(own[0], full_matrices=False)
        assert torch.allclose(blocks.split(wrapped.weight)[0], left @ right, atol=1e-5)
    if blocks.kernel == blocks.block:
        assert torch.equal(own[0].reshape(layer.weight.shape), layer.weight)


def test_every_tap_that_belongs_to_a_whole_block_is_used():
    torch.manual_seed(0)
    for kernel, taps in ((4, 4), (5, 4), (3, 2), (2, 2), (1, 1)):
        layer = Orthogonal().wrap(nn.Sequential(nn.Conv2d(3, 8, kernel, stride=2)))[0]
        used = layer.weight.detach().abs().amax((0, 1)) > 1e-3
        assert used.sum() == taps**2
        assert used.any(0).sum() == used.any(1).sum() == taps


@pytest.mark.slow
def test_where_no_layer_widens_every_slope_is_one():
    """And a certificate of 1 is attained at every image."""
    torch.manual_seed(0)
    circular = {"padding": 1, "padding_mode": "circular"}
    layers = [
        nn.Conv2d(3, 12, 4, stride=2, **circular),
        nn.ReLU(),
        nn.Conv2d(12, 10, 3, **circular),
        nn.Tanh(),
    ]
    for sort in ("full", "pairs", "absolute"):
        critic = nn.Sequential(*copy.deepcopy(layers), nn.Flatten(), nn.Linear(640, 1))
        Orthogonal(sort=sort).wrap(critic)
        images = torch.randn(16, 3, 16, 16, requires_grad=True)
        (gradients,) = torch.autograd.grad(critic(images).sum(), images)
        assert torch.allclose(gradients.flatten(1).norm(dim=1), torch.ones(16), atol=2e-5)
        assert bound_of(critic, (3, 16, 16)) == pytest.approx(1, abs=2e-5)


LAYERS = [
    nn.Conv1d(3, 5, 3),
    nn.Conv2d(3, 8, 4, stride=2, padding=1),
    nn.Conv2d(16, 4, 4, stride=2, padding=1),
    nn.Conv2d(8, 8, 5, stride=2, padding=2, groups=2),
    nn.Conv2d(4, 6, 3, padding=2, dilation=2),
    nn.Conv2d(4, 4, 3, padding=1, padding_mode="circular"),
    nn.Conv3d(2, 3, 3, stride=(1, 2, 3)),
    nn.ConvTranspose2d(8, 3, 4, stride=2, padding=1),
    nn.ConvTranspose1d(4, 2, 5, stride=3, output_padding=1),
    nn.Linear(7, 7),
    nn.Linear(3, 7),
    nn.Linear(7, 3),
]


@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_a_wrapped_layer_starts_orthogonal(layer: nn.Module):
    wrapped = Orthogonal().wrap(nn.Sequential(copy.deepcopy(layer)))
    assert bound_of(wrapped) <= 1 + 1e-6
    dims = {"Linear": 0, "Conv1d": 1, "ConvTranspose1d": 1, "Conv3d": 3}.get(type(layer).__name__, 2)
    channels = 7 if dims == 0 else layer.in_channels
    shape = (layer.in_features,) if dims == 0 else (channels, *(9 if dims < 3 else 6 for _ in range(dims)))
    assert 1 - 1e-5 <= bound_of(wrapped, shape) <= 1 + 1e-6


# ------------------------------------------------------------------------------------ the constraint

CRITICS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "vectors": (lambda: MLPCritic((5,), hidden=(16, 12)), (5,)),
    "images": (lambda: DCGANCritic((1, 12, 12), width=6), (1, 12, 12)),
    "colour, kernel 5, maxima": (
        lambda: DCGANCritic((3, 8, 8), width=6, kernel=5, head="max-pool"),
        (3, 8, 8),
    ),
}


def train(
    critic: nn.Module, shape: tuple[int, ...], constraint: Orthogonal, *, lr: float, steps: int, project: bool
) -> None:
    """Towards any target, by steps far too large."""
    rng = seeded()
    optimiser = torch.optim.Adam(critic.parameters(), lr, betas=(0.0, 0.9))
    for _ in range(steps):
        real, fake = torch.randn(2, 8, *shape, generator=rng)
        scores = score_pair(critic, real + 1, fake)
        optimiser.zero_grad()
        (scores[1].mean() - scores[0].mean()).backward()
        assert all(torch.isfinite(p.grad).all() for p in critic.parameters() if p.grad is not None)
        optimiser.step()
        if project:
            constraint.project(critic)


@pytest.mark.slow
@pytest.mark.parametrize("sort", SORTS)
@pytest.mark.parametrize("name", CRITICS)
def test_one_lipschitz_before_during_and_after_training(name: str, sort: str):
    make, shape = CRITICS[name]
    for project, lr in ((True, 0.3), (False, 0.3), (False, 1e-2)):
        constraint = Orthogonal(sort=sort)
        critic = constraint.wrap(make())
        for _ in range(3):
            assert bound_of(critic, shape) <= 1 + 1e-6
            train(critic, shape, constraint, lr=lr, steps=4, project=project)
        assert bound_of(critic, shape) <= 1 + 1e-6


@pytest.mark.parametrize("scale", [1e-6, 1e-3, 1e3, 1e6])
@pytest.mark.parametrize("name", CRITICS)
def test_wild_weights_stay_one_lipschitz_and_finite(name: str, scale: float):
    make, shape = CRITICS[name]
    constraint = Orthogonal()
    critic = constraint.wrap(make())
    with torch.no_grad():
        for parameter in critic.parameters():
            parameter.copy_(scale * torch.randn(parameter.shape, generator=seeded()))
    assert bound_of(critic, shape) <= 1 + 1e-6
    train(critic, shape, constraint, lr=scale, steps=3, project=False)
    assert bound_of(critic, shape) <= 1 + 1e-6
    train(critic, shape, constraint, lr=scale, steps=3, project=True)
    assert 1e-3 < bound_of(critic, shape) <= 1 + 1e-6
    assert all(torch.isfinite(p).all() for p in critic.parameters())


def test_projection_keeps_every_singular_value_at_one_and_the_scores():
    constraint = Orthogonal(iterations=1)
    critic = constraint.wrap(MLPCritic((5,), hidden=(64, 64)))
    samples = torch.randn(9, 5, generator=seeded())
    for _ in range(5):
        train(critic, (5,), constraint, lr=2e-3, steps=1, project=False)
        settled = copy.deepcopy(critic)
        constraint.project(critic)
        for layer in critic.layers[::2]:
            assert torch.allclose(singular_values(layer.weight), torch.ones(()).double(), atol=1e-5)
        for layer in settled.layers[::2]:
            layer.parametrizations["weight"][0].iterations = 30
        assert torch.allclose(critic(samples), settled(samples), atol=1e-4)


def test_projection_keeps_kernels_orthogonal_and_the_scores():
    constraint = Orthogonal(iterations=1, sort="absolute")
    critic = constraint.wrap(DCGANCritic((1, 12, 12), width=6))
    samples = torch.randn(9, 1, 12, 12, generator=seeded())
    for _ in range(3):
        train(critic, (1, 12, 12), constraint, lr=2e-3, steps=1, project=False)
        settled = copy.deepcopy(critic)
        constraint.project(critic)
        for layer in critic.layers[:4:2]:
            blocks = KernelBlocks.of(layer)
            assert torch.allclose(
                symbols(described(layer))[:, : blocks.rank], torch.ones(()).double(), atol=2e-5
            )
        for layer in settled.layers[::2]:
            if parametrize.is_parametrized(layer):
                layer.parametrizations["weight"][0].iterations = 30
        assert torch.allclose(critic(samples), settled(samples), atol=1e-4)


def test_wrapping_twice_is_wrapping_once():
    critic = Orthogonal().wrap(DCGANCritic((1, 12, 12), width=4))
    before, printed = copy.deepcopy(critic.state_dict()), repr(critic)
    assert Orthogonal().wrap(critic) is critic
    assert repr(critic) == printed
    assert all(torch.equal(value, before[key]) for key, value in critic.state_dict().items())


def test_a_checkpoint_loads_into_a_wrapped_critic():
    trained = Orthogonal().wrap(MLPCritic((5,), hidden=(8,)))
    train(trained, (5,), Orthogonal(), lr=0.1, steps=2, project=True)
    fresh = Orthogonal().wrap(MLPCritic((5,), hidden=(8,)))
    fresh.load_state_dict(trained.state_dict())
    samples = torch.randn(4, 5, generator=seeded())
    assert torch.equal(fresh(samples), trained(samples))


def test_dense_weights_are_the_nearest_orthonormal_ones():
    critic = MLPCritic((5,), hidden=(4,))
    left, _, right = torch.linalg.svd(critic.layers[0].weight.detach(), full_matrices=False)
    Orthogonal().wrap(critic)
    assert torch.allclose(critic.layers[0].weight, left @ right, atol=1e-5)


@pytest.mark.parametrize(("sort", "expected"), [("full", None), ("pairs", 2)])
def test_activations_become_sorts(sort: str, expected: int | None):
    critic = Orthogonal(sort=sort).wrap(nn.Sequential(nn.Linear(3, 4), nn.Sequential(nn.PReLU()), nn.Tanh()))
    assert isinstance(critic[1][0], GroupSort)
    assert critic[1][0].group == critic[2].group == expected
    folded = Orthogonal(sort="absolute").wrap(nn.Sequential(nn.Linear(3, 4), nn.Sequential(nn.PReLU())))
    assert torch.equal(folded[1][0](torch.tensor([-2.0, 3.0])), torch.tensor([2.0, 3.0]))
    kept = Orthogonal(sort="none").wrap(nn.Sequential(nn.Linear(3, 4), nn.Tanh()))
    assert isinstance(kept[1], nn.Tanh)


def test_half_precision_around_it_does_not_reach_the_weights():
    critic = Orthogonal().wrap(nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1)))
    outside = critic[0].weight
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = critic[0].weight
        assert critic(torch.randn(4, 64)).isfinite().all()
    assert torch.equal(inside, outside)


def test_many_critics_at_once():
    critics = [Orthogonal().wrap(MLPCritic((3,), hidden=(8, 8))) for _ in range(4)]
    weights, buffers = stack_module_state(critics)
    samples = torch.randn(4, 10, 3, generator=seeded())

    def mean(w: dict[str, Tensor], b: dict[str, Tensor], x: Tensor) -> Tensor:
        return functional_call(critics[0], (w, b), (x,)).mean()

    alone = torch.stack([critic(x).mean() for critic, x in zip(critics, samples, strict=True)])
    assert torch.allclose(vmap(mean)(weights, buffers, samples), alone, atol=1e-6)
    gradients = vmap(grad(mean))(weights, buffers, samples)
    for index, critic in enumerate(critics):
        critic.zero_grad()
        critic(samples[index]).mean().backward()
        for name, parameter in critic.named_parameters():
            assert torch.allclose(gradients[name][index], parameter.grad, atol=1e-6)


REFUSED: dict[str, Callable[[], object]] = {
    "whole number of iterations": lambda: Orthogonal(iterations=0),
    "sorts full, pairs, absolute, none": lambda: Orthogonal(sort="some"),
    "no dense or convolutional layer": lambda: Orthogonal().wrap(nn.Sequential(nn.ReLU())),
    "BatchNorm2d at `layers.3`": lambda: Orthogonal().wrap(DCGANCritic((1, 12, 12), norm="batch")),
    "GroupNorm at `layers.3`": lambda: Orthogonal().wrap(DCGANCritic((1, 12, 12), norm="layer")),
    "InstanceNorm1d at `1`": lambda: Orthogonal().wrap(nn.Sequential(nn.Linear(2, 2), nn.InstanceNorm1d(2))),
    "not MultiheadAttention at `1`": lambda: Orthogonal().wrap(
        nn.Sequential(nn.Linear(2, 2), nn.MultiheadAttention(2, 1))
    ),
    "padding_mode='reflect' reads inputs": lambda: Orthogonal().wrap(
        nn.Sequential(nn.Conv2d(2, 2, 3, padding=1, padding_mode="reflect"))
    ),
    "re-parametrised already": lambda: Orthogonal().wrap(SpectralNormalisation().wrap(MLPCritic((3,)))),
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_it_cannot_keep_is_refused_in_one_sentence(message: str):
    with pytest.raises(InputError, match=message):
        REFUSED[message]()


def test_a_refusal_leaves_the_critic_as_it_was():
    critic = DCGANCritic((1, 12, 12), norm="layer")
    before = copy.deepcopy(critic.state_dict())
    with pytest.raises(InputError):
        Orthogonal().wrap(critic)
    assert not any(parametrize.is_parametrized(module) for module in critic.modules())
    assert all(torch.equal(value, before[key]) for key, value in critic.state_dict().items())


# --------------------------------------------------------------------------------------- measuring W1

Draw = Callable[[int, torch.Generator], Tensor]


def estimate(p: Draw, q: Draw, d: int, *, width: int = 32, steps: int = 250) -> tuple[float, float]:
    """The gap of a certified critic on fresh samples over its certificate, and the gap's standard error."""
    torch.manual_seed(0)
    rng = seeded(1)
    constraint = Orthogonal(iterations=1)
    critic = constraint.wrap(MLPCritic((d,), hidden=(width, width)))
    optimiser = torch.optim.Adam(critic.parameters(), 1e-2, betas=(0.9, 0.99))
    decay = torch.optim.lr_scheduler.LinearLR(optimiser, 1, 0.01, steps)
    for _ in range(steps):
        real, fake = score_pair(critic, p(192, rng), q(192, rng))
        optimiser.zero_grad()
        (fake.mean() - real.mean()).backward()
        optimiser.step()
        decay.step()
        constraint.project(critic)
    with torch.no_grad():
        real, fake = score_pair(critic, p(20_000, rng), q(20_000, rng))
    bound = bound_of(critic)
    assert 0.999 <= bound <= 1 + 1e-6
    error = math.sqrt((real.var().item() + fake.var().item()) / 20_000)
    return (real.mean() - fake.mean()).item() / bound, error


@pytest.mark.slow
@pytest.mark.parametrize("shift", [[1.5], [3.0, -1.0], [1.0, 1.0, 1.0, 1.0]], ids=str)
def test_a_shift_is_measured_and_never_exceeded(shift: list[float]):
    v = torch.tensor(shift)
    lower, error = estimate(
        lambda n, rng: torch.randn(n, len(v), generator=rng) + v,
        lambda n, rng: torch.randn(n, len(v), generator=rng),
        len(v),
    )
    truth = v.norm().item()
    assert 0.97 * truth - 4 * error <= lower <= truth + 4 * error


@pytest.mark.slow
@pytest.mark.parametrize("d", [1, 2, 8])
def test_a_point_against_the_sphere(d: int):
    lower, _ = estimate(
        lambda n, rng: nn.functional.normalize(torch.randn(n, d, generator=rng), dim=1),
        lambda n, rng: torch.zeros(n, d),
        d,
    )
    assert 0.95 <= lower <= 1 + 1e-6


@pytest.mark.slow
def test_two_blobs_against_one_lie_below_exact_transport():
    def two(n: int, rng: torch.Generator) -> Tensor:
        side = torch.randint(2, (n, 1), generator=rng) * 2.0 - 1
        return 0.3 * torch.randn(n, 2, generator=rng) + torch.cat([2 * side, 0 * side], 1)

    def one(n: int, rng: torch.Generator) -> Tensor:
        return 0.3 * torch.randn(n, 2, generator=rng)

    rng = seeded(5)
    upper = wasserstein1(two(1500, rng), one(1500, rng)).value
    lower, error = estimate(two, one, 2)
    assert 0.93 * upper <= lower <= upper + 4 * error


def test_gradients_of_sorted_orthogonal_critics_have_norm_one():
    """Where ReLU critics of norm one lose slope with depth."""
    torch.manual_seed(0)
    samples = torch.randn(64, 6, generator=seeded())

    def slopes(sort: str) -> Tensor:
        critic = Orthogonal(sort=sort).wrap(MLPCritic((6,), hidden=(32, 32, 32), activation="relu"))
        points = samples.clone().requires_grad_()
        (gradients,) = torch.autograd.grad(critic(points).sum(), points)
        return gradients.norm(dim=1)

    # The score is one of many features: its gradient keeps its norm back to the narrow input, which takes
    # the part of it that it can see.
    assert slopes("full").mean() > 2 * slopes("none").mean()
    assert slopes("full").max() <= 1 + 1e-5
