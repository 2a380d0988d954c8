"""The benchmark's harms are what they say, and a distance grows with each of them."""

import pytest
import torch
from benchmarks.metric_sensitivity import LEVELS, ImageReader, by_class, mixture, noised, verdict

from wgan.data import digits
from wgan.metrics import frechet_distance

COUNT = 120
DIGITS = ImageReader.of(digits().train, COUNT, 0)
REAL = DIGITS.real()
OTHER = DIGITS.harmed("none", 0)


def rows_of(images):
    return {tuple(row) for row in images.flatten(1).tolist()}


def fd(harm, level):
    return frechet_distance(REAL.flatten(1), DIGITS.harmed(harm, level).flatten(1)).value


@pytest.mark.parametrize("harm", LEVELS)
def test_level_0_is_no_harm(harm):
    assert DIGITS.harmed(harm, 0).equal(OTHER)


@pytest.mark.parametrize("harm", LEVELS)
def test_every_level_is_as_many_images_and_always_the_same(harm):
    for level in LEVELS[harm]:
        found = DIGITS.harmed(harm, level)
        assert found.shape == (COUNT, 1, 8, 8)
        assert found.dtype == torch.float32
        assert found.abs().max() <= 1
        assert found.equal(DIGITS.harmed(harm, level))
        assert not found.equal(OTHER)


def test_noise_differs_in_its_size_alone():
    grey = torch.zeros(4, 1, 8, 8)
    small, large = noised(grey, 0.05, seed=3), noised(grey, 0.1, seed=3)
    assert torch.allclose(2 * small, large)
    assert small.std() == pytest.approx(0.05, rel=0.1)
    assert not small.equal(noised(grey, 0.05, seed=4))


def test_blur_stays_within_the_range_of_a_image_and_never_adds_contrast():
    spreads = []
    for level in (0, *LEVELS["blur"]):
        found = DIGITS.harmed("blur", level).flatten(1)
        assert (found.amin(1) >= OTHER.flatten(1).amin(1) - 1e-6).all()
        assert (found.amax(1) <= OTHER.flatten(1).amax(1) + 1e-6).all()
        spreads.append(float(found.std(1).mean()))
    assert spreads == sorted(spreads, reverse=True)


@pytest.mark.parametrize("missing", range(10))
def test_missing_classes_are_missing_and_the_others_are_there_in_equal_shares(missing):
    split = DIGITS.split
    rows = mixture(DIGITS.classes[missing:], COUNT, 12)
    labels = split.batch_labels(rows)
    counts = torch.bincount(labels, minlength=10)
    assert counts[:missing].sum() == 0
    assert counts[missing:].max() - counts[missing:].min() <= 1
    assert len(rows.unique()) == COUNT
    assert DIGITS.harmed("missing", missing).equal(split.batch(rows))


def test_the_three_sets_have_no_image_in_common():
    """Images of the digits are all different."""
    real, held_out = rows_of(REAL), rows_of(DIGITS.held_out())
    assert len(real) == len(held_out) == COUNT
    assert not real & held_out
    for missing in range(10):
        assert not (real | held_out) & rows_of(DIGITS.harmed("missing", missing))


def test_too_few_images_of_a_class_are_an_error():
    with pytest.raises(ValueError, match="do not have 1000 images"):
        mixture(by_class(DIGITS.split, 0)[9:], 1000, 12)


@pytest.mark.parametrize("harm", ["noise", "blur"])
def test_the_frechet_distance_grows_with_every_third_level(harm):
    found = [fd(harm, level) for level in (0, *LEVELS[harm][2::3])]
    assert found == sorted(found)


def test_the_frechet_distance_grows_as_classes_go():
    found = [fd("missing", level) for level in (0, 3, 6, 9)]
    assert found == sorted(found)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ([0, 1, 2, 3], "rises"),
        ([3, 2, 2, 0], "falls"),
        ([0, 1, 0.95, 3], "mostly rises"),
        ([3, 1, 1.05, 0], "mostly falls"),
        ([0, 0.1, 0, 0.1], "flat"),
        ([0, 1, 0], "turns"),
    ],
)
def test_a_verdict_tells_a_step_back_from_chance(values, told):
    assert verdict([(value, 0.1) for value in values]) == told


def test_without_an_error_every_step_counts():
    assert verdict([(0, None), (1, None), (0.99, None)]) == "turns"
    assert verdict([(1, 0), (1, 0), (1, 0)]) == "flat"
