"""Every loss of LOSSES against its closed form, and the properties that the papers promise."""

import math
from collections.abc import Callable
from dataclasses import FrozenInstanceError

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from wgan.errors import InputError
from wgan.losses import LOSSES, ClassificationWeights, gap

Scores = list[float]


def softplus(score: float) -> float:
    return math.log1p(math.exp(score))


def hinge(score: float) -> float:
    return max(0.0, 1 - score)


def mean(values: Scores) -> float:
    return math.fsum(values) / len(values)


def cross_entropy(real: Scores, fake: Scores) -> float:
    return mean([softplus(-s) for s in real]) + mean([softplus(s) for s in fake])


ClosedForm = Callable[[Scores, Scores], float]

# name: the critic's loss, the generator's loss, whether the generator's looks at the real scores
CLOSED_FORMS: dict[str, tuple[ClosedForm, ClosedForm, bool]] = {
    "wasserstein": (lambda r, f: mean(f) - mean(r), lambda r, f: -mean(f), False),
    "minimax": (cross_entropy, lambda r, f: -mean([softplus(s) for s in f]), False),
    "non-saturating": (cross_entropy, lambda r, f: mean([softplus(-s) for s in f]), False),
    "hinge": (
        lambda r, f: mean([hinge(s) for s in r]) + mean([hinge(-s) for s in f]),
        lambda r, f: -mean(f),
        False,
    ),
    "relativistic": (
        lambda r, f: mean([softplus(b - a) for a, b in zip(r, f, strict=True)]),
        lambda r, f: mean([softplus(a - b) for a, b in zip(r, f, strict=True)]),
        True,
    ),
}

every_loss = pytest.mark.parametrize("name", LOSSES)
scores = st.lists(st.floats(-20, 20), min_size=1, max_size=6)
pairs = st.integers(1, 6).flatmap(
    lambda n: st.tuples(*[st.lists(st.floats(-20, 20), min_size=n, max_size=n)] * 2)
)


def vector(values: Scores) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def test_the_table_holds_every_loss():
    assert set(CLOSED_FORMS) == set(LOSSES)
    assert all(loss.name == name for name, loss in LOSSES.items())


@pytest.mark.slow
@every_loss
@given(pair=pairs)
def test_closed_form(name: str, pair: tuple[Scores, Scores]):
    critic, generator, _ = CLOSED_FORMS[name]
    real, fake = pair
    r, f = vector(real), vector(fake)
    # torch's softplus is linear above 20, wrong by e^-20 = 2e-9 at most.
    assert LOSSES[name].critic(r, f).item() == pytest.approx(critic(real, fake), abs=1e-8)
    assert LOSSES[name].generator(r, f).item() == pytest.approx(generator(real, fake), abs=1e-8)


@every_loss
def test_a_loss_is_a_float32_scalar_of_float32_scores_and_frozen(name: str):
    loss = LOSSES[name]
    real, fake = torch.tensor([0.5, -1.0, 2.0]), torch.tensor([-0.3, 1.2, 0.1])
    for value in (loss.critic(real, fake), loss.generator(real, fake)):
        assert value.shape == ()
        assert value.dtype == torch.float32
    with pytest.raises(FrozenInstanceError):
        loss.paired = True


def test_gap_is_the_difference_of_means_even_of_batches_of_different_sizes():
    assert gap(torch.tensor([1.0, 2.0, 6.0]), torch.tensor([0.5, -0.5])).item() == 3.0


@given(real=scores, fake=scores, shift=st.floats(-100, 100))
def test_gap_is_antisymmetric_and_blind_to_a_constant(real: Scores, fake: Scores, shift: float):
    value = gap(vector(real), vector(fake)).item()
    assert gap(vector(fake), vector(real)).item() == -value
    assert gap(vector(real) + shift, vector(fake) + shift).item() == pytest.approx(value, abs=1e-10)


@given(real=scores, fake=scores)
def test_the_wasserstein_critic_minimises_the_negative_gap(real: Scores, fake: Scores):
    assert LOSSES["wasserstein"].critic(vector(real), vector(fake)) == -gap(vector(real), vector(fake))


@pytest.mark.parametrize("name", ["minimax", "non-saturating", "hinge", "wasserstein"])
@given(real=scores, fake=scores)
def test_swapping_the_classes_and_the_sign_changes_nothing(name: str, real: Scores, fake: Scores):
    critic = LOSSES[name].critic
    mirrored = critic(-vector(fake), -vector(real)).item()
    assert mirrored == pytest.approx(critic(vector(real), vector(fake)).item(), abs=1e-12)


@given(pair=pairs, shift=st.floats(-100, 100))
def test_relativistic_players_swap_roles_and_ignore_a_constant(pair: tuple[Scores, Scores], shift: float):
    real, fake = map(vector, pair)
    loss = LOSSES["relativistic"]
    value = loss.critic(real, fake).item()
    assert loss.generator(fake, real).item() == value
    assert loss.critic(real + shift, fake + shift).item() == pytest.approx(value, abs=1e-8)


@pytest.mark.parametrize("name", ["minimax", "non-saturating"])
@given(real=scores, fake=scores)
def test_the_classic_critic_is_a_classifier(name: str, real: Scores, fake: Scores):
    r, f = vector(real), vector(fake)
    expected = F.binary_cross_entropy_with_logits(r, torch.ones_like(r)) + F.binary_cross_entropy_with_logits(
        f, torch.zeros_like(f)
    )
    assert LOSSES[name].critic(r, f).item() == pytest.approx(expected.item(), abs=1e-12)


@given(fake=scores)
def test_the_classic_generators_fool_the_classifier(fake: Scores):
    f = vector(fake)
    caught = F.binary_cross_entropy_with_logits(f, torch.zeros_like(f))
    believed = F.binary_cross_entropy_with_logits(f, torch.ones_like(f))
    assert LOSSES["minimax"].generator(f, f).item() == pytest.approx(-caught.item(), abs=1e-12)
    assert LOSSES["non-saturating"].generator(f, f).item() == pytest.approx(believed.item(), abs=1e-12)


def test_minimax_saturates_where_its_sibling_does_not():
    def slope(name: str) -> float:
        fake = torch.tensor([-15.0], requires_grad=True)
        (gradient,) = torch.autograd.grad(LOSSES[name].generator(fake.detach(), fake), fake)
        return gradient.item()

    assert -1e-6 < slope("minimax") < 0
    assert slope("non-saturating") == pytest.approx(-1, abs=1e-6)


@every_loss
@given(pair=pairs, rise=st.floats(0.1, 5))
def test_the_generator_gains_when_its_scores_rise(name: str, pair: tuple[Scores, Scores], rise: float):
    real, fake = map(vector, pair)
    generator = LOSSES[name].generator
    assert generator(real, fake + rise) < generator(real, fake)


@every_loss
def test_the_critic_gains_when_it_tells_real_from_fake(name: str):
    real, fake = vector([0.3, -0.2]), vector([0.1, 0.4])
    critic = LOSSES[name].critic
    assert critic(real + 0.1, fake) < critic(real, fake)
    assert critic(real, fake - 0.1) < critic(real, fake)


@every_loss
@pytest.mark.parametrize("size", [1e4, -1e4])
@pytest.mark.parametrize("other", [1e4, -1e4])
@pytest.mark.parametrize("player", ["critic", "generator"])
def test_huge_scores_have_finite_losses_and_gradients(name: str, size: float, other: float, player: str):
    real = torch.tensor([size, size], requires_grad=True)
    fake = torch.tensor([other, 0.0], requires_grad=True)
    value = getattr(LOSSES[name], player)(real, fake)
    gradients = torch.autograd.grad(value, [real, fake], allow_unused=True)
    assert torch.isfinite(value)
    assert all(torch.isfinite(gradient).all() for gradient in gradients if gradient is not None)
    assert gradients[1] is not None


@every_loss
def test_paired_says_whether_the_generator_looks_at_real_scores(name: str):
    real = torch.tensor([0.5, -1.0], requires_grad=True)
    fake = torch.tensor([0.2, 0.3], requires_grad=True)
    loss = LOSSES[name]
    (gradient,) = torch.autograd.grad(loss.generator(real, fake), real, allow_unused=True)
    looks = gradient is not None and bool(gradient.any())
    assert loss.paired is looks is CLOSED_FORMS[name][2]


@pytest.mark.parametrize("network", ["critic", "generator"])
@pytest.mark.parametrize("weight", [-0.1, math.inf, math.nan, "1", None])
def test_weights_that_cannot_be_are_refused_by_name(network, weight):
    with pytest.raises(InputError, match=f"weight for the {network} must be a finite number >= 0"):
        ClassificationWeights(**{network: weight})
