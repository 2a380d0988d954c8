"""The audit of two sample sets where W1 is known, and of toys against noise.

    python -m benchmarks.brackets                         # all cases, each of 4,096 samples
    python -m benchmarks.brackets --cases ring8 --count 65536

Known: a standard Gaussian shifted by 2, and a point against the unit sphere, W1 = 1. *bracket*: of 99 %.
*width*: its upper end less its lower, in % of the upper. *least width*: what no method can undercut at that
confidence: twice the normal quantile times the standard error of W1's efficient estimate, the exact cost of
matching the samples (del Barrio, Gonzalez-Sanz, Loubes 2024), in % of that cost; of 4,096 samples or fewer.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
import torch
import tyro
from scipy.stats import norm

import wgan
from wgan.data.dataset import Dataset
from wgan.data.toys import grid25, ring8, swiss_roll, two_clusters
from wgan.wasserstein.bracket import LARGEST_COUPLING
from wgan.wasserstein.exact import wasserstein1

CONFIDENCE = 0.99

Array = npt.NDArray[np.float64]
Case = Callable[[int, np.random.Generator], tuple[Array, Array]]


@dataclass(frozen=True)
class Brackets:
    """Audit sample sets."""

    cases: tuple[str, ...] = ()
    """Which; by default all."""
    count: int = 4096
    """Samples of each side."""
    seed: int = 0
    """Of the samples and of the fit."""


def shift(dim: int, count: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """Two Gaussians, 2 apart."""
    return rng.normal(size=(count, dim)) + 2 / dim**0.5, rng.normal(size=(count, dim))


def sphere(count: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """The unit sphere in 128 dimensions, and its centre."""
    points = rng.normal(size=(count, 128))
    return points / np.linalg.norm(points, axis=1, keepdims=True), np.zeros((count, 128))


def toy(make: Callable[[], Dataset], count: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """A toy, and a standard Gaussian."""
    distribution = make().distribution
    assert distribution is not None
    drawn = distribution.sample(count, torch.Generator().manual_seed(int(rng.integers(2**31))))
    return drawn.double().numpy(), rng.normal(size=(count, 2))


CASES: dict[str, tuple[float | None, Case]] = {
    **{f"shift by 2, D = {dim}": (2.0, partial(shift, dim)) for dim in (2, 16, 128)},
    "point and sphere, D = 128": (1.0, sphere),
    "two-clusters": (None, partial(toy, two_clusters)),
    "ring8": (None, partial(toy, ring8)),
    "grid25": (None, partial(toy, grid25)),
    "swiss-roll": (None, partial(toy, swiss_roll)),
}
"""W1, where it is known, and how samples are drawn."""


def main() -> None:
    """Print the table, line by line."""
    command = tyro.cli(Brackets, config=(tyro.conf.OmitArgPrefixes,))
    print("| case | n | W1 | estimate | bracket | width | least width | core-seconds |")
    print("|---|---|---|---|---|---|---|---|")
    for name in command.cases or CASES:
        print(line(name, command.count, command.seed), flush=True)


def line(name: str, count: int, seed: int) -> str:
    """One audit."""
    truth, draw = CASES[name]
    p, q = draw(count, np.random.default_rng(seed))
    start = time.process_time()
    found = wgan.audit(p, q, confidence=CONFIDENCE, seed=seed)
    seconds = time.process_time() - start
    width = 1 - found.lower / found.upper
    ends = f"{found.lower:.3f} .. {found.upper:.3f}"
    return (
        f"| {name} | {count:,} | {truth or ''} | {found.estimate:.3f} | {ends} | {width:.1%} "
        f"| {least_width(p, q):.1%} | {seconds:.0f} |"
    )


def least_width(p: Array, q: Array) -> float:
    """Of a bracket of so many samples, as a share of W1."""
    transport = wasserstein1(p[:LARGEST_COUPLING], q[:LARGEST_COUPLING])
    variance = sum(
        potential.var(ddof=1) / len(side)
        for potential, side in zip(transport.potentials, (p, q), strict=True)
    )
    return float(2 * norm.ppf((1 + CONFIDENCE) / 2) * variance**0.5 / transport.value)


if __name__ == "__main__":
    main()
