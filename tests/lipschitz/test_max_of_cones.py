"""The extremum of many networks: as steep as the steepest of them, and certified."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wgan.certificates import certify
from wgan.errors import InputError
from wgan.lipschitz import Orthogonal
from wgan.lipschitz.max_of_cones import MaxOfConesCritic, MemberLinear


def critic_of(seed, *, scale=1.0, **arguments):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        critic = MaxOfConesCritic(3, members=5, hidden=(8,), **arguments)
        for weight in critic.parameters():
            weight.data.mul_(scale)
    return critic


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    minimum=st.booleans(),
    temperature=st.floats(1e-3, 10),
    scale=st.floats(1e-3, 1e3),
)
def test_no_slope_is_above_the_certificate_and_that_is_at_most_one(seed, minimum, temperature, scale):
    critic = critic_of(seed, scale=scale, minimum=minimum)
    critic.temperature = temperature
    bound = certify(critic).bound
    assert bound is not None
    assert bound <= 1 + 1e-6
    x = torch.randn(64, 3, generator=torch.Generator().manual_seed(seed % 2**31)).requires_grad_()
    (slopes,) = torch.autograd.grad(critic(x).sum(), x)
    assert slopes.norm(dim=1).max() <= bound * (1 + 1e-4)


def test_it_lies_between_the_extremum_and_what_the_temperature_adds():
    for minimum in (False, True):
        critic = critic_of(0, minimum=minimum)
        x = torch.randn(100, 3)
        alone = critic.layers(x.expand(5, 100, 3)).squeeze(-1)
        best = alone.amin(0) if minimum else alone.amax(0)
        off = (critic(x) - best) * (-1 if minimum else 1)
        assert (off >= -1e-5).all()
        assert (off <= critic.temperature * torch.tensor(5.0).log() + 1e-5).all()


def test_wide_members_have_slope_one_where_few_compete():
    critic = critic_of(1)
    critic.temperature = 1e-4
    x = torch.randn(500, 3).requires_grad_()
    (slopes,) = torch.autograd.grad(critic(x).sum(), x)
    assert slopes.norm(dim=1).max() > 0.9


def test_projection_makes_members_orthonormal_and_keeps_the_scores():
    critic, x = critic_of(2), torch.randn(20, 3)
    with torch.no_grad():
        for weight in critic.parameters():
            weight += 0.02 * torch.randn_like(weight)
        Orthogonal().project(critic)
        before = critic(x)
        Orthogonal().project(critic)
    assert torch.allclose(critic(x), before, atol=1e-5)
    for part in critic.modules():
        if isinstance(part, MemberLinear):
            wide = part.weight if part.weight.shape[-2] <= part.weight.shape[-1] else part.weight.mT
            assert torch.allclose(wide @ wide.mT, torch.eye(wide.shape[-2]).expand(5, -1, -1), atol=1e-4)


def test_the_maximum_of_many_is_not_paid_for_by_their_number():
    """Layer by layer in L2, five members side by side would be of norm sqrt 5."""
    assert certify(critic_of(3)).bound == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan")])
def test_a_temperature_that_is_none_has_no_certificate(temperature):
    critic = critic_of(4)
    critic.temperature = temperature
    assert certify(critic).bound is None
    assert "temperature" in certify(critic).reason


@pytest.mark.parametrize("sizes", [{"dim": 0}, {"dim": 2, "members": 0}, {"dim": 2, "hidden": (4, 0)}])
def test_sizes_that_are_none_are_refused(sizes):
    with pytest.raises(InputError, match="whole numbers >= 1"):
        MaxOfConesCritic(**sizes)


@pytest.mark.parametrize("minimum", [False, True])
@pytest.mark.parametrize(("dim", "hidden"), [(1, (8,)), (2, (16,)), (2, (64,)), (32, (64,)), (32, (64, 64))])
def test_members_that_begin_at_points_are_cones_there(dim, hidden, minimum):
    torch.manual_seed(dim)
    critic = MaxOfConesCritic(dim, members=3, hidden=hidden, minimum=minimum)
    apexes, x = 3 * torch.randn(3, dim), 3 * torch.randn(500, dim)
    critic.initialise_cones(apexes)
    critic.temperature = 1e-3
    with torch.no_grad():
        away, scores = torch.cdist(x, apexes).amin(1), critic(x)
    # Never more than the distance, which is the bound, and not much less whatever the direction.
    assert (scores.abs() <= away + 0.01).all()
    assert (scores if minimum else -scores).mean() > 0.85 * away.mean()
    assert torch.corrcoef(torch.stack([scores, away]))[0, 1].abs() > 0.98


@pytest.mark.parametrize(
    ("arguments", "apexes"),
    [({}, (4, 3)), ({}, (5, 2)), ({"hidden": ()}, (5, 3)), ({"hidden": (1,)}, (5, 3))],
)
def test_members_begin_at_as_many_points_and_with_something_to_sort(arguments, apexes):
    critic = MaxOfConesCritic(3, **{"members": 5, "hidden": (8,)} | arguments)
    with pytest.raises(InputError, match="members need as many apexes"):
        critic.initialise_cones(torch.zeros(apexes))
