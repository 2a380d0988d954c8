"""The bracket: each bound errs to its own side, and no more often than it says."""

import json
import math

import numpy as np
import pytest
import torch

from wgan.cli import main
from wgan.errors import InputError
from wgan.losses import gap
from wgan.wasserstein.auditing import FitSettings, NetworkCandidate, audit, fit_critic
from wgan.wasserstein.bracket import lower_bound, upper_bound

QUICK = FitSettings(candidates=NetworkCandidate(256).max_and_min(), steps=100)


def gaussian(count, dim, seed):
    return np.random.default_rng(seed).normal(size=(count, dim))


def shifted(count, dim, by, seed):
    points = gaussian(count, dim, seed)
    points[:, 0] += by
    return points


# ---------------------------------------------------------------------------------- the bounds


def test_the_lower_bound_of_equal_scores_is_zero():
    scores = np.linspace(-1, 1, 100)
    assert lower_bound(scores, scores, certificate=1.0, limits=(-1, 1), error=0.01) == 0.0


def test_the_lower_bound_is_the_gap_less_hardly_more_than_a_normal_margin():
    """Its margin tends to sqrt(2 Var ln(1 / error) / n) where n is large and few scores are far out."""
    rng = np.random.default_rng(1)
    p, q = rng.normal(3.0, 1, 20_000), rng.normal(0.0, 1, 20_000)
    bound = lower_bound(p, q, certificate=2.0, limits=(-5.0, 8.0), error=0.01)
    margin = math.sqrt(2 * 2 * math.log(100) / 20_000)
    assert (p.mean() - q.mean() - 1.2 * margin) / 2 < bound < (p.mean() - q.mean() - 0.95 * margin) / 2


def test_sets_of_different_sizes_use_all_samples():
    rng = np.random.default_rng(2)
    p, q = rng.normal(3.0, 0.1, 500), rng.normal(0.0, 5, 5000)
    wide = {"certificate": 1.0, "limits": (-20.0, 20.0), "error": 0.01}
    assert lower_bound(p, q, **wide) > lower_bound(p, q[:500], **wide)
    assert lower_bound(p, q, **wide) < 3.2


def test_the_lower_bound_of_skewed_scores_errs_less_often_than_it_says():
    rng = np.random.default_rng(3)
    above = 0
    for _ in range(400):
        p, q = (rng.exponential(size=count).clip(0, 10) for count in (60, 200))
        above += lower_bound(p, q, certificate=1.0, limits=(0, 10), error=0.1) > 0
    assert above / 400 <= 0.1


def test_scores_beyond_the_limits_count_as_the_limits():
    p, q = np.full(1000, 100.0), np.zeros(1000)
    assert lower_bound(p, q, certificate=1.0, limits=(0.0, 1.0), error=0.01) <= 1.0


def test_the_lower_bound_errs_less_often_than_it_says():
    # f(x) = x is 1-Lipschitz and optimal for a shift: W1 = 0.5 is what its mean gap estimates without bias.
    rng = np.random.default_rng(0)
    above = 0
    for _ in range(400):
        p, q = rng.normal(0.5, 1, 500), rng.normal(0, 1, 500)
        above += lower_bound(p, q, certificate=1.0, limits=(-4, 4), error=0.1) > 0.5
    assert above / 400 <= 0.1


def test_the_upper_bound_errs_about_as_often_as_it_says_or_less():
    rng = np.random.default_rng(0)
    below = sum(
        upper_bound(rng.normal(1, 1, (200, 1)), rng.normal(0, 1, (200, 1)), error=0.05) < 1.0
        for _ in range(400)
    )
    assert below / 400 <= 0.075


def test_more_samples_than_one_coupling_takes_are_coupled_in_batches():
    x, y = gaussian(5000, 1, 0), shifted(5000, 1, 2.0, 1)
    assert upper_bound(x, y, error=0.01) == pytest.approx(2.0, abs=0.15)


# ---------------------------------------------------------------------------------- the audit


@pytest.mark.slow
@pytest.mark.parametrize("dim", [1, 2, 8])
def test_the_bracket_of_a_shift_holds_the_truth(dim):
    bracket = audit(shifted(2000, dim, 2.0, 1), gaussian(2000, dim, 0), fit=QUICK)
    assert bracket.lower <= 2.0 <= bracket.upper
    assert bracket.lower > 1.2
    assert bracket.estimate == pytest.approx(2.0, abs=0.15)
    assert bracket.certificate <= 1 + 1e-6
    assert (bracket.n_p, bracket.n_q, bracket.confidence) == (2000, 2000, 0.99)


@pytest.mark.slow
def test_equal_laws_have_a_lower_bound_of_zero():
    bracket = audit(gaussian(1000, 2, 0), gaussian(1000, 2, 1), fit=QUICK)
    assert bracket.lower == 0.0
    assert bracket.upper > 0.0


@pytest.mark.slow
def test_the_bracket_scales_with_the_data_and_does_not_move_with_them():
    p, q = shifted(600, 2, 3.0, 1), gaussian(600, 2, 0)
    small = audit(p, q, fit=QUICK)
    large = audit(1000 * p + 5000, 1000 * q + 5000, fit=QUICK)
    assert large.lower == pytest.approx(1000 * small.lower, rel=1e-3)
    assert large.upper == pytest.approx(1000 * small.upper, rel=1e-6)


@pytest.mark.slow
def test_a_critic_without_a_check_learns_by_heart_and_one_with_stops_in_time():
    """The gap of equal distributions is 0 on average on fresh samples, and not on those it was fitted on."""
    p, q = (torch.from_numpy(gaussian(64, 64, seed)).float() for seed in (0, 1))
    fresh_p, fresh_q = (torch.from_numpy(gaussian(5000, 64, seed)).float() for seed in (2, 3))
    how = FitSettings(candidates=(NetworkCandidate(256),), steps=100)
    heart = fit_critic(lambda rng, count: (p, q), 64, fit=how)
    timely = fit_critic(lambda rng, count: (p, q), 64, fit=how, check=lambda rng, count: (fresh_p, fresh_q))
    with torch.no_grad():
        by_heart, on_fresh = gap(heart(p), heart(q)), gap(heart(fresh_p), heart(fresh_q))
        assert by_heart > on_fresh + 1.0
        assert gap(timely(fresh_p), timely(fresh_q)) >= on_fresh


@pytest.mark.parametrize(
    ("dim", "members", "width"), [(1, 128, 8), (16, 32, 32), (128, 4, 256), (784, 1, 1024)]
)
def test_members_are_as_wide_as_the_samples_ask_and_as_many_as_the_features_allow(dim, members, width):
    assert NetworkCandidate(1024).build(dim).arguments == {
        "shape": (dim,),
        "members": members,
        "hidden": (width,),
        "minimum": False,
    }


def test_a_form_without_features_is_linear():
    critic = NetworkCandidate(0).build(3)
    x, y = torch.randn(2, 10, 3)
    with torch.no_grad():
        middle = critic((x + y) / 2)
        assert torch.allclose(middle, (critic(x) + critic(y)) / 2, atol=1e-6)


@pytest.mark.parametrize(
    "make",
    [
        lambda: NetworkCandidate(-1),
        lambda: NetworkCandidate(1),
        lambda: NetworkCandidate(1.5),
        lambda: NetworkCandidate(16, lr=float("inf")),
        lambda: NetworkCandidate(16, batch_size=0),
        lambda: FitSettings(candidates=()),
        lambda: FitSettings(steps=0),
        lambda: FitSettings(bias_lr=0.0),
        lambda: FitSettings(temperatures=(0.2, float("nan"))),
    ],
)
def test_what_no_critic_can_be_fitted_with_is_refused(make):
    with pytest.raises(InputError, match=r"must be|needs at least"):
        make()


@pytest.mark.slow
def test_a_law_of_fewer_points_than_there_are_members_is_told_apart():
    three = np.array([[0.0, 0.0], [4.0, 0.0], [0.0, 4.0]])
    rng = np.random.default_rng(0)
    p, q = three[rng.integers(3, size=(2, 2000))]
    bracket = audit(p, q + np.array([0.0, 1.0]), fit=QUICK)
    assert bracket.lower <= 1.0 <= bracket.upper
    assert bracket.estimate == pytest.approx(1.0, abs=0.25)


@pytest.mark.slow
def test_the_form_is_the_one_whose_cones_begin_on_the_side_that_takes_few():
    """From a point to the sphere around it, the critic is one cone at the point, whichever side is which."""
    rng = np.random.default_rng(5)
    sphere = rng.normal(size=(1000, 4))
    sphere = torch.from_numpy(sphere / np.linalg.norm(sphere, axis=1, keepdims=True)).float()
    point = torch.zeros(1000, 4)
    pair = NetworkCandidate(256).max_and_min()
    outside = fit_critic(lambda rng, count: (sphere, point), 4, fit=FitSettings(candidates=pair, steps=100))
    inside = fit_critic(lambda rng, count: (point, sphere), 4, fit=FitSettings(candidates=pair, steps=100))
    assert outside.arguments["minimum"]
    assert not inside.arguments["minimum"]
    assert 0.9 < gap(outside(sphere), outside(point)).item() <= 1 + 1e-5  # W1 is the radius


@pytest.mark.slow
def test_an_audit_is_a_function_of_its_arguments_and_leaves_the_users_randomness_alone():
    p, q = shifted(200, 2, 1.0, 1), gaussian(200, 2, 0)
    torch.manual_seed(1)
    first, state = audit(p, q, fit=QUICK, seed=3), torch.get_rng_state()
    torch.manual_seed(1)
    assert torch.equal(torch.get_rng_state(), state)
    assert audit(torch.from_numpy(p), torch.from_numpy(q), fit=QUICK, seed=3) == first
    assert audit(p, q, fit=QUICK, seed=4) != first


@pytest.mark.parametrize(
    ("change", "phrase"),
    [
        ({"p": np.zeros((100, 3))}, "samples of one shape"),
        ({"p": np.zeros((63, 2))}, "at least 64 samples"),
        ({"q": np.full((100, 2), np.nan)}, "NaN or infinity, the first at index 0"),
        ({"q": np.array([["a", "b"]] * 100)}, "samples of numbers"),
        ({"confidence": 1.0}, "strictly between 0 and 1"),
        ({"confidence": float("nan")}, "strictly between 0 and 1"),
        ({"minutes": 0.0}, "finite number > 0"),
        ({"minutes": float("inf")}, "finite number > 0"),
        ({"seed": -1}, "seed"),
    ],
)
def test_what_cannot_be_audited_is_refused(change, phrase):
    arguments = {"p": np.zeros((100, 2)), "q": np.ones((100, 2)), "fit": QUICK} | change
    with pytest.raises(InputError, match=phrase):
        audit(**arguments)


# ---------------------------------------------------------------------------------- the command


@pytest.fixture
def files(tmp_path):
    np.savez(tmp_path / "p.npz", samples=shifted(200, 2, 5.0, 1), latents=np.zeros(3))
    np.savez(tmp_path / "q.npz", gaussian(200, 2, 0))
    return tmp_path


@pytest.mark.slow
def test_the_command_prints_one_json_object(files, capsys):
    command = ["audit", str(files / "p.npz"), str(files / "q.npz"), "--json", "--minutes", "0.01"]
    assert main(command) == 0
    told = json.loads(capsys.readouterr().out)
    assert set(told) >= {"lower", "upper", "estimate", "certificate", "confidence", "n_p", "n_q"}
    assert told["lower"] <= 5.0 <= told["upper"]


@pytest.mark.slow
def test_the_command_tells_a_person_the_bracket(files, capsys):
    assert main(["audit", str(files / "p.npz"), str(files / "q.npz"), "--minutes", "0.01"]) == 0
    assert "<= W1 <=" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("write", "phrase"),
    [
        (lambda path: None, "There is no file"),
        (lambda path: path.write_bytes(b"no archive"), "cannot be read"),
        (lambda path: np.savez(path, a=np.zeros(3), b=np.zeros(3)), "it is not clear which are the samples"),
        (lambda path: np.savez(path, samples=np.array([{}], dtype=object)), "cannot be read"),
        (lambda path: np.savez(path, samples=np.zeros((10, 2))), "at least 64"),
    ],
)
def test_the_command_refuses_bad_files(files, capsys, write, phrase):
    bad = files / "bad.npz"
    write(bad)
    assert main(["audit", str(bad), str(files / "q.npz")]) == 2
    error = capsys.readouterr().err
    assert phrase in error
    assert "Traceback" not in error
