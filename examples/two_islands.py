"""Why W1: for distributions that do not overlap, the Jensen-Shannon divergence is constant, but W1 is not.

    python examples/two_islands.py [two_islands.png]

Example 1 of Arjovsky, Chintala, Bottou 2017, "Wasserstein GAN", on samples of two discs ("islands"): one
stays where it is, the other is moved. As long as they do not overlap, the divergence is log 2 at every
distance, so that a generator learns nothing from it, while W1 is proportional to the distance.
"""

import math
import sys

import matplotlib.pyplot as plt
import numpy as np

from wgan.wasserstein.exact import jensen_shannon, wasserstein1

DISTANCES = np.linspace(0, 4, 33)
SAMPLES = 400
RADIUS = 0.5
BINS = np.linspace(-1, 5, 49)


def island(rng: np.random.Generator) -> np.ndarray:
    """Sample points uniformly from a disc: (SAMPLES, 2)."""
    angle, radius = 2 * math.pi * rng.random(SAMPLES), RADIUS * np.sqrt(rng.random(SAMPLES))
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)


def histogram(points: np.ndarray) -> np.ndarray:
    """Return the share of the points in each cell of a grid that covers both islands."""
    return np.histogram2d(points[:, 0], points[:, 1], bins=(BINS, BINS))[0] / len(points)


def measure() -> tuple[list[float], list[float]]:
    """Return the divergence and W1 of the two islands at each distance."""
    rng = np.random.default_rng(0)
    home = island(rng)
    moved = [island(rng) + np.array([distance, 0]) for distance in DISTANCES]
    divergences = [jensen_shannon(histogram(home), histogram(away)) for away in moved]
    return divergences, [wasserstein1(home, away).value for away in moved]


def draw(path: str) -> None:
    """Save the figure."""
    divergences, distances = measure()
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    left.axhline(math.log(2), color="0.7", linestyle="--")
    left.plot(DISTANCES, divergences, "o-", markersize=3)
    left.annotate("log 2", (0.1, math.log(2)), va="bottom", color="0.4")
    left.set(title="Jensen-Shannon divergence (nats)", ylim=(0, 0.8))
    right.plot(DISTANCES, DISTANCES, color="0.7", linestyle="--")
    right.plot(DISTANCES, distances, "o-", markersize=3, color="C1")
    right.set(title="Wasserstein-1 distance, exact")
    for panel in (left, right):
        panel.axvspan(0, 2 * RADIUS, color="0.93")
        panel.set(xlabel="distance of the centres (the islands overlap in the grey)", xlim=(0, 4))
    figure.savefig(path, dpi=120)
    plt.close(figure)
    print(f"Saved {path}.")


if __name__ == "__main__":
    plt.switch_backend("agg")
    draw(sys.argv[1] if len(sys.argv) > 1 else "two_islands.png")
