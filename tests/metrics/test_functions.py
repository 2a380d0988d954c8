"""Each metric against its closed form, its definition, and what the papers promise of it."""

import warnings

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from wgan.errors import InputError
from wgan.metrics import (
    Modes,
    count_modes,
    density_coverage,
    effective_modes,
    frechet_distance,
    high_quality_share,
    kernel_distance,
    label_divergence,
    memorisation,
    memorisation_floor,
    precision_recall,
)

TWO_SETS = {
    "frechet": frechet_distance,
    "kernel": kernel_distance,
    "pr": precision_recall,
    "dc": density_coverage,
}
every_metric = pytest.mark.parametrize("metric", TWO_SETS.values(), ids=TWO_SETS)
seeds = st.integers(0, 2**31)


def normal(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def with_moments(mean: np.ndarray, covariance: np.ndarray, n: int, seed: int = 0) -> np.ndarray:
    """Samples whose mean and covariance are exactly these."""
    noise = normal(seed, n, len(mean))
    noise -= noise.mean(0)
    white = noise @ np.linalg.inv(scipy.linalg.sqrtm(np.cov(noise.T)))
    return mean + white @ scipy.linalg.sqrtm(covariance)


def random_covariance(seed: int, width: int) -> np.ndarray:
    factor = normal(seed, width, width)
    return factor @ factor.T + 0.1 * np.eye(width)


def rotation(seed: int, width: int) -> np.ndarray:
    return np.linalg.qr(normal(seed, width, width))[0]


# ---------------------------------------------------------------------------- Frechet distance


@settings(max_examples=30)
@given(seed=seeds, shift=st.floats(-5, 5), scale=st.floats(0.1, 5))
def test_frechet_of_scaled_and_shifted_gaussians_is_the_formula(seed, shift, scale):
    width = 3
    covariance = random_covariance(seed, width)
    x = with_moments(np.zeros(width), covariance, 40, seed)
    y = with_moments(np.full(width, shift), scale**2 * covariance, 50, seed + 1)
    expected = width * shift**2 + (1 - scale) ** 2 * np.trace(covariance)
    assert frechet_distance(x, y).value == pytest.approx(expected, rel=1e-8, abs=1e-9)


@settings(max_examples=30)
@given(seed=seeds, width=st.integers(2, 12))
def test_frechet_agrees_with_the_matrix_root_of_full_rank(seed, width):
    x = normal(seed, 60, width) @ normal(seed + 1, width, width)
    y = normal(seed + 2, 50, width) @ normal(seed + 3, width, width) + 1
    s1, s2 = np.cov(x.T), np.cov(y.T)
    shift = x.mean(0) - y.mean(0)
    expected = shift @ shift + np.trace(s1 + s2 - 2 * scipy.linalg.sqrtm(s1 @ s2).real)
    assert frechet_distance(x, y).value == pytest.approx(expected, rel=1e-5)


@pytest.mark.filterwarnings("ignore:A Frechet distance of")
@settings(max_examples=30)
@given(seed=seeds, n=st.integers(2, 30), width=st.integers(1, 40))
def test_frechet_of_a_set_and_itself_is_zero_at_any_rank(seed, n, width):
    x = normal(seed, n, width)
    estimate = frechet_distance(x, x[::-1].copy())
    assert 0 <= estimate.value < 1e-10
    assert 0 <= estimate.standard_error < 1e-6


@pytest.mark.filterwarnings("ignore:A Frechet distance of")
def test_frechet_without_full_rank_is_that_within_the_span():
    """Two sets on a line in 50 dimensions: (m1 - m2)^2 + (s1 - s2)^2, however few they are."""
    direction = rotation(0, 50)[0]
    x, y = normal(1, 9), 3 * normal(2, 7) + 1
    expected = (x.mean() - y.mean()) ** 2 + (x.std(ddof=1) - y.std(ddof=1)) ** 2
    value = frechet_distance(np.outer(x, direction), np.outer(y, direction)).value
    assert value == pytest.approx(expected, rel=1e-10)


def test_frechet_below_the_width_warns_and_says_so():
    with pytest.warns(UserWarning, match="of 30 real and 100 fake samples in 40 dimensions .* floor"):
        frechet_distance(normal(0, 30, 40), normal(1, 100, 40))


@settings(max_examples=20)
@given(seed=seeds)
def test_distances_ignore_a_rotation_and_a_common_shift(seed):
    x, y = normal(seed, 60, 4), 1.5 * normal(seed + 1, 60, 4) + 0.3
    turn, shift = rotation(seed, 4), normal(seed + 2, 4)
    for metric in (frechet_distance, precision_recall, density_coverage):
        before, after = metric(x, y), metric(x @ turn + shift, y @ turn + shift)
        assert np.array(after, dtype=float) == pytest.approx(np.array(before, dtype=float), nan_ok=True)


# ---------------------------------------------------------------------------- kernel distance


def test_kernel_distance_by_hand():
    """d = 1, x = {0, 1}, y = {1, 2}: k(0, 1) + k(1, 2) - 2 mean{1, 1, 8, 27} = 1 + 27 - 18.5."""
    estimate = kernel_distance(np.array([[0.0], [1.0]]), np.array([[1.0], [2.0]]))
    assert estimate.value == pytest.approx(9.5)
    assert estimate.standard_error is None


def test_kernel_distance_is_its_definition_and_its_error_that_of_leaving_each_out():
    x, y = normal(0, 12, 3), normal(1, 9, 3) + 0.5

    def direct(a, b):
        k = [(u @ v.T / 3 + 1) ** 3 for u, v in ((a, a), (b, b), (a, b))]
        n, m = len(a), len(b)
        within = [(k[i].sum() - np.trace(k[i])) / (c * (c - 1)) for i, c in ((0, n), (1, m))]
        return sum(within) - 2 * k[2].mean()

    left = [np.delete(np.arange(12), i) for i in range(12)], [np.delete(np.arange(9), i) for i in range(9)]
    spread = [direct(x[rows], y) for rows in left[0]], [direct(x, y[rows]) for rows in left[1]]
    variance = sum((len(s) - 1) * np.var(s) for s in spread)
    estimate = kernel_distance(x, y)
    assert estimate.value == pytest.approx(direct(x, y))
    assert estimate.standard_error == pytest.approx(variance**0.5)


def test_kernel_distance_is_unbiased():
    values = [kernel_distance(normal(2 * s, 20, 2), normal(2 * s + 1, 20, 2)).value for s in range(400)]
    assert abs(np.mean(values)) < 3 * np.std(values) / 20
    assert min(values) < 0


# ---------------------------------------------------------------------------- neighbours


def brute_force(x, y, k):
    xx, yy, yx = cdist(x, x), cdist(y, y), cdist(y, x)
    reach_x, reach_y = np.sort(xx, 1)[:, k], np.sort(yy, 1)[:, k]
    inside = yx < reach_x
    return {
        "pr": ((yx <= reach_x).any(1).mean(), (reach_y >= yx.T).any(1).mean()),
        "dc": (inside.sum() / (k * len(y)), inside.any(0).mean()),
    }


@pytest.mark.filterwarnings("ignore:The neighbours of")
@settings(max_examples=30)
@given(seed=seeds, n=st.integers(6, 40), m=st.integers(6, 40), k=st.integers(1, 5))
def test_neighbours_agree_with_brute_force(seed, n, m, k):
    x, y = normal(seed, n, 3), 1.2 * normal(seed + 1, m, 3)
    expected = brute_force(x, y, k)
    assert [v.value for v in precision_recall(x, y, neighbours=k)] == pytest.approx(expected["pr"])
    assert [v.value for v in density_coverage(x, y, neighbours=k)] == pytest.approx(expected["dc"])


def test_blocks_change_nothing(monkeypatch):
    x, y = normal(0, 50, 3), normal(1, 40, 3)
    whole = [TWO_SETS[name](x, y) for name in ("pr", "dc", "kernel")]

    def rows(count, _):
        return (slice(start, start + 7) for start in range(0, count, 7))

    monkeypatch.setattr("wgan.metrics.neighbours.row_chunks", rows)
    monkeypatch.setattr("wgan.metrics.kernel.row_chunks", rows)
    pieces = [TWO_SETS[name](x, y) for name in ("pr", "dc", "kernel")]
    assert pieces[:2] == whole[:2]
    assert pieces[2] == pytest.approx(whole[2])


def test_equal_sets_have_all_and_far_sets_nothing():
    x = normal(0, 300, 4) + 100
    for metric in (precision_recall, density_coverage):
        assert [v.value for v in metric(x, x.copy())] == [1, 1]
        assert [v.value for v in metric(x, x + 50)] == [0, 0]


def test_copies_of_equal_samples_are_within_their_ball_of_radius_zero():
    x = np.repeat(normal(0, 10, 3) + 1000, 6, axis=0)
    assert precision_recall(x, x)[0].value == 1


def test_too_few_for_the_neighbours_is_said():
    with pytest.raises(
        InputError, match="3 real samples has 2 others and no neighbour number 3; give at least 4"
    ):
        precision_recall(normal(0, 3, 2), normal(1, 50, 2))
    with pytest.raises(
        InputError, match="5 real samples has 4 others and no neighbour number 5; give at least 6"
    ):
        density_coverage(normal(0, 5, 2), normal(1, 50, 2))
    with pytest.raises(InputError, match="neighbours must be at least 1, not 0"):
        precision_recall(normal(0, 30, 2), normal(1, 50, 2), neighbours=0)


@pytest.mark.parametrize("metric", [precision_recall, density_coverage])
def test_so_few_that_neighbours_tell_little_is_warned_of(metric):
    with pytest.warns(UserWarning, match="40 real and 19 fake samples are so distant"):
        metric(normal(0, 40, 2), normal(1, 19, 2))
    metric(normal(0, 20, 2), normal(1, 20, 2))


def test_memorisation_finds_copies_even_beside_far_samples():
    training, held_out = normal(0, 400, 4), normal(1, 400, 4)
    fresh, far = normal(2, 300, 4), normal(3, 300, 4) + 20
    copies = training[:300] + 1e-6
    part = np.concatenate([copies[:60], far[:240]])
    assert memorisation(training, copies, held_out).value == pytest.approx(1, abs=0.01)
    assert memorisation(training, part, held_out).value == pytest.approx(0.2, abs=0.01)
    assert memorisation(training, fresh, held_out).value < 0.12
    assert memorisation(training, far, held_out) == (0, 0)


def test_memorisation_by_hand():
    """Distances: fakes {0, 3}, held out {1, 2}: half of the fakes are nearer than any held-out sample."""
    training, fakes, held_out = np.array([[0.0], [100.0]]), np.array([[0.0], [3.0]]), np.array([[1.0], [2.0]])
    assert memorisation(training, fakes, held_out) == (0.5, pytest.approx((0.25 / 2) ** 0.5))


def test_the_floor_of_memorisation_is_that_of_fresh_samples_of_any_law():
    fakes, held_out = 150, 60
    floor = memorisation_floor(fakes, held_out)
    found = [
        memorisation(
            normal(3 * s, 50, 3) ** 3, normal(3 * s + 1, fakes, 3) ** 3, normal(3 * s + 2, held_out, 3) ** 3
        )
        for s in range(200)
    ]
    values = [one.value for one in found]
    assert np.mean(values) == pytest.approx(floor.value, rel=0.15)
    assert np.std(values) == pytest.approx(floor.standard_error, rel=0.2)


# ---------------------------------------------------------------------------- modes and labels

SQUARE = Modes(torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0], [10.0, 10.0]]), 0.5)


def test_modes_are_reached_by_samples_of_high_quality():
    samples = np.array([[0.0, 1.4], [10.0, 0.1], [10.2, 0.0], [0.0, 8.0], [5.0, 5.1]])
    mode, good = SQUARE.nearest(samples)
    assert mode[:4].tolist() == [0, 1, 1, 2]
    assert good.tolist() == [True, True, True, False, False]
    assert high_quality_share(samples, SQUARE) == (0.6, pytest.approx((0.24 / 5) ** 0.5))
    assert count_modes(mode[good]) == (2, pytest.approx((2 / 3) ** 0.5))


def test_the_law_itself_is_of_high_quality():
    samples = SQUARE.centres.repeat(2500, 1) + 0.5 * torch.from_numpy(normal(0, 10_000, 2))
    share = high_quality_share(samples, SQUARE)
    assert share.value == pytest.approx(1 - np.exp(-4.5), abs=3 * share.standard_error)


def test_nothing_reaches_no_mode():
    for count in (count_modes, effective_modes):
        assert count(torch.zeros(0, dtype=torch.int64)) == (0, 0)


@given(counts=st.lists(st.integers(0, 50), min_size=1, max_size=12).filter(any))
def test_effective_modes_lie_between_one_and_those_that_are_reached(counts):
    labels = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    number = effective_modes(labels).value
    assert 1 - 1e-9 <= number <= count_modes(labels).value + 1e-9
    assert effective_modes(labels.repeat(3)).value == pytest.approx(number)
    doubled = torch.cat([labels, labels + len(counts)])  # each mode in two: twice as many
    assert effective_modes(doubled).value == pytest.approx(2 * number)


def test_what_a_classifier_takes_for_another_class_hardly_counts():
    even = torch.arange(4).repeat(1000)
    assert effective_modes(even).value == pytest.approx(4)
    mistaken = torch.cat([even, torch.tensor([7, 8, 9])])
    assert count_modes(mistaken).value == 7
    assert effective_modes(mistaken).value == pytest.approx(4, abs=0.03)


def test_modes_refuse_what_is_no_law_of_modes():
    with pytest.raises(InputError, match="std above 0"):
        Modes(torch.zeros(2, 2), 0.0)
    with pytest.raises(InputError, match="width 3 have no distance to modes of width 2"):
        SQUARE.nearest(normal(0, 5, 3))


def test_label_divergence_is_its_closed_form():
    p, q = torch.tensor([0, 0, 0, 1]), torch.tensor([0, 1, 1, 1])
    expected = 0.75 * np.log(3) + 0.25 * np.log(1 / 3)
    assert label_divergence(p, q).value == pytest.approx(expected)
    assert label_divergence(p, p) == (0, 0)


def test_a_lost_label_costs_much_and_not_infinity():
    all_labels, one = torch.arange(10).repeat(50), torch.zeros(500, dtype=torch.int64)
    assert label_divergence(one, all_labels).value == pytest.approx(np.log(10))
    assert label_divergence(all_labels, one).value == pytest.approx(0.1 * np.log(0.1) + 0.9 * np.log(100))


@pytest.mark.parametrize("labels", [torch.zeros(0, dtype=torch.int64), torch.ones(3), torch.tensor([-1, 2])])
def test_what_are_no_labels_is_said(labels):
    with pytest.raises(InputError, match="Labels must be integers"):
        label_divergence(labels, torch.tensor([0, 1]))


# ---------------------------------------------------------------------------- standard errors


def pair(seed, shift):
    return normal(2 * seed, 250, 3), 1.2 * normal(2 * seed + 1, 250, 3) + shift


def copied(seed):
    rng = np.random.default_rng(seed + 1)
    training, fakes = normal(0, 200, 3), rng.standard_normal((250, 3))
    chosen = rng.random(250) < 0.3
    fakes[chosen] = training[rng.integers(200, size=chosen.sum())]
    return training, fakes, rng.standard_normal((250, 3))


def labelled(seed):
    rng = np.random.default_rng(seed)
    distributions = [0.5, 0.3, 0.2], [0.2, 0.3, 0.5]
    return tuple(torch.from_numpy(rng.choice(3, 400, p=distribution)) for distribution in distributions)


def zipf(seed):
    distribution = 1 / np.arange(1, 101)
    return (
        torch.from_numpy(np.random.default_rng(seed).choice(100, 200, p=distribution / distribution.sum())),
    )


CALIBRATION = {
    "frechet": (frechet_distance, lambda s: pair(s, 0.5), 100),
    "kernel": (kernel_distance, lambda s: pair(s, 0.5), 100),
    "precision": (lambda x, y: precision_recall(x, y)[0], lambda s: pair(s, 0.8), 40),
    "recall": (lambda x, y: precision_recall(x, y)[1], lambda s: pair(s, 0.8), 40),
    "density": (lambda x, y: density_coverage(x, y)[0], lambda s: pair(s, 0.8), 40),
    "coverage": (lambda x, y: density_coverage(x, y)[1], lambda s: pair(s, 0.8), 40),
    "memorisation": (memorisation, copied, 60),
    "high quality": (high_quality_share, lambda s: (0.7 * normal(s, 300, 2), SQUARE), 60),
    "divergence": (label_divergence, labelled, 100),
    "reached": (count_modes, zipf, 100),
    "effective": (effective_modes, lambda s: labelled(s)[:1], 100),
}


@pytest.mark.parametrize("name", CALIBRATION)
def test_the_standard_error_is_the_spread_over_repetitions(name):
    """Right within what so many repetitions tell, and rather too wide than too narrow."""
    metric, draw, repetitions = CALIBRATION[name]
    estimates = [metric(*draw(seed)) for seed in range(repetitions)]
    spread = np.std([estimate.value for estimate in estimates], ddof=1)
    claimed = np.mean([estimate.standard_error**2 for estimate in estimates]) ** 0.5
    assert 0.75 < claimed / spread < 1.5


@pytest.mark.parametrize("metric", [frechet_distance, kernel_distance], ids=["frechet", "kernel"])
def test_the_standard_error_is_on_the_safe_side_for_equal_laws(metric):
    estimates = [metric(normal(2 * s, 200, 4), normal(2 * s + 1, 200, 4)) for s in range(80)]
    spread = np.std([estimate.value for estimate in estimates])
    claimed = np.mean([estimate.standard_error**2 for estimate in estimates]) ** 0.5
    assert 1 < claimed / spread < 1.8


# ---------------------------------------------------------------------------- bad input


@every_metric
def test_bad_features_are_refused_in_one_sentence(metric):
    good = normal(0, 20, 3)
    bad = good.copy()
    bad[4, 1], bad[7, 0] = np.nan, np.inf
    for values, message in (
        (normal(0, 20, 4), "different widths .real has 3, fake has 4."),
        (bad, "2 of 20 fake samples hold NaN or infinity"),
        (good[:1], "1 fake samples have no spread"),
        (good[:, 0], "no set of vectors"),
        (np.array([["a"], ["b"]]), "not an array of numbers"),
    ):
        with pytest.raises(InputError, match=message) as caught:
            metric(good, values)
        assert "\n" not in str(caught.value)


@every_metric
def test_arrays_tensors_and_images_are_all_features(metric):
    x, y = normal(0, 30, 12), normal(1, 30, 12) + 1
    with warnings.catch_warnings(action="ignore"):
        expected = metric(x, y)
        assert metric(torch.from_numpy(x), y.tolist()) == expected
        assert metric(x.reshape(30, 3, 2, 2), torch.from_numpy(y).reshape(30, 12)) == expected
