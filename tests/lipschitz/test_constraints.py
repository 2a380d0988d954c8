"""Every constraint of CONSTRAINTS in one table, the closed forms, and the mistakes that libraries make."""

import copy
import json
from collections.abc import Callable, Sequence
from dataclasses import FrozenInstanceError, asdict, dataclass, fields
from math import inf, nan, prod, sqrt

import pytest
import torch
from scipy import stats
from torch import Tensor, nn
from torch.func import functional_call

from wgan.errors import InputError
from wgan.lipschitz import (
    CONSTRAINTS,
    DRAGAN,
    R1,
    R1R2,
    R2,
    Chain,
    Constraint,
    GradientPenalty,
    LipschitzPenalty,
    MaxGradientPenalty,
    Orthogonal,
    SpectralNormalisation,
    WeightClipping,
    mixes_samples,
    score,
    score_pair,
)
from wgan.lipschitz.penalties import InputGradientPenalty, input_gradients, random_interpolates, row_norms
from wgan.losses import gap

# The table. A new constraint is a row here, and passes all that follows.
MEMBERS: list[Constraint] = [
    WeightClipping(c=0.05),
    GradientPenalty(weight=10.0, target=1.0),
    LipschitzPenalty(weight=10.0, target=0.5),
    MaxGradientPenalty(weight=2.0),
    DRAGAN(weight=10.0, target=1.0, noise=0.5),
    R1(gamma=3.0),
    R2(gamma=0.5),
    R1R2(gamma=2.0),
    SpectralNormalisation(iterations=2),
    Orthogonal(iterations=3, sort="none"),  # what sorting does to a critic has its own tests
    Chain(WeightClipping(c=0.5), LipschitzPenalty(target=0.0), R1(gamma=2.0)),
]
PENALTIES = [member for member in MEMBERS if isinstance(member, InputGradientPenalty)]
RANDOM = [GradientPenalty(), LipschitzPenalty(target=0.0), MaxGradientPenalty(), DRAGAN()]
SHAPES = [(5,), (1, 8, 8), (3, 8, 8), (2, 3, 2, 2)]


def name(value: object) -> str | None:
    return type(value).__name__ if isinstance(value, Constraint) else None


every_member = pytest.mark.parametrize("member", MEMBERS, ids=name)
every_penalty = pytest.mark.parametrize("penalty", PENALTIES, ids=name)
every_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def batches(shape: Sequence[int], n: int = 6, seed: int = 1) -> tuple[Tensor, Tensor]:
    real, fake = torch.randn(2, n, *shape, generator=seeded(seed), dtype=torch.float64)
    return real, 0.5 * fake - 1


def redraw(critic: nn.Module, seed: int = 2) -> nn.Module:
    """Weights of variance 2 / fan-in, so that slopes are of order one; small biases."""
    rng = seeded(seed)
    with torch.no_grad():
        for parameter in critic.parameters():
            fan_in = parameter[0].numel() if parameter.dim() > 1 else 20
            parameter.normal_(0, sqrt(2 / fan_in), generator=rng)
    return critic


def smooth_critic(shape: Sequence[int]) -> nn.Module:
    layers = [
        nn.Flatten(),
        nn.Linear(prod(shape), 6),
        nn.Softplus(),
        nn.Linear(6, 4),
        nn.Tanh(),
        nn.Linear(4, 1),
    ]
    return redraw(nn.Sequential(*layers).double())


def linear_critic(weights: Tensor) -> nn.Module:
    """The critic f(x) = w . x, whose slope is |w| everywhere."""
    layer = nn.Linear(weights.numel(), 1, bias=False, dtype=weights.dtype)
    with torch.no_grad():
        layer.weight.copy_(weights.reshape(1, -1))
    return nn.Sequential(nn.Flatten(), layer)


class Quadratic(nn.Module):
    """The critic f(x) = |x|^2 / 2, whose gradient at x is x."""

    def forward(self, samples: Tensor) -> Tensor:
        return samples.flatten(1).square().sum(1) / 2


class Normalised(nn.Module):
    """A convolutional critic with a norm in the middle."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 4, 3), nn.LeakyReLU(0.2), norm, nn.Flatten())
        self.head = nn.Linear(4 * 6 * 6, 1)

    def forward(self, samples: Tensor) -> Tensor:
        scores: Tensor = self.head(self.features(samples))
        return scores


class Conditional(nn.Module):
    """The critic f(x, y) = a_y sum(x), of slope |a_y| sqrt(d)."""

    def __init__(self) -> None:
        super().__init__()
        self.slopes = nn.Parameter(torch.tensor([0.0, 1.0, 3.0]))

    def forward(self, samples: Tensor, labels: Tensor) -> Tensor:
        return self.slopes[labels] * samples.flatten(1).sum(1)


# ---------------------------------------------------------------------------------- every member


def test_the_table_holds_every_constraint():
    assert {name(member) for member in MEMBERS} == set(CONSTRAINTS)
    assert all(constraint.__name__ == key for key, constraint in CONSTRAINTS.items())


@every_member
def test_a_member_is_a_frozen_value(member: Constraint):
    twin = copy.deepcopy(member)
    assert twin == member
    assert hash(twin) == hash(member)
    assert [other for other in MEMBERS if other == member] == [member]
    with pytest.raises(FrozenInstanceError):
        setattr(twin, fields(twin)[0].name, 7.0)


@every_member
def test_a_member_prints_its_settings_and_is_plain_data(member: Constraint):
    printed = repr(member)
    assert printed.startswith(name(member))
    for field in fields(member):
        assert f"{field.name}={getattr(member, field.name)!r}" in printed
    assert json.loads(json.dumps(asdict(member))).keys() == {field.name for field in fields(member)}


@pytest.mark.parametrize("constraint", CONSTRAINTS.values())
def test_the_settings_of_a_member_have_working_defaults(constraint: type[Constraint]):
    assert constraint() == constraint()


class Objective(nn.Module):
    """What the critic minimises, as a function of its weights alone."""

    def __init__(self, constraint: Constraint, critic: nn.Module, real: Tensor, fake: Tensor) -> None:
        super().__init__()
        self.constraint, self.critic, self.real, self.fake = constraint, critic, real, fake

    def forward(self) -> Tensor:
        penalty = self.constraint.penalty(self.critic, self.real, self.fake, rng=seeded())
        return penalty - gap(*score_pair(self.critic, self.real, self.fake))


@pytest.mark.slow
@every_member
@every_shape
def test_derivatives_in_the_weights_are_those_of_finite_differences(
    member: Constraint, shape: tuple[int, ...]
):
    critic = member.wrap(smooth_critic(shape)).eval()  # in eval mode a power iteration holds still
    objective = Objective(member, critic, *batches(shape))
    names, weights = zip(*objective.named_parameters(), strict=True)

    def loss(*values: Tensor) -> Tensor:
        return functional_call(objective, dict(zip(names, values, strict=True)), ())

    assert torch.autograd.gradcheck(loss, weights, fast_mode=True)
    assert torch.autograd.gradgradcheck(loss, weights, fast_mode=True)


@every_penalty
@every_shape
def test_the_penalty_of_the_check_above_is_at_work(penalty: InputGradientPenalty, shape: tuple[int, ...]):
    critic = smooth_critic(shape)
    value = penalty.penalty(critic, *batches(shape), rng=seeded())
    gradients = torch.autograd.grad(value, list(critic.parameters())[:-1])  # a bias of the score has no slope
    assert value > 1e-3
    assert all(gradient.abs().max() > 1e-4 for gradient in gradients)


@every_member
@every_shape
def test_a_penalty_is_a_scalar_at_least_zero_that_the_seed_decides(
    member: Constraint, shape: tuple[int, ...]
):
    critic = member.wrap(smooth_critic(shape))
    state = torch.random.get_rng_state()
    values = [member.penalty(critic, *batches(shape), rng=seeded()) for _ in range(2)]
    assert values[0].shape == ()
    assert values[0] >= 0
    assert torch.equal(*values)
    assert torch.equal(torch.random.get_rng_state(), state)


@every_member
def test_a_penalty_changes_nothing(member: Constraint):
    critic = member.wrap(smooth_critic((5,)))
    real, fake = batches((5,))
    before = copy.deepcopy((critic.state_dict(), real, fake))
    member.penalty(critic, real, fake, rng=seeded())
    assert all(torch.equal(value, before[0][key]) for key, value in critic.state_dict().items())
    assert torch.equal(real, before[1])
    assert torch.equal(fake, before[2])
    assert not real.requires_grad
    assert all(parameter.grad is None for parameter in critic.parameters())


@pytest.mark.parametrize("penalty", RANDOM, ids=name)
def test_another_seed_is_another_draw(penalty: InputGradientPenalty):
    critic, (real, fake) = smooth_critic((5,)), batches((5,))
    values = {penalty.penalty(critic, real, fake, rng=seeded(seed)).item() for seed in range(5)}
    assert len(values) == 5


def test_the_seams_default_hooks_do_nothing():
    class Nothing(Constraint):
        pass

    critic, (real, fake) = smooth_critic((5,)), batches((5,))
    before = copy.deepcopy(critic.state_dict())
    assert Nothing().wrap(critic) is critic
    assert Nothing().penalty(critic, real, fake).item() == 0
    Nothing().project(critic)
    assert all(torch.equal(value, before[key]) for key, value in critic.state_dict().items())


@every_member
def test_a_flat_critic_has_a_finite_penalty_and_finite_weight_gradients(member: Constraint):
    """The norm's derivative is NaN at zero unless care is taken: here no unit ever fires."""
    critic = nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 1)).double()
    with torch.no_grad():
        redraw(critic)[0].bias.fill_(-100)
    critic = member.wrap(critic)
    assert not input_gradients(critic, batches((5,))[0]).any()
    loss = member.penalty(critic, *batches((5,)), rng=seeded()) - gap(*score_pair(critic, *batches((5,))))
    loss.backward()
    gradients = [parameter.grad for parameter in critic.parameters() if parameter.grad is not None]
    assert torch.isfinite(loss)
    assert gradients
    assert all(torch.isfinite(gradient).all() for gradient in gradients)


# What a slope of zero costs.
FLAT = [
    (GradientPenalty(weight=7.0, target=2.0), 28.0),
    (LipschitzPenalty(), 0.0),
    (MaxGradientPenalty(), 0.0),
    (DRAGAN(weight=5.0), 5.0),
    (R1(), 0.0),
    (R2(), 0.0),
    (R1R2(), 0.0),
]


@pytest.mark.parametrize(("penalty", "cost"), FLAT, ids=name)
def test_all_weights_zero_cost_the_closed_form_and_give_finite_gradients(penalty: Constraint, cost: float):
    critic = smooth_critic((3, 8, 8))
    with torch.no_grad():
        for parameter in critic.parameters():
            parameter.zero_()
    value = penalty.penalty(critic, *batches((3, 8, 8)), rng=seeded())
    gradients = torch.autograd.grad(value, list(critic.parameters()), allow_unused=True)
    assert value.item() == pytest.approx(cost)
    assert all(torch.isfinite(gradient).all() for gradient in gradients if gradient is not None)


@pytest.mark.parametrize(("penalty", "cost"), FLAT, ids=name)
def test_a_critic_that_never_looks_at_its_input_has_slope_zero(penalty: Constraint, cost: float):
    class Constant(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.value = nn.Parameter(torch.ones(1))

        def forward(self, samples: Tensor) -> Tensor:
            return self.value.expand(len(samples))

    assert penalty.penalty(Constant(), *batches((5,)), rng=seeded()).item() == pytest.approx(cost)


# ---------------------------------------------------------------------------------- closed forms

# The penalty of a critic whose slope is s everywhere.
SLOPES: list[tuple[Constraint, Callable[[float], float]]] = [
    (GradientPenalty(), lambda s: 10 * (s - 1) ** 2),
    (GradientPenalty(weight=0.1, target=3.0), lambda s: 0.1 * (s - 3) ** 2),
    (LipschitzPenalty(), lambda s: 10 * max(0.0, s - 1) ** 2),
    (LipschitzPenalty(weight=2.0, target=2.0), lambda s: 2 * max(0.0, s - 2) ** 2),
    (MaxGradientPenalty(weight=0.3), lambda s: 0.3 * s**2),
    (DRAGAN(), lambda s: 10 * (s - 1) ** 2),
    (DRAGAN(weight=1.0, target=0.0, noise=2.0), lambda s: s**2),
    (R1(gamma=3.0), lambda s: 1.5 * s**2),
    (R2(gamma=0.2), lambda s: 0.1 * s**2),
    (R1R2(gamma=0.2), lambda s: 0.2 * s**2),
    (Chain(R1(gamma=2.0), GradientPenalty(weight=1.0)), lambda s: s**2 + (s - 1) ** 2),
    (WeightClipping(), lambda s: 0.0),
    (SpectralNormalisation(), lambda s: 0.0),
    (Orthogonal(), lambda s: 0.0),
]


@pytest.mark.parametrize(("member", "closed_form"), SLOPES, ids=name)
@pytest.mark.parametrize("slope", [0.2, 1.0, 2.5])
@every_shape
def test_a_linear_critic(member: Constraint, closed_form: Callable, slope: float, shape: tuple[int, ...]):
    weights = torch.randn(prod(shape), generator=seeded(), dtype=torch.float64)
    critic = linear_critic(slope * weights / weights.norm())
    value = member.penalty(critic, *batches(shape), rng=seeded())
    assert value.item() == pytest.approx(closed_form(slope), abs=1e-12)


@every_shape
def test_a_quadratic_critic(shape: tuple[int, ...]):
    real, fake = batches(shape)
    squares = real.flatten(1).square().sum(1)
    middle = random_interpolates(real, fake, seeded()).flatten(1).norm(dim=1)
    critic = Quadratic().double()
    for penalty, expected in [
        (R1(gamma=3.0), 1.5 * squares.mean()),
        (R2(gamma=3.0), 1.5 * fake.flatten(1).square().sum(1).mean()),
        (GradientPenalty(), 10 * (middle - 1).square().mean()),
        (LipschitzPenalty(target=3.0), 10 * (middle - 3).clamp_min(0).square().mean()),
        (MaxGradientPenalty(weight=2.0), 2 * middle.square().max()),
    ]:
        value = penalty.penalty(critic, real, fake, rng=seeded()).item()
        assert value == pytest.approx(expected.item(), rel=1e-5), penalty  # a critic without weights: float32


# ---------------------------------------------------------------------------------- known mistakes


@pytest.mark.parametrize(
    "penalty", [GradientPenalty(), LipschitzPenalty(target=0.5), DRAGAN(noise=1e-9)], ids=name
)
@every_shape
def test_mistake_norm_over_the_batch_or_over_channels_only(penalty: Constraint, shape: tuple[int, ...]):
    """Where real is fake the points are known; each sample is charged for the norm of its whole gradient."""
    scale = torch.tensor([0.01, 0.1, 0.3, 1.0], dtype=torch.float64).reshape(-1, *[1] * len(shape))
    points = scale * batches(shape, n=4)[0]
    slopes = [sqrt(sum(x * x for x in point.flatten().tolist())) for point in points]
    excess = [slope - penalty.target for slope in slopes]
    if isinstance(penalty, LipschitzPenalty):
        excess = [max(0.0, e) for e in excess]
    expected = 10 * sum(e * e for e in excess) / 4
    value = penalty.penalty(Quadratic(), points, points, rng=seeded()).item()
    assert value == pytest.approx(expected, rel=1e-5)


def test_mistake_epsilon_shared_by_the_batch_or_not_shared_by_a_sample():
    points = random_interpolates(torch.ones(64, 3, 4, 4), torch.zeros(64, 3, 4, 4), seeded())
    epsilon = points.flatten(1)
    assert torch.equal(epsilon, epsilon[:, :1].expand_as(epsilon))
    assert len(epsilon[:, 0].unique()) == 64


def test_mistake_epsilon_normal_instead_of_uniform():
    epsilon = random_interpolates(torch.ones(4000, 1), torch.zeros(4000, 1), seeded()).flatten().numpy()
    assert epsilon.min() >= 0
    assert epsilon.max() <= 1
    assert stats.kstest(epsilon, "uniform").pvalue > 0.05


@every_shape
def test_interpolated_points_lie_on_the_segment(shape: tuple[int, ...]):
    real, fake = batches(shape, n=50)
    points = random_interpolates(real, fake, seeded())
    to_real, to_fake, length = (
        (a - b).flatten(1).norm(dim=1) for a, b in [(points, real), (points, fake), (real, fake)]
    )
    assert torch.allclose(to_real + to_fake, length)
    assert (to_real > 0).all()
    assert (to_fake > 0).all()


@pytest.mark.parametrize("penalty", [GradientPenalty(), LipschitzPenalty(), MaxGradientPenalty()], ids=name)
def test_penalties_between_real_and_fake_are_taken_at_the_interpolated_points(penalty: InputGradientPenalty):
    real, fake = batches((3, 8, 8))
    assert torch.equal(penalty.points(real, fake, seeded()), random_interpolates(real, fake, seeded()))


def test_r1_looks_at_real_samples_and_r2_at_fake_ones():
    real, fake = batches((5,))
    assert torch.equal(R1().points(real, fake, None), real)
    assert torch.equal(R2().points(real, fake, None), fake)


def test_r1_and_r2_at_once_are_both_of_them_and_take_labels_along():
    critic, (real, fake) = smooth_critic((5,)), batches((5,))
    both = Chain(R1(gamma=3.0), R2(gamma=3.0)).penalty(critic, real, fake)
    assert R1R2(gamma=3.0).penalty(critic, real, fake).item() == pytest.approx(both.item())
    labels = torch.tensor([0, 1, 2, 2, 1, 1])
    both = Chain(R1(), R2()).penalty(Conditional().double(), real, fake, labels)
    assert R1R2().penalty(Conditional().double(), real, fake, labels).item() == pytest.approx(both.item())
    with pytest.raises(InputError, match="as many fakes as reals"):
        R1R2().penalty(critic, real, fake[1:])


def test_dragan_looks_around_real_samples_at_their_own_scale():
    real, fake = batches((3, 8, 8), n=30)
    distances = DRAGAN(noise=0.25).points(100 * real, fake, seeded()) - 100 * real
    units = (distances / (0.25 * (100 * real).std(correction=0))).flatten()
    assert stats.kstest(units.numpy(), "norm").pvalue > 0.05


def test_points_between_batches_of_different_shapes_are_refused():
    with pytest.raises(InputError, match=r"\(4, 5\).*\(3, 5\)"):
        random_interpolates(torch.zeros(4, 5), torch.zeros(3, 5))


def test_mistake_derivative_of_the_norm_at_zero_is_nan():
    gradients = torch.tensor([[0.0, 0.0], [3.0, 4.0]], dtype=torch.float64, requires_grad=True)
    norms = row_norms(gradients)
    (first,) = torch.autograd.grad(norms.sum(), gradients, create_graph=True)
    (second,) = torch.autograd.grad(first.square().sum(), gradients)
    assert norms.tolist() == [0, 5]
    assert torch.allclose(first, torch.tensor([[0.0, 0.0], [0.6, 0.8]], dtype=torch.float64))
    assert torch.isfinite(second).all()


@every_penalty
@pytest.mark.parametrize(("track", "training"), [(True, True), (False, True), (False, False)])
def test_mistake_penalty_on_a_batch_normalised_critic(
    penalty: InputGradientPenalty, track: bool, training: bool
):
    critic = Normalised(nn.BatchNorm2d(4, track_running_stats=track)).double().train(training)
    told = rf"{name(penalty)} .*BatchNorm2d at `features\.2`.*norm='layer'"
    with pytest.raises(InputError, match=told):
        penalty.penalty(critic, *batches((3, 8, 8)), rng=seeded())
    with pytest.raises(InputError, match=told):
        penalty.wrap(critic)
    with pytest.raises(InputError, match=told):
        Chain(WeightClipping(), penalty).wrap(critic)


@every_penalty
@pytest.mark.parametrize(
    "norm_layer",
    [nn.BatchNorm2d(4).eval(), nn.GroupNorm(2, 4), nn.InstanceNorm2d(4), nn.LayerNorm(6)],
    ids=lambda layer: type(layer).__name__,
)
def test_norms_that_keep_samples_apart_are_welcome(penalty: InputGradientPenalty, norm_layer: nn.Module):
    critic = Normalised(copy.deepcopy(norm_layer)).double()
    assert penalty.wrap(critic) is critic
    real, fake = batches((3, 8, 8), n=4)
    together = input_gradients(critic, real)
    alone = torch.cat([input_gradients(critic, sample) for sample in real.split(1)])
    assert torch.allclose(together, alone)
    assert penalty.penalty(critic, real, fake, rng=seeded()) >= 0


def test_a_module_of_the_users_own_can_say_that_it_mixes_samples():
    class MinibatchStatistics(nn.Module):
        mixes_samples = True

        def forward(self, samples: Tensor) -> Tensor:
            return samples - samples.mean(0)

    critic = nn.Sequential(MinibatchStatistics(), nn.Linear(5, 1)).double()
    assert mixes_samples(critic)
    with pytest.raises(InputError, match="MinibatchStatistics at `0`"):
        R1().penalty(critic, *batches((5,)))


@every_penalty
def test_mistake_penalty_in_reduced_precision_under_autocast(penalty: InputGradientPenalty):
    critic = Normalised(nn.Identity())
    real, fake = (batch.float() for batch in batches((3, 8, 8)))

    def value_and_gradients() -> list[Tensor]:
        value = penalty.penalty(critic, real, fake, rng=seeded())
        return [value, *torch.autograd.grad(value, [critic.head.weight, critic.features[0].weight])]

    exact = value_and_gradients()
    with torch.autocast("cpu", torch.bfloat16):
        assert critic(real).dtype == torch.bfloat16
        rounded = penalty.penalty(critic, real, fake, rng=seeded())
    assert rounded.dtype == torch.float32
    assert torch.equal(rounded, exact[0])
    gradients = torch.autograd.grad(rounded, [critic.head.weight, critic.features[0].weight])
    assert all(map(torch.equal, gradients, exact[1:]))


@every_penalty
@pytest.mark.parametrize("precision", [torch.float16, torch.bfloat16], ids=str)
def test_weights_in_half_precision_are_refused(penalty: InputGradientPenalty, precision: torch.dtype):
    with pytest.raises(InputError, match=f"{precision}.*float32"):
        penalty.penalty(Normalised(nn.Identity()).to(precision), *batches((3, 8, 8)))


@every_penalty
def test_mistake_gradient_reaches_the_generator(penalty: InputGradientPenalty):
    generator = nn.Linear(2, 5).double()
    critic, real = smooth_critic((5,)), batches((5,))[0].requires_grad_()
    fake = generator(torch.randn(6, 2, generator=seeded(), dtype=torch.float64))
    penalty.penalty(critic, real, fake, rng=seeded()).backward()
    assert generator.weight.grad is None
    assert generator.bias.grad is None
    assert real.grad is None
    assert critic[1].weight.grad.any()


@every_penalty
def test_a_penalty_can_be_measured_without_gradients_enabled(penalty: InputGradientPenalty):
    critic, (real, fake) = smooth_critic((5,)), batches((5,))
    with torch.no_grad():
        measured = penalty.penalty(critic, real, fake, rng=seeded())
    assert measured.item() == penalty.penalty(critic, real, fake, rng=seeded()).item()


@every_penalty
@every_shape
def test_mistake_labels_are_not_passed_on(penalty: InputGradientPenalty, shape: tuple[int, ...]):
    real, fake = (batch.float() for batch in batches(shape, n=4))
    labels = torch.tensor([0, 1, 2, 2])
    slopes = torch.tensor([0.0, 1.0, 3.0, 3.0]) * sqrt(prod(shape))
    expected = penalty.cost(slopes.unsqueeze(1))  # one row a sample, its norm the slope
    value = penalty.penalty(Conditional(), real, fake, labels, seeded())
    assert value.item() == pytest.approx(expected.item(), rel=1e-5)


def test_mistake_three_channels_or_four_dimensions_hard_coded():
    for shape in [(1,), (7,), (2, 3), (1, 4, 4), (5, 2, 7), (2, 3, 2, 2), (1, 2, 1, 2, 2)]:
        real, fake = batches(shape)
        weights = torch.full((prod(shape),), 2.0, dtype=torch.float64)
        value = GradientPenalty().penalty(linear_critic(weights), real, fake, rng=seeded())
        assert value.item() == pytest.approx(10 * (2 * sqrt(prod(shape)) - 1) ** 2), shape


# ---------------------------------------------------------------------------------- the hooks of each


@dataclass(frozen=True)
class LogitPenalty(Constraint):
    """The ten lines that the docstring of Constraint promises to be enough."""

    weight: float = 1e-3

    def penalty(self, critic, real, fake, labels=None, rng=None):
        return self.weight * score(critic, real, labels).square().mean()


@dataclass(frozen=True)
class Shift(Constraint):
    """Adds to every weight."""

    by: float

    @torch.no_grad()
    def project(self, critic: nn.Module) -> None:
        for parameter in critic.parameters():
            parameter.add_(self.by)


@dataclass(frozen=True)
class Scale(Constraint):
    """Multiplies every weight, and the score of a critic it wraps."""

    by: float

    def wrap(self, critic: nn.Module) -> nn.Module:
        outer = nn.Linear(1, 1, bias=False)
        nn.init.constant_(outer.weight, self.by)
        return nn.Sequential(critic, outer)

    @torch.no_grad()
    def project(self, critic: nn.Module) -> None:
        for parameter in critic.parameters():
            parameter.mul_(self.by)


def test_a_constraint_of_the_users_own_is_a_first_class_one():
    critic, (real, fake) = smooth_critic((5,)), batches((5,))
    mine = LogitPenalty(weight=0.5)
    alone = 0.5 * critic(real).square().mean()
    assert mine.penalty(critic, real, fake).item() == pytest.approx(alone.item())
    chained = Chain(mine, R2()).penalty(critic, real, fake).item()
    assert chained == pytest.approx(alone.item() + R2().penalty(critic, real, fake).item())
    assert mine.wrap(critic) is critic


def test_a_chain_adds_penalties_that_draw_from_one_stream():
    critic, (real, fake) = smooth_critic((5,)), batches((5,))
    rng = seeded()
    parts = [GradientPenalty(), DRAGAN(), GradientPenalty()]
    each = [part.penalty(critic, real, fake, rng=rng) for part in parts]
    assert each[0] != each[2]
    assert Chain(*parts).penalty(critic, real, fake, rng=seeded()).item() == pytest.approx(sum(each).item())


def test_a_chain_passes_labels_on():
    labels = torch.tensor([2, 2, 2])
    real, fake = torch.zeros(2, 3, 1)
    assert Chain(R1(), R2()).penalty(Conditional(), real, fake, labels).item() == pytest.approx(9.0)


def test_a_chain_projects_in_order():
    def projected(constraint: Constraint) -> float:
        critic = linear_critic(torch.ones(1))
        constraint.project(critic)
        return critic[1].weight.item()

    assert projected(Chain(Shift(1), Scale(2))) == 4
    assert projected(Chain(Scale(2), Shift(1))) == 3
    assert projected(Chain(Chain(Shift(1), Scale(2)), Shift(1))) == 5


def test_a_chain_wraps_in_order():
    critic = Chain(Scale(2), Scale(3)).wrap(linear_critic(torch.ones(1)))
    assert [critic[0][1].weight.item(), critic[1].weight.item()] == [2, 3]


def test_an_empty_chain_is_no_constraint():
    critic, (real, fake) = smooth_critic((5,)), batches((5,))
    before = copy.deepcopy(critic.state_dict())
    assert Chain().wrap(critic) is critic
    assert Chain().penalty(critic, real, fake).item() == 0
    Chain().project(critic)
    assert all(torch.equal(value, before[key]) for key, value in critic.state_dict().items())
    assert Chain() == Chain()


@pytest.mark.parametrize("c", [0.01, 0.3, 1.0])
def test_weight_clipping(c: float):
    critic = smooth_critic((3, 8, 8))
    before = copy.deepcopy(critic.state_dict())
    parameters = list(critic.parameters())
    WeightClipping(c).project(critic)
    once = copy.deepcopy(critic.state_dict())
    WeightClipping(c).project(critic)
    for key, weights in critic.state_dict().items():
        inside = before[key].abs() <= c
        assert weights.abs().max() <= c
        assert torch.equal(weights[inside], before[key][inside])
        assert torch.equal(weights[~inside], c * before[key][~inside].sign())
        assert torch.equal(weights, once[key])
    assert any((before[key].abs() > c).any() for key in before)
    assert all(a is b and b.requires_grad for a, b in zip(parameters, critic.parameters(), strict=True))


def spectral_critic(seed: int = 2) -> nn.Module:
    layers = [
        nn.Conv2d(3, 4, 3),
        nn.Softplus(),
        nn.Flatten(),
        nn.Linear(144, 6),
        nn.Softplus(),
        nn.Linear(6, 1),
    ]
    return SpectralNormalisation().wrap(redraw(nn.Sequential(*layers).double(), seed))


def test_spectral_normalisation_brings_the_largest_singular_value_to_one():
    critic, (real, _) = spectral_critic(), batches((3, 8, 8))
    originals = [critic[i].parametrizations.weight.original for i in (0, 3, 5)]
    assert all((weight.flatten(1).svd().S[0] - 1).abs() > 0.1 for weight in originals)
    for _ in range(100):
        score(critic, real)
    for layer in (critic[0], critic[3], critic[5]):
        assert layer.weight.flatten(1).svd().S[0].item() == pytest.approx(1, abs=1e-3)


def test_more_iterations_a_pass_estimate_better():
    def error(iterations: int) -> float:
        torch.manual_seed(0)
        layer = nn.Linear(40, 40, bias=False)
        with torch.no_grad():  # a small spectral gap, where the power iteration is slow
            layer.weight.copy_(torch.diag(torch.linspace(0.99, 1, 40)))
        SpectralNormalisation(iterations).wrap(layer)(torch.zeros(1, 40))
        return abs(layer.eval().weight.svd().S[0].item() - 1)

    assert error(200) < error(1)


def test_spectral_normalisation_survives_its_state_dict():
    trained, fresh = spectral_critic(seed=2), spectral_critic(seed=3)
    real, _ = batches((3, 8, 8))
    score(trained, real)
    fresh.load_state_dict(trained.state_dict())
    assert torch.equal(score(fresh.eval(), real), score(trained.eval(), real))


def test_spectral_normalisation_goes_with_a_gradient_penalty():
    both = Chain(SpectralNormalisation(), GradientPenalty())
    critic, (real, fake) = both.wrap(smooth_critic((3, 8, 8))), batches((3, 8, 8))
    value = both.penalty(critic, real, fake, rng=seeded())
    value.backward()
    assert value > 0
    assert critic[1].parametrizations.weight.original.grad.any()


def test_spectral_normalisation_refuses_what_it_cannot_divide():
    with pytest.raises(InputError, match="no dense or convolutional layer"):
        SpectralNormalisation().wrap(nn.Flatten())
    critic = smooth_critic((5,))
    nn.init.zeros_(critic[5].weight)
    with pytest.raises(InputError, match=r"Linear at `5`.*zero"):
        SpectralNormalisation().wrap(critic)


POSITIVE = [
    (WeightClipping, "c"),
    (GradientPenalty, "weight"),
    (LipschitzPenalty, "weight"),
    (MaxGradientPenalty, "weight"),
    (DRAGAN, "weight"),
    (DRAGAN, "noise"),
    (R1, "gamma"),
    (R2, "gamma"),
    (R1R2, "gamma"),
    (SpectralNormalisation, "iterations"),
    (Orthogonal, "iterations"),
]
NOT_NEGATIVE = [(GradientPenalty, "target"), (LipschitzPenalty, "target"), (DRAGAN, "target")]
NAMED = [(Orthogonal, "sort")]


@pytest.mark.parametrize(
    ("constraint", "setting", "value"),
    [
        *[(*case, value) for case in POSITIVE for value in (0, -1, nan, inf, -inf, "1", None)],
        *[(*case, value) for case in NOT_NEGATIVE for value in (-0.1, nan, inf, "1", None)],
        *[(*case, value) for case in NAMED for value in ("", "some", 2, None)],
        (SpectralNormalisation, "iterations", 1.5),
        (Orthogonal, "iterations", 1.5),
    ],
)
def test_settings_that_cannot_work_are_refused(constraint: type[Constraint], setting: str, value: object):
    with pytest.raises(InputError, match=rf"^{constraint.__name__} .*{setting}.*{value!r}"):
        constraint(**{setting: value})


def test_every_setting_is_in_the_table_of_refusals():
    settings = {(c, field.name) for c in CONSTRAINTS.values() if c is not Chain for field in fields(c)}
    assert settings == {*POSITIVE, *NOT_NEGATIVE, *NAMED}


@pytest.mark.parametrize("stranger", [3, None, R1, (R1(),)])
def test_a_chain_of_anything_else_is_refused(stranger: object):
    with pytest.raises(InputError, match=r"^Chain "):
        Chain(R1(), stranger)


# ---------------------------------------------------------------------------------- scores


@pytest.mark.parametrize("layout", [(-1,), (-1, 1), (-1, 1, 1, 1)])
def test_scores_are_a_vector(layout: tuple[int, ...]):
    critic = nn.Sequential(nn.Linear(5, 1), nn.Unflatten(1, layout[1:] or (1,)))
    critic = nn.Sequential(*critic, nn.Flatten(0)) if layout == (-1,) else critic
    samples = torch.randn(4, 5, generator=seeded())
    assert critic(samples).dim() == len(layout)
    assert torch.equal(score(critic, samples), critic(samples).flatten())
    assert score(critic, samples[:1]).shape == (1,)


@pytest.mark.parametrize("layer", [nn.Linear(5, 2), nn.Flatten(0), nn.Identity()], ids=str)
def test_a_critic_with_another_number_of_scores_is_refused(layer: nn.Module):
    with pytest.raises(InputError, match="4 samples; it must return one score a sample"):
        score(layer, torch.zeros(4, 5))


def test_scores_have_full_precision_under_autocast_and_in_float64():
    critic = Normalised(nn.Identity())
    samples = batches((3, 8, 8))[0]
    with torch.autocast("cpu", torch.bfloat16):
        assert score(critic, samples.float()).dtype == torch.float32
    assert score(critic.double(), samples).dtype == torch.float64


def test_mistake_real_and_fake_normalised_together():
    critic = Normalised(nn.BatchNorm2d(4)).double()
    real, fake = batches((3, 8, 8))
    assert mixes_samples(critic)
    real_scores, fake_scores = score_pair(critic, real, fake)
    together = score(critic, torch.cat([real, fake]))
    assert torch.equal(real_scores, score(critic, real))
    assert torch.equal(fake_scores, score(critic, fake))
    assert (together[: len(real)] - real_scores).abs().max() > 0.01


@pytest.mark.parametrize("norm_layer", [nn.Identity(), nn.BatchNorm2d(4).eval()], ids=["none", "eval"])
def test_other_critics_score_a_pair_in_one_pass_with_the_same_result(norm_layer: nn.Module):
    passes = []
    critic = Normalised(norm_layer).double()
    critic.register_forward_hook(lambda *_: passes.append(1))
    real, fake = batches((3, 8, 8))
    real_scores, fake_scores = score_pair(critic, real, fake[:4])
    assert len(passes) == 1
    assert not mixes_samples(critic)
    assert torch.allclose(real_scores, score(critic, real))
    assert torch.allclose(fake_scores, score(critic, fake[:4]))


def test_a_pair_is_scored_with_its_labels():
    labels = torch.tensor([0, 1, 2])
    real_scores, fake_scores = score_pair(Conditional(), torch.ones(3, 2), -torch.ones(3, 2), labels)
    assert real_scores.tolist() == [0, 2, 6]
    assert fake_scores.tolist() == [0, -2, -6]


def test_a_pair_of_different_shapes_is_refused():
    with pytest.raises(InputError, match=r"\(3, 8, 8\).*\(3, 4, 4\).*generator"):
        score_pair(Normalised(nn.Identity()), torch.zeros(2, 3, 8, 8), torch.zeros(2, 3, 4, 4))
