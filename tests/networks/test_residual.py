"""Residual networks, attention, layers that mix samples: what they compute, what allows them."""

from dataclasses import replace
from itertools import product

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

from wgan.certificates import certify
from wgan.data import digits
from wgan.errors import InputError
from wgan.lipschitz import (
    R1R2,
    GradientPenalty,
    Orthogonal,
    SpectralNormalisation,
    WeightClipping,
    score,
    score_pair,
)
from wgan.lipschitz.penalties import input_gradients
from wgan.losses import LOSSES, gap
from wgan.networks import (
    R3GAN,
    Condition,
    R3GANCritic,
    R3GANGenerator,
    ResNet,
    ResNetCritic,
    ResNetGenerator,
)
from wgan.networks.attention import SelfAttention
from wgan.networks.minibatch_layers import MinibatchStd, PackSamples
from wgan.networks.r3gan import InvertedBottleneck
from wgan.networks.resnet import ResidualBlock, downsampling_block, upsampling_block
from wgan.networks.resolutions import attention_size, channels_per_size, halved_sizes
from wgan.training import Trainer
from wgan.training.ema import EMA
from wgan.training.observe.dead_units import RectifiedUnits

IMAGE = (1, 8, 8)
FAMILIES = [
    ResNet(latent_dim=4, generator_width=8, critic_width=8),
    ResNet(latent_dim=4, generator_width=8, critic_width=8, attention=True, critic_norm="layer"),
    R3GAN(latent_dim=4, generator_width=8, critic_width=8, group_size=4),
]


def name(family):
    return type(family).__name__ + ("" if getattr(family, "attention", True) else ", plain")


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def images(count=6, shape=IMAGE, seed=0):
    return torch.rand(count, *shape, generator=seeded(seed)) * 2 - 1


def built(family, shape=IMAGE):
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        return family.build(shape)


# ---------------------------------------------------------------------------------- sizes


@pytest.mark.parametrize(
    ("sides", "expected", "where"),
    [
        ((8, 8), [(8, 8), (4, 4)], (4, 4)),
        ((28, 28), [(28, 28), (14, 14), (7, 7)], (14, 14)),
        ((32, 32), [(32, 32), (16, 16), (8, 8), (4, 4)], (16, 16)),
        ((64, 64), [(64, 64), (32, 32), (16, 16), (8, 8), (4, 4)], (32, 32)),
        ((128, 128), [(128, 128), (64, 64), (32, 32), (16, 16), (8, 8), (4, 4)], (32, 32)),
        ((12, 20), [(12, 20), (6, 10)], (6, 10)),
        ((36, 36), [(36, 36), (18, 18), (9, 9)], (18, 18)),
    ],
    ids=str,
)
def test_sizes_halve_and_attention_is_at_thirty_two(sides, expected, where):
    assert halved_sizes((3, *sides)) == expected
    assert attention_size(expected) == where
    for family in FAMILIES[1:]:
        generator, critic = built(family, (1, *sides))
        samples = generator(torch.zeros(2, 4))
        assert samples.shape == (2, 1, *sides)
        assert critic(samples).shape == (2,)


def test_channels_double_up_to_the_max_multiplier():
    assert channels_per_size(64, 5, 8) == [64, 128, 256, 512, 512]
    assert channels_per_size(128, 4, 1) == [128] * 4
    assert ResNetGenerator((3, 64, 64), width=2, max_multiplier=8).base_shape == (16, 4, 4)
    blocks = ResNetCritic((3, 64, 64), width=2, max_multiplier=8).layers
    assert [block.branch[-2].out_channels for block in blocks[:3]] == [2, 4, 8]


# ---------------------------------------------------------------------------------- blocks


def test_a_shortcut_before_repeating_pixels_equals_one_after_it():
    """The generator's 1x1 convolution stands before the repetition, as it costs a quarter there."""
    block = upsampling_block(3, 5, "none", None)
    features = torch.randn(2, 3, 4, 4, generator=seeded())
    upsampled = torch.repeat_interleave(torch.repeat_interleave(features, 2, 2), 2, 3)
    assert torch.allclose(block.shortcut(features), block.shortcut[0](upsampled), atol=1e-6)


@pytest.mark.parametrize("norm", ["none", "layer"])
def test_a_block_does_not_change_its_input_in_place(norm):
    """A rectifier in place, at the start of a branch, would change the shortcut's input."""
    for block in (
        upsampling_block(8, 8, norm, None),
        downsampling_block(8, 8, norm, first=False),
        InvertedBottleneck(8, 4),
    ):
        features = torch.randn(2, 8, 4, 4, generator=seeded())
        before = features.clone()
        block(features)
        assert torch.equal(features, before)


def test_blocks_of_r3gan_are_the_identity_at_first():
    """Branches end in zeros, so that a critic is linear at first; their other layers have a scale."""
    _, critic = built(replace(FAMILIES[2], blocks=2))
    one, other, zero = images(2, seed=1), images(2, seed=2), torch.zeros(2, *IMAGE)
    total = critic(one + other)
    assert torch.allclose(total - critic(zero), critic(one) + critic(other) - 2 * critic(zero), atol=1e-5)
    blocks = [module for module in critic.modules() if isinstance(module, InvertedBottleneck)]
    first = torch.cat([block.branch[0].weight.flatten() for block in blocks[:2]])
    assert first.std().item() == pytest.approx((2 / 1.04 / 8) ** 0.5 / len(blocks) ** 0.25, rel=0.15)
    assert not any(block.branch[-1].weight.any() for block in blocks)


@pytest.mark.parametrize("family", FAMILIES, ids=name)
def test_all_weights_have_gradients_and_a_critic_can_be_differentiated_twice(family):
    generator, critic = built(family)
    for module in [*generator.modules(), *critic.modules()]:
        for weight in module.parameters(recurse=False):
            weight.data += 0.1 * torch.randn(weight.shape, generator=seeded())
    critic = critic.double()
    gradients = input_gradients(critic, images().double())
    weights = [weight for weight in critic.parameters() if weight.dim() > 1]  # a slope knows no bias
    assert all(gradient.any() for gradient in torch.autograd.grad(gradients.square().sum(), weights))
    score(critic.float(), generator(torch.randn(6, 4, generator=seeded()))).sum().backward()
    assert all(weight.grad is not None for weight in generator.parameters())


def test_the_gradient_penalty_of_attention_is_that_of_finite_differences():
    _, critic = built(FAMILIES[1])
    critic = critic.double()
    for gain in (module for module in critic.modules() if isinstance(module, SelfAttention)):
        nn.init.constant_(gain.gain.factor, 0.7)
    points = images(2).double().requires_grad_()
    assert torch.autograd.gradcheck(critic, (points,), fast_mode=True)
    assert torch.autograd.gradgradcheck(critic, (points,), fast_mode=True)


def test_attention_is_the_formula_of_the_paper():
    attention = SelfAttention(8)
    nn.init.constant_(attention.gain.factor, 2.0)
    features = torch.randn(1, 8, 4, 6, generator=seeded())
    found = attention(features)
    keys, values = (
        nn.functional.max_pool2d(part(features), 2).flatten(2)[0] for part in (attention.key, attention.value)
    )
    for row, column in product(range(4), range(6)):
        query = attention.query(features)[0, :, row, column]
        weights = torch.softmax(query @ keys, 0)
        mixed = (values @ weights)[:, None, None]
        expected = features[0, :, row, column] + 2 * attention.out(mixed[None])[0, :, 0, 0]
        assert torch.allclose(found[0, :, row, column], expected, atol=1e-5)
    assert torch.equal(SelfAttention(8)(features), features)  # it starts as nothing


# ---------------------------------------------------------------------------------- certificates


@pytest.mark.slow
@pytest.mark.parametrize("family", [FAMILIES[0], FAMILIES[2]], ids=name)
def test_a_certificate_bounds_residual_networks(family):
    _, critic = built(family)
    critic = Orthogonal(sort="none").wrap(critic).eval() if isinstance(family, R3GAN) else critic.eval()
    bound = certify(critic).bound
    assert bound is not None
    one, other = images(64, seed=1), images(64, seed=2)
    with torch.no_grad():
        rise = (critic(one) - critic(other)).abs() / (one - other).flatten(1).norm(dim=1)
    assert float(rise.max()) <= bound
    assert float(input_gradients(critic, one).detach().norm(dim=1).max()) <= bound


@pytest.mark.slow
def test_there_is_no_certificate_of_attention_or_of_layers_that_mix_samples():
    attentive = ResNetCritic(IMAGE, width=8, attention=True)
    assert "Lipschitz constant" in (certify(attentive.eval()).reason or "")
    for options, reason in (({"packing": 2}, "PackSamples at"), ({"minibatch_std": True}, "MinibatchStd at")):
        for kind in (ResNetCritic, R3GANCritic):
            assert reason in (certify(kind(IMAGE, width=8, **options).eval()).reason or "")


@pytest.mark.parametrize(("side", "rectifiers"), [(8, 6), (28, 8)])
def test_dead_units_within_blocks_are_counted(side, rectifiers):
    _, critic = built(FAMILIES[0], (1, side, side))
    block = next(module for module in critic.modules() if isinstance(module, ResidualBlock))
    dead = []
    for bias in (0.0, -1e3):  # of the units within the first block, as many as each rectifier has
        nn.init.constant_(block.branch[0].bias, bias)
        with RectifiedUnits() as units:
            critic(images(16, (1, side, side)))
        dead.append(units.dead().item())
    assert dead[0] < 1 / rectifiers <= dead[1] + 1e-6


def test_a_spectral_generator_has_weights_of_norm_one():
    generator = ResNetGenerator(IMAGE, latent_dim=4, width=8, spectral=True)
    for _ in range(30):
        generator(torch.randn(4, 4))
    generator.eval()
    layers = [module for module in generator.modules() if parametrize.is_parametrized(module)]
    assert len(layers) == 1 + 3 + 1
    for layer in layers:
        assert torch.linalg.svdvals(layer.weight.flatten(1))[0].item() == pytest.approx(1, abs=0.05)


# ---------------------------------------------------------------------------------- several samples


def test_a_pack_is_a_sample_and_the_next_ones():
    samples = torch.arange(4.0).reshape(4, 1)
    assert PackSamples(3)(samples).tolist() == [[0, 1, 2], [1, 2, 3], [2, 3, 0], [3, 0, 1]]


@pytest.mark.parametrize("shape", [(1, 4, 4), (3, 2, 5)])
def test_minibatch_std_is_the_mean_deviation_of_all_features(shape):
    features = torch.randn(7, *shape, generator=seeded())
    found = MinibatchStd()(features)
    assert torch.equal(found[:, :-1], features)
    expected = features.std(0, correction=0).mean()
    assert torch.allclose(found[:, -1], expected.expand(7, *shape[1:]), atol=1e-4)
    alike = features[:1].expand(7, *shape)
    assert MinibatchStd()(alike)[:, -1].abs().max() < 1e-3


MIXING = [
    replace(family, **option)
    for family in (FAMILIES[0], FAMILIES[2])
    for option in ({"packing": 2}, {"minibatch_std": True})
]


@pytest.mark.parametrize("family", MIXING, ids=str)
def test_penalties_refuse_critics_that_mix_samples_and_other_constraints_allow_them(family):
    for penalty in (GradientPenalty(), R1R2()):
        with pytest.raises(InputError, match=r"(PackSamples|MinibatchStd) at `layers.* mixes samples"):
            penalty.wrap(built(family)[1])
    real, fake = images(seed=1), images(seed=2)
    for constraint in (WeightClipping(), SpectralNormalisation()):
        if isinstance(family, R3GAN) and isinstance(constraint, SpectralNormalisation):
            continue  # its branches end in zeros, which no norm can divide
        critic = constraint.wrap(built(family)[1]).eval()
        apart = score(critic, real), score(critic, fake)
        assert all(map(torch.equal, score_pair(critic, real, fake), apart))
        constraint.project(critic)


@pytest.mark.slow
@pytest.mark.parametrize("family", MIXING[:2], ids=str)
def test_critics_that_mix_samples_train_and_see_a_lack_of_diversity(family):
    """A generator of one image: batches of it differ from data by their lack of diversity alone."""
    generator, critic = built(replace(family, init="default"))
    data = digits()
    trainer = Trainer(
        generator=generator, critic=critic, data=data, constraint=SpectralNormalisation(), device="cpu"
    )
    state = trainer.state()
    for _ in range(2):
        trainer.advance(state, 100)
    assert state.finite()
    optimiser = torch.optim.Adam(critic.parameters(), 1e-2)
    choose = data.train.batch(torch.randint(len(data.train), (64,), generator=seeded()))
    for step in range(60):
        real = data.train.batch(torch.randint(len(data.train), (64,), generator=seeded(step)))
        copies = real[:1].expand_as(real)  # each batch another image, many times
        loss = LOSSES["hinge"].critic(*score_pair(critic, real, copies))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        lone = gap(score(critic, choose), score(critic, choose[:1].expand_as(choose)))
    assert float(lone) > 0.5


def test_spectral_normalisation_refuses_branches_of_zeros():
    with pytest.raises(InputError, match=r"weights of Conv2d at `layers.* are all zero"):
        SpectralNormalisation().wrap(R3GANCritic(IMAGE, width=8))


def test_an_r3gan_generator_has_no_norms_for_labels():
    with pytest.raises(InputError, match="this generator has none"):
        R3GANGenerator(IMAGE, condition=Condition(classes=3), conditioning="norm")


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 12, 12), (3, 32, 32), (1, 16, 256)])
def test_attention_is_in_both_networks_once_at_any_size(shape):
    for network in ResNet(generator_width=8, critic_width=8, attention=True).build(shape):
        assert sum(isinstance(module, SelfAttention) for module in network.modules()) == 1


def test_the_average_of_a_spectrally_normalised_generator_is_normalised():
    """Its singular vectors are those of the averaged weights; a mean of singular vectors is too short."""
    torch.manual_seed(0)
    family = ResNet(latent_dim=4, generator_width=8, critic_width=8, generator_spectral=True)
    generator, _ = family.build((1, 8, 8))
    ema = EMA(generator, decay=0.9)
    for _ in range(60):
        for weight in generator.parameters():
            weight.data += 0.05 * torch.randn_like(weight)
        generator(torch.randn(2, 4))  # its own power iteration
        ema.update(updates=10**9)
    layers = [layer for layer in ema.module.modules() if parametrize.is_parametrized(layer, "weight")]
    assert len(layers) == sum(isinstance(m, nn.Linear | nn.Conv2d) for m in generator.modules()) > 0
    for layer in layers:
        assert torch.linalg.matrix_norm(layer.weight.flatten(1), 2) == pytest.approx(1, abs=0.02)
