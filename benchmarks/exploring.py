"""How near inversion comes to images that a run has never seen, and how even its interpolations are.

    python -m benchmarks.exploring RUN SOURCE

Distances are Euclidean, over all numbers of a sample; beside them stands what search alone finds, the nearest
of 100,000 random samples. A walk's worst jump is the largest distance of two neighbouring frames over their
median.
"""

import argparse
import time

import numpy as np
import torch

from wgan.data import even_indices, load
from wgan.generation import Pace, interpolate, invert
from wgan.sampling import Sampler

IMAGES, PAIRS, FRAMES = 100, 100, 16
SEARCHED = 100_000


def inversion(sampler: Sampler, dataset: str) -> None:
    """Print the distances of held-out samples from what is found by descent and by search."""
    held_out = load(dataset).held_out
    given = held_out.batch(even_indices(len(held_out), IMAGES)).numpy()
    begun = time.process_time()
    found = invert(sampler, given)
    seconds = time.process_time() - begun
    searched = invert(sampler, given, candidates=SEARCHED, starts=1, steps=1).initial_distance
    ratio = found.distance / searched
    print(f"inversion of {len(given)} held-out samples, {seconds:.0f} s of CPU time")
    print(f"  mean distance            {found.distance.mean():.3f}")
    print(f"  nearest of 4,096         {found.initial_distance.mean():.3f}")
    print(f"  nearest of {SEARCHED:,}       {searched.mean():.3f}")
    mean = found.distance.mean() / searched.mean()
    print(f"  ratio to the last        {mean:.3f}, worst {ratio.max():.3f}")
    print(f"  root mean square latent  {np.sqrt(np.square(found.latents).mean()):.2f}")


def smoothness(sampler: Sampler, pace: Pace) -> None:
    """Print how the jumps of walks compare with their median."""
    start, end = sampler.latents(PAIRS, seed=1), sampler.latents(PAIRS, seed=2)
    walk = interpolate(sampler, start, end, frames=FRAMES, pace=pace)
    jumps = np.linalg.norm(np.diff(walk.samples.reshape(PAIRS, FRAMES, -1), axis=1), axis=2)
    worst = jumps.max(1) / np.median(jumps, 1)
    over = int((worst > 3).sum())
    print(f"  pace {pace:7s} mean {worst.mean():.2f}, largest {worst.max():.2f}, over 3: {over} of {PAIRS}")


def main() -> None:
    """Measure a run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run")
    parser.add_argument("source")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    sampler = Sampler.load(arguments.run, device="cpu")
    inversion(sampler, arguments.dataset)
    print(f"worst jump over the median, {PAIRS} pairs, {FRAMES} frames")
    for pace in ("sample", "latent"):
        smoothness(sampler, pace)


if __name__ == "__main__":
    main()
