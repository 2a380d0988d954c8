"""Walks are even, directions are those of the first layer, inversion finds its way back."""

import re
import runpy
import shutil
from math import pi
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image
from torch import nn

from wgan.data import digits
from wgan.errors import InputError
from wgan.generation import (
    LatentDirections,
    direction_strips,
    find_directions,
    interpolate,
    invert,
    read_latents,
    read_samples,
    sample_shape,
    slerp,
    stored_or_found,
)
from wgan.networks import (
    MLP,
    Condition,
    DCGANGenerator,
    MLPGenerator,
    R3GANGenerator,
    ResNetGenerator,
)
from wgan.networks.conditioning import ConditionalNorm
from wgan.runs import RunFolder
from wgan.sampling import Sampler
from wgan.training import Adam, Trainer

DOCS = Path(__file__).parents[2] / "docs" / "generation.md"
CLASSES = ("cat", "dog", "eel")

vectors = st.integers(2, 6).flatmap(
    lambda d: st.tuples(
        *2
        * [arrays.arrays(np.float32, (3, d), elements=st.floats(-1e3, 1e3, width=32, allow_subnormal=False))]
    )
)


# ------------------------------------------------------------------------------------------- slerp


def angle(one, other):
    one, other = (x.astype(np.float64) for x in (one, other))
    one, other = (x / np.linalg.norm(x, axis=-1, keepdims=True) for x in (one, other))
    return 2 * np.arctan2(np.linalg.norm(one - other, axis=-1), np.linalg.norm(one + other, axis=-1))


@given(vectors)
def test_slerp_turns_and_grows_at_constant_speed(ends):
    a, b = ends
    path = slerp(a, b, np.linspace(0, 1, 7)).astype(np.float64)
    lengths = np.linalg.norm(path, axis=2)
    expected = np.linspace(lengths[:, 0], lengths[:, -1], 7, axis=1)
    np.testing.assert_allclose(lengths, expected, rtol=1e-5)
    for walk, ends in zip(path, lengths, strict=True):
        if ends[0] > 0 and ends[-1] > 0:
            turns = angle(walk[:-1], walk[1:])
            np.testing.assert_allclose(turns, angle(walk[0], walk[-1]) / 6, atol=2e-6)


@given(vectors)
def test_slerp_ends_where_it_has_to_and_the_way_back_is_the_same(ends):
    a, b = ends
    times = np.linspace(0, 1, 5)
    path = slerp(a, b, times)
    assert np.array_equal(path[:, 0], a)
    assert np.array_equal(path[:, -1], b)
    assert np.isfinite(path).all()
    back = slerp(b, a, times)[:, ::-1]
    for walk, other in zip(path, back, strict=True):
        if walk[0].any() and walk[-1].any() and angle(walk[0], walk[-1]) < 3.1:  # else many ways are right
            np.testing.assert_allclose(walk, other, atol=1e-5 * np.abs(walk).max())


def test_slerp_in_closed_form():
    start, end = [[1, 0, 0]], [[0, 3, 0]]
    third = 5 / 3 * np.array([np.cos(pi / 6), np.sin(pi / 6), 0])
    np.testing.assert_allclose(slerp(start, end, [1 / 3])[0, 0], third, rtol=1e-6)


@pytest.mark.parametrize("factor", [1.0, 2.0, 1 + 1e-7, 0.0])
def test_slerp_of_one_direction_is_linear(factor):
    a = np.array([[3.0, -4.0, 12.0]], np.float32)
    halfway = slerp(a, factor * a, [0.5])[0, 0]
    np.testing.assert_allclose(halfway, (1 + factor) / 2 * a[0], rtol=1e-6)


def test_slerp_between_opposite_vectors_keeps_its_length():
    a = np.array([[3.0, -4.0], [1e-20, 0.0]], np.float32)
    path = slerp(a, -a, np.linspace(0, 1, 9)).astype(np.float64)
    np.testing.assert_allclose(np.linalg.norm(path, axis=2), [[5.0] * 9, [1e-20] * 9], rtol=1e-5)
    np.testing.assert_allclose(angle(path[:, :-1], path[:, 1:]), pi / 8, atol=1e-6)


def test_slerp_between_zeros_and_of_numbers():
    assert np.array_equal(slerp(np.zeros((1, 3)), np.zeros((1, 3)), [0.3]), np.zeros((1, 1, 3)))
    np.testing.assert_allclose(slerp([[1.0]], [[-1.0]], [0, 0.25, 1])[0, :, 0], [1, 0.5, -1])


# ------------------------------------------------------------------------------------------- walks


class Step(nn.Module):
    """A generator with a mode on each side, and a steep way between them."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([40.0]))

    def forward(self, latents):
        return torch.tanh(self.weight * latents[:, :1]) + 0.01 * latents


def steep():
    return Sampler(Step().eval().requires_grad_(False), 2)


def mlp(**changes):
    torch.manual_seed(0)
    network = MLPGenerator((1, 8, 8), latent_dim=4, hidden=(16, 16), norm="batch", **changes)
    return network.eval().requires_grad_(False)


def conditional(by="embedding"):
    return Sampler(mlp(condition=Condition(3), conditioning=by), 4, classes=CLASSES)


def jumps(samples):
    flat = samples.reshape(*samples.shape[:2], -1)
    return np.linalg.norm(np.diff(flat, axis=1), axis=2)


def test_a_walk_is_even_where_the_generator_is_steep():
    sampler = steep()
    start, end = sampler.latents(30, seed=1), sampler.latents(30, seed=2)
    even, turning = (
        jumps(interpolate(sampler, start, end, frames=12, pace=pace).samples) for pace in ("sample", "latent")
    )
    assert (even.max(1) <= 3 * np.median(even, 1)).all()
    assert (turning.max(1) > 30 * np.median(turning, 1)).any()


def test_a_walk_begins_and_ends_at_the_samples_themselves():
    sampler = Sampler(mlp(), 4)
    start, end = sampler.latents(5, seed=1), sampler.latents(5, seed=2)
    for pace in ("sample", "latent"):
        walk = interpolate(sampler, start, end, frames=6, pace=pace)
        assert walk.samples.shape == (5, 6, 1, 8, 8)
        assert np.array_equal(walk.latents[:, 0], start)
        assert np.array_equal(walk.latents[:, -1], end)
        np.testing.assert_allclose(walk.samples[:, 0], sampler.from_latents(start), atol=1e-6)
        np.testing.assert_allclose(walk.samples[:, -1], sampler.from_latents(end), atol=1e-6)
        assert walk.labels is None


def test_a_walk_that_goes_nowhere_stays():
    sampler = Sampler(mlp(), 4)
    points = sampler.latents(2)
    walk = interpolate(sampler, points, points, frames=3)
    assert np.ptp(walk.samples, axis=1).max() < 1e-5


def test_at_the_pace_of_latents_frames_are_those_of_slerp():
    sampler = Sampler(mlp(), 4)
    start, end = sampler.latents(2, seed=1), sampler.latents(2, seed=2)
    walk = interpolate(sampler, start, end, frames=5, pace="latent")
    np.testing.assert_allclose(walk.latents, slerp(start, end, np.linspace(0, 1, 5)), rtol=1e-6)


def test_labels_are_mixed_by_their_weights():
    sampler = conditional()
    point = sampler.latents(1)
    walk = interpolate(sampler, point, point, frames=5, start_labels=[0], end_labels=[2], pace="latent")
    t = np.linspace(0, 1, 5)
    np.testing.assert_allclose(walk.labels[0], np.stack([1 - t, 0 * t, t], 1), atol=1e-6)
    ends = sampler.from_latents(np.repeat(point, 2, 0), np.array([0, 2]))
    np.testing.assert_allclose(walk.samples[0, [0, -1]], ends, atol=1e-6)


def test_labels_of_a_walk_are_in_turn_unless_said_and_stay_unless_said():
    sampler = conditional()
    points = sampler.latents(4)
    walk = interpolate(sampler, points, points[::-1], frames=3)
    assert np.array_equal(walk.labels.argmax(2), [[0] * 3, [1] * 3, [2] * 3, [0] * 3])


def test_attributes_are_mixed_in_their_unit():
    sampler = Sampler(mlp(condition=Condition(attributes=((5.0, 2.0),))), 4, attributes=1)
    point = sampler.latents(1)
    walk = interpolate(
        sampler, point, point, frames=3, start_labels=[[4.0]], end_labels=[[6.0]], pace="latent"
    )
    np.testing.assert_allclose(walk.labels[0, :, 0], [4, 5, 6])


@pytest.mark.parametrize(
    ("start", "end", "changes", "told"),
    [
        ((2, 4), (3, 4), {}, "from each of some latents"),
        ((2, 3), (2, 3), {}, "from each of some latents"),
        ((4,), (4,), {}, "from each of some latents"),
        ((0, 4), (0, 4), {}, "from each of some latents"),
        ((2, 4), (2, 4), {"frames": 1}, "frames must be a whole number of at least 2"),
        ((2, 4), (2, 4), {"pace": "slow"}, "no pace 'slow'"),
        ((2, 4), (2, 4), {"end_labels": [0, 1]}, "takes no labels"),
    ],
)
def test_a_walk_that_cannot_be_is_refused(start, end, changes, told):
    with pytest.raises(InputError, match=told):
        interpolate(Sampler(mlp(), 4), np.ones(start), np.ones(end), **changes)


# -------------------------------------------------------------------------------------- directions


def trained_norms(network, seed=1):
    """Batch norms and conditional ones as training leaves them: not those of a fresh network."""
    draw = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            for values in (module.weight.data, module.running_var):
                values.copy_(torch.rand(values.shape, generator=draw) + 0.5)
            module.running_mean.copy_(torch.randn(module.running_mean.shape, generator=draw))
        if isinstance(module, ConditionalNorm):
            module.weight.data.copy_(0.3 * torch.randn(module.weight.shape, generator=draw))
    return network.eval().requires_grad_(False)


GENERATORS = {
    "mlp": lambda **how: MLPGenerator((1, 8, 8), latent_dim=6, hidden=(12,), **how),
    "mlp of vectors": lambda **how: MLPGenerator((2,), latent_dim=6, hidden=(12, 12), norm="batch", **how),
    "dcgan": lambda **how: DCGANGenerator((1, 8, 8), latent_dim=6, width=4, **how),
    "dcgan with layer norm": lambda **how: DCGANGenerator(
        (3, 8, 8), latent_dim=6, width=4, norm="layer", **how
    ),
    "resnet": lambda **how: ResNetGenerator((3, 8, 8), latent_dim=6, width=4, **how),
    "norm-free": lambda **how: R3GANGenerator((3, 8, 8), latent_dim=6, width=8, **how),
}


@pytest.mark.parametrize("name", GENERATORS)
@pytest.mark.parametrize("condition", [None, Condition(3)])
def test_directions_of_every_network(name, condition):
    network = trained_norms(GENERATORS[name](**({} if condition is None else {"condition": condition})))
    sampler = Sampler(network, 6, classes=CLASSES if condition else None)
    found = find_directions(sampler, 4)
    np.testing.assert_allclose(found.vectors @ found.vectors.T, np.eye(4), atol=1e-5)
    assert (np.diff(found.gains) <= 0).all()
    assert found.gains[-1] > 0
    assert (np.take_along_axis(found.vectors, np.abs(found.vectors).argmax(1)[:, None], 1) > 0).all()


def by_hand(matrix):
    """The gains of a matrix (F, latent_dim)."""
    return torch.linalg.svdvals(matrix.double()).numpy()


def test_directions_are_the_singular_vectors_of_the_first_weight():
    network = mlp()
    weight = network.layers[0].weight
    found = find_directions(Sampler(network, 4, step=7), 3)
    assert found.step == 7
    np.testing.assert_allclose(found.gains, by_hand(weight)[:3], rtol=1e-4)
    along = torch.from_numpy(found.vectors) @ weight.T
    np.testing.assert_allclose(along.norm(dim=1), found.gains, rtol=1e-4)


def test_a_batch_norm_behind_the_first_layer_scales_it():
    network = trained_norms(DCGANGenerator((1, 8, 8), latent_dim=6, width=4))
    first, norm = network.base[:2]
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    found = find_directions(Sampler(network, 6), 6)
    np.testing.assert_allclose(found.gains, by_hand(scale[:, None] * first.weight), rtol=1e-4)


def test_labels_beside_the_latent_are_left_out():
    sampler = conditional()
    weight = sampler.generator.layers[0].weight
    assert weight.shape == (16, 7)
    found = find_directions(sampler, 9)
    assert found.vectors.shape == (4, 4)
    np.testing.assert_allclose(found.gains, by_hand(weight[:, :4]), rtol=1e-4)


def test_labels_in_the_norm_have_directions_each_and_together():
    how = {"condition": Condition(3), "conditioning": "norm"}
    network = trained_norms(DCGANGenerator((1, 8, 8), latent_dim=6, width=4, **how))
    sampler = Sampler(network, 6, classes=CLASSES)
    first, conditioned = network.base[:2]
    scale = conditioned.norm.weight / (conditioned.norm.running_var + conditioned.norm.eps).sqrt()
    moved = conditioned.weight[: len(scale)] * 3**0.5
    each = [(scale * (1 + moved[:, kind]))[:, None] * first.weight for kind in range(3)]
    np.testing.assert_allclose(find_directions(sampler, 6, label="dog").gains, by_hand(each[1]), rtol=1e-4)
    together = by_hand(torch.cat(each) / 3**0.5)
    np.testing.assert_allclose(find_directions(sampler, 6).gains, together, rtol=1e-4)


class Own(nn.Module):
    """A generator of one's own: a convolution first, with an activation in place before its norm."""

    def __init__(self, squared=False):
        super().__init__()
        self.first = nn.ConvTranspose2d(3, 5, 4)
        self.norm = nn.BatchNorm2d(5)
        self.squared = squared

    def forward(self, latents):
        entering = latents.square() + 1 if self.squared else latents
        return self.norm(self.first(entering[:, :, None, None]).relu_())


def test_directions_of_ones_own_generator():
    network = trained_norms(Own())
    found = find_directions(Sampler(network, 3), 3)
    matrix = network.first.weight.reshape(3, -1).T
    np.testing.assert_allclose(found.gains, by_hand(matrix), rtol=1e-4)


class Scaled(nn.Module):
    """A generator without layers: a rotation, if there is one, and a gain for each component."""

    def __init__(self, *rotations):
        super().__init__()
        self.gains = nn.Parameter(torch.tensor([1.0, 5.0, 0.1, 3.0]))
        self.rotations = rotations

    def forward(self, latents):
        for rotation in self.rotations:
            latents = latents @ rotation
        return latents * self.gains


def test_without_a_first_layer_directions_are_those_of_differences():
    """Of x -> A x, the directions are A's right singular vectors: scaled axes, and a rotation of them."""
    found = find_directions(Sampler(Scaled(), 4), 3)
    np.testing.assert_allclose(found.vectors, np.eye(4)[[1, 3, 0]], atol=1e-4)
    np.testing.assert_allclose(found.gains, [5, 3, 1], rtol=1e-4)
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(4, 4)))[0].astype(np.float32)
    turned = find_directions(Sampler(Scaled(torch.from_numpy(turn)), 4)).vectors
    np.testing.assert_allclose(np.abs((turned @ turn)[:, [1, 3, 0, 2]]), np.eye(4), atol=1e-2)
    np.testing.assert_allclose(turned @ turned.T, np.eye(4), atol=1e-5)


def test_a_layer_that_does_not_take_the_latent_as_it_is_gives_no_closed_form_and_no_hooks_are_left():
    network = trained_norms(Own(squared=True))
    vectors = find_directions(Sampler(network, 3)).vectors
    np.testing.assert_allclose(vectors @ vectors.T, np.eye(3), atol=1e-5)
    assert not any(module._forward_hooks for module in network.modules())


def test_a_latent_moves_along_a_direction():
    found = LatentDirections(np.eye(2, 3, dtype=np.float32), np.ones(2))
    assert np.array_equal(found.move(np.zeros((2, 3)), 1, -2.5), [[0, -2.5, 0]] * 2)
    for number, strength, points, told in (
        (2, 1.0, (1, 3), "no direction 2: 2 are known"),
        (-1, 1.0, (1, 3), "no direction -1"),
        (0, np.inf, (1, 3), "a finite number, not inf"),
        (0, 1.0, (1, 4), "do not fit latents"),
    ):
        with pytest.raises(InputError, match=told):
            found.move(np.zeros(points), number, strength)


def test_strips_have_the_sample_in_the_middle():
    sampler = conditional()
    latent = sampler.latents(1, seed=3)
    found = find_directions(sampler, 2)
    shown = direction_strips(sampler, found, latent[0], label="eel", strength=2.0, columns=5)
    assert shown.shape == (2, 5, 1, 8, 8)
    middle = sampler.from_latents(latent, np.array([2])).numpy()
    np.testing.assert_allclose(shown[:, 2], np.repeat(middle, 2, 0), atol=1e-6)
    far = sampler.from_latents(found.move(latent, 1, -2.0), np.array([2]))
    np.testing.assert_allclose(shown[1, :1], far, atol=1e-6)


def test_directions_are_kept_with_a_run_until_it_goes_on(tmp_path):
    folder, sampler = RunFolder(tmp_path), Sampler(mlp(), 4, step=10)
    with pytest.raises(InputError, match="has no directions yet; `wgan directions"):
        LatentDirections.of_run(folder, sampler)
    found = find_directions(sampler, 3)
    found.save(folder.directions_file)
    kept = LatentDirections.of_run(folder, sampler)
    assert np.array_equal(kept.vectors, found.vectors)
    assert np.array_equal(kept.gains, found.gains)
    with pytest.raises(InputError, match="after step 10, and the run is at step 20"):
        LatentDirections.of_run(folder, Sampler(mlp(), 4, step=20))
    assert np.array_equal(stored_or_found(folder, sampler).vectors, found.vectors)  # three of them
    other = Sampler(mlp(), 4, step=20)
    assert np.array_equal(stored_or_found(folder, other).vectors, find_directions(other).vectors)
    LatentDirections(found.vectors, found.gains).save(tmp_path / "x.npz")
    assert LatentDirections.load(tmp_path / "x.npz").step is None


# --------------------------------------------------------------------------------------- inversion


@pytest.fixture(scope="module")
def digits_run(tmp_path_factory):
    """A generator of digits that is good enough to have something to find."""
    data = digits()
    generator, critic = MLP(latent_dim=8, generator_hidden=(64, 64), critic_hidden=(64,)).build(data.shape)
    folder = tmp_path_factory.mktemp("runs") / "digits"
    Trainer(
        generator=generator,
        critic=critic,
        data=data,
        n_critic=1,
        generator_optimiser=Adam(1e-3, (0.0, 0.9)),
        critic_optimiser=Adam(1e-3, (0.0, 0.9)),
        device="cpu",
    ).fit(folder, 300)
    return folder, data


@pytest.fixture(scope="module")
def sampler(digits_run):
    return Sampler.load(digits_run[0], device="cpu")


def unseen(data, count):
    return data.held_out.batch(torch.arange(count)).numpy()


@pytest.mark.slow
def test_inversion_beats_search(sampler, digits_run):
    given = unseen(digits_run[1], 20)
    found = invert(sampler, given)
    searched = invert(sampler, given, candidates=100_000, starts=1, steps=1).initial_distance
    assert found.distance.mean() < searched.mean()
    assert (found.distance <= found.initial_distance + 1e-4).all()
    np.testing.assert_allclose(
        found.distance, np.linalg.norm((found.samples - given).reshape(20, -1), axis=1), rtol=1e-5
    )
    np.testing.assert_allclose(found.samples, sampler.from_latents(found.latents), atol=1e-6)


@pytest.mark.slow
def test_a_sample_of_its_own_is_found_again(sampler):
    given = sampler(5, seed=99).numpy()
    found = invert(sampler, given, prior=0.0, candidates=512)
    assert (found.distance < 0.2 * found.initial_distance).all()


def test_a_prior_keeps_latents_short(sampler, digits_run):
    given = unseen(digits_run[1], 5)
    free, bound = (invert(sampler, given, prior=prior, candidates=256) for prior in (0.0, 1.0))
    assert np.linalg.norm(bound.latents) < np.linalg.norm(free.latents)


def test_inversion_is_a_function_of_its_seed(sampler, digits_run):
    given = unseen(digits_run[1], 3)
    first, again, other = (invert(sampler, given, seed=seed, steps=20, candidates=64) for seed in (1, 1, 2))
    assert np.array_equal(first.latents, again.latents)
    assert not np.allclose(first.latents, other.latents)


def test_the_start_is_the_nearest_random_sample(sampler, digits_run):
    given = unseen(digits_run[1], 4)
    candidates = sampler(300, seed=5).numpy().reshape(300, 1, -1)
    apart = np.linalg.norm(candidates - given.reshape(1, 4, -1), axis=2)
    found = invert(sampler, given, seed=5, candidates=300, starts=2, steps=1)
    np.testing.assert_allclose(found.initial_distance, apart.min(0), rtol=1e-5)


def test_progress_is_told(sampler):
    told = []
    given = np.repeat(sampler(1).numpy(), 20, axis=0)
    invert(sampler, given, steps=1, candidates=8, on_progress=lambda *counts: told.append(counts))
    assert told == [(0, 20), (16, 20), (20, 20)]


def test_inversion_looks_for_the_class_unless_it_is_said():
    sampler = conditional()
    sampler.generator.layers[0].weight[:, 4:] *= 9  # so that classes have little in common
    given = sampler(6, seed=4).numpy()
    found = invert(sampler, given, steps=100, candidates=1024)
    assert np.array_equal(found.labels, [0, 1, 2, 0, 1, 2])
    np.testing.assert_allclose(found.samples, sampler.from_latents(found.latents, found.labels), atol=1e-6)
    said = invert(sampler, given, label="eel", steps=5, candidates=64)
    assert np.array_equal(said.labels, [2] * 6)


def test_an_inversion_of_attributes_is_told_which():
    sampler = Sampler(mlp(condition=Condition(attributes=((5.0, 2.0),))), 4, attributes=1)
    assert sample_shape(sampler, [5.0]) == (1, 8, 8)
    given = sampler(2, label=[5.0]).numpy()
    found = invert(sampler, given, label=[5.0], steps=50, candidates=64)
    assert np.array_equal(found.labels, [[5.0], [5.0]])
    with pytest.raises(InputError, match="give 1 number"):
        invert(sampler, given)


@pytest.mark.parametrize(
    ("shape", "changes", "told"),
    [
        ((2, 1, 8, 9), {}, r"do not fit a generator of samples \(N, 1, 8, 8\)"),
        ((1, 8, 8), {}, "do not fit"),
        ((0, 1, 8, 8), {}, "do not fit"),
        ((2, 1, 8, 8), {"steps": 0}, "steps must be a whole number of at least 1"),
        ((2, 1, 8, 8), {"starts": 0}, "starts must be"),
        ((2, 1, 8, 8), {"candidates": 0}, "candidates must be"),
        ((2, 1, 8, 8), {"prior": -1.0}, "prior must be a finite number >= 0"),
        ((2, 1, 8, 8), {"prior": np.nan}, "prior must be"),
        ((2, 1, 8, 8), {"seed": -1}, "a seed in"),
        ((2, 1, 8, 8), {"label": 3}, "has no classes"),
    ],
)
def test_what_cannot_be_inverted_is_refused(sampler, shape, changes, told):
    with pytest.raises(InputError, match=told):
        invert(sampler, np.zeros(shape), **changes)


def test_samples_to_invert_are_numbers(sampler):
    with pytest.raises(InputError, match="finite"):
        invert(sampler, np.full((1, 1, 8, 8), np.nan))


def test_more_starts_than_candidates_are_all_of_them(sampler):
    found = invert(sampler, sampler(2).numpy(), starts=9, candidates=3, steps=2)
    assert found.latents.shape == (2, 8)


# -------------------------------------------------------------------------------------------- files


def test_an_inversion_is_read_back_as_latents(tmp_path):
    sampler = conditional()
    found = invert(sampler, sampler(3).numpy(), steps=2, candidates=9)
    found.save(tmp_path / "x.npz")
    with np.load(tmp_path / "x.npz") as archive:
        assert set(archive.files) == {"latents", "samples", "distance", "labels"}
        assert np.array_equal(archive["distance"], found.distance)
    latents, labels = read_latents(tmp_path / "x.npz")
    assert np.array_equal(latents, found.latents)
    assert np.array_equal(labels, found.labels)


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 8, 12), (1, 12, 8)])
def test_any_image_becomes_a_sample(tmp_path, shape):
    half = np.zeros((40, 60, 3), np.uint8)
    half[:, 30:] = 255
    Image.fromarray(half).save(tmp_path / "half.png")
    (sample,) = read_samples(tmp_path / "half.png", shape)
    assert sample.shape == shape
    np.testing.assert_allclose(sample[..., 0], -1, atol=0.05)
    np.testing.assert_allclose(sample[..., -1], 1, atol=0.05)


def test_samples_in_a_file_are_taken_as_they_are(tmp_path):
    samples = np.linspace(-1, 1, 128, dtype=np.float32).reshape(2, 1, 8, 8)
    np.savez(tmp_path / "x.npz", samples=samples, labels=[0, 1])
    assert np.array_equal(read_samples(tmp_path / "x.npz", (1, 8, 8)), samples)
    np.save(tmp_path / "bytes.npy", np.full((2, 1, 8, 8), 255, np.uint8))
    assert np.array_equal(read_samples(tmp_path / "bytes.npy", (1, 8, 8)), np.ones((2, 1, 8, 8)))


def test_what_is_no_sample_is_refused(tmp_path):
    (tmp_path / "song.png").write_text("la la la")
    np.save(tmp_path / "flat.npy", np.zeros((3, 64)))
    np.save(tmp_path / "whole.npy", np.zeros((3, 1, 8, 8), np.int64))
    np.save(tmp_path / "nan.npy", np.full((3, 1, 8, 8), np.nan))
    for name, told in {
        "song.png": "cannot be read as an image; give a PNG",
        "gone.png": "cannot be read as an image: No such file",
        "flat.npy": r"holds an array of shape \(3, 64\); samples of this run are \(N, 1, 8, 8\)",
        "whole.npy": "finite floats, nor images in bytes, but int64",
        "nan.npy": "finite floats",
        "gone.npz": "There is no file",
    }.items():
        with pytest.raises(InputError, match=told):
            read_samples(tmp_path / name, (1, 8, 8))
    with pytest.raises(InputError, match="makes no images but vectors"):
        read_samples(tmp_path / "song.png", (2,))


def test_what_holds_no_latents_is_refused(tmp_path):
    np.savez(tmp_path / "other.npz", samples=np.zeros((2, 3)))
    np.savez(tmp_path / "walk.npz", latents=np.zeros((2, 3, 4)))
    np.savez(tmp_path / "nan.npz", latents=np.full((2, 3), np.nan))
    np.savez(tmp_path / "words.npz", latents=np.array([["a"]]))
    np.save(tmp_path / "bare.npy", np.zeros((2, 3)))
    (tmp_path / "fake.npz").write_text("no zip")
    for name in ("other.npz", "walk.npz", "nan.npz", "words.npz"):
        with pytest.raises(InputError, match="holds no 2-dimensional array `latents` of finite numbers"):
            read_latents(tmp_path / name)
    for name in ("bare.npy", "fake.npz", "gone.npz"):
        with pytest.raises(InputError, match=r"cannot be read as a \.npz file of numbers"):
            read_latents(tmp_path / name)


def test_a_walk_is_written_as_its_ending_says(tmp_path):
    sampler = conditional()
    points = sampler.latents(2)
    walk = interpolate(sampler, points, points[::-1], frames=4)
    for name in ("x.gif", "x.png", "x.npz"):
        walk.save(tmp_path / name)
    with Image.open(tmp_path / "x.gif") as image:
        assert image.n_frames == 4
    with Image.open(tmp_path / "x.png") as strip:
        assert strip.width > 1.9 * strip.height
    with np.load(tmp_path / "x.npz") as archive:
        assert set(archive.files) == {"samples", "latents", "labels"}
        assert np.array_equal(archive["samples"], walk.samples)
    with pytest.raises(InputError, match=r"ends in \.gif, \.png or \.npz"):
        walk.save(tmp_path / "x.mp4")


def test_the_example_in_the_docs_runs(digits_run, tmp_path, monkeypatch):
    (example,) = re.findall(r"```python\n(.*?)```", DOCS.read_text(), re.DOTALL)
    shutil.copytree(digits_run[0], tmp_path / "runs" / "digits")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "example.py").write_text(example)
    names = runpy.run_path("example.py")
    assert names["moved"].shape == names["inverted"].samples.shape == (4, 1, 8, 8)
    assert (tmp_path / "walk.gif").is_file()
