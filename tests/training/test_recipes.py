"""The published systems: their numbers as the papers and tutorials give them, and that they learn."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from wgan import data
from wgan.errors import InputError
from wgan.lipschitz import (
    R1R2,
    GradientPenalty,
    Orthogonal,
    SpectralNormalisation,
    WeightClipping,
    mixes_samples,
    score,
)
from wgan.losses import LOSSES, ClassificationWeights
from wgan.networks import MLP, R3GAN, ResNet, generate, summarise
from wgan.networks.resnet import ResidualBlock
from wgan.runs import RunFolder
from wgan.sampling import Sampler
from wgan.training import RECIPES, Adam, LoggingIntervals, RMSprop, Trainer, recipe
from wgan.training.observe import spread
from wgan.wasserstein.exact import wasserstein1

SMALL, MNIST, CIFAR, VECTORS, LONG_VECTORS = (1, 8, 8), (1, 28, 28), (3, 32, 32), (2,), (7,)
CONVOLUTIONAL = ("dcgan-clip", "dcgan-adam", "dcgan-gp", "dcgan-orthogonal")
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
    "dcgan-orthogonal": (Orthogonal(1, "absolute"), Adam(2e-3, (0.0, 0.99)), 2, 64, 64),
}
"""Constraint, both optimisers, n_critic, batch and latent of all but our own default."""

GULRAJANI, MIYATO = Adam(2e-4, (0.0, 0.9)), Adam(2e-4, (0.0, 0.9))
RESIDUAL = {
    "wgan-gp-resnet": ("wasserstein", GradientPenalty(10.0), GULRAJANI, GULRAJANI, 5, 64, "linear", 128, 128),
    "sngan": ("hinge", SpectralNormalisation(), MIYATO, MIYATO, 5, 64, "linear", 256, 128),
    "sagan": (
        *("hinge", SpectralNormalisation(), Adam(1e-4, (0.0, 0.9)), Adam(4e-4, (0.0, 0.9))),
        *(1, 256, "constant", 128, 128),
    ),
    "quality": (
        *("relativistic", R1R2(0.3), Adam(1e-3, (0.0, 0.99)), Adam(1e-3, (0.0, 0.99))),
        *(1, 64, "linear", 16, 16),
    ),
    "conditional-gp": ("wasserstein", GradientPenalty(10.0), GULRAJANI, GULRAJANI, 5, 64, "linear", 128, 128),
    "conditional-projection": ("hinge", SpectralNormalisation(), MIYATO, MIYATO, 5, 64, "linear", 256, 128),
}
"""Loss, constraint, optimisers of generator and critic, n_critic, batch, decay, widths of both at 32x32."""


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
    assert list(RECIPES) == ["default", *PUBLISHED, *RESIDUAL]


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


@pytest.mark.parametrize("name", RESIDUAL)
def test_the_settings_of_residual_networks_are_the_published_ones(name):
    loss, constraint, generators, critics, n_critic, batch_size, decay, *wide = RESIDUAL[name]
    made = recipe(name, CIFAR)
    assert (made.loss, made.constraint) == (loss, constraint)
    assert (made.n_critic, made.batch_size) == (n_critic, batch_size)
    assert (made.generator_optimiser, made.critic_optimiser, made.decay) == (generators, critics, decay)
    assert [made.networks.generator_width, made.networks.critic_width] == wide
    assert made.conditional == name.startswith("conditional")
    assert not made.augment.active
    for shape, width, multiplier in (((3, 64, 64), 64, 8), ((3, 128, 128), 64, 16)):
        networks = recipe(name, shape).networks
        assert not isinstance(networks, ResNet) or (networks.critic_width, networks.max_multiplier) == (
            width,
            multiplier,
        )


def sizes(network, shape):
    """Channels and side after each residual block."""
    found, hooks = [], []
    for block in (module for module in network.modules() if isinstance(module, ResidualBlock)):
        hooks.append(block.register_forward_hook(lambda block, taken, made: found.append(made.shape[1:3])))
    network.eval()(torch.zeros(1, *shape))
    for hook in hooks:
        hook.remove()
    return [tuple(shape) for shape in found]


def test_wgan_gp_resnet_has_gulrajanis_networks():
    """Appendix F and the code: blocks of 128 channels, norms in the generator alone, means in the end."""
    generator, critic = built("wgan-gp-resnet", CIFAR)
    assert generator.base_shape == (128, 4, 4)
    assert sizes(generator, (128,)) == [(128, 8), (128, 16), (128, 32)]
    assert sizes(critic, CIFAR) == [(128, 16), (128, 8), (128, 8), (128, 8)]
    assert has(generator, nn.BatchNorm2d)
    assert not any("Norm" in type(module).__name__ for module in critic.modules())
    assert critic.layers[-2].by == "mean"
    parameters = sum(parameter.numel() for parameter in critic.parameters())
    assert parameters == sum(
        [
            (9 * 3 + 1) * 128 + (9 * 128 + 1) * 128 + (3 + 1) * 128,
            2 * (9 * 128 + 1) * 128 + (128 + 1) * 128,
            *[2 * (9 * 128 + 1) * 128] * 2,
            128 + 1,
        ]
    )


def test_sngan_and_sagan_sum_in_the_end_and_sagan_attends_within():
    for name in ("sngan", "sagan", "conditional-projection"):
        assert built(name, CIFAR)[1].layers[-2].by == "sum"
    for networks, sides in ((built("sagan", CIFAR), (16, 16)), (built("sagan", MNIST), (14, 14))):
        for network, shape in zip(networks, ((128,), networks[0].arguments["shape"]), strict=True):
            found = summarise(network, torch.zeros(1, *shape))
            assert {layer.shape[1:] for layer in found if layer.kind == "LearnedScale"} == {sides}
    assert hasattr(built("sagan", CIFAR)[0].base, "parametrizations")
    assert not hasattr(built("sngan", CIFAR)[0].base, "parametrizations")


def test_labels_enter_conditional_recipes_as_published():
    gp, projection = recipe("conditional-gp", CIFAR), recipe("conditional-projection", CIFAR)
    assert gp.classification == ClassificationWeights(critic=1.0, generator=0.1)
    ways = [
        (made.networks.generator_conditioning, made.networks.critic_conditioning) for made in (gp, projection)
    ]
    assert ways == [("norm", "auxiliary"), ("norm", "projection")]
    with pytest.raises(InputError, match="no labels"):
        Trainer(data.load(samples(SMALL)), settings=gp, device="cpu")


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
    assert recipe("mlp-clip", MNIST).logging.images == 400


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
        assert [layer.kind for layer in summarise(network, torch.zeros(1, 2))] == ["Linear", "ReLU"] * 3 + [
            "Linear"
        ]


@pytest.mark.parametrize("shape", [SMALL, MNIST, CIFAR, VECTORS])
def test_only_critics_without_a_penalty_are_batch_normalised(shape):
    names = [name for name in RECIPES if shape != VECTORS or name not in (*CONVOLUTIONAL, *RESIDUAL)]
    critics = {name: narrow(recipe(name, shape)).networks.build(shape)[1] for name in names}
    normalised = {name for name, critic in critics.items() if mixes_samples(critic)}
    assert normalised == (set() if shape == VECTORS else {"dcgan-clip", "wgan-original"})


# The shapes


def samples(shape):
    return np.random.default_rng(0).uniform(-1, 1, (16, *shape)).astype(np.float32)


def narrow(settings):
    """The recipe, a residual network with few channels, for tests on one core."""
    if not isinstance(settings.networks, ResNet | R3GAN):
        return settings
    return replace(settings, networks=replace(settings.networks, generator_width=8, critic_width=8))


@pytest.mark.slow
@pytest.mark.parametrize("shape", [SMALL, MNIST, CIFAR, (3, 36, 36), (1, 30, 30), VECTORS, LONG_VECTORS])
@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_fits_every_source_it_can_and_refuses_the_others(name, shape):
    dataset = data.load(samples(shape), labels=np.arange(16) % 2)
    settings = narrow(recipe(name, shape))
    if not isinstance(settings.networks, MLP) and (len(shape) == 1 or shape[1] % 4):
        with pytest.raises(InputError, match=r"A (DCGAN|residual network) .*use an MLP"):
            Trainer(dataset, settings=settings, device="cpu")
        return
    trainer = Trainer(dataset, settings=settings, device="cpu")
    state = trainer.state()
    labels = torch.tensor([0, 1, 1]) if settings.conditional else None
    with torch.no_grad():
        made = generate(state.average, torch.randn(3, trainer.latent_dim), labels)
        scores = score(state.critic, made, labels)
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


@pytest.mark.parametrize(
    ("labels", "guessed"),
    [(np.arange(16) % 4, True), (np.linspace(-1, 1, 16), False)],
    ids=["classes", "attribute"],
)
def test_the_default_of_images_takes_classes_and_attributes(labels, guessed):
    dataset = data.load(samples(MNIST), labels=labels)
    trainer = Trainer(dataset, settings=replace(recipe("default", MNIST), conditional=True), device="cpu")
    state = trainer.state()
    trainer.advance(state, 10)
    assert state.step == 1
    assert trainer.critic.classifies is guessed


def test_an_unknown_recipe_is_refused():
    with pytest.raises(InputError, match=r"no recipe 'wgan'; .* default, dcgan-clip"):
        recipe("wgan", MNIST)


def test_equal_seeds_start_from_equal_networks_and_others_from_others():
    dataset = data.load(samples(SMALL))
    settings = recipe("default", SMALL)

    def weights(seed):
        trainer = Trainer(dataset, settings=settings, seed=seed, device="cpu")
        return torch.cat([p.flatten() for n in (trainer.generator, trainer.critic) for p in n.parameters()])

    before = torch.get_rng_state()
    assert torch.equal(weights(3), weights(3))
    assert not torch.equal(weights(3), weights(4))
    assert torch.equal(torch.get_rng_state(), before)


# The learning


def energy_distance(x, y):
    """2 E|X - Y| - E|X - X'| - E|Y - Y'|: zero for one distribution only, whatever a critic says."""
    x, y = x.flatten(1).double(), y.flatten(1).double()
    return float(2 * torch.cdist(x, y).mean() - torch.cdist(x, x).mean() - torch.cdist(y, y).mean())


def learn(name, dataset, folder, steps, log):
    """Train by the recipe's own settings.

    Returns:
        The held-out gaps, in order, and the distance of samples to held-out data before and after.
    """
    settings = replace(recipe(name, dataset.shape), logging=LoggingIntervals(metrics=log, images=10**6))
    trainer = Trainer(dataset, settings=settings, device="cpu")
    held_out = spread(trainer.dataset.held_out, 256, torch.device("cpu"))
    untrained = Sampler(trainer.state().average, settings.networks.latent_dim)(256)
    trainer.fit(folder, steps)
    trained = Sampler.load(folder, device="cpu")(256)
    gaps = [row["gap_held_out"] for row in RunFolder(folder).history()]
    return gaps, energy_distance(untrained, held_out), energy_distance(trained, held_out)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "dataset", "steps", "log", "left"),
    [
        ("dcgan-adam", "digits", 50, 5, 0.4),
        ("dcgan-gp", "digits", 60, 5, 0.3),
        ("toy-gp", "ring8", 30, 2, 0.25),
    ],
)
def test_a_recipe_with_a_penalty_closes_the_held_out_gap(tmp_path, name, dataset, steps, log, left):
    """A critic of slope one measures: its gap opens while it learns, then closes as the generator does."""
    gaps, before, after = learn(name, data.load(dataset), tmp_path / "run", steps, log)
    assert max(gaps) > 1
    assert np.mean(gaps[len(gaps) // 2 :]) < 0.8 * max(gaps)
    assert after < left * before


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "dataset", "log", "last"),
    [("toy-orthogonal", "ring8", 20, 100), ("dcgan-orthogonal", "digits", 4, 16)],
)
def test_a_certified_recipe_logs_a_bracket_below_exact_transport(tmp_path, name, dataset, log, last):
    """At every log point; W1 of samples exceeds that of the distributions on average, by little in 2-D."""
    dataset = data.load(dataset)
    settings = replace(recipe(name, dataset.shape), logging=LoggingIntervals(metrics=log, images=10**6))
    trainer = Trainer(dataset, settings=settings, device="cpu", monitors=[])
    real = spread(dataset.held_out, 2000, torch.device("cpu")).flatten(1).numpy()
    lowest = []
    for steps in range(log, last + 1, log):
        folder = trainer.fit(tmp_path / str(steps), steps)  # each goes on with the networks of the last
        rng = torch.Generator().manual_seed(steps)
        fake = trainer.generator(torch.randn(len(real), trainer.latent_dim, generator=rng))
        row = folder.history()[-1]
        assert row["w1_lower"] <= wasserstein1(real, fake.detach().flatten(1).numpy()).value
        assert row["w1_lower"] <= row["w1_upper"]
        lowest.append(row["w1_lower"])
    assert max(lowest) > 0.05


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "dataset", "steps", "log", "left"),
    [("toy-orthogonal", "ring8", 100, 10, 0.25), ("dcgan-orthogonal", "digits", 50, 5, 0.1)],
)
def test_a_certified_recipe_comes_nearer_to_held_out_data(tmp_path, name, dataset, steps, log, left):
    """Its gap is at most W1, in the data's unit, and falls with it."""
    gaps, before, after = learn(name, data.load(dataset), tmp_path / "run", steps, log)
    assert after < left * before
    assert gaps[-1] < 0.8 * max(gaps)


def test_a_recipe_without_a_certificate_logs_no_bracket(tmp_path):
    dataset = data.load("ring8")
    settings = replace(recipe("toy-gp", dataset.shape), logging=LoggingIntervals(metrics=1))
    row = (
        Trainer(dataset, settings=settings, device="cpu", monitors=[]).fit(tmp_path / "run", 1).history()[-1]
    )
    assert "w1_lower" not in row


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "dataset", "steps", "left"),
    [
        ("dcgan-clip", "digits", 30, 0.6),
        ("mlp-clip", "digits", 60, 0.1),
        ("wgan-original", "digits", 4, 0.85),
        ("toy-clip", "ring8", 45, 0.25),
    ],
)
def test_a_recipe_with_clipping_comes_nearer_to_held_out_data(tmp_path, name, dataset, steps, left):
    """Nearer by the energy distance.

    Not by the logged gap: between two log points the weights of a clipped critic move towards the bounds,
    or away from them, and the unit of its score with them.
    """
    _, before, after = learn(name, data.load(dataset), tmp_path / "run", steps, steps)
    assert after < left * before


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "steps", "left"),
    [
        ("wgan-gp-resnet", 30, 0.7),
        ("sngan", 40, 0.7),
        ("sagan", 120, 0.7),
        ("conditional-gp", 30, 0.7),
        ("conditional-projection", 40, 0.7),
    ],
)
def test_a_residual_recipe_comes_nearer_to_held_out_data(name, steps, left):
    """With few channels and ten times its learning rates, to learn in seconds on one core."""
    settings = narrow(recipe(name, SMALL))
    faster = {
        f"{network}_optimiser": replace(optimiser, lr=10 * optimiser.lr)
        for network, optimiser in (
            ("generator", settings.generator_optimiser),
            ("critic", settings.critic_optimiser),
        )
    }
    trainer = Trainer(data.digits(), settings=replace(settings, batch_size=32, **faster), device="cpu")
    state, held_out = trainer.state(), spread(trainer.dataset.held_out, 256, torch.device("cpu"))
    latents = torch.randn(256, trainer.latent_dim, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(256) % 10 if settings.conditional else None
    before = energy_distance(generate(state.average, latents, labels).detach(), held_out)
    for _ in range(steps):
        trainer.advance(state, 10**6)
    assert energy_distance(generate(state.average, latents, labels).detach(), held_out) < left * before


@pytest.mark.slow
def test_quality_comes_nearer_to_held_out_data(tmp_path):
    _, before, after = learn("quality", data.digits(), tmp_path / "run", 40, 40)
    assert after < 0.5 * before


@pytest.mark.slow
def test_the_default_comes_nearer_to_held_out_data(tmp_path):
    """Nearer by the energy distance: a critic that takes few steps lets its gap open as often as close."""
    _, before, after = learn("default", data.digits(), tmp_path / "run", 100, 100)
    assert after < 0.1 * before


@pytest.mark.slow
@pytest.mark.parametrize("activation", ["softplus", "tanh"])
def test_the_default_trains_deep_networks_without_norm(activation):
    """By PyTorch's initialisation they come no nearer than the mean image alone is."""
    settings = recipe("default", SMALL)
    hidden = {f"{network}_hidden": (64,) * 16 for network in ("generator", "critic")}
    deep = replace(settings.networks, **hidden, generator_norm="none", activation=activation)
    trainer = Trainer(data.digits(), settings=replace(settings, networks=deep), device="cpu")
    state, held_out = trainer.state(), spread(trainer.dataset.held_out, 256, torch.device("cpu"))
    latents = torch.randn(256, trainer.latent_dim, generator=torch.Generator().manual_seed(0))
    for _ in range(100):
        trainer.advance(state, 100)
    one = energy_distance(held_out.mean(0, keepdim=True).expand(256, *SMALL), held_out)
    assert energy_distance(generate(state.average, latents).detach(), held_out) < 0.6 * one


@pytest.mark.slow
def test_clothes_are_learnt_too(tmp_path, fashion_mnist):
    _, before, after = learn("mlp-clip", fashion_mnist, tmp_path / "run", 20, 20)
    assert after < 0.3 * before
