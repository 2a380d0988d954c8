r"""The auditor: a critic of its own, fitted on frozen samples and certified, that brackets W1.

It is another network than the one that trains a generator, for a better estimate of W1 does not make a
better generator (Stanczuk et al. 2021; Mallasto, Montufar, Gerolin 2019). It never sees the samples on which
its bound is measured.
"""

import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import isfinite
from statistics import fmean
from typing import final

import numpy as np
import numpy.typing as npt
import torch
from scipy.cluster.vq import kmeans2
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from wgan.certificates import certify
from wgan.errors import InputError, check_seed, check_whole
from wgan.lipschitz import score_pair
from wgan.lipschitz.max_of_cones import MaxOfConesCritic
from wgan.lipschitz.mcshane import McShaneExtension
from wgan.lipschitz.spectral_descent import SpectralDescent
from wgan.losses import gap
from wgan.wasserstein.bracket import LARGEST_COUPLING, Bracket, check_confidence, lower_bound, upper_bound
from wgan.wasserstein.exact import wasserstein1

Array = npt.NDArray[np.float64]
Samples = npt.ArrayLike | Tensor

FEWEST = 64
"""Samples of each set: fewer leave nothing to fit on and nothing to measure on."""
BATCH = 4096
"""Samples scored at once."""
TRIAL = 6
"""Each form is tried for one in so many of a fit's steps."""
TRIAL_BATCHES = 8
"""Batches that decide between them, where no samples are set aside."""
TIMES = 2
"""A member's width, of the samples' numbers."""
NARROWEST = 8
"""A member."""
CHECKS = 20
"""How often the fit is held against samples set aside; the best state is kept."""


@final
@dataclass(frozen=True)
class Form:
    """How an auditing :class:`~wgan.lipschitz.MaxOfConesCritic` divides its features among its members.

    A member is one full sort between two orthonormal layers, :data:`TIMES` as wide as the samples: narrower,
    it cannot tell all directions apart; wider, an orthonormal layer passes less of the gradient on. It begins
    as a cone at the centre of a cluster of the one side's samples.
    """

    features: int
    """Of all members together, at most, >= 2; 0: no hidden layer, one linear function."""
    minimum: bool = False
    """The minimum of the members instead of the maximum."""
    lr: float = 0.03
    """The spectral norm of the first step, > 0."""
    batch_size: int = 1024
    """Samples of each side a step, at most; all where there are fewer."""
    weights: int | None = None
    """Of all members' first layers together, at most, unless one alone has more; None: any number."""

    def __post_init__(self) -> None:
        check_whole(features=(self.features, 0), batch_size=(self.batch_size, 1))
        if self.features == 1:
            raise InputError("features must be 0, for a linear function, or at least 2 to sort, not 1.")
        if not 0 < self.lr < float("inf"):
            raise InputError(f"lr must be a finite number > 0, not {self.lr!r}.")

    def both_ways(self) -> tuple["Form", "Form"]:
        """The maximum, of cones at the one side, and the minimum, at the other: either may take fewer."""
        return self, replace(self, minimum=not self.minimum)

    def build(self, dim: int) -> MaxOfConesCritic:
        """A critic of samples of so many numbers, its weights drawn from torch's generator."""
        if not self.features:
            return MaxOfConesCritic(dim, members=1, hidden=())
        width = min(max(TIMES * dim, NARROWEST), self.features)
        members = self.features // width
        if self.weights is not None:
            members = max(1, min(members, self.weights // (width * dim)))
        return MaxOfConesCritic(dim, members=members, hidden=(width,), minimum=self.minimum)


@final
@dataclass(frozen=True)
class Potentials:
    """The potential of an exact transport between two batches, extended from the one side to all points.

    Nothing is better on these samples, and little in a few dimensions, where every point is near one of
    them; in many dimensions none is near any, and networks see further.
    """

    def extend(self, p: Tensor, q: Tensor) -> tuple[McShaneExtension, McShaneExtension]:
        """Two critics of batches (n, d) and (m, d): a maximum of cones at the first, a minimum at the second.

        Which one serves, the samples tell; see :class:`~wgan.lipschitz.McShaneExtension`.
        """
        above, below = map(torch.from_numpy, wasserstein1(p, q).potentials)
        return McShaneExtension(p, above), McShaneExtension(q, -below, minimum=True)


LINEAR = Form(0, lr=0.1)
"""The difference of two means is all there is to a shift, and in many dimensions hard to better. It begins in
any direction, far from the right one, where cones are near: its steps are longer."""
NETWORK = Form(2048)
NETWORKS = (LINEAR, *NETWORK.both_ways())
ENDLESS = (LINEAR, *replace(NETWORK, features=4096, weights=1 << 18).both_ways())
"""For draws that are fresh each time: more members see further, and up to 64 dimensions they are paid for."""
Critic = MaxOfConesCritic | McShaneExtension


@final
@dataclass(frozen=True)
class Fit:
    """How the auditing critic is fitted: by steepest descent, its rate decayed to zero, in a form that suits.

    Whether a maximum, a minimum or a linear function serves depends on the data: each is tried.
    """

    forms: tuple[Form | Potentials, ...] = (*NETWORKS, Potentials())
    """Each is tried with a share of the steps; the one with the largest gap is fitted with all."""
    steps: int = 300
    """Steps, >= 1."""
    bias_lr: float = 5e-3
    """Adam's first rate for what is no matrix, > 0."""
    temperatures: tuple[float, float] = (0.2, 0.007)
    """Of the extremum, at first and at the end, in between by a constant factor a step; > 0, in units of the
    samples' spread: at first every member has something to learn, in the end each has its own part."""

    def __post_init__(self) -> None:
        if not self.forms:
            raise InputError("A fit needs at least one form of the auditing critic.")
        check_whole(steps=(self.steps, 1))
        for name, values in {"bias_lr": (self.bias_lr,), "temperatures": self.temperatures}.items():
            if not all(0 < value < float("inf") for value in values):
                raise InputError(f"{name} must be finite and > 0, not {getattr(self, name)!r}.")


Draw = Callable[[torch.Generator, int], tuple[Tensor, Tensor]]
"""Draws a batch of each side, of at most so many samples: (n, d) and (n, d)."""


def fit_critic(draw: Draw, dim: int, *, fit: Fit, seed: int = 0, check: Draw | None = None) -> Critic:
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
    if len(fit.forms) == 1 and isinstance(fit.forms[0], Form):
        return _fit(draw, dim, fit.forms[0], fit=fit, seed=seed, check=check)
    trial = replace(fit, steps=max(1, fit.steps // TRIAL))
    tried = [(form, critic) for form in fit.forms for critic in _try(draw, dim, form, fit=trial, seed=seed)]
    judges = [check] if check else [draw] * TRIAL_BATCHES  # what was set aside is the same each time
    form, best = max(tried, key=lambda one: _gap(one[1], judges, seed))
    if isinstance(form, Potentials):  # which takes no steps
        return best
    return _fit(draw, dim, form, fit=fit, seed=seed, check=check)


def _try(draw: Draw, dim: int, form: Form | Potentials, *, fit: Fit, seed: int) -> Sequence[Critic]:
    if isinstance(form, Potentials):
        # Of another seed, or they would be judged by the very batch that they know by heart.
        rng = torch.Generator().manual_seed(seed + 1)
        return [critic.eval() for critic in form.extend(*draw(rng, LARGEST_COUPLING))]
    return [_fit(draw, dim, form, fit=fit, seed=seed, check=None)]


@torch.no_grad()
def _gap(critic: Critic, judges: Sequence[Draw], seed: int) -> float:
    rng = torch.Generator().manual_seed(seed)
    return fmean(float(gap(*score_pair(critic, *judge(rng, BATCH)))) for judge in judges)


def _fit(draw: Draw, dim: int, form: Form, *, fit: Fit, seed: int, check: Draw | None) -> MaxOfConesCritic:
    rng = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        critic = form.build(dim)
    if form.features:
        sides = draw(rng, BATCH)
        critic.initialise_cones(_centroids(sides[form.minimum], critic.members, seed))
    optimisers = _optimisers(critic, form, fit)
    decays = [LambdaLR(optimiser, lambda step: 1 - step / fit.steps) for optimiser in optimisers]
    first, last = fit.temperatures
    best = _Best(critic, check, rng)
    for step in range(fit.steps):
        critic.temperature = first * (last / first) ** (step / fit.steps)
        loss = -gap(*score_pair(critic, *draw(rng, form.batch_size)))
        critic.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        for optimiser in optimisers:
            optimiser.step()
        for decay in decays:
            decay.step()
        if (fit.steps - 1 - step) % max(1, fit.steps // CHECKS) == 0:
            best.consider()
    return best.settle()


def _centroids(points: Tensor, count: int, seed: int) -> Tensor:
    """As many centres of clusters of the points (n, d); where there are not that many points, the points."""
    given = points.detach().cpu().double().numpy()
    centres = np.unique(given, axis=0)
    if len(centres) > count:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a cluster that loses its points stays where it was
            centres, _ = kmeans2(given, count, minit="++", rng=np.random.default_rng(seed))
    return torch.from_numpy(centres[np.arange(count) % len(centres)]).to(points)


def _optimisers(critic: MaxOfConesCritic, form: Form, fit: Fit) -> tuple[SpectralDescent, torch.optim.Adam]:
    named = dict(critic.named_parameters())
    biases = [named.pop(name) for name in tuple(named) if name.endswith("bias")]
    adam = torch.optim.Adam(biases, lr=fit.bias_lr, betas=(0.9, 0.99), fused=True)
    return SpectralDescent(named.values(), lr=form.lr), adam


def audit(
    p: Samples,
    q: Samples,
    *,
    confidence: float = 0.99,
    minutes: float | None = None,
    seed: int = 0,
    fit: Fit | None = None,
) -> Bracket:
    r"""Bracket W1 between the distributions behind two sample sets.

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
        critic="potentials" if isinstance(critic, McShaneExtension) else "network",
    )


@dataclass
class _Best:
    """The state of a critic with the largest gap on samples set aside."""

    critic: MaxOfConesCritic
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

    def settle(self) -> MaxOfConesCritic:
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
        return _some(p, count, rng), _some(q, count, rng)

    return draw


def _some(side: Tensor, count: int, rng: torch.Generator) -> Tensor:
    return side if count >= len(side) else side[torch.randint(len(side), (count,), generator=rng)]


def _affordable(draw: Draw, dim: int, fit: Fit, minutes: float) -> int:
    if not (isfinite(minutes) and minutes > 0):
        raise InputError(f"minutes must be a finite number > 0, not {minutes!r}.")
    # A transport takes what it takes.
    fit = replace(fit, forms=tuple(form for form in fit.forms if isinstance(form, Form)) or (LINEAR,))

    def seconds(steps: int) -> float:
        start = time.perf_counter()
        fit_critic(draw, dim, fit=replace(fit, steps=steps))
        return time.perf_counter() - start

    seconds(1)  # the first call takes longer than those that follow
    # Finding where members begin takes as long for one step as for all, and so does a trial up to this many.
    once, many = seconds(1), seconds(TRIAL)
    tried = len(fit.forms) / TRIAL if len(fit.forms) > 1 else 0.0
    # No step is free, however noisy the clock.
    a_step = (1 + tried) * max(many - once, many / 10) / (TRIAL - 1)
    return max(1, int((60 * minutes - once) / a_step))


@torch.no_grad()
def _scores(critic: nn.Module, points: Tensor) -> Array:
    scores: Array = torch.cat([critic(part) for part in torch.split(points, BATCH)]).numpy()
    return scores.astype(np.float64)
