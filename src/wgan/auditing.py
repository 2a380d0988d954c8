r"""The auditor: a critic of its own, fitted on frozen samples and certified, that brackets W1.

It is another network than the one that trains a generator, for a better estimate of W1 does not make a
better generator (Stanczuk et al. 2021; Mallasto, Montufar, Gerolin 2019). It never sees the samples on which
its bound is measured.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import isfinite
from statistics import fmean
from typing import final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from wgan.bracket import Bracket, check_confidence, lower_bound, upper_bound
from wgan.errors import InputError, check_seed
from wgan.lipschitz import Extremal, Orthogonal, certify, score_pair
from wgan.losses import gap

Array = npt.NDArray[np.float64]
Samples = npt.ArrayLike | Tensor

FEWEST = 64
"""Samples of each set: fewer leave nothing to fit on and nothing to measure on."""
BATCH = 4096
"""Samples scored at once."""
TRIAL = 4
"""Each form is tried for one in so many of a fit's steps. The minimum often learns faster at first."""
TRIAL_BATCHES = 8
"""Batches that decide between them, where no samples are set aside."""
CHECKS = 20
"""How often the fit is held against samples set aside; the best state is kept."""


def _check_whole(**values: int) -> None:
    for name, value in values.items():
        if not isinstance(value, int) or value < 1:
            raise InputError(f"{name} must be a whole number of at least 1, not {value!r}.")


@final
@dataclass(frozen=True)
class Form:
    """One shape of the auditing critic: :class:`~wgan.lipschitz.Extremal`, and how fast it learns."""

    members: int
    """Networks, >= 1."""
    hidden: tuple[int, ...]
    """Widths of the hidden layers of each."""
    smallest: bool = False
    """The minimum of them instead of the maximum."""
    lr: float = 5e-3
    """Adam's learning rate at first, > 0."""
    batch_size: int = 1024
    """Samples of each side a step, at most; all where there are fewer."""
    pace: int = 1
    """Its steps for each of the fit's, >= 1: what takes less time may take more of them."""
    dims: tuple[int, int | None] = (1, None)
    """The least and the most numbers a sample may have; None: any."""

    def __post_init__(self) -> None:
        _check_whole(members=self.members, batch_size=self.batch_size, pace=self.pace)
        if not 0 < self.lr < float("inf"):
            raise InputError(f"lr must be a finite number > 0, not {self.lr!r}.")

    def fits(self, dim: int) -> bool:
        """Whether it is for samples of so many numbers."""
        least, most = self.dims
        return least <= dim and (most is None or dim <= most)


LINEAR = Form(1, (), lr=1e-2)
"""The difference of two means is all there is to a shift, and in many dimensions hard to better."""
MANY = Form(64, (32, 32), dims=(1, 32))  # a layer narrower than the samples is blind to directions
FINE = Form(32, (16, 16), lr=1e-2, batch_size=4096, dims=(1, 8))
"""For laws that differ in small parts only, where a small batch shows noise."""
ONE = Form(1, (256, 256, 256), lr=2e-3, pace=3, dims=(32, None))


@final
@dataclass(frozen=True)
class Fit:
    """How the auditing critic is fitted: Adam, its rate decayed to zero, on the form that suits the data.

    In few dimensions many small networks describe laws with many parts far better than one large one; whether
    their maximum or their minimum depends on which side is the more spread out. In many dimensions one deep
    network learns faster (Anil, Lucas, Grosse 2019, "Sorting Out Lipschitz Function Approximation", section
    5.2). So each is tried, as far as it fits the dimension.
    """

    forms: tuple[Form, ...] = (
        LINEAR,
        MANY,
        replace(MANY, smallest=True),
        FINE,
        replace(FINE, smallest=True),
        ONE,
    )
    """Each is tried with a quarter of its steps; the one with the largest gap is fitted with all."""
    steps: int = 400
    """Steps, >= 1."""
    betas: tuple[float, float] = (0.9, 0.99)
    """Decay of Adam's moments."""
    temperatures: tuple[float, float] = (0.2, 0.007)
    """Of the extremum, at first and at the end, in between by a constant factor a step; > 0, in units of the
    samples' spread: at first every member has something to learn, in the end each has its own part."""

    def __post_init__(self) -> None:
        _check_whole(steps=self.steps)
        if not all(0 < temperature < float("inf") for temperature in self.temperatures):
            raise InputError(f"temperatures must be finite numbers > 0, not {self.temperatures!r}.")


Draw = Callable[[torch.Generator, int], tuple[Tensor, Tensor]]
"""Draws a batch of each side, of at most so many samples: (n, d) and (n, d)."""


def fit_critic(draw: Draw, dim: int, *, fit: Fit, seed: int = 0, check: Draw | None = None) -> Extremal:
    """A critic of Lipschitz constant at most 1, fitted to tell the two sides apart as far as it can.

    Args:
        draw: Fresh or frozen batches to fit on.
        dim: d.
        fit: How.
        seed: Of the first weights and the batches.
        check: Samples set aside: the state with the largest gap on them is kept; None: the last.

    Returns:
        The critic: (N, d) to (N,), in evaluation mode.
    """
    forms = [form for form in fit.forms if form.fits(dim)]
    if not forms:
        raise InputError(f"No form of the auditing critic is for samples of {dim} numbers.")
    if len(forms) == 1:
        return _fit(draw, dim, forms[0], fit=fit, seed=seed, check=check)
    trial = replace(fit, steps=max(1, fit.steps // TRIAL))
    tried = {form: _fit(draw, dim, form, fit=trial, seed=seed, check=None) for form in forms}
    judges = [check] if check else [draw] * TRIAL_BATCHES  # what was set aside is the same each time
    best = max(forms, key=lambda form: _gap(tried[form], judges, seed))
    return _fit(draw, dim, best, fit=fit, seed=seed, check=check)


@torch.no_grad()
def _gap(critic: Extremal, judges: Sequence[Draw], seed: int) -> float:
    rng = torch.Generator().manual_seed(seed)
    return fmean(float(gap(*score_pair(critic, *judge(rng, BATCH)))) for judge in judges)


def _fit(draw: Draw, dim: int, form: Form, *, fit: Fit, seed: int, check: Draw | None) -> Extremal:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        critic = Extremal(dim, members=form.members, hidden=form.hidden, smallest=form.smallest)
    constraint = Orthogonal()
    rng = torch.Generator().manual_seed(seed)
    optimiser = torch.optim.Adam(critic.parameters(), lr=form.lr, betas=fit.betas, fused=True)
    first, last = fit.temperatures
    best = _Best(critic, check, rng)
    steps = form.pace * fit.steps
    for step in range(steps):
        done = step / steps
        for group in optimiser.param_groups:
            group["lr"] = form.lr * (1 - done)
        critic.temperature = first * (last / first) ** done
        loss = -gap(*score_pair(critic, *draw(rng, form.batch_size)))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        constraint.project(critic)
        if (step + 1) % max(1, steps // CHECKS) == 0:
            best.consider()
    return best.settle()


def audit(
    p: Samples,
    q: Samples,
    *,
    confidence: float = 0.99,
    minutes: float | None = None,
    seed: int = 0,
    fit: Fit | None = None,
) -> Bracket:
    r"""Bracket W1 between the laws behind two sample sets.

    Half of each set fits the critic (an eighth of it decides when to stop), the other half measures the lower
    bound; all of both sets measure the upper bound.

    Args:
        p: (n, *shape), n >= 64, an array or a tensor; independent samples.
        q: (m, *shape), m >= 64.
        confidence: That both bounds hold, in (0, 1).
        minutes: How long the fit may take, > 0; its speed is measured first. None: ``fit.steps``.
        seed: Of the fit and of the split, in [0, 2^63).
        fit: How the critic is fitted.

    Returns:
        The bracket.

    Raises:
        InputError: The sets have different shapes, are too small or not finite, or an argument is out of its
            range.
    """
    check_confidence(confidence)
    check_seed(seed)
    points_p, points_q = _points("the first set", p), _points("the second set", q)
    if points_p.shape[1:] != points_q.shape[1:]:
        raise InputError(
            f"The sets hold samples of {points_p.shape[1]} and of {points_q.shape[1]} numbers; W1 needs "
            "samples of one shape."
        )
    parts_p, parts_q = _split(points_p, seed), _split(points_q, seed + 1)
    unit = _Unit.of(parts_p[0], parts_q[0])  # not of the samples that measure: they decide nothing
    fit_p, check_p, test_p = map(unit.shrink, parts_p)
    fit_q, check_q, test_q = map(unit.shrink, parts_q)
    how = fit or Fit()
    draw = _frozen(fit_p, fit_q)
    dim = points_p.shape[1]
    if minutes is not None:
        how = replace(how, steps=_affordable(draw, dim, how, minutes))
    critic = fit_critic(draw, dim, fit=how, seed=seed, check=lambda rng, count: (check_p, check_q))
    certificate = certify(critic).bound
    assert certificate is not None
    fitted = _scores(critic, fit_p), _scores(critic, fit_q)
    tested = _scores(critic, test_p), _scores(critic, test_q)
    error = (1 - confidence) / 2
    limits = (min(map(np.min, fitted)), max(map(np.max, fitted)))
    lower = lower_bound(*tested, certificate=certificate, limits=limits, error=error)
    return Bracket(
        lower=unit.scale * lower,
        upper=upper_bound(points_p, points_q, error=error),
        estimate=unit.scale * float(tested[0].mean() - tested[1].mean()) / certificate,
        certificate=certificate,
        confidence=confidence,
        n_p=len(points_p),
        n_q=len(points_q),
        gap_fitted=unit.scale * float(fitted[0].mean() - fitted[1].mean()) / certificate,
    )


@dataclass
class _Best:
    """The state of a critic with the largest gap on samples set aside."""

    critic: Extremal
    check: Draw | None
    rng: torch.Generator
    gap: float = -float("inf")

    def __post_init__(self) -> None:
        self._keep()

    def _keep(self) -> None:
        self.state = {name: value.clone() for name, value in self.critic.state_dict().items()}
        self.temperature = self.critic.temperature

    @torch.no_grad()
    def consider(self) -> None:
        """Keep the critic's present state if it is the best so far."""
        if self.check is None:
            return
        found = float(gap(*score_pair(self.critic, *self.check(self.rng, BATCH))))
        if found > self.gap:
            self.gap = found
            self._keep()

    def settle(self) -> Extremal:
        """The critic in its best state, or in its last where nothing was set aside."""
        if self.check is not None:
            self.critic.load_state_dict(self.state)
            self.critic.temperature = self.temperature
        return self.critic.eval()


@dataclass(frozen=True)
class _Unit:
    """Where the pooled samples lie and how large they are: a critic fits best at size one."""

    centre: Array
    scale: float

    @classmethod
    def of(cls, *sets: Array) -> "_Unit":
        pooled = np.concatenate(sets)
        centre = pooled.mean(0)
        return cls(centre, float(np.sqrt(np.square(pooled - centre).mean())) or 1.0)

    def shrink(self, points: Array) -> Tensor:
        return torch.from_numpy(((points - self.centre) / self.scale).astype(np.float32))


def _points(name: str, samples: Samples) -> Array:
    array = samples.detach().cpu().numpy() if isinstance(samples, Tensor) else np.asarray(samples)
    if array.dtype.kind not in "fiu" or array.ndim < 1 or len(array) < FEWEST:
        raise InputError(
            f"An audit needs at least {FEWEST} samples of numbers in each set; {name} is of type "
            f"{array.dtype} and shape {array.shape}."
        )
    points = array.reshape(len(array), -1).astype(np.float64)
    if not np.isfinite(points).all():
        bad = np.flatnonzero(~np.isfinite(points).all(1))
        raise InputError(f"{len(bad)} samples of {name} hold NaN or infinity, the first at index {bad[0]}.")
    return points


def _split(points: Array, seed: int) -> tuple[Array, Array, Array]:
    """Samples to fit on, to stop by, to measure on: 7/16, 1/16 and 1/2 of them."""
    order = np.random.default_rng(seed).permutation(len(points))
    half = len(points) // 2
    check = max(1, half // 8)
    return points[order[check:half]], points[order[:check]], points[order[half:]]


def _frozen(p: Tensor, q: Tensor) -> Draw:
    def draw(rng: torch.Generator, count: int) -> tuple[Tensor, Tensor]:
        size = min(count, len(p), len(q))
        rows = (torch.randint(len(side), (size,), generator=rng) for side in (p, q))
        return p[next(rows)], q[next(rows)]

    return draw


def _affordable(draw: Draw, dim: int, fit: Fit, minutes: float) -> int:
    if not (isfinite(minutes) and minutes > 0):
        raise InputError(f"minutes must be a finite number > 0, not {minutes!r}.")
    trial = 5
    fit_critic(draw, dim, fit=replace(fit, steps=1))
    start = time.perf_counter()
    fit_critic(draw, dim, fit=replace(fit, steps=trial))
    return max(1, int(60 * minutes * trial / (time.perf_counter() - start)))


@torch.no_grad()
def _scores(critic: nn.Module, points: Tensor) -> Array:
    scores: Array = torch.cat([critic(part) for part in torch.split(points, BATCH)]).numpy()
    return scores.astype(np.float64)
