"""Randomness as a function of (seed, rank, step): nothing random needs saving."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from numpy.random import SeedSequence

INITIALISATION, TRAINING, SPEED = range(3)
"""What numbers are drawn for; each purpose is an independent stream."""


def derive(*key: int) -> int:
    """A 64-bit seed from whole numbers >= 0, well mixed."""
    return int(SeedSequence(key).generate_state(1, "uint64")[0] >> 1)


def generator_of(*key: int, device: torch.device) -> torch.Generator:
    """A generator whose numbers are a function of ``key`` alone."""
    return torch.Generator(device).manual_seed(derive(*key))


@contextmanager
def own_global(device: torch.device) -> Iterator[None]:
    """Put the generators that :func:`seed_global` seeds back, after the block, to where they were."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        yield


def seed_global(seed: int, device: torch.device) -> None:
    """Seed the generators that modules with noise of their own, as dropout, draw from.

    ``torch.manual_seed`` would also note a stack trace for each kind of device that is not there: on a small
    network a tenth of a step.
    """
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)
