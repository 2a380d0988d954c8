"""Steepest descent in the spectral norm: it stays orthonormal and ends where a linear loss has its least."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wgan.lipschitz.spectral_descent import SpectralDescent

SHAPES = [(3, 3), (3, 5), (5, 3), (4, 2, 3)]


def orthonormal(shape, seed):
    rng = torch.Generator().manual_seed(seed)
    left, _, right = torch.linalg.svd(torch.randn(shape, generator=rng), full_matrices=False)
    return torch.nn.Parameter(left @ right)


def gram(weight):
    wide = weight if weight.shape[-2] <= weight.shape[-1] else weight.mT
    return wide @ wide.mT


@settings(max_examples=50, deadline=None)
@given(shape=st.sampled_from(SHAPES), seed=st.integers(0, 2**31), scale=st.floats(1e-6, 1e6))
def test_weights_stay_orthonormal_and_steps_are_of_one_length_whatever_the_gradient(shape, seed, scale):
    weight = orthonormal(shape, seed)
    before = weight.detach().clone()
    optimiser = SpectralDescent([weight], lr=0.1)
    weight.grad = scale * torch.randn(shape, generator=torch.Generator().manual_seed(seed + 1))
    optimiser.step()
    assert torch.allclose(gram(weight), torch.eye(gram(weight).shape[-1]).expand_as(gram(weight)), atol=1e-5)
    moved = torch.linalg.matrix_norm(weight.detach() - before, 2)
    assert (moved < 0.12).all()


@pytest.mark.parametrize("shape", SHAPES)
def test_a_linear_loss_ends_at_its_least_on_the_orthonormal_weights(shape):
    """Which is minus the sum of the singular values of its gradient, small ones included."""
    left, _, right = torch.linalg.svd(torch.randn(shape, generator=torch.Generator().manual_seed(1)), False)
    strengths = torch.tensor([1.0, 0.1, 0.01])[: left.shape[-1]]
    slope = (left * strengths) @ right
    weight = orthonormal(shape, 2)
    optimiser = SpectralDescent([weight], lr=0.2)
    for step in range(200):
        optimiser.param_groups[0]["lr"] = 0.2 * (1 - step / 200)
        optimiser.zero_grad()
        (weight * slope).sum().backward()
        optimiser.step()
    least = -strengths.sum() * (shape[0] if len(shape) == 3 else 1)
    # Square matrices of the wrong determinant cannot be turned into the best one, only near it.
    assert (weight * slope).sum() <= 0.97 * least


def test_weights_without_a_gradient_stay():
    weight = orthonormal((2, 3), 0)
    before = weight.detach().clone()
    SpectralDescent([weight]).step()
    assert torch.equal(weight.detach(), before)


def test_a_state_goes_on_where_it_was():
    weights = [orthonormal((3, 3), 4) for _ in range(2)]
    grads = [torch.randn(3, 3, generator=torch.Generator().manual_seed(seed)) for seed in range(4)]
    first, second = (SpectralDescent([weight]) for weight in weights)
    for weight, optimiser in zip(weights, (first, second), strict=True):
        for grad in grads[:2]:
            weight.grad = grad
            optimiser.step()
    third = SpectralDescent([weights[1]])
    third.load_state_dict(second.state_dict())
    for weight, optimiser in zip(weights, (first, third), strict=True):
        for grad in grads[2:]:
            weight.grad = grad
            optimiser.step()
    assert torch.equal(weights[0], weights[1])
