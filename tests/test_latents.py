"""Latents: standard normal, a function of the seed alone, and the same when written in another language."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from wgan.errors import InputError
from wgan.latents import draw_latents

MASK = 2**64 - 1


def philox(key: int, count: int) -> list[int]:
    """Philox4x64-10 on whole numbers alone (Salmon et al. 2011, "Parallel random numbers", section 3.3)."""
    words: list[int] = []
    block = 0
    while len(words) < count:
        block += 1
        a, b, c, d = block, 0, 0, 0
        k0, k1 = key, 0
        for _ in range(10):
            left, right = 0xD2E7470EE14C6C93 * a, 0xCA5A826395121157 * c
            a, b, c, d = (right >> 64) ^ b ^ k0, right & MASK, (left >> 64) ^ d ^ k1, left & MASK
            k0, k1 = (k0 + 0x9E3779B97F4A7C15) & MASK, (k1 + 0xBB67AE8584CAA73B) & MASK
        words += [a, b, c, d]
    return words[:count]


def written_again(count: int, latent_dim: int, seed: int) -> list[list[float]]:
    pairs = (latent_dim + 1) // 2
    uniform = [((word >> 11) + 0.5) / 2**53 for word in philox(seed, 2 * pairs * count)]
    normal: list[float] = []
    for first, second in zip(uniform[::2], uniform[1::2], strict=True):
        radius, angle = math.sqrt(-2 * math.log(first)), 2 * math.pi * second
        normal += [radius * math.cos(angle), radius * math.sin(angle)]
    return [normal[2 * pairs * row :][:latent_dim] for row in range(count)]


def test_the_numbers_never_change():
    """Grids, samples and shipped generators are compared across versions: these three are for good."""
    expected = [[0.15853384, 2.9828794, -1.925692], [-0.20250328, 1.1557642, 0.33020452]]
    np.testing.assert_allclose(draw_latents(2, 3, seed=0), expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("count", "latent_dim", "seed"), [(3, 4, 0), (5, 1, 7), (2, 9, 2**64 - 1), (1, 64, 2**53 + 1)]
)
def test_the_numbers_are_those_of_philox_and_box_muller(count: int, latent_dim: int, seed: int):
    expected = np.array(written_again(count, latent_dim, seed))
    np.testing.assert_allclose(draw_latents(count, latent_dim, seed), expected, rtol=1e-6)


@given(
    count=st.integers(0, 20),
    more=st.integers(0, 20),
    latent_dim=st.integers(1, 17),
    seed=st.integers(0, 2**64 - 1),
)
def test_more_latents_begin_with_the_same_ones(count: int, more: int, latent_dim: int, seed: int):
    few = draw_latents(count, latent_dim, seed)
    assert few.shape == (count, latent_dim)
    assert few.dtype == np.float32
    assert np.isfinite(few).all()
    assert np.array_equal(draw_latents(count + more, latent_dim, seed)[:count], few)


@pytest.mark.parametrize("latent_dim", [1, 2, 63, 64])
def test_latents_are_standard_normal(latent_dim: int):
    drawn = draw_latents(20_000 // latent_dim, latent_dim, seed=3).astype(np.float64)
    n = drawn.size
    assert abs(drawn.mean()) < 4 / n**0.5
    assert abs(drawn.var() - 1) < 4 * (2 / n) ** 0.5
    assert stats.kstest(drawn.ravel(), "norm").pvalue > 0.01


def test_the_coordinates_of_a_latent_are_uncorrelated_and_independent_of_the_next():
    drawn = draw_latents(20_000, 5, seed=1).astype(np.float64)
    neighbours = np.concatenate([drawn[:-1], drawn[1:]], axis=1)
    for moments in (neighbours, neighbours**2):
        correlation = np.corrcoef(moments, rowvar=False)
        assert np.abs(correlation - np.eye(10)).max() < 5 / 20_000**0.5


def test_seeds_differ():
    drawn = {draw_latents(1, 4, seed).tobytes() for seed in [*range(100), 2**32, 2**63, 2**64 - 1]}
    assert len(drawn) == 103


def test_rows_differ():
    assert len(np.unique(draw_latents(1000, 3), axis=0)) == 1000


def test_numpys_whole_numbers_are_welcome():
    assert np.array_equal(draw_latents(np.int64(2), np.int32(3), np.uint64(5)), draw_latents(2, 3, 5))


@pytest.mark.parametrize(
    "arguments",
    [
        {"count": -1},
        {"count": 2.0},
        {"latent_dim": 0},
        {"latent_dim": 3.5},
        {"seed": -1},
        {"seed": 2**64},
        {"seed": 1.5},
        {"seed": float("nan")},
        {"seed": "0"},
        {"seed": None},
    ],
    ids=str,
)
def test_arguments_out_of_range_are_refused(arguments: dict[str, object]):
    ((argument, value),) = arguments.items()
    with pytest.raises(InputError, match=f"{argument} {value!r}"):
        draw_latents(**{"count": 2, "latent_dim": 3, **arguments})
