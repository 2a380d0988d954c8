"""Exact distances against their closed forms, against scipy, and against the axioms of a metric."""

import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import integrate, stats
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from wgan.errors import InputError
from wgan.wasserstein import exact
from wgan.wasserstein.exact import (
    jensen_shannon,
    wasserstein1,
    wasserstein1_gaussian_1d,
)

ROOT = Path(__file__).parents[2]

coordinates = st.floats(-1e3, 1e3).map(lambda value: round(value, 6))


@st.composite
def point_sets(draw: st.DrawFn, sets: int = 2, dimensions: tuple[int, int] = (1, 4)) -> list[np.ndarray]:
    d = draw(st.integers(*dimensions))
    counts = [draw(st.integers(1, 7)) for _ in range(sets)]
    return [draw(hnp.arrays(np.float64, (count, d), elements=coordinates)) for count in counts]


@st.composite
def distributions(draw: st.DrawFn, count: int) -> np.ndarray:
    raw = draw(hnp.arrays(np.float64, count, elements=st.integers(0, 9)))
    return raw / raw.sum() if raw.sum() > 0 else np.full(count, 1 / count)


def check_optimal(x: np.ndarray, y: np.ndarray, p: np.ndarray, q: np.ndarray, found: exact.Transport):
    """The plan has the right marginals and the potentials prove that none is cheaper."""
    cost, plan, (f, g) = cdist(x, y), found.plan.toarray(), found.potentials
    size = max(cost.max(), np.abs(x).max(), np.abs(y).max(), 1e-300)
    np.testing.assert_allclose(plan.sum(1), p, atol=1e-12)
    np.testing.assert_allclose(plan.sum(0), q, atol=1e-12)
    assert found.plan.nnz <= len(x) + len(y) - 1
    assert found.plan.data.min() > 0
    assert (f[:, None] + g <= cost + 1e-12 * size).all()
    slack = (cost - f[:, None] - g)[plan > 1e-13]
    assert slack.max() <= 1e-11 * size
    assert (plan * cost).sum() == pytest.approx(found.value, abs=1e-12 * size)
    assert p @ f + q @ g == pytest.approx(found.value, abs=1e-11 * size)


@given(sets=point_sets(), data=st.data())
def test_plan_and_potentials_prove_each_other(sets: list[np.ndarray], data: st.DataObject):
    x, y = sets
    p, q = data.draw(distributions(len(x))), data.draw(distributions(len(y)))
    check_optimal(x, y, p, q, wasserstein1(x, y, weights_x=p, weights_y=q))


@given(sets=point_sets())
def test_unweighted_points_weigh_the_same(sets: list[np.ndarray]):
    x, y = sets
    p, q = np.full(len(x), 1 / len(x)), np.full(len(y), 1 / len(y))
    found = wasserstein1(x, y)
    check_optimal(x, y, p, q, found)
    assert wasserstein1(x, y, weights_x=p, weights_y=q).value == pytest.approx(found.value, abs=1e-9)


@pytest.mark.parametrize(("n", "m", "d"), [(60, 60, 2), (300, 300, 3), (200, 70, 5), (500, 400, 1)])
def test_plan_and_potentials_of_larger_sets(n: int, m: int, d: int):
    rng = np.random.default_rng(n + m)
    x, y = rng.normal(size=(n, d)), rng.normal(size=(m, d)) + 0.5
    p, q = rng.dirichlet(np.ones(n)), rng.dirichlet(np.ones(m))
    check_optimal(x, y, p, q, wasserstein1(x, y, weights_x=p, weights_y=q))
    check_optimal(x, y, np.full(n, 1 / n), np.full(m, 1 / m), wasserstein1(x, y))


@pytest.mark.parametrize("d", [2, 3, 50])
def test_equal_counts_agree_with_scipys_assignment(d: int):
    rng = np.random.default_rng(d)
    x, y = rng.normal(size=(150, d)), rng.normal(size=(150, d)) * 2 + 1
    cost = cdist(x, y)
    assert wasserstein1(x, y).value == pytest.approx(cost[linear_sum_assignment(cost)].mean(), rel=1e-12)


@given(sets=point_sets(dimensions=(1, 1)), data=st.data())
def test_the_line_agrees_with_scipy_and_with_the_simplex(sets: list[np.ndarray], data: st.DataObject):
    x, y = sets
    p, q = data.draw(distributions(len(x))), data.draw(distributions(len(y)))
    value = wasserstein1(x, y, weights_x=p, weights_y=q).value
    assert value == pytest.approx(stats.wasserstein_distance(x[:, 0], y[:, 0], p, q), rel=1e-9, abs=1e-9)
    on_a_plane = [np.hstack([points, np.zeros_like(points)]) for points in (x, y)]
    assert value == pytest.approx(wasserstein1(*on_a_plane, weights_x=p, weights_y=q).value, abs=1e-9)


def test_a_long_line_needs_no_matrix():
    x = np.random.default_rng(0).normal(size=200_000)
    found = wasserstein1(x, x[::-1] + 2)
    assert found.value == pytest.approx(2, rel=1e-12)
    assert found.plan.nnz == len(x)


@pytest.mark.slow
@given(sets=point_sets(sets=3))
def test_it_is_a_metric(sets: list[np.ndarray]):
    x, y, z = sets
    assert wasserstein1(x, x[::-1]).value == pytest.approx(0, abs=1e-12)
    assert wasserstein1(x, y).value >= 0
    assert wasserstein1(x, y).value == pytest.approx(wasserstein1(y, x).value, rel=1e-12, abs=1e-9)
    assert wasserstein1(x, z).value <= wasserstein1(x, y).value + wasserstein1(y, z).value + 1e-9


@pytest.mark.slow
@given(sets=point_sets(), factor=st.floats(-50, 50), shift=st.floats(-100, 100))
def test_it_moves_and_scales_with_the_points(sets: list[np.ndarray], factor: float, shift: float):
    x, y = sets
    value = wasserstein1(x, y).value
    assert wasserstein1(x + shift, y + shift).value == pytest.approx(value, rel=1e-9, abs=1e-8)
    assert wasserstein1(factor * x, factor * y).value == pytest.approx(
        abs(factor) * value, rel=1e-9, abs=1e-8
    )


@pytest.mark.slow
@given(sets=point_sets(sets=1), data=st.data())
def test_a_shift_costs_its_length(sets: list[np.ndarray], data: st.DataObject):
    (x,) = sets
    v = data.draw(hnp.arrays(np.float64, x.shape[1], elements=coordinates))
    assert wasserstein1(x, x + v).value == pytest.approx(np.linalg.norm(v), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("exponent", [-300, -160, 100, 160, 300])
def test_no_unit_of_length_is_too_small_or_too_large(exponent: int):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(20, 3)), rng.normal(size=(20, 3))
    unit = 10.0**exponent
    assert wasserstein1(unit * x, unit * y).value == pytest.approx(unit * wasserstein1(x, y).value, rel=1e-12)


@pytest.mark.parametrize("d", [1, 2, 128])
def test_a_point_against_the_sphere_is_one(d: int):
    x = np.random.default_rng(d).normal(size=(50, d))
    assert wasserstein1(
        x / np.linalg.norm(x, axis=1, keepdims=True), np.zeros((1, d))
    ).value == pytest.approx(1)


def test_images_and_tensors_are_flattened():
    x, y = torch.rand(6, 3, 4, 4), torch.rand(5, 3, 4, 4, dtype=torch.float64, requires_grad=True)
    flat = wasserstein1(x.flatten(1).numpy(), y.detach().flatten(1).numpy())
    assert wasserstein1(x, y).value == float(wasserstein1(x, y)) == flat.value
    assert wasserstein1(x.half(), x.half()).value == 0
    assert wasserstein1([0, 1], [2, 3]).value == 2  # lists and whole numbers too


def test_points_of_no_weight_count_for_nothing():
    x, y = np.array([[0.0, 0.0], [9.0, 9.0]]), np.array([[3.0, 4.0], [-7.0, 1.0]])
    found = wasserstein1(x, y, weights_x=[1, 0], weights_y=[1, 0])
    assert found.value == 5
    check_optimal(x, y, np.array([1.0, 0]), np.array([1.0, 0]), found)


one_dimensional = st.floats(-3, 3)
spreads = st.floats(0, 3)


@settings(max_examples=30)
@given(mean_p=one_dimensional, std_p=spreads, mean_q=one_dimensional, std_q=spreads)
def test_gaussians_on_the_line_are_the_integral_of_their_quantiles(mean_p, std_p, mean_q, std_q):
    def integrand(z: float) -> float:
        return abs(mean_p - mean_q + (std_p - std_q) * z) * stats.norm.pdf(z)

    kink = (mean_q - mean_p) / (std_p - std_q) if abs(std_p - std_q) > 1e-6 else 0.0
    middle = min(max(kink, -9.0), 9.0)
    expected = integrate.quad(integrand, -10, middle)[0] + integrate.quad(integrand, middle, 10)[0]
    assert wasserstein1_gaussian_1d(mean_p, std_p, mean_q, std_q) == pytest.approx(expected, abs=1e-7)


def test_gaussians_on_the_line_by_name():
    assert wasserstein1_gaussian_1d(0, 1, 2, 1) == 2
    assert wasserstein1_gaussian_1d(0, 1, 0, 3) == pytest.approx(2 * math.sqrt(2 / math.pi))
    assert wasserstein1_gaussian_1d(0, 0, 0, 0) == 0
    assert wasserstein1_gaussian_1d(1, 0, 0, 1e-200) == 1
    assert wasserstein1_gaussian_1d(0, 0, 0, 1e-200) == pytest.approx(1e-200 * math.sqrt(2 / math.pi))


def test_samples_of_gaussians_approach_the_closed_form():
    rng = np.random.default_rng(0)
    x, y = rng.normal(0, 1, 100_000), rng.normal(2, 1.5, 100_000)
    assert wasserstein1(x, y).value == pytest.approx(wasserstein1_gaussian_1d(0, 1, 2, 1.5), abs=0.02)


covariances = hnp.arrays(np.float64, (3, 3), elements=st.floats(-2, 2)).map(lambda a: a @ a.T)
means = hnp.arrays(np.float64, 3, elements=st.floats(-2, 2))


@pytest.mark.slow
@given(data=st.data(), count=st.integers(1, 6))
def test_jensen_shannon_is_a_bounded_symmetric_divergence(data: st.DataObject, count: int):
    p, q = data.draw(distributions(count)), data.draw(distributions(count))
    value = jensen_shannon(p, q)
    assert 0 <= value <= math.log(2)
    assert value == pytest.approx(jensen_shannon(q, p), abs=1e-15)
    assert jensen_shannon(p, p) == 0
    middle = (p + q) / 2
    assert value == pytest.approx((stats.entropy(p, middle) + stats.entropy(q, middle)) / 2, abs=1e-12)


def test_two_islands_jensen_shannon_is_flat_while_w1_leads_home():
    island = np.random.default_rng(0).uniform(size=(60, 2))
    bins = np.arange(0, 12, 0.25)
    for distance in (8.0, 4.0, 2.0, 1.5):
        moved = island + np.array([distance, 0])
        p, q = (np.histogram2d(*points.T, bins=(bins, bins))[0] / 60 for points in (island, moved))
        assert jensen_shannon(p, q) == pytest.approx(math.log(2), abs=1e-15)
        assert wasserstein1(island, moved).value == pytest.approx(distance)


@pytest.mark.slow
def test_the_example_saves_its_figure(tmp_path: Path):
    figure = tmp_path / "islands.png"
    paths = os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "two_islands.py"), str(figure)],
        env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert figure.read_bytes().startswith(b"\x89PNG")


POINTS = np.zeros((3, 2))
REFUSED = {
    "the same shape on both sides": lambda: wasserstein1(POINTS, np.zeros((3, 4))),
    "x of shape \\(0, 2\\) holds no points": lambda: wasserstein1(np.zeros((0, 2)), POINTS),
    "y of shape \\(\\) holds no points": lambda: wasserstein1(POINTS, 3.0),
    "y holds NaN": lambda: wasserstein1(POINTS, np.full((3, 2), np.nan)),
    "x is not an array of real numbers": lambda: wasserstein1(np.array(["a"]), POINTS),
    "y is not an array of real numbers": lambda: wasserstein1(POINTS, [[1, 2], [3]]),
    "x is not an array of real": lambda: wasserstein1(POINTS + 1j, POINTS),
    "weights_x must be >= 0": lambda: wasserstein1(POINTS, POINTS, weights_x=[2, -1, 0]),
    "weights_y must be >= 0 and sum to one": lambda: wasserstein1(POINTS, POINTS, weights_y=[1, 1, 1]),
    "one weight for each of 3 points": lambda: wasserstein1(POINTS, POINTS, weights_y=[0.5, 0.5]),
    "at most 10000 of each": lambda: wasserstein1(np.zeros((20_000, 2)), np.zeros((20_000, 2))),
    "standard deviations >= 0": lambda: wasserstein1_gaussian_1d(0, -1, 0, 1),
    "not on one support": lambda: jensen_shannon([1], [0.5, 0.5]),
    "p must be >= 0 and sum to one": lambda: jensen_shannon([2], [1]),
}


@pytest.mark.parametrize("message", REFUSED)
def test_bad_input_is_refused_in_one_sentence(message: str):
    with pytest.raises(InputError, match=message):
        REFUSED[message]()


def test_a_plan_that_was_not_finished_is_an_error(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(exact, "_MOST_PIVOTS", 1)
    rng = np.random.default_rng(0)
    with pytest.raises(InputError, match="No exact plan of 50 x 50 points"):
        wasserstein1(rng.normal(size=(50, 2)), rng.normal(size=(50, 2)))
