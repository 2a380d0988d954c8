"""In bfloat16 networks compute less exactly; the penalty, and all that is kept, does not."""

import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from small_runs import DIGITS, Hook, assert_same_run, last, trainer, tree
from torch import Tensor, nn

from wgan.lipschitz import GradientPenalty
from wgan.losses import LOSSES, Loss
from wgan.networks import DCGANCritic, DCGANGenerator, MLPCritic
from wgan.training import ChangedSettingsError, LoggingIntervals, Trainer, recipe
from wgan.training.objective import Batch, Numbers, Objective
from wgan.training.state import State
from wgan.training.step import critic_step, generator_step

NOTHING = Loss("nothing", critic=lambda real, fake: 0 * (real + fake).mean(), generator=lambda real, fake: 0)
"""A critic with this loss has its penalty alone to learn from."""


def step_of_the_critic(loss: Loss, constraint: GradientPenalty, precision) -> tuple[Numbers, Tensor]:
    """The terms of a critic step, and the weights after it; fakes are exact in both precisions."""
    torch.manual_seed(0)
    critic, fakes = DCGANCritic(DIGITS.shape, width=8), Exact()
    rng = torch.Generator().manual_seed(1)
    terms = critic_step(
        State(fakes, critic, None, torch.optim.SGD(critic.parameters(), lr=1.0)),
        Objective(loss, constraint, precision=precision),
        Batch(DIGITS.train.batch(torch.arange(32))),
        torch.randn(32, 4, generator=rng),
        rng,
    )
    return terms, torch.cat([weight.detach().flatten() for weight in critic.parameters()])


class Exact(nn.Module):
    """Makes of latents what no precision rounds."""

    def forward(self, latents: Tensor) -> Tensor:
        return latents.mean(1).sign()[:, None, None, None].expand(-1, *DIGITS.shape) * 0.5


def test_the_penalty_and_what_is_learnt_from_it_are_those_of_float32():
    terms, moved = step_of_the_critic(NOTHING, GradientPenalty(), "bfloat16")
    exact, there = step_of_the_critic(NOTHING, GradientPenalty(), "float32")
    assert exact["penalty"] > 0.1
    assert torch.equal(terms["penalty"], exact["penalty"])
    assert torch.equal(moved, there)


def test_scores_and_their_gradients_are_in_bfloat16():
    """As near as its eight bits: nearer would be float32, farther a mistake."""
    still = GradientPenalty(1e-9)
    start = step_of_the_critic(NOTHING, still, "float32")[1]
    terms, moved = step_of_the_critic(LOSSES["wasserstein"], still, "bfloat16")
    exact, there = step_of_the_critic(LOSSES["wasserstein"], still, "float32")
    assert terms["critic_loss"].dtype == torch.float32
    assert 1e-6 < abs(terms["critic_loss"] - exact["critic_loss"]) < 0.02
    off = torch.linalg.vector_norm(moved - there) / torch.linalg.vector_norm(there - start)
    assert 1e-4 < off < 0.03


def test_a_generator_learns_in_bfloat16():
    found = []
    for precision in ("bfloat16", "float32"):
        torch.manual_seed(0)
        maker, critic = DCGANGenerator(DIGITS.shape, latent_dim=4, width=8), MLPCritic(DIGITS.shape)
        before = torch.cat([weight.detach().flatten() for weight in maker.parameters()])
        generator_step(
            State(maker, critic, torch.optim.SGD(maker.parameters(), lr=1.0), None),
            Objective(LOSSES["wasserstein"], precision=precision),
            torch.randn(64, 4, generator=torch.Generator().manual_seed(1)),
        )
        found.append(torch.cat([weight.detach().flatten() for weight in maker.parameters()]) - before)
    off = torch.linalg.vector_norm(found[0] - found[1]) / torch.linalg.vector_norm(found[1])
    assert 1e-4 < off < 0.1


def test_images_are_of_float32_and_nothing_is_kept_in_less(tmp_path: Path):
    shared = {"logging": LoggingIntervals(metrics=10, images=5, checkpoint=1000)}
    for precision in ("bfloat16", "float32"):
        trainer(precision=precision, **shared).fit(tmp_path / precision, 12)
    kept = last(tmp_path / "bfloat16").tensors
    assert torch.bfloat16 not in {tensor.dtype for group in kept.values() for tensor in group.values()}
    less, full = (tree(tmp_path / precision / "samples") for precision in ("bfloat16", "float32"))
    assert less[min(less)] == full[min(full)]  # of the same weights
    assert less != full  # of those that learned in another precision


@pytest.mark.slow
def test_a_run_in_bfloat16_goes_on_bit_for_bit_and_is_another_run(tmp_path: Path):
    shared = {"precision": "bfloat16", "logging": LoggingIntervals(metrics=10, images=5, checkpoint=1000)}
    interrupt = Hook(lambda step: signal.raise_signal(signal.SIGINT) if step == 10 else None)
    trainer(**shared).fit(tmp_path / "straight", 22)
    with pytest.raises(KeyboardInterrupt):
        trainer(**shared, monitors=[interrupt]).fit(tmp_path / "resumed", 22)
    with pytest.raises(ChangedSettingsError, match="precision 'bfloat16' -> 'float32'"):
        trainer(**{**shared, "precision": "float32"}).fit(tmp_path / "resumed", 22)
    trainer(**shared).fit(tmp_path / "resumed", 22)
    assert_same_run(tmp_path / "resumed", tmp_path / "straight")


@pytest.mark.parametrize("name", ["default", "dcgan-orthogonal", "sngan", "conditional-gp", "sagan"])
def test_recipes_learn_in_bfloat16(name: str):
    """Every kind of constraint, of network and of loss: a few steps are those of float32 but for rounding."""
    found = []
    for precision in ("bfloat16", "float32"):
        settings = replace(recipe(name, DIGITS.shape), precision=precision, batch_size=16)
        made = Trainer(DIGITS, settings=settings, device="cpu")
        state = made.state()
        made.advance(state, 100)
        found.append({key: float(value) for key, value in state.means().items()})
    for key in ("critic_loss", "generator_loss"):
        assert found[0][key] == pytest.approx(found[1][key], rel=0.02, abs=0.002)
        assert found[0][key] != found[1][key]
