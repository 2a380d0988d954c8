"""Convolutions are stored as it is quickest, which changes neither files nor, but for rounding, results."""

from pathlib import Path

import pytest
import torch
from small_runs import DIGITS, assert_same_run, last, trainer
from torch import nn

from wgan.networks import DCGANCritic, DCGANGenerator
from wgan.training import Adam, RMSprop
from wgan.training.state import use_channels_last


def convolutional(optimiser):
    """A trainer of convolutions."""
    torch.manual_seed(0)
    return trainer(
        generator=DCGANGenerator(DIGITS.shape, latent_dim=4, width=4),
        critic=DCGANCritic(DIGITS.shape, width=4),
        generator_optimiser=optimiser,
        critic_optimiser=optimiser,
    )


@pytest.mark.slow
@pytest.mark.parametrize("optimiser", [Adam(1e-3, (0.5, 0.9)), RMSprop(1e-3)])
def test_a_run_of_convolutions_goes_on_bit_for_bit(tmp_path: Path, optimiser):
    convolutional(optimiser).fit(tmp_path / "straight", 12)
    convolutional(optimiser).fit(tmp_path / "resumed", 5)
    convolutional(optimiser).fit(tmp_path / "resumed", 12)
    assert_same_run(tmp_path / "resumed", tmp_path / "straight", images=False)


@pytest.mark.slow
def test_weights_moments_and_averages_share_a_layout(tmp_path: Path):
    made = convolutional(Adam())
    made.fit(tmp_path, 3)
    state = convolutional(Adam()).state()
    state.restore(3, last(tmp_path).tensors)
    weight = state.critic.layers[2].parametrizations.weight.original
    moments = state.critic_optimiser.state[weight]
    for tensor in (weight, moments["exp_avg"], moments["exp_avg_sq"]):
        assert tensor.is_contiguous(memory_format=torch.channels_last)
    for one, other in zip(state.average.parameters(), state.generator.parameters(), strict=True):
        assert one.stride() == other.stride()


def test_gradients_lie_like_their_weights():
    critic = DCGANCritic((1, 12, 12), width=4)
    use_channels_last(critic)
    critic(torch.randn(3, 1, 12, 12)).sum().backward()
    for weight in critic.parameters():
        assert weight.grad.stride() == weight.stride()


def test_only_kernels_of_convolutions_are_use_channels_last():
    network = nn.Sequential(nn.Conv2d(2, 3, 3), nn.ConvTranspose2d(3, 2, 3))
    network.register_parameter("own", nn.Parameter(torch.randn(1, 3, 4, 5)))
    use_channels_last(network)
    network.own.view(-1)  # which a network may do with what it calls its own
    for weight in (network[0].weight, network[1].weight):
        assert weight.is_contiguous(memory_format=torch.channels_last)


def test_a_layout_is_no_other_network():
    torch.manual_seed(0)
    critic = DCGANCritic((2, 12, 12), width=4).double()
    samples = torch.randn(3, 2, 12, 12, dtype=torch.float64)
    before = critic(samples)
    use_channels_last(critic)
    torch.testing.assert_close(critic(samples), before, rtol=1e-12, atol=1e-12)
