r"""Auditing: bracket W1 between two sample sets by a certified critic that is fitted for this purpose.

The auditing critic is another network than the one that trains a generator, because a better estimate of W1
does not make a better generator (Stanczuk et al. 2021; Mallasto, Montufar, Gerolin 2019). Its lower bound is
measured on samples that it was not fitted on.
"""

import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import isfinite
from statistics import fmean
from typing import final

import numpy as np
import torch
from scipy.cluster.vq import kmeans2
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from wgan.certificates import certify
from wgan.core.arrays import ArrayOrTensor, DoubleArray
from wgan.errors import InputError, check_seed, check_whole
from wgan.lipschitz import score_pair
from wgan.lipschitz.max_of_cones import MaxOfConesCritic
from wgan.lipschitz.mcshane import McShaneExtension
from wgan.lipschitz.spectral_descent import SpectralDescent
from wgan.losses import gap
from wgan.wasserstein.bracket import LARGEST_COUPLING, Bracket, check_confidence, lower_bound, upper_bound
from wgan.wasserstein.exact import wasserstein1

MIN_SAMPLES = 64
"""Least number of samples of each set: one half fits the critic, the other measures the bound."""
BATCH = 4096
"""Samples scored at once."""
TRIAL_FRACTION = 6
"""Each candidate is tried for one in this many of a fit's steps."""
TRIAL_BATCHES = 8
"""Batches that select among candidates, where there are no validation samples."""
WIDTH_PER_DIM = 2
"""Width of a member of the critic, in units of the samples' dimension."""
MIN_WIDTH = 8
"""Least width of a member."""
CHECKS = 20
"""How often the fit is validated; the best state is kept."""


@final
@dataclass(frozen=True)
class NetworkCandidate:
    """Size and learning rate of an auditing :class:`~wgan.lipschitz.MaxOfConesCritic`.

    A member is one full sort between two orthonormal layers, :data:`WIDTH_PER_DIM` times as wide as the
    samples: a narrower one cannot distinguish all directions, and a wider orthonormal layer passes less of
    the gradient on. It starts as a cone at the centre of a cluster of one side's samples.
    """

    features: int
    """Largest number of features of all members together, >= 2; 0 for one linear function."""
    minimum: bool = False
    """Whether to take the minimum of the members instead of the maximum."""
    lr: float = 0.03
    """Spectral norm of the first step, > 0."""
    batch_size: int = 1024
    """Largest number of samples of each side per step."""
    weights: int | None = None
    """Largest number of weights of all members' first layers together, where there are several; None: any."""

    def __post_init__(self) -> None:
        check_whole(features=(self.features, 0), batch_size=(self.batch_size, 1))
        if self.features == 1:
            raise InputError("features must be 0, for a linear function, or at least 2 to sort, not 1.")
        if not 0 < self.lr < float("inf"):
            raise InputError(f"lr must be a finite number > 0, not {self.lr!r}.")

    def max_and_min(self) -> tuple["NetworkCandidate", "NetworkCandidate"]:
        """Return this candidate and the one with the opposite extremum: either may need fewer members."""
        return self, replace(self, minimum=not self.minimum)

    def build(self, dim: int) -> MaxOfConesCritic:
        """Build a critic of samples (N, dim), its weights drawn from torch's global generator."""
        if not self.features:
            return MaxOfConesCritic(dim, members=1, hidden=())
        width = min(max(WIDTH_PER_DIM * dim, MIN_WIDTH), self.features)
        members = self.features // width
        if self.weights is not None:
            members = max(1, min(members, self.weights // (width * dim)))
        return MaxOfConesCritic(dim, members=members, hidden=(width,), minimum=self.minimum)


@final
@dataclass(frozen=True)
class TransportCandidate:
    """The potentials of an exact transport between two batches, extended to all points.

    Optimal on these samples, and nearly so in few dimensions, where every point is near one of them; in many
    dimensions networks generalise better.
    """

    def build(self, p: Tensor, q: Tensor) -> tuple[McShaneExtension, McShaneExtension]:
        """Build two critics of batches (n, d), (m, d): a maximum of cones at p, a minimum of cones at q."""
        above, below = map(torch.from_numpy, wasserstein1(p, q).potentials)
        return McShaneExtension(p, above), McShaneExtension(q, -below, minimum=True)


LINEAR = NetworkCandidate(0, lr=0.1)
"""Optimal for a shift, and hard to better in many dimensions. It starts in a random direction, far from the
right one, where cones start near it: its steps are longer."""
MAX_OF_CONES = NetworkCandidate(2048)
NETWORK_CANDIDATES = (LINEAR, *MAX_OF_CONES.max_and_min())
FRESH_SAMPLE_CANDIDATES = (LINEAR, *replace(MAX_OF_CONES, features=4096, weights=1 << 18).max_and_min())
"""For batches that are drawn afresh each time: more members, which are affordable up to 64 dimensions."""
AuditCritic = MaxOfConesCritic | McShaneExtension


@final
@dataclass(frozen=True)
class FitSettings:
    """Settings of the auditing critic's fit: steepest descent, its rate decayed to zero.

    Whether a maximum, a minimum, a linear function or the potentials fit best depends on the data.
    """

    candidates: tuple[NetworkCandidate | TransportCandidate, ...] = (
        *NETWORK_CANDIDATES,
        TransportCandidate(),
    )
    """Each is tried for a fraction of the steps; the one with the largest gap is fitted for all of them."""
    steps: int = 300
    """Steps, >= 1."""
    bias_lr: float = 5e-3
    """Adam's first learning rate for the biases, > 0."""
    temperatures: tuple[float, float] = (0.2, 0.007)
    """First and last temperature of the smooth extremum, > 0, in units of the samples' spread; it falls by a
    constant factor per step: first every member has a gradient, in the end each fits its own region."""

    def __post_init__(self) -> None:
        if not self.candidates:
            raise InputError("A fit needs at least one candidate for the auditing critic.")
        check_whole(steps=(self.steps, 1))
        for name, values in {"bias_lr": (self.bias_lr,), "temperatures": self.temperatures}.items():
            if not all(0 < value < float("inf") for value in values):
                raise InputError(f"{name} must be finite and > 0, not {getattr(self, name)!r}.")


DrawBatches = Callable[[torch.Generator, int], tuple[Tensor, Tensor]]
"""Draws a batch of each side, of at most this many samples: (n, d) and (n, d)."""


def fit_critic(
    draw: DrawBatches, dim: int, *, fit: FitSettings, seed: int = 0, check: DrawBatches | None = None
) -> AuditCritic:
    """Fit a critic of Lipschitz constant at most 1 to the largest gap between two sides.

    Args:
        draw: Draws batches to fit on, fresh or from fixed samples.
        dim: d.
        fit: Settings of the fit.
        seed: Random seed of the initial weights and of the batches.
        check: Draws validation samples: the state with the largest gap on them is kept; None: the last state.

    Returns:
        The critic: (N, d) to (N,), in evaluation mode.
    """
    if len(fit.candidates) == 1 and isinstance(fit.candidates[0], NetworkCandidate):
        return _fit_network(draw, dim, fit.candidates[0], fit=fit, seed=seed, check=check)
    trial = replace(fit, steps=max(1, fit.steps // TRIAL_FRACTION))
    tried = [
        (candidate, critic)
        for candidate in fit.candidates
        for critic in _try(draw, dim, candidate, fit=trial, seed=seed)
    ]
    validation = [check] if check else [draw] * TRIAL_BATCHES  # validation samples are always the same
    candidate, best = max(tried, key=lambda one: _mean_gap(one[1], validation, seed))
    if isinstance(candidate, TransportCandidate):  # needs no steps
        return best
    return _fit_network(draw, dim, candidate, fit=fit, seed=seed, check=check)


def _try(
    draw: DrawBatches,
    dim: int,
    candidate: NetworkCandidate | TransportCandidate,
    *,
    fit: FitSettings,
    seed: int,
) -> Sequence[AuditCritic]:
    if isinstance(candidate, TransportCandidate):
        # Another seed, or they would be validated by the very batch that they are optimal for.
        rng = torch.Generator().manual_seed(seed + 1)
        return [critic.eval() for critic in candidate.build(*draw(rng, LARGEST_COUPLING))]
    return [_fit_network(draw, dim, candidate, fit=fit, seed=seed, check=None)]


@torch.no_grad()
def _mean_gap(critic: AuditCritic, draws: Sequence[DrawBatches], seed: int) -> float:
    rng = torch.Generator().manual_seed(seed)
    return fmean(float(gap(*score_pair(critic, *draw(rng, BATCH)))) for draw in draws)


def _fit_network(
    draw: DrawBatches,
    dim: int,
    candidate: NetworkCandidate,
    *,
    fit: FitSettings,
    seed: int,
    check: DrawBatches | None,
) -> MaxOfConesCritic:
    rng = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        critic = candidate.build(dim)
    if candidate.features:
        sides = draw(rng, BATCH)
        critic.initialise_cones(_centroids(sides[candidate.minimum], critic.members, seed))
    optimisers = _optimisers(critic, candidate, fit)
    decays = [LambdaLR(optimiser, lambda step: 1 - step / fit.steps) for optimiser in optimisers]
    first, last = fit.temperatures
    best = _BestState(critic, check, rng)
    for step in range(fit.steps):
        critic.temperature = first * (last / first) ** (step / fit.steps)
        loss = -gap(*score_pair(critic, *draw(rng, candidate.batch_size)))
        critic.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        for optimiser in optimisers:
            optimiser.step()
        for decay in decays:
            decay.step()
        if (fit.steps - 1 - step) % max(1, fit.steps // CHECKS) == 0:
            best.update()
    return best.restore()


def _centroids(points: Tensor, count: int, seed: int) -> Tensor:
    """Cluster centres of the points (n, d), ``count`` of them; the points themselves if there are fewer."""
    array = points.detach().cpu().double().numpy()
    centres = np.unique(array, axis=0)
    if len(centres) > count:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an empty cluster keeps its centre
            centres, _ = kmeans2(array, count, minit="++", rng=np.random.default_rng(seed))
    return torch.from_numpy(centres[np.arange(count) % len(centres)]).to(points)


def _optimisers(
    critic: MaxOfConesCritic, candidate: NetworkCandidate, fit: FitSettings
) -> tuple[SpectralDescent, torch.optim.Adam]:
    named = dict(critic.named_parameters())
    biases = [named.pop(name) for name in tuple(named) if name.endswith("bias")]
    adam = torch.optim.Adam(biases, lr=fit.bias_lr, betas=(0.9, 0.99), fused=True)
    return SpectralDescent(named.values(), lr=candidate.lr), adam


def audit(
    p: ArrayOrTensor,
    q: ArrayOrTensor,
    *,
    confidence: float = 0.99,
    minutes: float | None = None,
    seed: int = 0,
    fit: FitSettings | None = None,
) -> Bracket:
    r"""Bracket W1 between the distributions behind two sample sets.

    Half of each set fits the critic (an eighth of that half validates it), the other half measures the lower
    bound; all of both sets measure the upper bound. Both bounds assume independent samples.

    Args:
        p: (n, \*shape), n >= 64, an array or a tensor of independent samples.
        q: (m, \*shape), m >= 64.
        confidence: Probability that both bounds hold, in (0, 1).
        minutes: Duration of the fit, > 0, whose speed is measured first. None: ``fit.steps`` steps.
        seed: Random seed of the fit and of the split, in [0, 2^63).
        fit: Settings of the fit.

    Returns:
        The bracket.

    Raises:
        InputError: The sets have different shapes, are too small or not finite, or an argument is out of its
            range.

    Example:
        >>> import numpy, wgan
        >>> rng = numpy.random.default_rng(0)
        >>> p, q = rng.normal(size=(500, 1)), rng.normal(size=(500, 1)) + 2
        >>> bracket = wgan.audit(p, q, fit=FitSettings(steps=20))
        >>> 1 < bracket.lower < 2 < bracket.upper < 3
        True
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
    scaling = _Standardisation.of(parts_p[0], parts_q[0])  # independent of the samples that measure
    fit_p, check_p, test_p = map(scaling.apply, parts_p)
    fit_q, check_q, test_q = map(scaling.apply, parts_q)
    settings = fit or FitSettings()
    draw = _batches_of(fit_p, fit_q)
    dim = points_p.shape[1]
    if minutes is not None:
        settings = replace(settings, steps=_affordable_steps(draw, dim, settings, minutes))
    critic = fit_critic(draw, dim, fit=settings, seed=seed, check=lambda rng, count: (check_p, check_q))
    certificate = certify(critic).bound
    assert certificate is not None
    fitted = _scores(critic, fit_p), _scores(critic, fit_q)
    tested = _scores(critic, test_p), _scores(critic, test_q)
    error = (1 - confidence) / 2
    limits = (min(map(np.min, fitted)), max(map(np.max, fitted)))
    lower = lower_bound(*tested, certificate=certificate, limits=limits, error=error)
    return Bracket(
        lower=scaling.scale * lower,
        upper=upper_bound(points_p, points_q, error=error),
        estimate=scaling.scale * float(tested[0].mean() - tested[1].mean()) / certificate,
        certificate=certificate,
        confidence=confidence,
        n_p=len(points_p),
        n_q=len(points_q),
        gap_fitted=scaling.scale * float(fitted[0].mean() - fitted[1].mean()) / certificate,
        critic="potentials" if isinstance(critic, McShaneExtension) else "network",
    )


@dataclass
class _BestState:
    """The state of a critic with the largest gap on validation samples."""

    critic: MaxOfConesCritic
    check: DrawBatches | None
    rng: torch.Generator
    gap: float = -float("inf")

    def __post_init__(self) -> None:
        self._save()

    def _save(self) -> None:
        self.state = {name: value.clone() for name, value in self.critic.state_dict().items()}
        self.temperature = self.critic.temperature

    @torch.no_grad()
    def update(self) -> None:
        """Save the critic's present state if it is the best so far."""
        if self.check is None:
            return
        present = float(gap(*score_pair(self.critic, *self.check(self.rng, BATCH))))
        if present > self.gap:
            self.gap = present
            self._save()

    def restore(self) -> MaxOfConesCritic:
        """Return the critic in its best state, or in its last without validation samples."""
        if self.check is not None:
            self.critic.load_state_dict(self.state)
            self.critic.temperature = self.temperature
        return self.critic.eval()


@dataclass(frozen=True)
class _Standardisation:
    """Mean and standard deviation of the pooled samples: the critic fits best at unit scale."""

    centre: DoubleArray
    scale: float

    @classmethod
    def of(cls, *sets: DoubleArray) -> "_Standardisation":
        pooled = np.concatenate(sets)
        centre = pooled.mean(0)
        return cls(centre, float(np.sqrt(np.square(pooled - centre).mean())) or 1.0)

    def apply(self, points: DoubleArray) -> Tensor:
        return torch.from_numpy(((points - self.centre) / self.scale).astype(np.float32))


def _points(name: str, samples: ArrayOrTensor) -> DoubleArray:
    array = samples.detach().cpu().numpy() if isinstance(samples, Tensor) else np.asarray(samples)
    if array.dtype.kind not in "fiu" or array.ndim < 1 or len(array) < MIN_SAMPLES:
        raise InputError(
            f"An audit needs at least {MIN_SAMPLES} samples of numbers in each set; {name} is of type "
            f"{array.dtype} and shape {array.shape}."
        )
    points = array.reshape(len(array), -1).astype(np.float64)
    if not np.isfinite(points).all():
        bad = np.flatnonzero(~np.isfinite(points).all(1))
        raise InputError(f"{len(bad)} samples of {name} hold NaN or infinity, the first at index {bad[0]}.")
    return points


def _split(points: DoubleArray, seed: int) -> tuple[DoubleArray, DoubleArray, DoubleArray]:
    """Samples for fitting, for validation, and for measuring: 7/16, 1/16 and 1/2 of them."""
    order = np.random.default_rng(seed).permutation(len(points))
    half = len(points) // 2
    check = max(1, half // 8)
    return points[order[check:half]], points[order[:check]], points[order[half:]]


def _batches_of(p: Tensor, q: Tensor) -> DrawBatches:
    def draw(rng: torch.Generator, count: int) -> tuple[Tensor, Tensor]:
        return _random_rows(p, count, rng), _random_rows(q, count, rng)

    return draw


def _random_rows(side: Tensor, count: int, rng: torch.Generator) -> Tensor:
    return side if count >= len(side) else side[torch.randint(len(side), (count,), generator=rng)]


def _affordable_steps(draw: DrawBatches, dim: int, fit: FitSettings, minutes: float) -> int:
    if not (isfinite(minutes) and minutes > 0):
        raise InputError(f"minutes must be a finite number > 0, not {minutes!r}.")
    # The duration of an exact transport does not depend on the steps.
    networks = tuple(c for c in fit.candidates if isinstance(c, NetworkCandidate)) or (LINEAR,)
    fit = replace(fit, candidates=networks)

    def seconds(steps: int) -> float:
        start = time.perf_counter()
        fit_critic(draw, dim, fit=replace(fit, steps=steps))
        return time.perf_counter() - start

    seconds(1)  # the first call is slower than the following ones
    # Clustering takes as long for one step as for all, and so does a trial up to this many steps.
    once, many = seconds(1), seconds(TRIAL_FRACTION)
    tried = len(networks) / TRIAL_FRACTION if len(networks) > 1 else 0.0
    # A step takes some time, however noisy the clock is.
    per_step = (1 + tried) * max(many - once, many / 10) / (TRIAL_FRACTION - 1)
    return max(1, int((60 * minutes - once) / per_step))


@torch.no_grad()
def _scores(critic: nn.Module, points: Tensor) -> DoubleArray:
    scores = torch.cat([critic(part) for part in torch.split(points, BATCH)]).numpy()
    return scores.astype(np.float64)
