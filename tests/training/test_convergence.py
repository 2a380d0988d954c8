"""Which games come to rest, on the smallest ones there are, played by the project's own steps.

The Dirac-GAN (Mescheder, Geiger, Nowozin 2018, "Which Training Methods for GANs do actually Converge?",
section 2): the data is the point 0, the generator the point theta, the critic psi x, the state (theta, psi).
The second game is of scales: data of scale 1, generator theta z, critic psi x^2. What the paper proves of the
first near its equilibrium is read off the Jacobians of the steps, and of the second by the same argument.
"""

import cmath
import math
import os
import subprocess
import sys
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from wgan.lipschitz import (
    DRAGAN,
    R1,
    R2,
    Chain,
    Constraint,
    GradientPenalty,
    LipschitzPenalty,
    MaxGradientPenalty,
    WeightClipping,
)
from wgan.losses import LOSSES
from wgan.training.objective import Batch, Objective
from wgan.training.state import State as TrainingState
from wgan.training.step import critic_step, generator_step

ROOT = Path(__file__).parents[2]
State = np.ndarray
"""The generator's parameters, then the critic's."""

NOTHING = Chain()
ZERO_CENTRED: list[Constraint] = [R1(1.0), R2(1.0), MaxGradientPenalty(0.5)]
"""Each charges a slope s with s^2 / 2."""
TILT = {"wasserstein": 1.0, "minimax": 0.5, "non-saturating": 0.5, "hinge": 1.0}
"""f'(0) of each loss: how strongly either player is pushed at the equilibrium."""


class Point(nn.Module):
    """Latents (N, d) to N times the same point theta of d coordinates."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.theta = nn.Parameter(torch.zeros(dim, dtype=torch.float64))

    def forward(self, latents: Tensor) -> Tensor:
        return self.theta.expand(len(latents), -1)


class Scale(nn.Module):
    """Latents times theta."""

    def __init__(self) -> None:
        super().__init__()
        self.theta = nn.Parameter(torch.ones(1, dtype=torch.float64))

    def forward(self, latents: Tensor) -> Tensor:
        return self.theta * latents


class Slope(nn.Module):
    """Samples x (N, d) to psi . x."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.psi = nn.Parameter(torch.zeros(dim, dtype=torch.float64))

    def forward(self, samples: Tensor) -> Tensor:
        return samples @ self.psi


class Curvature(nn.Module):
    """Samples x (N, 1) to psi x^2."""

    def __init__(self) -> None:
        super().__init__()
        self.psi = nn.Parameter(torch.zeros(1, dtype=torch.float64))

    def forward(self, samples: Tensor) -> Tensor:
        return samples.square() @ self.psi


@dataclass(frozen=True)
class Game:
    """Two players and what they know of the world; they learn by plain gradient steps of size ``rate``."""

    generator: nn.Module
    critic: nn.Module
    real: Tensor
    latents: Tensor
    loss: str = "wasserstein"
    constraint: Constraint = NOTHING
    rate: float = 0.1
    n_critic: int = 1

    def play(self, state: State, turns: int) -> np.ndarray:
        """The states after each turn as the trainer takes it: n_critic critic steps, then the generator's."""
        table = self._sit_down(state)
        return np.stack([table.turn() for _ in range(turns)])

    def turn(self, state: State) -> State:
        """The state after one turn."""
        return self.play(state, 1)[0]

    def field(self, state: State) -> State:
        """The gradient vector field: where both are pushed, each by the other as it is."""
        critic, generator = self._sit_down(state), self._sit_down(state)
        critic.critic_moves()
        generator.generator_moves()
        return (critic.state + generator.state - 2 * state) / self.rate

    def _sit_down(self, state: State) -> "Table":
        return Table(self, deepcopy(self.generator), deepcopy(self.critic), state)


class Table:
    """A game being played."""

    def __init__(self, game: Game, generator: nn.Module, critic: nn.Module, state: State) -> None:
        self.game = game
        self.parameters = [*generator.parameters(), *critic.parameters()]
        nn.utils.vector_to_parameters(torch.tensor(state), self.parameters)
        optimisers = [torch.optim.SGD(player.parameters(), game.rate) for player in (generator, critic)]
        self.networks = TrainingState(generator, critic, *optimisers)
        self.objective = Objective(LOSSES[game.loss], game.constraint)
        self.rng = torch.Generator().manual_seed(0)

    @property
    def state(self) -> State:
        return nn.utils.parameters_to_vector(self.parameters).detach().numpy()

    def turn(self) -> State:
        for _ in range(self.game.n_critic):
            self.critic_moves()
        self.generator_moves()
        return self.state

    def critic_moves(self) -> None:
        critic_step(self.networks, self.objective, Batch(self.game.real), self.game.latents, self.rng)

    def generator_moves(self) -> None:
        generator_step(self.networks, self.objective, self.game.latents)


def dirac(dim: int = 1, **settings) -> Game:
    """The Dirac-GAN in so many dimensions; at rest at 0."""
    return Game(Point(dim), Slope(dim), torch.zeros(2, dim).double(), torch.zeros(2, 1).double(), **settings)


def scales(**settings) -> Game:
    """The game of scales; at rest at theta = 1, psi = 0."""
    signs = torch.tensor([[-1.0], [1.0]]).double()
    return Game(Scale(), Curvature(), signs, signs, **settings)


START = np.array([1.0, 0.0])
REST = np.zeros(2)


def jacobian(function, at: State, by: float = 1e-5) -> np.ndarray:
    """By central differences."""
    ways = np.eye(len(at)) * by
    return np.stack([(function(at + way) - function(at - way)) / (2 * by) for way in ways], 1)


def eigenvalues(function, at: State) -> list[complex]:
    return sorted(np.linalg.eigvals(jacobian(function, at)), key=lambda value: (value.real, value.imag))


def roots(middle: float, product: float) -> list[complex]:
    """Of x^2 - 2 middle x + product."""
    away = cmath.sqrt(middle**2 - product)
    return sorted([middle - away, middle + away], key=lambda value: (value.real, value.imag))


def assert_same(found: list[complex], expected: list[complex]) -> None:
    # Differences of differences: two equal eigenvalues move apart by the root of the rounding.
    assert found == pytest.approx(expected, abs=1e-4)


# ---------------------------------------------------------------------------------- the vector field


@pytest.mark.slow
@given(theta=st.floats(-3, 3), psi=st.floats(-3, 3), gamma=st.floats(0.1, 5))
def test_the_field_of_the_dirac_gan_is_that_of_the_paper(theta: float, psi: float, gamma: float):
    push = 1 / (1 + math.exp(-theta * psi))
    field = dirac(loss="minimax", constraint=R1(gamma)).field(np.array([theta, psi]))
    assert field == pytest.approx([push * psi, -push * theta - gamma * psi], abs=1e-9)


@pytest.mark.parametrize("loss", TILT)
def test_without_a_penalty_the_field_turns_around_the_equilibrium(loss: str):
    """The eigenvalues are +-f'(0) i, so that nothing pulls inwards."""
    assert_same(eigenvalues(dirac(loss=loss).field, REST), [-1j * TILT[loss], 1j * TILT[loss]])


@pytest.mark.parametrize("loss", TILT)
@pytest.mark.parametrize("gamma", [0.1, 0.7, 3.0])
@pytest.mark.parametrize("kind", [R1, R2])
def test_zero_centred_penalties_pull_inwards(loss: str, gamma: float, kind: type[R1 | R2]):
    """The eigenvalues are -gamma/2 +- sqrt(gamma^2/4 - f'(0)^2), whose real parts are negative."""
    found = eigenvalues(dirac(loss=loss, constraint=kind(gamma)).field, REST)
    assert_same(found, roots(-gamma / 2, TILT[loss] ** 2))
    assert max(value.real for value in found) < 0


@pytest.mark.parametrize("constraint", ZERO_CENTRED, ids=str)
def test_in_two_dimensions_every_direction_comes_to_rest(constraint: Constraint):
    found = eigenvalues(dirac(2, constraint=constraint).field, np.zeros(4))
    pair = roots(-0.5, 1.0)
    assert found == pytest.approx([pair[0], pair[0], pair[1], pair[1]], abs=1e-3)


@pytest.mark.parametrize("kind", [R1, R2])
def test_the_game_of_scales_turns_without_a_penalty_and_comes_to_rest_with_one(kind: type[R1 | R2]):
    """Pushed by 2 at the equilibrium, and charged gamma/2 (2 psi)^2."""
    rest = np.array([1.0, 0.0])
    assert_same(eigenvalues(scales().field, rest), [-2j, 2j])
    assert_same(eigenvalues(scales(constraint=kind(0.25)).field, rest), roots(-0.5, 4.0))


# ---------------------------------------------------------------------------------- the steps


@pytest.mark.parametrize("n_critic", [1, 2, 5])
@pytest.mark.parametrize("loss", TILT)
def test_turns_neither_approach_nor_leave_the_equilibrium(loss: str, n_critic: int):
    """Alternating steps have eigenvalues of modulus 1 as long as n_critic (h f'(0))^2 <= 4."""
    found = eigenvalues(dirac(loss=loss, n_critic=n_critic).turn, REST)
    assert_same(found, roots(1 - n_critic * (0.1 * TILT[loss]) ** 2 / 2, 1.0))
    assert [abs(value) for value in found] == pytest.approx([1, 1], abs=1e-6)


@pytest.mark.parametrize("loss", TILT)
def test_simultaneous_steps_would_leave_it(loss: str):
    """1 +- h f'(0) i, outside the unit circle at every rate."""
    game = dirac(loss=loss)
    together = eigenvalues(lambda state: state + game.rate * game.field(state), REST)
    assert_same(together, [1 - 0.1j * TILT[loss], 1 + 0.1j * TILT[loss]])
    assert min(abs(value) for value in together) > 1


@pytest.mark.parametrize("n_critic", [1, 5])
@pytest.mark.parametrize("constraint", ZERO_CENTRED, ids=str)
def test_turns_with_a_zero_centred_penalty_approach_it(constraint: Constraint, n_critic: int):
    """The product of a turn's eigenvalues is what the critic's steps leave of psi: (1 - h gamma)^n_critic."""
    found = eigenvalues(dirac(constraint=constraint, n_critic=n_critic).turn, REST)
    assert np.prod(found) == pytest.approx(0.9**n_critic, abs=1e-6)
    assert max(abs(value) for value in found) < 0.98


# ---------------------------------------------------------------------------------- whole games


@pytest.mark.slow
@pytest.mark.parametrize("constraint", ZERO_CENTRED, ids=str)
@pytest.mark.parametrize("loss", TILT)
def test_zero_centred_penalties_converge(constraint: Constraint, loss: str):
    *_, last = dirac(loss=loss, constraint=constraint, rate=0.5).play(START, 120)
    assert np.linalg.norm(last) < 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("kind", [R1, R2])
def test_zero_centred_penalties_find_the_scale(kind: type[R1 | R2]):
    *_, last = scales(constraint=kind(0.5)).play(np.array([1.6, 0.0]), 200)
    assert last == pytest.approx([1, 0], abs=1e-3)


def test_the_unconstrained_game_keeps_its_orbit():
    """theta^2 + psi^2 - h theta psi is the same after every turn, to the rounding."""
    radii = [theta**2 + psi**2 - 0.1 * theta * psi for theta, psi in dirac().play(START, 200)]
    assert radii == pytest.approx([1.0] * 200, abs=1e-9)


@pytest.mark.parametrize("n_critic", [1, 5])
def test_clipping_circles(n_critic: int):
    """Once within its reach the bound does nothing any more, and the orbit stays."""
    turns = 2 * round(math.tau / (0.2 * n_critic**0.5))  # two revolutions
    late = dirac(constraint=WeightClipping(0.3), n_critic=n_critic, rate=0.2).play(START, 60 + turns)[60:]
    reach = np.abs(late).max(1)
    assert reach.min() > 0.1
    assert reach[: turns // 2].max() == pytest.approx(reach[turns // 2 :].max(), rel=0.15)


@pytest.mark.slow
@pytest.mark.parametrize("n_critic", [1, 5])
@pytest.mark.parametrize("kind", [GradientPenalty, DRAGAN])
def test_one_centred_penalties_circle_at_finite_n_critic(kind: type[GradientPenalty | DRAGAN], n_critic: int):
    """They hold psi at one of +-1 until theta, moving at full speed, is past 0 by nearly 2 weight."""
    late = dirac(constraint=kind(0.3), n_critic=n_critic, rate=0.2).play(START, 120)[60:]
    assert late[:, 0].max() > 0.45
    assert late[:, 0].min() < -0.45
    assert {*np.sign(late[:, 1])} >= {-1.0, 1.0}


@pytest.mark.parametrize("kind", [GradientPenalty, DRAGAN])
def test_strong_one_centred_penalties_come_to_rest_away_from_the_data(
    kind: type[GradientPenalty | DRAGAN],
):
    """From weight 1 on nothing overshoots: the two meet where the slope's corner balances the distance."""
    *_, (theta, psi) = dirac(constraint=kind(1.0), rate=0.2).play(START, 200)
    assert (abs(theta), psi) == pytest.approx((2, 0), abs=1e-3)


def test_a_penalty_on_steep_slopes_alone_circles_within():
    late = dirac(constraint=LipschitzPenalty(1.0), rate=0.2).play(START, 200)[100:]
    assert np.abs(late).max(1).min() > 0.4


@pytest.mark.slow
def test_the_example_saves_its_figure(tmp_path: Path):
    figure = tmp_path / "dirac.png"
    paths = os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "dirac.py"), str(figure)],
        env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert figure.read_bytes().startswith(b"\x89PNG")
