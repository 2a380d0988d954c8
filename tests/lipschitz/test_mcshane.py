"""1-Lipschitz functions with given values at given points, and the potentials of a transport as such."""

import math

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from wgan.certificates import certify
from wgan.errors import InputError
from wgan.lipschitz.mcshane import McShaneExtension
from wgan.losses import gap
from wgan.wasserstein.auditing import FitSettings, NetworkCandidate, TransportCandidate, audit, fit_critic
from wgan.wasserstein.exact import wasserstein1


def drawn(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@settings(max_examples=100, deadline=None)
@example(seed=34402, dim=1, minimum=True, far=985.9921875)
@given(seed=st.integers(0, 2**31), dim=st.integers(1, 200), minimum=st.booleans(), far=st.floats(0, 1e3))
def test_no_two_scores_are_further_apart_than_their_samples(seed, dim, minimum, far):
    critic = McShaneExtension(drawn(seed, 20, dim) + far, 5 * drawn(seed + 1, 20), minimum=minimum)
    assert certify(critic).bound == pytest.approx(1, abs=1e-9)
    x = drawn(seed + 2, 30, dim).double() + far
    y = x + 1e-3 * drawn(seed + 3, 30, dim)
    assert ((critic(x) - critic(y)).abs() <= (x - y).norm(dim=1) * (1 + 1e-4)).all()


@pytest.mark.parametrize("minimum", [False, True])
def test_values_that_a_function_of_slope_one_has_are_kept_and_others_are_bounded_from_one_side(minimum):
    points, x = drawn(0, 50, 3).double(), drawn(1, 200, 3).double()
    truth = points.norm(dim=1)
    kept = McShaneExtension(points, truth, minimum=minimum)
    assert torch.allclose(kept(points), truth, atol=1e-6)
    off = kept(x) - x.norm(dim=1)  # the smallest of such functions, or the largest
    assert (off >= -1e-9).all() if minimum else (off <= 1e-9).all()
    steep = McShaneExtension(points, 10 * truth, minimum=minimum)
    off = steep(points) - 10 * truth
    assert (off <= 1e-6).all() if minimum else (off >= -1e-6).all()


@pytest.mark.parametrize("dim", [1, 2, 10])
def test_extended_potentials_find_the_exact_distance_of_the_samples_they_come_from(dim):
    p, q = drawn(0, 100, dim), drawn(1, 80, dim) + 1
    for critic in TransportCandidate().build(p, q):
        assert gap(critic(p), critic(q)).item() == pytest.approx(wasserstein1(p, q).value, rel=1e-5)


@pytest.mark.slow
def test_an_audit_in_the_plane_is_near_the_truth_on_samples_that_it_never_saw():
    """From the origin to a circle of radius two and a bit of noise: a cone, which no few networks make."""
    rng = np.random.default_rng(0)
    angle = rng.uniform(0, 2 * math.pi, 2000)
    circle = 2 * np.stack([np.cos(angle), np.sin(angle)], 1)
    found = audit(circle, rng.normal(size=(2000, 2)) / 100, fit=FitSettings(steps=20))
    assert found.critic == "potentials"
    truth = 2 - math.sqrt(math.pi / 2) / 100
    assert found.lower <= truth <= found.upper
    assert found.lower > 0.97 * truth


def test_an_audit_in_many_dimensions_takes_a_network():
    rng = np.random.default_rng(0)
    p, q = rng.normal(size=(500, 64)) + 0.25, rng.normal(size=(500, 64))
    assert (
        audit(p, q, fit=FitSettings(candidates=(NetworkCandidate(0), TransportCandidate()), steps=60)).critic
        == "network"
    )


def test_potentials_alone_need_no_steps_and_honour_the_minutes():
    p, q = drawn(0, 200, 2), drawn(1, 200, 2) + 3
    fit = FitSettings(candidates=(TransportCandidate(),))
    assert audit(p, q, fit=fit, minutes=0.001) == audit(p, q, fit=fit)


def test_a_batch_smaller_than_the_samples_is_enough():
    p, q = drawn(0, 300, 2) + 3, drawn(1, 300, 2)
    critic = fit_critic(
        lambda rng, count: (p[:50], q[:50]), 2, fit=FitSettings(candidates=(TransportCandidate(),))
    )
    assert len(critic.points) == 50
    assert gap(critic(p), critic(q)).item() > 0.9 * wasserstein1(p, q).value


@pytest.mark.parametrize(("points", "values"), [((0, 2), (0,)), ((3, 2), (2,)), ((3,), (3,))])
def test_points_and_values_that_do_not_fit_are_refused(points, values):
    with pytest.raises(InputError, match="needs points"):
        McShaneExtension(torch.zeros(points), torch.zeros(values))


def test_values_that_are_no_numbers_have_no_certificate():
    assert certify(McShaneExtension(torch.zeros(2, 2), torch.tensor([0.0, math.nan]))).bound is None
