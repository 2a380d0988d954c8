"""The published systems: their numbers as the papers and tutorials give them, and that they learn."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from wgan import data
from wgan.errors import InputError
from wgan.lipschitz import GradientPenalty, Orthogonal, WeightClipping, mixes_samples
from wgan.losses import LOSSES
from wgan.networks import layers
from wgan.runs import RunFolder
from wgan.sampling import Sampler
from wgan.training import RECIPES, Adam, Cadence, RMSprop, recipe
from wgan.training.observe import spread
from wgan.transport import wasserstein1

SMALL, MNIST, CIFAR, VECTORS, LONG_VECTORS = (1, 8, 8), (1, 28, 28), (3, 32, 32), (2,), (7,)
CONVOLUTIONAL = ("dcgan-clip", "dcgan-adam", "dcgan-gp")
ARJOVSKY = RMSprop(lr=5e-5)

PUBLISHED = {
    "dcgan-clip": (WeightClipping(0.01), ARJOVSKY, 5, 64, 50),
    "mlp-clip": (WeightClipping(0.01), ARJOVSKY, 5, 64, 100),
    "dcgan-adam": (GradientPenalty(10.0), Adam(2e-4, (0.5, 0.999)), 5, 64, 128),
    "dcgan-gp": (GradientPenalty(10.0), Adam(1e-4, (0.5, 0.9)), 5, 50, 128),
    "wgan-original": (WeightClipping(0.01), ARJOVSKY, 5, 64, 100),
    "toy-gp": (GradientPenalty(0.1), Adam(1e-4, (0.5, 0.9)), 5, 256, 2),
    "toy-clip": (WeightClipping(0.01), ARJOVSKY, 5, 256, 2),
    "toy-orthogonal": (Orthogonal(), Adam(1e-3, (0.0, 0.9)), 5, 256, 2),
}
"""Constraint, both optimisers, n_critic, batch and latent of all but our own default."""


def shape_of(name):
    return VECTORS if name.startswith("toy") else MNIST


def built(name, shape=None):
    return recipe(name, shape or shape_of(name)).networks.build(shape or shape_of(name))


def widths(network, kind):
    """Inputs of the first and outputs of all layers of a kind."""
    found = [module for module in network.modules() if isinstance(module, kind)]
    if kind is nn.Linear:
        return [found[0].in_features, *(module.out_features for module in found)]
    return [found[0].in_channels, *(module.out_channels for module in found)]


def convolutions(network):
    found = [module for module in network.modules() if isinstance(module, nn.Conv2d | nn.ConvTranspose2d)]
    assert {module.stride for module in found} == {(2, 2)}
    return {module.kernel_size for module in found}


def has(network, kind):
    return any(isinstance(module, kind) for module in network.modules())


# The numbers


def test_every_system_is_there():
    assert list(RECIPES) == ["default", *PUBLISHED]


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_settings_are_the_published_ones(name):
    constraint, optimiser, n_critic, batch_size, latent_dim = PUBLISHED[name]
    made = recipe(name, shape_of(name))
    assert made.constraint == constraint
    assert made.generator_optimiser == optimiser
    assert made.critic_optimiser == optimiser
    assert (made.n_critic, made.batch_size, made.networks.latent_dim) == (n_critic, batch_size, latent_dim)
    assert (made.loss, made.decay, made.penalty_every) == ("wasserstein", "constant", 1)
    assert made.warm_up == (name == "wgan-original")
    assert built(name)[0].latent_dim == latent_dim


def test_dcgan_clip_has_the_tutorials_networks():
    generator, critic = built("dcgan-clip")
    assert widths(critic, nn.Conv2d) == [1, 64, 128]
    assert convolutions(critic) == convolutions(generator) == {(4, 4)}
    assert [type(module) for module in critic.modules() if isinstance(module, nn.BatchNorm2d)]
    for network in (generator, critic):
        for module in network.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
                assert module.weight.std().item() == pytest.approx(0.02, rel=0.2)
                assert not module.bias.any()
            elif isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                assert module.weight.mean().item() == pytest.approx(1, abs=0.02)


def test_mlp_clip_has_the_tutorials_networks():
    generator, critic = built("mlp-clip")
    assert widths(generator, nn.Linear) == [100, 128, 256, 512, 1024, 784]
    assert widths(critic, nn.Linear) == [784, 512, 256, 1]
    assert has(generator, nn.BatchNorm1d)
    assert not mixes_samples(critic)
    slopes = {
        m.negative_slope for n in (generator, critic) for m in n.modules() if isinstance(m, nn.LeakyReLU)
    }
    assert slopes == {0.2}
    assert not has(generator, nn.ReLU)
    assert recipe("mlp-clip", MNIST).cadence.pictures == 400


def test_dcgan_adam_has_the_tutorials_networks_with_tanh():
    generator, critic = built("dcgan-adam")
    assert widths(critic, nn.Conv2d) == [1, 64, 128]
    assert convolutions(critic) == {(5, 5)}
    assert widths(critic, nn.Linear) == [128, 1]
    assert has(critic, nn.AdaptiveMaxPool2d)
    assert isinstance(list(generator.modules())[-1], nn.Tanh)
    assert not has(generator, nn.Sigmoid)
    assert not mixes_samples(critic)


def test_dcgan_gp_has_gulrajanis_networks():
    generator, critic = built("dcgan-gp")
    assert widths(critic, nn.Conv2d) == [1, 64, 128, 256]
    assert widths(generator, nn.ConvTranspose2d) == [256, 128, 64, 1]
    assert convolutions(critic) == convolutions(generator) == {(5, 5)}
    assert not any("Norm" in type(module).__name__ for module in critic.modules())


@pytest.mark.parametrize("name", ["toy-gp", "toy-clip"])
def test_the_toys_have_gulrajanis_networks(name):
    generator, critic = built(name)
    assert widths(generator, nn.Linear) == [2, 512, 512, 512, 2]
    assert widths(critic, nn.Linear) == [2, 512, 512, 512, 1]
    for network in (generator, critic):
        assert [layer.kind for layer in layers(network, torch.zeros(1, 2))] == ["Linear", "ReLU"] * 3 + [
            "Linear"
        ]


@pytest.mark.parametrize("shape", [SMALL, MNIST, CIFAR, VECTORS])
def test_only_critics_without_a_penalty_are_batch_normalised(shape):
    for name in RECIPES:
        if name in CONVOLUTIONAL and shape == VECTORS:
            continue
        if isinstance(recipe(name, shape).constraint, GradientPenalty):
            assert not mixes_samples(built(name, shape)[1])


# The shapes


def samples(shape):
    return np.random.default_rng(0).uniform(-1, 1, (16, *shape)).astype(np.float32)


@pytest.mark.parametrize("shape", [SMALL, MNIST, CIFAR, (3, 36, 36), (1, 30, 30), VECTORS, LONG_VECTORS])
@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_fits_every_source_it_can_and_refuses_the_others(name, shape):
    source = data.load(samples(shape))
    settings = recipe(name, shape)
    convolutional = type(settings.networks).__name__ == "DCGAN"
    if convolutional and (len(shape) == 1 or shape[1] % 4):
        with pytest.raises(InputError, match=r"A DCGAN .*use an MLP"):
            settings.trainer(source, device="cpu")
        return
    trainer = settings.trainer(source, device="cpu")
    state = trainer.state()
    with torch.no_grad():
        made = state.average(torch.randn(3, trainer.latent_dim))
        scores = state.critic(made)
    assert made.shape == (3, *shape)
    assert scores.shape == (3,)


@pytest.mark.parametrize("name", CONVOLUTIONAL)
def test_the_convolutional_recipes_stay_convolutional(name):
    assert type(recipe(name, VECTORS).networks).__name__ == "DCGAN"


@pytest.mark.parametrize("shape", [SMALL, (1, 16, 16), MNIST, CIFAR, VECTORS])
def test_the_default_is_complete(shape):
    made = recipe("default", shape)
    assert made.loss in LOSSES
    assert 1 <= made.n_critic <= 2
    assert 0 < made.ema < 1


def test_an_unknown_recipe_is_refused():
    with pytest.raises(InputError, match="no recipe 'wgan'; known are default, dcgan-clip"):
        recipe("wgan", MNIST)


def test_equal_seeds_start_from_equal_networks_and_others_from_others():
    source = data.load(samples(SMALL))
    settings = recipe("default", SMALL)

    def weights(seed):
        trainer = settings.trainer(source, seed=seed, device="cpu")
        return torch.cat([p.flatten() for n in (trainer.generator, trainer.critic) for p in n.parameters()])

    before = torch.get_rng_state()
    assert torch.equal(weights(3), weights(3))
    assert not torch.equal(weights(3), weights(4))
    assert torch.equal(torch.get_rng_state(), before)


# The learning


def energy_distance(x, y):
    """2 E|X - Y| - E|X - X'| - E|Y - Y'|: zero for one law only, whatever a critic says."""
    x, y = x.flatten(1).double(), y.flatten(1).double()
    return float(2 * torch.cdist(x, y).mean() - torch.cdist(x, x).mean() - torch.cdist(y, y).mean())


def learn(name, source, folder, steps, log):
    """Train by the recipe's own settings.

    Returns:
        The held-out gaps, in order, and the distance of samples to held-out data before and after.
    """
    settings = replace(recipe(name, source.shape), cadence=Cadence(log=log, pictures=10**6))
    trainer = settings.trainer(source, device="cpu")
    held_out = spread(trainer.source.held_out, 256, torch.device("cpu"))
    untrained = Sampler(trainer.state().average, settings.networks.latent_dim)(256)
    trainer.fit(steps, folder)
    trained = Sampler.load(folder, device="cpu")(256)
    gaps = [row["gap_held_out"] for row in RunFolder(folder).history()]
    return gaps, energy_distance(untrained, held_out), energy_distance(trained, held_out)


@pytest.mark.parametrize(
    ("name", "source", "steps", "log", "left"),
    [
        ("dcgan-adam", "digits", 50, 5, 0.4),
        ("dcgan-gp", "digits", 60, 5, 0.3),
        ("toy-gp", "ring8", 30, 2, 0.25),
    ],
)
def test_a_recipe_with_a_penalty_closes_the_held_out_gap(tmp_path, name, source, steps, log, left):
    """A critic of slope one measures: its gap opens while it learns, then closes as the generator does."""
    gaps, before, after = learn(name, data.load(source), tmp_path / "run", steps, log)
    assert max(gaps) > 1
    assert np.mean(gaps[len(gaps) // 2 :]) < 0.8 * max(gaps)
    assert after < left * before


def test_a_certified_recipe_logs_a_bracket_below_exact_transport(tmp_path):
    """At every log point, against so many samples that exact transport is nearly that of the laws."""
    source = data.load("ring8")
    settings = replace(recipe("toy-orthogonal", source.shape), cadence=Cadence(log=20))
    trainer = settings.trainer(source, device="cpu", monitors=[])
    real = spread(source.held_out, 2000, torch.device("cpu")).numpy()
    lowest = []
    for steps in range(20, 101, 20):
        folder = trainer.fit(steps, tmp_path / str(steps))  # each goes on with the networks of the last
        fake = trainer.generator(torch.randn(2000, 2, generator=torch.Generator().manual_seed(steps)))
        row = folder.history()[-1]
        assert row["w1_lower"] <= wasserstein1(real, fake.detach().numpy()).value
        assert row["w1_lower"] <= row["w1_upper"]
        lowest.append(row["w1_lower"])
    assert max(lowest) > 0.05


def test_a_certified_recipe_comes_nearer_to_held_out_data(tmp_path):
    """Its gap is at most W1, in the data's unit, and falls with it."""
    gaps, before, after = learn("toy-orthogonal", data.load("ring8"), tmp_path / "run", 100, 10)
    assert after < 0.25 * before
    assert gaps[-1] < 0.8 * max(gaps)


def test_a_recipe_without_a_certificate_logs_no_bracket(tmp_path):
    source = data.load("ring8")
    settings = replace(recipe("toy-gp", source.shape), cadence=Cadence(log=1))
    row = settings.trainer(source, device="cpu", monitors=[]).fit(1, tmp_path / "run").history()[-1]
    assert "w1_lower" not in row


@pytest.mark.parametrize(
    ("name", "source", "steps", "left"),
    [
        ("dcgan-clip", "digits", 30, 0.6),
        ("mlp-clip", "digits", 60, 0.1),
        ("wgan-original", "digits", 4, 0.85),
        ("toy-clip", "ring8", 45, 0.25),
    ],
)
def test_a_recipe_with_clipping_comes_nearer_to_held_out_data(tmp_path, name, source, steps, left):
    """Nearer by the energy distance.

    Not by the logged gap: between two log points the weights of a clipped critic move towards the bounds,
    or away from them, and the unit of its score with them.
    """
    _, before, after = learn(name, data.load(source), tmp_path / "run", steps, steps)
    assert after < left * before


def test_the_default_comes_nearer_to_held_out_data(tmp_path):
    """Nearer by the energy distance: a critic that takes few steps lets its gap open as often as close."""
    _, before, after = learn("default", data.digits(), tmp_path / "run", 100, 100)
    assert after < 0.1 * before


def test_clothes_are_learnt_too(tmp_path, fashion_mnist):
    _, before, after = learn("mlp-clip", fashion_mnist, tmp_path / "run", 20, 20)
    assert after < 0.3 * before
