"""A rewritten network computes what the network computes: for layers of every kind, and whole generators."""

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from wgan.deploy.rewrite import SubPixel, is_sub_pixel, is_thin, simplify
from wgan.networks import Condition, DCGANGenerator, MLPGenerator, ResNetGenerator

COUNT = 6


def layer(**settings: int) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(4, 6, **settings).double()


@st.composite
def transposed(draw):
    """A transposed convolution of any kernel, stride, padding, output padding, groups, and inputs for it."""
    stride = draw(st.integers(2, 3))
    kernel, padding, extra = (
        draw(st.tuples(st.integers(low, high), st.integers(low, high)))
        for low, high in ((1, 7), (0, 3), (0, stride - 1))
    )
    size = draw(st.tuples(st.integers(1, 5), st.integers(1, 5)))
    for k, p, e, n in zip(kernel, padding, extra, size, strict=True):
        assume((n - 1) * stride - 2 * p + k + e >= 1)
    settings = {"groups": draw(st.sampled_from([1, 2])), "bias": draw(st.booleans())}
    made = nn.ConvTranspose2d(
        4, 6, kernel, stride=stride, padding=padding, output_padding=extra, **settings
    ).double()
    return made, torch.randn(2, 4, *size, dtype=torch.float64)


@given(transposed())
def test_a_strided_transposed_convolution_is_a_convolution_and_a_pixel_shuffle(drawn):
    made, inputs = drawn
    with torch.no_grad():
        torch.testing.assert_close(SubPixel(made)(inputs), made(inputs), rtol=0, atol=1e-12)


@pytest.mark.parametrize("settings", [{"kernel_size": 4, "padding": 1}, {"kernel_size": 5, "padding": 2}])
def test_the_dcgan_layers_become_three_wide(settings):
    shuffled = SubPixel(layer(stride=2, **settings))
    assert shuffled.convolution.kernel_size == (3, 3)
    assert all(axis.pads(7) == (1, 1) for axis in shuffled.axes)


@pytest.mark.parametrize(
    "settings",
    [
        {"kernel_size": 3, "stride": 1},
        {"kernel_size": 3, "stride": 2, "dilation": 2},
        {"kernel_size": 3, "stride": (2, 3)},
    ],
)
def test_other_layers_stay(settings):
    made = layer(**settings)
    assert not is_sub_pixel(made)
    (kept,) = simplify(nn.Sequential(made), lambda layer: True)
    assert type(kept) is nn.ConvTranspose2d


def used(network: nn.Module, *inputs: torch.Tensor) -> nn.Module:
    """In evaluation mode, with running statistics and conditional scales that are not the initial ones."""
    network.train()
    for _ in range(3):
        network(*(torch.randn_like(x) if x.is_floating_point() else x for x in inputs))
    for parameter in network.parameters():
        parameter.data += 0.02 * torch.randn_like(parameter)
    return network.eval()


LATENTS = torch.randn(COUNT, 5)
LABELS = torch.arange(COUNT) % 3
SPECTRAL = nn.Sequential(
    nn.Linear(5, 8 * 9),
    nn.Unflatten(1, (8, 3, 3)),
    spectral_norm(nn.ConvTranspose2d(8, 6, 4, 2, 1)),
    nn.BatchNorm2d(6),
    nn.ReLU(inplace=True),
    spectral_norm(nn.Conv2d(6, 2, 3)),
    nn.BatchNorm2d(2, affine=False),
)
CONDITION = Condition(classes=3)
GENERATORS = {
    "odd sizes": (DCGANGenerator((1, 28, 28), latent_dim=5, width=3), ()),
    "kernel 5": (DCGANGenerator((3, 12, 8), latent_dim=5, width=3, kernel=5, activation="leaky-relu"), ()),
    "group norm": (DCGANGenerator((1, 8, 8), latent_dim=5, width=8, norm="group"), ()),
    "labels in norms": (
        DCGANGenerator((1, 8, 8), latent_dim=5, width=4, condition=CONDITION, conditioning="norm"),
        (LABELS,),
    ),
    "labels embedded": (
        MLPGenerator((2,), latent_dim=5, hidden=(7,), norm="batch", condition=CONDITION),
        (LABELS,),
    ),
    "residual": (ResNetGenerator((1, 8, 8), latent_dim=5, width=4, condition=CONDITION), (LABELS,)),
    "spectral": (SPECTRAL, ()),
}


@pytest.mark.parametrize("name", GENERATORS)
@pytest.mark.parametrize("shuffled", [lambda layer: False, is_thin, lambda layer: True])
def test_a_plain_generator_is_the_generator(name, shuffled):
    network, labels = GENERATORS[name]
    network = used(network, LATENTS, *labels)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    rewritten = simplify(network, shuffled)
    with torch.no_grad():
        torch.testing.assert_close(
            rewritten(LATENTS, *labels), network(LATENTS, *labels), rtol=1e-5, atol=1e-6
        )
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())
    assert not any(getattr(module, "inplace", False) for module in rewritten.modules())


def kinds(network: nn.Module) -> list[type[nn.Module]]:
    return [type(module) for module in network.modules()]


def test_what_is_left_of_a_dcgan():
    network = DCGANGenerator((1, 28, 28), latent_dim=5, width=8)
    folded, thin, all_ = (
        simplify(network, choice) for choice in (lambda layer: False, is_thin, lambda layer: True)
    )
    for rewritten in (folded, thin, all_):
        assert not {nn.BatchNorm1d, nn.BatchNorm2d} & {*kinds(rewritten)}
    assert [kinds(n).count(nn.ConvTranspose2d) for n in (folded, thin, all_)] == [3, 2, 0]
    assert [kinds(n).count(SubPixel) for n in (folded, thin, all_)] == [0, 1, 3]
