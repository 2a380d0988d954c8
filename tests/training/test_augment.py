"""Augmentation: what it does to images, where it stands in a step, and that a run resumes with its own."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_runs import DIGITS, assert_same_run, trainer
from torch import nn

from wgan.data import load
from wgan.errors import InputError
from wgan.lipschitz import Constraint, GradientPenalty
from wgan.losses import LOSSES
from wgan.networks import MLP
from wgan.runs import load_latest
from wgan.training import Adam, Augment, LoggingIntervals, Trainer, recipe
from wgan.training.augment import MAX_STRENGTH, TRANSFORMS, Augmenter, cut_out, mirror, recolour, translate
from wgan.training.objective import Batch, Objective
from wgan.training.state import State
from wgan.training.step import critic_step, generator_step


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def images(count=64, shape=(3, 8, 8), seed=0):
    return torch.rand(count, *shape, generator=seeded(seed)) * 2 - 1


# ---------------------------------------------------------------------------------- the transforms


@pytest.mark.parametrize("name", TRANSFORMS)
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 12, 20), (2, 5, 7)], ids=str)
def test_a_transform_keeps_shapes_draws_from_its_own_numbers_and_can_be_differentiated(name, shape):
    real = images(5, shape)
    before = torch.get_rng_state()
    made = [TRANSFORMS[name](real, seeded(seed)) for seed in (1, 1, 2)]
    assert torch.equal(torch.get_rng_state(), before)
    assert made[0].shape == real.shape
    assert made[0].dtype == real.dtype
    assert torch.equal(made[0], made[1])
    assert not torch.equal(made[0], made[2])
    assert TRANSFORMS[name](real[:0], seeded()).shape == (0, *shape)
    points = real[:2].double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: TRANSFORMS[name](x, seeded(3)), (points,), fast_mode=True)


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_translation_shifts_by_at_most_an_eighth_and_lets_grey_in(seed):
    real = images(16, (2, 16, 8), seed)
    for one, moved in zip(real, translate(real, seeded(seed)), strict=True):
        padded = nn.functional.pad(one, (1, 1, 2, 2))
        shifts = [padded[:, down : down + 16, right : right + 8] for down in range(5) for right in range(3)]
        assert sum(torch.equal(moved, shift) for shift in shifts) == 1


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_cut_out_blanks_one_rectangle_of_at_most_half_the_sides(seed):
    real = images(16, (2, 12, 8), seed) + 3
    for one, cut in zip(real, cut_out(real, seeded(seed)), strict=True):
        blank = cut == 0
        assert torch.equal(torch.where(blank, one, cut), one)
        rows, columns = blank.any(0).any(1).sum(), blank.any(0).any(0).sum()
        assert 3 <= rows <= 6
        assert 2 <= columns <= 4
        assert blank.sum() == 2 * rows * columns


def test_colours_change_in_their_ranges_and_geometry_does_not():
    real = images(500, (3, 4, 4))
    made = recolour(real, seeded())
    shift = made.mean((1, 2, 3)) - real.mean((1, 2, 3))
    assert -0.5 <= shift.min() < -0.45
    assert 0.45 < shift.max() <= 0.5
    greys = recolour(images(500, (1, 4, 4)), seeded()), images(500, (1, 4, 4))
    ratio = greys[0].std((1, 2, 3)) / greys[1].std((1, 2, 3))
    assert 0.499 < ratio.min() < 0.55
    assert 1.45 < ratio.max() < 1.501


def test_a_flip_mirrors_half_of_the_images():
    real = images(400)
    flipped = (mirror(real, seeded()) == real.flip(3)).flatten(1).all(1)
    assert 0.4 < flipped.float().mean() < 0.6
    assert torch.equal(mirror(real, seeded())[~flipped], real[~flipped])


@pytest.mark.parametrize("strength", [0.0, 0.3, 1.0])
def test_the_strength_is_the_probability_of_each_transform(strength):
    augmenter = Augmenter(Augment(("translation",), strength=strength, target=0.5))
    same = (augmenter(images(2000, (1, 16, 16)), seeded()) == images(2000, (1, 16, 16))).flatten(1).all(1)
    unmoved = 1 / 25  # a shift by nothing, of 5 x 5
    assert same.float().mean().item() == pytest.approx(1 - strength * (1 - unmoved), abs=0.04)


# ---------------------------------------------------------------------------------- the strength


def test_the_strength_follows_the_part_of_the_gap_that_held_out_images_lack_in_any_unit():
    seen, unseen, fake = torch.tensor(2.0), torch.tensor(0.5), torch.tensor(0.0)  # r_v = 3/4
    for scale, shift in ((1, 0), (100, 7), (0.01, -50)):
        augmenter = Augmenter(Augment(target=0.5, span=100))
        for _ in range(3):
            augmenter.adapt(*(scale * mean + shift for mean in (seen, unseen, fake)), images=10)
        assert augmenter.strength.item() == pytest.approx(0.3)
        augmenter.adapt(*(scale * mean + shift for mean in (seen, seen, fake)), images=10)
        assert augmenter.strength.item() == pytest.approx(0.2)


def test_the_strength_stays_in_its_range():
    one, zero = torch.ones(()), torch.zeros(())
    augmenter = Augmenter(Augment(target=0.6, span=20))
    for _ in range(9):
        augmenter.adapt(one, zero, zero, images=10)
    assert augmenter.strength.item() == pytest.approx(MAX_STRENGTH)
    for _ in range(9):
        augmenter.adapt(one, one, zero, images=10)
    assert augmenter.strength.item() == 0


@pytest.mark.slow
def test_a_critic_that_knows_few_images_by_heart_is_noticed():
    """Of 16 images each is soon known; of all of them none, and the strength stays low."""
    reached = []
    for rows in (16, len(DIGITS.train)):
        few = replace(DIGITS, train=replace(DIGITS.train, rows=DIGITS.train.rows[:rows]))
        settings = replace(
            recipe("default", (1, 8, 8)), augment=Augment(target=0.5, span=5000), decay="constant"
        )
        made = Trainer(few, settings=settings, device="cpu")
        state = made.state()
        for _ in range(150):
            made.advance(state, 150)
        reached.append(state.augmenter.strength.item())
    assert reached[0] > 0.5
    assert reached[1] < 0.3


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"transforms": ("rotation",)}, "known are translation, cutout, colour, flip"),
        ({"strength": 1.1}, r"strength must be in \[0, 1\]"),
        ({"strength": "x"}, "strength must be"),
        ({"target": -0.1}, r"target must be in \[0, 1\)"),
        ({"target": 1.0}, "target must be"),
        ({"target": float("nan")}, "target must be"),
        ({"target": None}, "target must be"),
        ({"span": 0}, "whole number >= 1"),
        ({"transforms": (), "strength": 0.5}, "needs a transform"),
    ],
)
def test_settings_that_cannot_work_are_refused(arguments, told):
    with pytest.raises(InputError, match=told):
        Augment(**arguments)


def test_vectors_and_what_is_no_augmentation_are_refused():
    dataset = load("ring8")
    with pytest.raises(InputError, match="for images; the samples of ring8 are vectors"):
        Trainer(
            dataset,
            settings=replace(recipe("default", dataset.shape), augment=Augment(strength=1.0)),
            device="cpu",
        )
    with pytest.raises(InputError, match="Augment"):
        trainer(augment=0.5)


# ---------------------------------------------------------------------------------- in a step


class Mark(nn.Module):
    """A generator of one weight."""

    latent_dim = 1

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(0.25))

    def forward(self, latents):
        return self.weight.expand(len(latents), 1, 8, 8)


class Watching(nn.Module):
    """A critic that keeps all that it is shown."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))
        self.seen = []

    def forward(self, samples):
        self.seen.append(samples.detach())
        return self.weight * samples.mean((1, 2, 3))


class Noting(Constraint):
    """Keeps the points of its penalty."""

    def __init__(self):
        self.points = []

    def penalty(self, critic, real, fake, labels=None, rng=None):
        self.points += [real, fake]
        return real.new_zeros(())


def test_both_steps_and_the_penalty_see_transformed_images_only():
    critic, generator, constraint = Watching(), Mark(), Noting()
    optimisers = [Adam(1e-3).build(network) for network in (generator, critic)]
    state = State(generator, critic, *optimisers, augmenter=Augmenter(Augment(("cutout",), strength=1.0)))
    objective = Objective(LOSSES["relativistic"], constraint)
    real, latents = Batch(torch.ones(16, 1, 8, 8)), torch.zeros(16, 1)
    numbers = critic_step(state, objective, real, latents, seeded())
    generator_step(state, objective, latents, seeded(1), real=real)
    assert numbers["augmentation"] == 1
    for batch in (*critic.seen, *constraint.points):
        assert ((batch == 0).flatten(1).sum(1) > 0).all()
    assert generator.weight.grad is not None
    assert generator.weight.grad.abs() > 0


def augmented(**changes):
    """A trainer of images whose strength moves, with noise in everything."""
    return trainer(
        constraint=GradientPenalty(1.0),
        loss="relativistic",
        augment=Augment(strength=0.2, target=0.6, span=2000),
        **changes,
    )


@pytest.mark.slow
def test_a_run_resumes_bit_for_bit_with_the_strength_that_it_had(tmp_path):
    augmented().fit(tmp_path / "straight", 20)
    augmented().fit(tmp_path / "stopped", 7)
    augmented().fit(tmp_path / "stopped", 20)
    assert_same_run(tmp_path / "stopped", tmp_path / "straight", images=False)
    saved = load_latest(tmp_path / "straight" / "checkpoints").tensors["augmenter"]
    assert 0 <= saved["strength"].item() <= MAX_STRENGTH
    assert saved["strength"].item() != pytest.approx(0.2)


def test_another_augmentation_is_another_run_and_none_is_the_run_as_it_always_was(tmp_path):
    augmented().fit(tmp_path / "run", 2)
    with pytest.raises(InputError, match=r"augment\.target 0\.6 -> 0\.0"):
        trainer(constraint=GradientPenalty(1.0), loss="relativistic").fit(tmp_path / "run", 2)
    assert trainer().config(1)["augment"]["strength"] == 0
    state = trainer().state()
    assert state.augmenter is None
    assert "augmenter" not in state.groups()


@pytest.mark.slow
def test_what_is_looked_at_is_never_transformed(tmp_path):
    """Of two runs that learn nothing, the one that transforms all it learns from logs the same gaps."""
    rows = []
    for name, augment in (("with", Augment(strength=1.0)), ("without", Augment())):
        with torch.random.fork_rng([]):
            torch.manual_seed(0)
            networks = MLP(latent_dim=4, generator_hidden=(8,), critic_hidden=(8,)).build((1, 8, 8))
        still = {"generator_optimiser": Adam(1e-12), "critic_optimiser": Adam(1e-12)}
        made = trainer(
            generator=networks[0],
            critic=networks[1],
            constraint=None,
            augment=augment,
            logging=LoggingIntervals(metrics=1),
            **still,
        )
        rows += made.fit(tmp_path / name, 1).history()
    assert rows[0]["augmentation"] == 1
    for gap in ("gap", "gap_held_out"):
        assert rows[0][gap] == pytest.approx(rows[1][gap], abs=1e-5)
    assert rows[0]["critic_loss"] != pytest.approx(rows[1]["critic_loss"], abs=1e-5)
