"""Every family with every shape: sizes, descriptions, errors, initialisation, summaries."""

import copy
import json
import math
from collections.abc import Callable
from dataclasses import FrozenInstanceError, fields, replace
from functools import partial
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from wgan.certificates import certify
from wgan.errors import InputError
from wgan.lipschitz import SpectralNormalisation
from wgan.networks import (
    DCGAN,
    MLP,
    NETWORKS,
    R3GAN,
    Condition,
    DCGANCritic,
    DCGANGenerator,
    MLPCritic,
    MLPGenerator,
    R3GANCritic,
    R3GANGenerator,
    ResNet,
    ResNetCritic,
    ResNetGenerator,
    build,
    describe,
    summarise,
)
from wgan.networks.dcgan import convolution_sizes
from wgan.networks.initialisation import (
    NONLINEARITY,
    activation_moments,
    fan_in,
    initialise,
    input_range,
    layer_blocks,
)

VECTORS = [(1,), (2,), (7,)]
IMAGES = [(1, 4, 4), (1, 8, 8), (1, 28, 28), (3, 32, 32), (3, 64, 64), (4, 12, 20), (2, 36, 36), (1, 4, 40)]
RESIDUAL_IMAGES = [shape for shape in IMAGES if min(shape[1:]) >= 8]
NORMS = ["none", "batch", "layer", "group"]
ACTIVATIONS = ["relu", "leaky-relu", "softplus", "tanh"]
CONDITION = Condition(classes=2)
INITS = ["default", "normal", "he", "orthogonal", "shaped"]

Shape = tuple[int, ...]
Family = MLP | DCGAN | ResNet | R3GAN


hidden = st.lists(st.sampled_from([1, 3, 8, 16]), max_size=3).map(tuple)
mlps = st.tuples(
    st.builds(
        MLP,
        latent_dim=st.integers(1, 9),
        generator_hidden=hidden,
        critic_hidden=hidden,
        generator_norm=st.sampled_from(NORMS),
        critic_norm=st.sampled_from(NORMS),
        activation=st.sampled_from(ACTIVATIONS),
        init=st.sampled_from(INITS),
    ),
    st.sampled_from(VECTORS + IMAGES),
)
dcgans = st.tuples(
    st.builds(
        DCGAN,
        latent_dim=st.integers(1, 9),
        generator_width=st.sampled_from([1, 2, 8]),
        critic_width=st.sampled_from([1, 3, 8]),
        stages=st.sampled_from([None, 1, 2]),
        kernel=st.sampled_from([4, 5]),
        generator_norm=st.sampled_from(NORMS),
        critic_norm=st.sampled_from(NORMS),
        head=st.sampled_from(["dense", "max-pool"]),
        generator_activation=st.sampled_from(ACTIVATIONS),
        init=st.sampled_from(INITS),
    ),
    st.sampled_from(IMAGES),
)
resnets = st.tuples(
    st.builds(
        ResNet,
        latent_dim=st.integers(1, 9),
        generator_width=st.sampled_from([1, 2, 8]),
        critic_width=st.sampled_from([1, 3, 8]),
        max_multiplier=st.sampled_from([1, 2, 16]),
        generator_norm=st.sampled_from(NORMS),
        critic_norm=st.sampled_from(NORMS),
        pooling=st.sampled_from(["mean", "sum"]),
        attention=st.booleans(),
        generator_spectral=st.booleans(),
        minibatch_std=st.booleans(),
        packing=st.integers(1, 3),
        init=st.sampled_from(INITS[:-1]),
    ),
    st.sampled_from(RESIDUAL_IMAGES),
)
r3gans = st.tuples(
    st.builds(
        R3GAN,
        latent_dim=st.integers(1, 9),
        generator_width=st.sampled_from([2, 8]),
        critic_width=st.sampled_from([2, 6]),
        max_multiplier=st.sampled_from([1, 2, 16]),
        blocks=st.integers(1, 2),
        group_size=st.sampled_from([1, 4]),
        minibatch_std=st.booleans(),
        packing=st.integers(1, 3),
    ),
    st.sampled_from(RESIDUAL_IMAGES),
)
families = mlps | dcgans | resnets | r3gans


SMALL = [
    MLP(generator_hidden=(8,)),
    DCGAN(generator_width=2, critic_width=2),
    ResNet(latent_dim=8, generator_width=2, critic_width=2, attention=True),
    R3GAN(latent_dim=8, generator_width=2, critic_width=2, group_size=4),
]


def samples(shape: Shape, n: int = 2) -> Tensor:
    return torch.randn(n, *shape, generator=torch.Generator().manual_seed(0))


def plan(network: nn.Module) -> dict[str, Shape]:
    return {key: tuple(value.shape) for key, value in network.state_dict().items()}


# ---------------------------------------------------------------------------------- every family


@given(case=families)
@settings(max_examples=60)
def test_a_family_builds_a_generator_and_a_critic_for_its_shape(case: tuple[Family, Shape]):
    family, shape = case
    generator, critic = family.build(shape)
    for mode in (True, False):
        generator.train(mode)
        critic.train(mode)
        fake = generator(samples((family.latent_dim,)))
        scores = critic(fake)
        assert fake.shape == (2, *shape)
        assert scores.shape == (2,)
        assert torch.isfinite(scores).all()
        if len(shape) == 3:
            assert fake.abs().max() <= 1


@pytest.mark.parametrize("shape", RESIDUAL_IMAGES, ids=str)
@pytest.mark.parametrize("family", SMALL, ids=lambda family: type(family).__name__)
def test_images_stay_in_range_however_large_the_weights(family: Family, shape: Shape):
    generator, _ = family.build(shape)
    with torch.no_grad():
        for parameter in generator.parameters():
            parameter.mul_(1000)
    images = generator(samples((family.latent_dim,), 4))
    assert images.abs().max() <= 1
    assert images.abs().max() > 0.99


def test_vectors_are_not_bounded():
    generator = MLPGenerator((3,), hidden=(8,))
    nn.init.constant_(generator.layers[-1].bias, 50)
    assert generator(samples((64,))).min() > 10


@pytest.mark.parametrize("family", SMALL, ids=lambda family: type(family).__name__)
def test_batches_of_one_and_of_none_work_in_evaluation_mode(family: Family):
    generator, critic = (network.eval() for network in family.build((1, 8, 8)))
    latents = samples((generator.latent_dim,), 3)
    batch = generator(latents)
    assert torch.allclose(generator(latents[:1]), batch[:1], atol=1e-6)
    assert critic(batch[:1]).shape == (1,)
    assert critic(generator(latents[:0])).shape == (0,)


def test_families_are_frozen_values():
    for family in (MLP(), DCGAN(), ResNet(), R3GAN()):
        assert copy.deepcopy(family) == family
        assert hash(copy.deepcopy(family)) == hash(family)
        with pytest.raises(FrozenInstanceError):
            family.latent_dim = 3


@pytest.mark.parametrize("norm", NORMS[1:])
def test_norms_follow_the_layers_that_the_docstrings_say(norm: str):
    """In generators after each layer but the last, in critics also not after the first."""
    kinds = {
        "batch": (nn.BatchNorm1d, nn.BatchNorm2d),
        "layer": (nn.LayerNorm, nn.GroupNorm),
        "group": (nn.GroupNorm, nn.GroupNorm),
    }[norm]

    def count(network: nn.Module, kind: type[nn.Module]) -> int:
        return sum(type(module) is kind for module in network.modules())

    shape = (1, 32, 32)
    for network in (
        MLPGenerator(shape, hidden=(8, 8, 8), norm=norm),
        MLPCritic(shape, hidden=(8, 8, 8), norm=norm),
    ):
        assert count(network, kinds[0]) == 2
    assert count(DCGANCritic(shape, width=8, norm=norm), kinds[1]) == 2  # 32 -> 16 -> 8 -> 4
    generator = DCGANGenerator(shape, width=8, norm=norm)
    assert count(generator.layers, kinds[1]) == 2
    assert count(generator.base, nn.BatchNorm1d) == (norm == "batch")


# ---------------------------------------------------------------------------------- DCGAN's sizes


@pytest.mark.parametrize(
    ("shape", "kernel", "stages", "sizes"),
    [
        ((1, 28, 28), 5, None, [28, 14, 7, 4]),  # the classic
        ((1, 28, 28), 4, None, [28, 14, 7, 3]),
        ((3, 64, 64), 4, None, [64, 32, 16, 8, 4]),  # Radford et al. 2016, figure 1
        ((3, 64, 64), 5, None, [64, 32, 16, 8, 4]),
        ((2, 36, 36), 4, None, [36, 18, 9, 4]),
        ((2, 36, 36), 5, None, [36, 18, 9, 5, 3]),
        ((1, 4, 4), 4, None, [4, 2, 1]),
        ((1, 8, 8), 4, None, [8, 4, 2]),
        ((1, 8, 8), 4, 1, [8, 4]),
        ((1, 8, 8), 4, 3, [8, 4, 2, 1]),
        ((3, 64, 64), 4, 2, [64, 32, 16]),
    ],
)
def test_a_dcgan_goes_through_these_sizes(shape: Shape, kernel: int, stages: int | None, sizes: list[int]):
    assert convolution_sizes(shape, kernel, stages) == [(side, side) for side in sizes]
    critic = DCGANCritic(shape, width=1, kernel=kernel, stages=stages)
    down = [layer.shape[1] for layer in summarise(critic, samples(shape)) if layer.kind == "Conv2d"]
    assert down == sizes[1:]
    generator = DCGANGenerator(shape, width=1, kernel=kernel, stages=stages)
    up = [layer.shape[1] for layer in summarise(generator, samples((64,))) if layer.kind == "ConvTranspose2d"]
    assert generator.base_shape[1] == sizes[-1]
    assert up == sizes[-2::-1]


def test_channels_of_a_dcgan_double_up_to_eight_times():
    found = summarise(DCGANCritic((1, 128, 128), width=2, stages=6), samples((1, 128, 128)))
    assert [layer.shape[0] for layer in found if layer.kind == "Conv2d"] == [2, 4, 8, 16, 16, 16]


# ---------------------------------------------------------------------------------- descriptions


def test_the_families_above_build_every_network():
    families = (MLP(), DCGAN(), ResNet(), R3GAN())
    built = {type(network).__name__ for family in families for network in family.build((1, 8, 8))}
    assert built == set(NETWORKS)


@pytest.mark.slow
@given(case=families)
@settings(max_examples=60)
def test_a_description_survives_json_and_builds_the_same_architecture(case: tuple[Family, Shape]):
    family, shape = case
    for network, example in zip(
        family.build(shape), (samples((family.latent_dim,)), samples(shape)), strict=True
    ):
        description = describe(network)
        twin = build(json.loads(json.dumps(description)))
        assert type(twin) is type(network)
        assert describe(twin) == description
        assert plan(twin) == plan(network)
        twin.load_state_dict(network.state_dict())
        assert torch.equal(twin.eval()(example), network.eval()(example))


@given(case=families)
@settings(max_examples=60)
def test_every_field_of_a_family_reaches_the_networks_it_names(case: tuple[Family, Shape]):
    family, shape = case
    family = replace(family, generator_conditioning="embedding")  # which needs no norms
    settings, reached = {field.name: getattr(family, field.name) for field in fields(family)}, set()
    for network, prefix in zip(family.build(shape, CONDITION), ("generator_", "critic_"), strict=True):
        arguments = {**network.arguments}
        assert (arguments.pop("shape"), arguments.pop("condition")) == (shape, CONDITION)
        if isinstance(network, DCGANCritic):
            assert arguments.pop("activation") == "leaky-relu"  # the one argument that no field sets
        for name, value in arguments.items():
            field = prefix + name if prefix + name in settings else name
            assert value == settings[field]
            reached.add(field)
    assert reached == settings.keys()


def test_the_defaults_of_a_family_are_those_of_its_networks():
    for family in (MLP(), DCGAN(), ResNet(), R3GAN()):
        alone = [network((1, 8, 8), condition=CONDITION) for network in family.networks]
        built = family.build((1, 8, 8), CONDITION)
        assert [network.arguments for network in alone] == [network.arguments for network in built]


@pytest.mark.parametrize(
    ("condition", "conditioning"),
    [(CONDITION, "auxiliary"), (Condition(attributes=((0, 1),)), "projection")],
)
def test_a_conditioning_of_none_classifies_classes_and_projects_attributes(
    condition: Condition, conditioning: str
):
    for family in SMALL:
        family = replace(family, critic_conditioning=None)
        assert family.build((1, 8, 8), condition)[1].arguments["conditioning"] == conditioning
        assert "conditioning" not in family.build((1, 8, 8))[1].arguments


def test_a_description_names_all_arguments():
    assert describe(MLPGenerator([2], hidden=[8], norm="layer")) == {
        "network": "MLPGenerator",
        "shape": (2,),
        "latent_dim": 64,
        "hidden": (8,),
        "norm": "layer",
        "activation": "leaky-relu",
        "init": "default",
    }


def test_building_does_not_change_the_description():
    description = describe(MLPCritic((2,)))
    before = copy.deepcopy(description)
    build(description)
    assert description == before


class Mine(nn.Module):
    """A network of the user's own."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 3)


class Derived(MLPCritic):
    """One that builds upon ours: its own arguments are not known."""


@pytest.mark.parametrize("network", [Mine(), Derived((2,)), nn.Linear(2, 3)], ids=lambda n: type(n).__name__)
def test_a_network_of_the_users_own_is_named_and_only_its_author_builds_it(network: nn.Module):
    description = json.loads(json.dumps(describe(network)))
    assert description["network"].endswith(f"{type(network).__module__}.{type(network).__qualname__}")
    assert description["printed"] == repr(network)
    with pytest.raises(
        InputError, match=f"{type(network).__name__} is not one of wgan's own.*package.module:Class"
    ):
        build(description)


@pytest.mark.parametrize(
    "impostor", [type("MLPCritic", (nn.Flatten,), {})(), type("MLPCritic", (MLPCritic,), {})((2,))]
)
def test_a_users_class_with_the_name_of_ours_is_not_mistaken_for_it(impostor: nn.Module):
    assert describe(impostor)["network"] != "MLPCritic"


@pytest.mark.parametrize(
    ("description", "message"),
    [
        ({}, "None is not one of"),
        ({"network": "os.system"}, r"os\.system is not one of"),
        ({"network": "MLPCritic"}, "MLPCritic.*shape"),
        ({"network": "MLPCritic", "shape": [2], "depth": 3}, "MLPCritic.*depth"),
        ({"network": "MLPCritic", "shape": [0]}, r"\(0,\)"),
    ],
)
def test_a_broken_description_is_an_error(description: dict[str, Any], message: str):
    with pytest.raises(InputError, match=message):
        build(description)


# ---------------------------------------------------------------------------------- errors

IMAGE = (1, 8, 8)
GENERATORS = [MLPGenerator, DCGANGenerator, ResNetGenerator, R3GANGenerator]
CRITICS = [MLPCritic, DCGANCritic]
CONVOLUTIONAL = [DCGANGenerator, DCGANCritic]
RESIDUAL = [ResNetGenerator, ResNetCritic, R3GANGenerator, R3GANCritic]
NORMALISED = [*GENERATORS[:3], *CRITICS, ResNetCritic]
ACTIVE = [*GENERATORS[:2], *CRITICS]

NO_SHAPES = [(), (0,), (-2,), (2.5,), (1, 2), (0, 8, 8), (1, 0, 8), (1, 8, -8), (1, 8, 8.0), (1, 8, 8, 8)]
NO_SIZES = [0, -1, 2.0, "8", None]

INVALID: list[tuple[type[nn.Module], Shape, dict[str, Any], str]] = [
    *[(network, shape, {}, "shape|images") for network in NETWORKS.values() for shape in NO_SHAPES],
    *[(network, (5,), {}, "use an MLP") for network in (*CONVOLUTIONAL, *RESIDUAL)],
    *[
        (network, (1, *sides), {}, f"multiples of 4 and at least 8, not {sides[0]}x{sides[1]}; {to}")
        for network in RESIDUAL
        for sides, to in (((30, 30), "resize with resolution=32"), ((4, 40), "resize with resolution=8"))
    ],
    *[
        (network, IMAGE, {name: size}, name)
        for network in RESIDUAL
        for name in ("width", "max_multiplier")
        for size in NO_SIZES
    ],
    *[
        (network, IMAGE, {name: size}, name)
        for network in RESIDUAL[2:]
        for name in ("blocks", "group_size")
        for size in NO_SIZES
    ],
    *[(network, IMAGE, {"packing": size}, "packing") for network in RESIDUAL[1::2] for size in NO_SIZES],
    *[
        (network, IMAGE, {"width": 6, "group_size": 8}, "divide twice the width, 12; 8 does not")
        for network in RESIDUAL[2:]
    ],
    (ResNetCritic, IMAGE, {"pooling": "max"}, "mean, sum"),
    *[
        (network, (1, 30, 30), {}, "multiples of 4 and at least 4, not 30x30; resize with resolution=32")
        for network in CONVOLUTIONAL
    ],
    *[
        (network, (1, 2, 2), {}, "multiples of 4 and at least 4, not 2x2; resize with resolution=4")
        for network in CONVOLUTIONAL
    ],
    *[(network, (1, 8, 6), {}, "multiples of 4 and at least 4, not 8x6") for network in CONVOLUTIONAL],
    *[(network, IMAGE, {"latent_dim": size}, "latent_dim") for network in GENERATORS for size in NO_SIZES],
    *[(network, IMAGE, {"width": size}, "width") for network in CONVOLUTIONAL for size in NO_SIZES],
    *[(network, IMAGE, {"stages": size}, "stages") for network in CONVOLUTIONAL for size in NO_SIZES[:-1]],
    *[
        (network, IMAGE, {"hidden": (8, s)}, "hidden")
        for network in (MLPGenerator, MLPCritic)
        for s in NO_SIZES
    ],
    *[
        (network, IMAGE, {"hidden": (s,)}, "hidden")
        for network in (MLPGenerator, MLPCritic)
        for s in NO_SIZES
    ],
    *[
        (network, IMAGE, {"kernel": kernel}, "must be one of 4, 5")
        for network in CONVOLUTIONAL
        for kernel in (3, 0, 4.0, "4")
    ],
    *[
        (network, IMAGE, {"stages": stages, "kernel": kernel}, "at most 3 stages")
        for network in CONVOLUTIONAL
        for stages in (4, 10**9)
        for kernel in (4, 5)
    ],
    *[(network, IMAGE, {"norm": "instance"}, "none, batch, layer, group") for network in NORMALISED],
    *[(network, IMAGE, {"activation": "swish"}, "relu, leaky-relu, softplus, tanh") for network in ACTIVE],
    *[(network, IMAGE, {"init": "xavier"}, "default, normal, he, orthogonal") for network in NORMALISED],
    *[(network, IMAGE, {"init": "shaped"}, "use init='he'") for network in (ResNetGenerator, ResNetCritic)],
    (DCGANCritic, IMAGE, {"head": "mean"}, "dense, max-pool"),
    # ... also where the network is too shallow to use the name.
    (MLPCritic, IMAGE, {"norm": "instance", "hidden": ()}, "none, batch, layer, group"),
    (MLPGenerator, IMAGE, {"activation": "swish", "hidden": ()}, "relu, leaky-relu"),
    (DCGANCritic, (1, 32, 32), {"norm": "group", "width": 17}, "group.*multiple of 8"),
    (MLPCritic, IMAGE, {"norm": "group", "hidden": (8, 17)}, "group.*multiple of 8"),
]


@pytest.mark.parametrize(("network", "shape", "arguments", "message"), INVALID)
def test_arguments_that_cannot_work_are_errors(
    network: type[nn.Module], shape: Shape, arguments: dict[str, Any], message: str
):
    with pytest.raises(InputError, match=message):
        network(shape, **arguments)


# ---------------------------------------------------------------------------------- initialisation


@pytest.mark.parametrize(
    "make",
    [
        lambda: MLPGenerator((3, 8, 8), hidden=(128, 128), norm="batch", init="normal"),
        lambda: MLPCritic((3, 8, 8), hidden=(128, 128), norm="layer", init="normal"),
        lambda: DCGANGenerator((3, 16, 16), width=64, init="normal"),
        lambda: DCGANCritic((3, 16, 16), width=128, norm="layer", init="normal"),
    ],
)
def test_normal_initialisation_is_dcgans(make: Callable[[], nn.Module]):
    torch.manual_seed(0)
    network = make()
    maps, scales = [], []
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            maps.append(module.weight.flatten())
        elif getattr(module, "weight", None) is not None:
            scales.append(module.weight)
        if getattr(module, "bias", None) is not None:
            assert not module.bias.any()
    for weights, mean in ((torch.cat(maps), 0.0), (torch.cat(scales), 1.0)):
        n = weights.numel()
        assert n >= 128
        assert weights.mean().item() == pytest.approx(mean, abs=4 * 0.02 / n**0.5)
        assert weights.std().item() == pytest.approx(0.02, abs=4 * 0.02 / (2 * n) ** 0.5)


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (lambda: MLPCritic((512,), hidden=(512,) * 6, activation="relu", init="he").layers[:-1], (256, 512)),
        (lambda: DCGANCritic((16, 32, 32), width=64, init="he").layers[:-2], (64, 16, 32, 32)),
        (lambda: DCGANGenerator((16, 32, 32), width=64, norm="none", init="he").layers[:-2], (64, 256, 4, 4)),
    ],
)
def test_he_initialisation_keeps_the_scale_of_features(make: Callable[[], nn.Module], shape):
    torch.manual_seed(0)
    with torch.no_grad():
        entering = torch.randn(shape)
        leaving = make()(entering)
    ratio = float(leaving.square().mean() / entering.square().mean())
    assert 0.4 < ratio < 2.5  # by PyTorch's default it falls by a factor of 3 or more with every layer


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_orthogonal_initialisation_keeps_gradients_and_differences_however_deep(activation: str):
    torch.manual_seed(0)
    critic = MLPCritic((64,), hidden=(64,) * 20, activation=activation, init="orthogonal")
    entering = torch.randn(256, 64, requires_grad=True)
    scores = critic(entering)
    (gradients,) = torch.autograd.grad(scores.sum(), entering)
    assert 0.1 < gradients.norm(dim=1).mean().item() < 5  # by PyTorch's default it is below 1e-6
    assert 0.1 < scores.std().item() < 5


@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.Conv2d(8, 24, 3),
        lambda: nn.Conv2d(24, 8, 4, stride=2),
        lambda: nn.ConvTranspose2d(24, 8, 4, stride=2),
        lambda: nn.Linear(40, 8),
        lambda: nn.Linear(8, 40),
    ],
    ids=lambda make: str(make()),
)
@pytest.mark.parametrize("before", [nn.ReLU(), nn.LeakyReLU(0.2), nn.Softplus(), nn.Tanh()], ids=str)
def test_orthogonal_layers_are_orthogonal_and_compensate_for_the_activation(
    make: Callable[[], nn.Module], before: nn.Module
):
    """The slopes are those of standard normal inputs, by quadrature; of small ones for tanh."""
    torch.manual_seed(0)
    layer = make()
    initialise(nn.Sequential(before, layer), "orthogonal")
    size = 1e-3 if isinstance(before, nn.Tanh) else 1
    z = torch.linspace(-9, 9, 20_001, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(before(size * z).sum() / size, z)
    square = torch.trapezoid(slope**2 * torch.exp(-(z**2) / 2) / (2 * torch.pi) ** 0.5, z).item()
    assert layer.weight.square().mean().item() * fan_in(layer) * square == pytest.approx(1, abs=1e-3)
    assert not layer.bias.any()
    if isinstance(before, nn.Softplus):
        assert layer.weight.mean(0 if isinstance(layer, nn.ConvTranspose2d) else 1).abs().max() < 1e-6
    else:
        values = torch.linalg.svdvals(layer.weight.flatten(1))
        assert (values.max() / values.min()).item() == pytest.approx(1, abs=1e-4)


DEEP_MLP = partial(MLPGenerator, (64,), latent_dim=64, hidden=(64,) * 12)
DCGAN_OF_MANY = partial(DCGANGenerator, (1, 32, 32), latent_dim=64, width=16)
EACH_ACTIVATION = [nn.ReLU(), nn.LeakyReLU(0.2), nn.Softplus(), nn.Tanh()]


@pytest.mark.parametrize(("negative", "activation"), [(0.0, nn.ReLU()), (0.2, nn.LeakyReLU(0.2))], ids=str)
@given(units=st.floats(-2, 2), reach=st.floats(0.1, 4))
def test_moments_of_rectifiers_are_those_of_a_cut_normal_distribution(
    negative: float, activation: nn.Module, units: float, reach: float
):
    """Above zero N(m, s^2) has mass Phi(m / s), mean m Phi + s phi and square (m^2 + s^2) Phi + m s phi."""
    point = units * reach
    above = 0.5 * (1 + math.erf(units / 2**0.5))
    edge = reach * math.exp(-(units**2) / 2) / (2 * math.pi) ** 0.5
    mean = (1 - negative) * (point * above + edge) + negative * point
    upper = (point**2 + reach**2) * above + point * edge
    square = (1 - negative**2) * upper + negative**2 * (point**2 + reach**2)
    slope, spread = activation_moments(activation, point, reach)
    assert slope == pytest.approx((negative**2 + (1 - negative**2) * above) ** 0.5, rel=1e-2)
    assert spread == pytest.approx((square - mean**2) ** 0.5, rel=1e-2)


@pytest.mark.parametrize("activation", EACH_ACTIVATION, ids=str)
@settings(max_examples=20)
@given(bend=st.floats(1.001, 1.15))
def test_an_input_range_has_the_requested_slope_of_correlations(activation: nn.Module, bend: float):
    """C'(1) from its definition: outputs of inputs that correlate with 1 - d correlate with 1 - C'(1) d."""
    found, part = input_range(activation, bend), 1e-6
    one = torch.linspace(-8, 8, 20_001, dtype=torch.float64)
    density = torch.softmax(-one.square() / 2, 0)
    near = (1 - part) * one + (2 * part) ** 0.5 * torch.tensor([[-1.0], [1.0]])  # of the same variance
    left, right = (activation(found.mean + found.std * each) for each in (one.clone(), near))
    spread = (density @ left.square() - (density @ left) ** 2).sqrt()
    assert spread.item() == pytest.approx(found.output_std, rel=1e-2)
    parted = (density * (left - right).square()).sum() / 2 / (2 * spread**2)
    assert parted.item() / part == pytest.approx(bend, rel=1e-2)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("norm", ["none", "layer"])
@pytest.mark.parametrize(("depth", "width"), [(4, 64), (20, 32), (20, 128)])
def test_shaped_networks_are_equally_nonlinear_at_any_depth(
    activation: str, norm: str, depth: int, width: int
):
    """The mean square of slopes is that nonlinearity, the scores' variance one, as far as 32 units show."""
    torch.manual_seed(0)
    critic = MLPCritic((64,), hidden=(width,) * depth, activation=activation, norm=norm, init="shaped")
    entering = torch.randn(512, 64, requires_grad=True)
    scores = critic(entering)
    (gradients,) = torch.autograd.grad(scores.sum(), entering)
    square_slope = gradients.norm(dim=1).square().mean().item()
    assert (
        NONLINEARITY / 3 < square_slope < NONLINEARITY * 3
    )  # by PyTorch's default it is below 1e-12 at 20 layers
    assert scores.std().item() == pytest.approx(1, rel=0.5)
    assert abs(scores.mean().item()) < 0.3


@pytest.mark.slow
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("norm", ["none", "batch"])
@pytest.mark.parametrize("make", [DEEP_MLP, DCGAN_OF_MANY])
def test_in_shaped_networks_every_activation_works_in_its_range(make, norm: str, activation: str):
    torch.manual_seed(0)
    network = make(norm=norm, activation=activation, init="shaped")
    *hidden, _ = layer_blocks(network)
    within = input_range(hidden[0].activation, NONLINEARITY ** (1 / len(hidden)))
    entered: list[Tensor] = []
    for stage in hidden:
        stage.activation.register_forward_pre_hook(lambda _, taken: entered.append(taken[0].clone()))
    with torch.no_grad():
        network(torch.randn(2048, network.latent_dim))
    assert len(entered) == len(hidden)
    for features in entered:
        assert features.std(0).mean().item() == pytest.approx(within.std, rel=0.25)
        assert features.mean(0).sub(within.mean).square().mean() < (0.35 * within.std) ** 2


@pytest.mark.parametrize("activation", ["softplus", "tanh"])
def test_smooth_activations_have_a_certificate(activation: str):
    critic = MLPCritic((3,), hidden=(8, 8), activation=activation)
    bounds = [
        torch.linalg.matrix_norm(layer.weight, 2).item()
        for layer in critic.layers
        if hasattr(layer, "weight")
    ]
    assert certify(critic).bound == pytest.approx(math.prod(bounds), rel=1e-4)


def test_default_initialisation_leaves_the_weights_alone():
    torch.manual_seed(0)
    expected = nn.Linear(64, 8).weight
    torch.manual_seed(0)
    assert torch.equal(MLPGenerator((2,), hidden=(8,)).layers[0].weight, expected)


def test_an_unknown_initialisation_is_an_error():
    with pytest.raises(InputError, match="init must be one of default, normal, he, orthogonal, shaped"):
        initialise(nn.Linear(2, 3), "xavier")


def test_initialising_again_draws_anew():
    network = MLPCritic((2,), hidden=(8,))
    initialise(network, "normal")
    first = network.layers[0].weight.clone()
    initialise(network, "normal")
    assert not torch.equal(network.layers[0].weight, first)


# ---------------------------------------------------------------------------------- summaries


@given(case=families)
@settings(max_examples=30)
def test_a_summary_accounts_for_every_parameter(case: tuple[Family, Shape]):
    family, shape = case
    for network, example in zip(
        family.build(shape), (samples((family.latent_dim,)), samples(shape)), strict=True
    ):
        found = summarise(network, example)
        assert sum(layer.parameters for layer in found) == sum(p.numel() for p in network.parameters())
        # Without labels, the module by which they would enter does not run.
        paths = [path for path, module in network.named_modules() if not [*module.children()]]
        paths = [path for path in paths if path != "_labels"]
        # A module with a re-parametrised weight is one layer, whatever is within it.
        whole = dict.fromkeys(path.partition(".parametrizations")[0] for path in paths)
        assert [layer.path for layer in found] == list(whole)


def test_the_summary_of_a_small_critic():
    found = summarise(DCGANCritic((1, 8, 8), width=2, stages=1), samples((1, 8, 8)))
    assert [(layer.path, layer.kind, layer.shape, layer.parameters) for layer in found] == [
        ("layers.0", "Conv2d", (2, 4, 4), 34),
        ("layers.1", "LeakyReLU", (2, 4, 4), 0),
        ("layers.2", "Flatten", (32,), 0),
        ("layers.3", "Linear", (1,), 33),
    ]


def test_a_spectrally_normalised_critic_has_the_same_summary():
    critic = MLPCritic((5,), hidden=(8, 4), norm="layer")
    before = summarise(critic, samples((5,)))
    assert summarise(SpectralNormalisation().wrap(critic), samples((5,))) == before


def mixed_modes() -> nn.Module:
    """Build a network in training mode, with one part in evaluation mode."""
    network = DCGANGenerator((1, 16, 16), width=2).train()
    network.base.eval()
    return network


@pytest.mark.parametrize("example", [samples((64,)), samples((63,))], ids=["fitting", "failing"])
def test_a_summary_does_not_change_the_network(example: Tensor):
    network = mixed_modes()
    modes = [module.training for module in network.modules()]
    state = copy.deepcopy(network.state_dict())
    if example.shape[1] == 64:
        assert summarise(network, example)
    else:
        with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
            summarise(network, example)
    assert [module.training for module in network.modules()] == modes
    assert all(torch.equal(value, state[key]) for key, value in network.state_dict().items())
    assert not any(module._forward_hooks for module in network.modules())
    assert all(parameter.grad is None for parameter in network.parameters())
